"""Hardening laws that add up: given as a function of plastic strain, or as a rate."""

from __future__ import annotations

from dataclasses import dataclass, field

from neml2fe.errors import ModelError
from neml2fe.presets.expansion import Expansion
from neml2fe.presets.laws import Law
from neml2fe.presets.preset import ImplicitPreset, Members


@dataclass
class Hardening:
    """Members that compute `variables`; those given as rates are `unknowns` of the update."""

    members: Members = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    unknowns: dict[str, str] = field(default_factory=dict)


def hardening(
    preset: ImplicitPreset,
    deck: Expansion,
    variable: str,
    kind: str,
    laws: list[Law],
    recovery: list[Law],
) -> Hardening:
    """One `variable` of tensor type `kind` per law. Static recovery acts on each law that is a
    rate; a law of the plastic strain has nothing to recover, which is a `ModelError`."""
    found, rate = Hardening(), f"{variable}_rate"
    for name, law in zip(_names(variable, laws), laws, strict=True):
        own = law.variable(variable, name)
        found.variables.append(own)
        wiring = {variable: name}
        if rate not in law.outputs:
            if variable == "back_stress":  # driven by the plastic strain itself
                wiring["kinematic_plastic_strain"] = "plastic_strain"
            found.members.append(preset.member(deck, name, law, **wiring))
            continue
        found.unknowns[own] = law.variable(rate, f"{own}_rate")
        found.members.append(preset.member(deck, f"{name}_rate", law, **wiring))
        for slow in recovery:
            rates = [found.unknowns[own], f"{own}_recovery"]
            wiring = {variable: own, rate: rates[1]}
            found.members.append(preset.member(deck, rates[1], slow, **wiring))
            found.unknowns[own] = f"{own}_total_rate"
            found.members.append(
                preset.combination(deck, kind, found.unknowns[own], rates, [1.0, 1.0])
            )
    if recovery and not found.unknowns:
        raise ModelError(
            f"{preset.label}: static recovery acts on a law of {variable} in rate form; "
            f"{', '.join(law.name for law in laws) or 'no law'} is none"
        )
    return found


def isotropic(
    preset: ImplicitPreset, deck: Expansion, laws: list[Law], recovery: list[Law]
) -> Hardening:
    """As `hardening`, with the sum of several laws as the one variable."""
    name = "isotropic_hardening"
    found = hardening(preset, deck, name, "Scalar", laws, recovery)
    if len(found.variables) > 1:
        weights = [1.0] * len(found.variables)
        total = preset.combination(deck, "Scalar", name, found.variables, weights)
        found = Hardening([*found.members, total], [name], found.unknowns)
    return found


def _names(variable: str, laws: list[Law]) -> list[str]:
    """`back_stress` for one law, `back_stress_chaboche`, `back_stress_chaboche_2`, ... for more."""
    if len(laws) == 1:
        return [variable]
    names: list[str] = []
    for law in laws:
        name, k = f"{variable}_{law.name}", 1
        while name in names:
            k += 1
            name = f"{variable}_{law.name}_{k}"
        names.append(name)
    return names
