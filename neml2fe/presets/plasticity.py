"""Plasticity and viscoplasticity: a yield surface, its hardening and its flow."""

from __future__ import annotations

import math
from typing import Any

from neml2fe.models import Model, Option
from neml2fe.presets.expansion import Expansion
from neml2fe.presets.hardening import Hardening, hardening, isotropic
from neml2fe.presets.laws import Value
from neml2fe.presets.preset import ImplicitPreset, Members
from neml2fe.presets.roles import (
    EQUIVALENT_STRESS,
    FLOW,
    ISOTROPIC_HARDENING,
    ISOTROPIC_RECOVERY,
    KINEMATIC_HARDENING,
    KINEMATIC_RECOVERY,
)

EP = "equivalent_plastic_strain"


class PlasticPreset(ImplicitPreset, abstract=True):
    r"""$f = \sqrt{2/3}\,(\bar\sigma - \sigma_y - \sum_i h_i)$ and what follows from it.

    Without isotropic hardening no equivalent plastic strain is computed.
    """

    yield_stress: Any = Option(Value(least=0.0), "Initial yield stress")
    isotropic_hardening: Any = Option(ISOTROPIC_HARDENING, "Growth of the surface", default=None)
    isotropic_recovery: Any = Option(ISOTROPIC_RECOVERY, "Its decay in time", default=None)

    def compose(self, deck: Expansion) -> tuple[Members, list[str]]:
        elastic = self.elastic(deck, ["plastic_strain"])
        mandel = deck.model("mandel_stress", "IsotropicMandelStress", cauchy_stress="stress")
        laws = [self.laws(f"isotropic_{part}") for part in ("hardening", "recovery")]
        growth, back = isotropic(self, deck, *laws), self.back_stresses(deck)
        hardened = growth.variables[0] if growth.variables else None
        surface = self.surface(deck, back.variables)
        given = {} if hardened is None else {"isotropic_hardening": hardened}
        surface.append(
            deck.model(
                "yield_surface", "YieldFunction", yield_stress=self.given.yield_stress, **given
            )
        )
        rates = [*elastic, mandel, *growth.members, *back.members, *surface]
        rates += self.directions(deck, surface, hardened)
        rates.append(deck.model("plastic_strain_rate", "AssociativePlasticFlow"))
        states = {"plastic_strain": "plastic_strain_rate"}
        if hardened is not None:
            rates.append(deck.model(f"{EP}_rate", "AssociativeIsotropicPlasticHardening"))
            states[EP] = f"{EP}_rate"
        states |= {**growth.unknowns, **back.unknowns}
        return [self.close(deck, rates, states), *elastic], ["plastic_strain"]

    def back_stresses(self, deck: Expansion) -> Hardening:
        return Hardening()

    def surface(self, deck: Expansion, back_stresses: list[str]) -> Members:
        """Members from the Mandel stress to the effective stress."""
        raise NotImplementedError

    def directions(self, deck: Expansion, surface: Members, hardened: str | None) -> Members:
        """Members that compute the directions of flow and of hardening from the `surface`."""
        flow = deck.model("flow", "ComposedModel", models=surface)
        directions = {"mandel_stress": "flow_direction"}
        if hardened is not None:
            directions[hardened] = "isotropic_hardening_direction"
        return [self.normality(deck, "normality", flow, "yield_function", directions)]

    def normality(
        self, deck: Expansion, name: str, model: Model, function: str, directions: dict[str, str]
    ) -> Model:
        """Derivatives of `function` by the keys of `directions`, called as the values say."""
        return deck.model(
            name, "Normality", model=model, function=function,
            from_=list(directions), to_=list(directions.values()),
        )  # fmt: skip

    def close(self, deck: Expansion, rates: Members, states: dict[str, str]) -> Model:
        """The update of the `states` by their rates, with what gives the flow rate."""
        given = self.laws("flow") if "flow" in self.fields else []
        if given:
            rate = self.member(deck, "flow_rate", given[0])
            return self.solve(
                deck, [*rates, rate], states, guess=self.all_inelastic(deck, "plastic_strain")
            )
        consistency = deck.model(
            "consistency", "FBComplementarity", a="yield_function", a_inequality="LE", b="flow_rate"
        )
        return self.solve(deck, [*rates, consistency], states, {"flow_rate": "complementarity"})


class _J2(PlasticPreset, abstract=True):
    r"""$\bar\sigma$ is that of the stress less the back stresses, von Mises' by default."""

    kinematic_hardening: Any = Option(KINEMATIC_HARDENING, "Shift of the surface", default=None)
    kinematic_recovery: Any = Option(KINEMATIC_RECOVERY, "Its decay in time", default=None)
    equivalent_stress: Any = Option(EQUIVALENT_STRESS, "Measure of stress", default="von_mises")

    @property
    def line_search(self) -> bool:
        """Other surfaces than the sphere of von Mises turn the direction of flow on the way."""
        return self.laws("equivalent_stress")[0].type != "SR2Invariant"

    def back_stresses(self, deck: Expansion) -> Hardening:
        laws = [self.laws(f"kinematic_{part}") for part in ("hardening", "recovery")]
        return hardening(self, deck, "back_stress", "SR2", *laws)

    def surface(self, deck: Expansion, back_stresses: list[str]) -> Members:
        (law,) = self.laws("equivalent_stress")
        axes, wiring = self.axes(deck, law, needed=False)
        stress, members = "mandel_stress", axes
        if back_stresses:
            stress, parts = "overstress", ["mandel_stress", *back_stresses]
            weights = [1.0, *[-1.0] * len(back_stresses)]
            members.append(self.combination(deck, "SR2", stress, parts, weights))
        source, target = (
            ("tensor", "invariant")
            if law.type == "SR2Invariant"
            else ("mandel_stress", "effective_stress")
        )
        wiring |= {source: stress, target: "effective_stress"}
        return [*members, self.member(deck, law.name, law, **wiring)]


class J2Plasticity(_J2):
    """Rate-independent plasticity: $f \\le 0$, $\\dot\\gamma \\ge 0$, $f \\dot\\gamma = 0$."""


class J2Viscoplasticity(_J2):
    """Viscoplasticity, in which the flow rate is a function of the overstress."""

    flow: Any = Option(FLOW, "Viscous flow")


class DruckerPrager(PlasticPreset):
    r"""$\bar\sigma = \sigma_\mathrm{vM} + \alpha\,\mathrm{tr}\,\sigma$, rate-independent unless
    `flow` is given (Drucker and Prager 1952).

    With `dilatancy` $\beta$, plastic strain follows the gradient of
    $\sqrt{2/3}\,(\sigma_\mathrm{vM} + \beta\,\mathrm{tr}\,\sigma)$ instead. The cone's apex, which
    hydrostatic tension reaches, has no gradient and is not treated.
    """

    friction: Any = Option(Value(), "Sensitivity to pressure, alpha")
    dilatancy: Any = Option(Value(), "That of the flow, beta (default: friction)", default=None)
    flow: Any = Option(FLOW, "Viscous flow", default=None)

    def surface(self, deck: Expansion, back_stresses: list[str]) -> Members:
        invariants = [
            deck.model(
                name, "SR2Invariant", invariant_type=kind, tensor="mandel_stress", invariant=name
            )
            for name, kind in (("von_mises", "VONMISES"), ("first_invariant", "I1"))
        ]
        return [*invariants, self._cone(deck, "effective_stress", self.given.friction)]

    def _cone(self, deck: Expansion, name: str, slope: Any) -> Model:
        return self.combination(
            deck, "Scalar", name, ["von_mises", "first_invariant"], [1.0, slope]
        )

    def directions(self, deck: Expansion, surface: Members, hardened: str | None) -> Members:
        if self.given.dilatancy is None:
            return super().directions(deck, surface, hardened)
        *invariants, _, _ = surface
        cone = self._cone(deck, "potential_stress", self.given.dilatancy)
        factor = [math.sqrt(2.0 / 3.0)]
        scaled = self.combination(deck, "Scalar", "potential", ["potential_stress"], factor)
        potential = deck.model(
            "flow_potential", "ComposedModel", models=[*invariants, cone, scaled]
        )
        wanted = {"mandel_stress": "flow_direction"}
        found = [self.normality(deck, "normality", potential, "potential", wanted)]
        if hardened is not None:
            flow = deck.model("flow", "ComposedModel", models=surface)
            wanted = {hardened: "isotropic_hardening_direction"}
            found.append(
                self.normality(deck, "hardening_normality", flow, "yield_function", wanted)
            )
        return found
