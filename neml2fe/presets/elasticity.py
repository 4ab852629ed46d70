"""Elasticity with thermal expansion, and linear viscoelasticity on top of it."""

from __future__ import annotations

from typing import Any

from neml2fe.errors import ModelError
from neml2fe.models import Option
from neml2fe.presets.expansion import Expansion
from neml2fe.presets.preset import ElasticPreset, ImplicitPreset, Members
from neml2fe.presets.roles import BRANCHES

ELEMENT = "GeneralizedMaxwellElement"


class LinearElasticity(ElasticPreset):
    r"""$\sigma = C : (\varepsilon - \varepsilon_T)$."""

    def compose(self, deck: Expansion) -> tuple[Members, list[str]]:
        return self.elastic(deck, []), []


class GeneralizedMaxwell(ImplicitPreset):
    r"""$\sigma = C : (\varepsilon + \sum_i E_i(\varepsilon - \varepsilon_i))$ and
    $\dot\varepsilon_i = E_i (\varepsilon - \varepsilon_i) / \eta_i$.

    $C$ is the stiffness after a long time; each branch adds $E_i$ times it, which relaxes in
    the time $\tau_i = \eta_i / E_i$, at the same Poisson's ratio.
    """

    branches: Any = Option(BRANCHES, "Maxwell branches, relative to the elastic law")

    def compose(self, deck: Expansion) -> tuple[Members, list[str]]:
        laws = self.laws("branches")
        for law in laws:
            if law.model or law.fields.keys() != {"moduli", "viscosities"} or law.type != ELEMENT:
                raise ModelError(
                    f"{self.label}: branches are 'maxwell(E = ..., eta = ...) + ...', or a block "
                    f"of type {ELEMENT} with moduli and viscosities"
                )
        moduli = [value for law in laws for value in law.fields["moduli"]]
        strains = [f"viscous_strain_{k + 1}" for k in range(len(moduli))]
        members, strain = self.mechanical(deck, [], "mechanical_strain")
        element = deck.model(
            "branches",
            ELEMENT,
            strain=strain,
            internal_strains=strains,
            stress="relaxing_strain",
            equilibrium_modulus=1.0,
            moduli=moduli,
            viscosities=[value for law in laws for value in law.fields["viscosities"]],
        )
        update = self.solve(deck, [*members, element], {n: f"{n}_rate" for n in strains})
        return [update, *members, element, *self.stress(deck, "relaxing_strain")], strains
