"""What a library holds, in words: printed when it is built, and kept beside it."""

from __future__ import annotations

from collections.abc import Iterable

from neml2fe.export.layout import SMALL, Layout, Variable, size

TEMPERATURES = ("temperature", "T")  # fields that a UMAT takes from TEMP
_COMPONENTS = {
    "SR2": "11 22 33 23 13 12, shear times sqrt(2)",
    "R2": "11 12 13 21 22 23 31 32 33",
    "Vec": "1 2 3",
}
_SIZES = {"SR2": 6, "R2": 9, "Vec": 3}
_SHOWN = 9  # numbers of a parameter that are written out


def described(layout: Layout, umat: bool = False) -> str:
    """The rows of a material; for a UMAT by the names of Abaqus."""
    driven = (
        f"strain '{layout.strain.name}' to stress '{layout.stress.name}'"
        if layout.measure == SMALL
        else f"deformation gradient '{layout.strain.name}' to stress '{layout.stress.name}' "
        f"({layout.measure})"
    )
    rows = [f"{layout.name}: {driven}"]
    state, parameters = ("STATEV", "PROPS") if umat else ("state", "parameter")
    rows += _rows(state, layout.state)
    if umat and layout.measure == SMALL:
        n = size(layout.state)
        rows.append(
            f"  plane stress: STATEV {n + 1} to {n + 3} are the strains 33, 23, 13 times sqrt(2) "
            f"for shear; uniaxial: {n + 1} to {n + 5} are 22, 33, 23, 13, 12"
        )
    rows += _field_rows(layout.fields) if umat else _rows("field", layout.fields)
    for v in layout.parameters:
        values = layout.values[v.offset : v.offset + v.size]
        shown = " ".join(map(str, values)) if v.size <= _SHOWN else f"{v.size} numbers"
        rows.append(f"  {_numbered(parameters, v)}  {v.name} = {shown}")
    if umat:
        n = size(layout.state)
        rows.append(
            f"  {f'*DEPVAR {n}' if n else 'no *DEPVAR'}; *USER MATERIAL, "
            f"CONSTANTS={size(layout.parameters)} or CONSTANTS=1 with the value 0 for the "
            "parameters above"
        )
    return "\n".join(rows)


def _rows(what: str, row: Iterable[Variable]) -> list[str]:
    return [f"  {_numbered(what, v)}  {v.name}{_components(v)}" for v in row]


def _components(v: Variable) -> str:
    """Of a tensor; of each, where there is one for each grain or the like."""
    if v.kind not in _COMPONENTS:
        return ""
    n = v.size // _SIZES[v.kind]
    return f" ({_COMPONENTS[v.kind]}{f', {n} times' if n > 1 else ''})"


def _field_rows(fields: Iterable[Variable]) -> list[str]:
    others = [v.name for v in fields if v.name not in TEMPERATURES]
    rows = [f"  TEMP  {v.name}" for v in fields if v.name in TEMPERATURES]
    return rows + [f"  PREDEF {k + 1}  {name}" for k, name in enumerate(others)]


def _numbered(what: str, v: Variable) -> str:
    last = v.offset + v.size
    return f"{what} {last}" if v.size == 1 else f"{what} {v.offset + 1} to {last}"
