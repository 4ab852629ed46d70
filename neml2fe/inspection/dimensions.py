"""Dimensions of a model's variables and parameters, from what its members declare.

A variable has the dimension that any field with its name declares. Generic building blocks say
nothing themselves; `_RULES` tell how they relate the dimensions of their variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from neml2fe.material import current_name
from neml2fe.models import Model
from neml2fe.models.fields import Old, ParameterField, Variable

Known = dict[str, str]

_MODULI = ("E", "K", "G", "lmbda", "M")  # declared by an elastic law itself, and not as fields


def variable_dimensions(model: Model) -> Known:
    """By current name: `x~1` has the dimension of `x`. Members that disagree give `a or b`."""
    parts = [m for m in model.modules() if isinstance(m, Model)]
    known: Known = {}
    for part in parts:
        for variable, dimension in _declared(part):
            said = known.setdefault(variable, dimension)
            if dimension not in said.split(" or "):
                known[variable] = f"{said} or {dimension}"
    count = -1
    while len(known) > count:
        count = len(known)
        for part in parts:
            for variable, dimension in _derived(part, known):
                known.setdefault(current_name(variable), dimension)
    return known


def _declared(part: Model) -> Iterator[tuple[str, str]]:
    rates, swapped = (getattr(part, flag, False) for flag in ("rate_form", "compliance"))
    other = {"strain": "stress", "stress": "strain"} if swapped else {}
    for name, field in part.fields.items():
        if isinstance(field, Variable) and field.dimension:
            for variable in part.names.get(other.get(name, name), ()):
                is_rate = rates and name in ("strain", "stress")
                yield (
                    current_name(variable),
                    per_time(field.dimension) if is_rate else field.dimension,
                )


def parameter_dimensions(model: Model) -> Known:
    """By the name that `named_parameters` gives."""
    found: Known = {}
    for path, part in model.named_modules():
        if not isinstance(part, Model):
            continue
        declared = {f.symbol: f for f in part.fields.values() if isinstance(f, ParameterField)}
        for symbol in part._parameters:
            field = declared.get(symbol) or declared.get(symbol.rpartition("_")[0])
            if field is not None:
                dimension = field.dimension
            elif "coefficient_types" in part.fields:
                dimension = "stress" if symbol in _MODULI else "1"
            else:
                dimension = ""
            found[f"{path}.{symbol}".lstrip(".")] = dimension
    return found


# -- generic building blocks ----------------------------------------------------------------
def _derived(part: Model, known: Known) -> Iterator[tuple[str, str]]:
    """What the rules say of a model's variables, as far as others are known."""
    for pattern, rule in _RULES.items():
        if fnmatchcase(type(part).__name__, pattern):
            yield from rule(part, known)


def _names(part: Model) -> dict[str, list[str]]:
    return {n: v for n, v in part.names.items() if not isinstance(part.fields.get(n), Old)}


def _same(part: Model, known: Known) -> Iterator[tuple[str, str]]:
    """All variables have one dimension."""
    variables = [v for names in _names(part).values() for v in names]
    said = next((known[v] for v in map(current_name, variables) if v in known), None)
    if said is not None:
        yield from ((v, said) for v in variables)


def _rate(part: Model, known: Known) -> Iterator[tuple[str, str]]:
    """A variable, its rate and the residual of the two."""
    names = {n: v[0] for n, v in _names(part).items() if v}
    variable = names["variable"]
    rate = names["rate"] if "rate" in names else names["variable_rate"]
    if rate in known and variable not in known and known[rate].endswith("/time"):
        yield variable, known[rate].removesuffix("/time")
    if variable in known:
        yield rate, per_time(known[variable])
        if "variable_residual" in names:
            yield names["variable_residual"], known[variable]


def _invariant(part: Model, known: Known) -> Iterator[tuple[str, str]]:
    if part.invariant_type not in ("I2", "J2"):
        yield from _same(part, known)


def _derivative(part: Model, known: Known) -> Iterator[tuple[str, str]]:
    above = known.get(part.function, "")
    for variable, derivative in zip(part.from_, part.to_, strict=True):
        below = known.get(current_name(variable), "")
        if above and below:
            yield derivative, "1" if above == below else f"{above}/({below})"


def per_time(dimension: str) -> str:
    """`stress` -> `stress/time`, `time` -> `1`."""
    return "1" if dimension == "time" else f"{dimension}/time"


_RULES: dict[str, Callable[[Model, Known], Iterator[tuple[str, str]]]] = {
    "*LinearCombination": _same,
    "Copy*": _same,
    "R2To*": _same,
    "SR2ToR2": _same,
    "SR2Invariant": _invariant,
    "*VariableRate": _rate,
    "*EulerTimeIntegration": _rate,
    "Normality": _derivative,
}
