"""Isotropic J2 plasticity by radial return: one scalar unknown at every point."""

from __future__ import annotations

import math
from typing import Any

from neml2fe.errors import ModelError
from neml2fe.models import Model, Option
from neml2fe.models.solid_mechanics.elasticity import SYMBOLS, FromModuli
from neml2fe.presets.expansion import Expansion, held
from neml2fe.presets.hardening import isotropic
from neml2fe.presets.laws import Value
from neml2fe.presets.preset import ImplicitPreset, Members
from neml2fe.presets.roles import FLOW, ISOTROPIC_HARDENING

EP = "equivalent_plastic_strain"


class J2RadialReturn(ImplicitPreset):
    r"""As `J2Plasticity` (or, with `flow`, `J2Viscoplasticity`) without back stress: flow keeps
    the direction of the elastic trial stress, so that the equivalent plastic strain is the only
    unknown (Wilkins 1964)."""

    yield_stress: Any = Option(Value(least=0.0), "Initial yield stress")
    isotropic_hardening: Any = Option(ISOTROPIC_HARDENING, "Growth of the surface")
    flow: Any = Option(FLOW, "Viscous flow", default=None)

    def compose(self, deck: Expansion) -> tuple[Members, list[str]]:
        *axes, elasticity = self.stress(deck, "elastic_strain")
        if axes or not isinstance(elasticity, FromModuli):
            raise ModelError(f"{self.label}: radial return needs isotropic elasticity")
        # The same live moduli in three places.
        types = list(elasticity.coefficient_types)
        moduli = {
            "coefficients": [held(elasticity, SYMBOLS[kind]) for kind in types],
            "coefficient_types": types,
        }
        trial = self._trial(deck, moduli)
        effective = deck.model(
            "effective_stress", "LinearIsotropicElasticJ2TrialStressUpdate",
            elastic_trial_stress="trial_von_mises", updated_trial_stress="effective_stress",
            **moduli,
        )  # fmt: skip
        growth = isotropic(self, deck, self.laws("isotropic_hardening"), [])
        if growth.unknowns:
            raise ModelError(f"{self.label}: radial return needs hardening as a function of strain")
        (hardened,) = growth.variables
        surface = deck.model(
            "yield_surface",
            "YieldFunction",
            yield_stress=self.given.yield_stress,
            isotropic_hardening=hardened,
        )
        grown = self.combination(deck, "Scalar", f"{EP}_increment", [EP, f"{EP}~1"], [1.0, -1.0])
        update = self._update(deck, [effective, *growth.members, surface], grown)
        flow = deck.model(
            "plastic_strain_increment", "AssociativePlasticFlow",
            flow_rate=f"{EP}_increment", plastic_strain_rate="plastic_strain_increment",
        )  # fmt: skip
        parts = ["plastic_strain~1", "plastic_strain_increment"]
        plastic = self.combination(deck, "SR2", "plastic_strain", parts, [1.0, 1.0])
        elastic, _ = self.mechanical(deck, ["plastic_strain"], "elastic_strain")
        return [*trial, update, grown, flow, plastic, *elastic, elasticity], ["plastic_strain", EP]

    def _trial(self, deck: Expansion, moduli: dict[str, Any]) -> Members:
        """The stress of an elastic step, its von Mises stress and its direction."""
        members, _ = self.mechanical(deck, ["plastic_strain~1"], "trial_strain")
        return [
            *members,
            deck.model(
                "trial_stress", "LinearIsotropicElasticity",
                strain="trial_strain", stress="trial_stress", **moduli,
            ),
            deck.model(
                "trial_von_mises", "SR2Invariant", invariant_type="VONMISES",
                tensor="trial_stress", invariant="trial_von_mises",
            ),
            deck.model(
                "flow_direction", "AssociativeJ2FlowDirection", mandel_stress="trial_stress"
            ),
        ]  # fmt: skip

    def _update(self, deck: Expansion, rates: Members, grown: Model) -> Model:
        given = self.laws("flow")
        if not given:
            consistency = deck.model(
                "consistency", "FBComplementarity",
                a="yield_function", a_inequality="LE", b=f"{EP}_increment",
            )  # fmt: skip
            old = deck.model("predictor", "ConstantExtrapolationPredictor", unknowns_Scalar=[EP])
            return self.solve(deck, [*rates, grown, consistency], {}, {EP: "complementarity"}, old)
        rates = [*rates, self.member(deck, "flow_rate", given[0])]
        rate = self.combination(deck, "Scalar", f"{EP}_rate", ["flow_rate"], [math.sqrt(2.0 / 3.0)])
        # The guess that all of the strain increment is plastic, see `all_inelastic`.
        name = "strain_increment"
        guess = [
            self.combination(deck, "SR2", name, ["strain", "strain~1"], [1.0, -1.0]),
            deck.model(
                "effective_increment", "SR2Invariant", invariant_type="EFFECTIVE_STRAIN",
                tensor=name, invariant="effective_increment",
            ),
            deck.model(
                "predicted_strain", "ScalarLinearCombination",
                from_=[f"{EP}~1", "effective_increment"], to_=EP, weights=[1.0, 1.0],
            ),
        ]  # fmt: skip
        predictor = deck.model("predictor", "ComposedModel", models=guess)
        return self.solve(deck, [*rates, rate], {EP: f"{EP}_rate"}, guess=predictor)
