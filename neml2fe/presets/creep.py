"""Steady creep without a yield stress."""

from __future__ import annotations

from typing import Any

from neml2fe.models import Option
from neml2fe.presets.expansion import Expansion
from neml2fe.presets.preset import ImplicitPreset, Members
from neml2fe.presets.roles import CREEP


class Creep(ImplicitPreset):
    r"""$\dot\varepsilon_c = (\bar\sigma/\eta)^n\, N$ with the direction
    $N = \frac32 s/\bar\sigma$ (Norton 1929). $\eta$ is the stress that creeps with the rate 1;
    Norton's prefactor is $\eta^{-n}$."""

    flow: Any = Option(CREEP, "Rate of equivalent creep strain")

    def compose(self, deck: Expansion) -> tuple[Members, list[str]]:
        elastic = self.elastic(deck, ["creep_strain"])
        (law,) = self.laws("flow")
        rates = [
            *elastic,
            deck.model(
                "effective_stress", "SR2Invariant", invariant_type="VONMISES",
                tensor="stress", invariant="effective_stress",
            ),
            deck.model("flow_direction", "AssociativeJ2FlowDirection", mandel_stress="stress"),
            self.member(deck, "flow_rate", law, yield_function="effective_stress"),
            deck.model(
                "creep_strain_rate", "AssociativePlasticFlow",
                plastic_strain_rate="creep_strain_rate",
            ),
        ]  # fmt: skip
        states = {"creep_strain": "creep_strain_rate"}
        guess = self.all_inelastic(deck, "creep_strain")
        return [self.solve(deck, rates, states, guess=guess), *elastic], ["creep_strain"]
