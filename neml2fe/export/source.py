"""The C++ tables of a library (`templates/library.h`), and the kernels that they name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from neml2fe.errors import ModelError
from neml2fe.export.layout import Layout, Variable, size
from neml2fe.implicit.tracing import PARAMETER
from neml2fe.kernels import SOLUTION, Array, Request, generate, settings_of
from neml2fe.material import Material, lags

VERSION = 1  # NEML2FE_VERSION in neml2fe.h
ROLES = ("STRAIN", "STRESS", "STATE", "FIELDS", "PARAMETERS")


@dataclass(frozen=True)
class Part:
    """Source of a kernel; `entry` replaces the name `neml2fe_run`. `scalar`: for one point."""

    entry: str
    text: str
    scalar: bool


def parts_of(index: int, material: Material, layout: Layout) -> tuple[list[Part], str]:
    """The kernels of the material `index` of a library, and its table.

    Raises `Untraceable` where the law cannot be compiled.
    """
    program = material.compiled.kernels_of_points().program
    values = Request("update", material.compiled.of)
    tangent = replace(values, wrt=(material.strain,), tangent_of=(material.stress,))
    many = generate(program, tangent)
    sources = {"values": generate(program, values), "many": many, "one": many}
    if program.stages:
        sources["careful"] = generate(program, replace(tangent, condensed=False))
    parts = [
        Part(f"neml2fe_{name}_{index}", s.host(torch.float64), name in ("one", "careful"))
        for name, s in sources.items()
    ]
    settings = [n for s in program.stages for n in settings_of(s.settings(), torch.float64)]
    places = _Places(material, layout)
    tables = [
        _places_table("in", [places.given(a) for a in many.inputs]),
        _places_table("out", [places.found(a) for a in many.outputs]),
        _numbers("initial", layout.initial),
        _numbers("defaults", layout.values),
        _numbers("settings", settings),
    ]
    return parts, _table(index, layout, places.stress_in_state, tables, [p.entry for p in parts])


def library_table(n: int) -> str:
    """The table of all `n` materials."""
    names = ", ".join(f"&m{k}::material" for k in range(n))
    return (
        f"static const neml2fe_material *const materials[] = {{{names}}};\n"
        f'extern "C" const Library neml2fe_library = {{{VERSION}, {n}, materials}};\n'
    )


class _Places:
    """Where the numbers of each array of a kernel are in the caller's rows."""

    def __init__(self, material: Material, layout: Layout) -> None:
        self.material, self.layout = material, layout
        state = {v.name: v for v in layout.state}
        self.stress_in_state = state[material.stress].offset if material.stress in state else -1
        self._given = {lags(n, 1): ("NEML2FE_STATE", v) for n, v in state.items()}
        self._given[material.strain] = (
            "NEML2FE_STRAIN",
            _own(material.strain, layout.strain, layout),
        )
        self._given |= {v.name: ("NEML2FE_FIELDS", v) for v in layout.fields}
        self._given |= {PARAMETER + v.name: ("NEML2FE_PARAMETERS", v) for v in layout.parameters}
        for k, name in enumerate((material.time, lags(material.time, 1))):
            self._given[name] = ("TIME", Variable(name, "Scalar", 1, k))
        self._found = {n: ("NEML2FE_STATE", v) for n, v in state.items()}
        self._found[material.stress] = (
            "NEML2FE_STRESS",
            _own(material.stress, layout.stress, layout),
        )

    def given(self, array: Array) -> tuple[str, int, int]:
        return self._checked(self._given, array)

    def found(self, array: Array) -> tuple[str, int, int]:
        m = self.material
        if array.name == f"{m.stress}/{m.strain}":
            return "TANGENT", 0, array.size
        if array.name == m.energy:
            return "ENERGY", 0, 1
        if array.name == SOLUTION:
            return "UNUSED", 0, array.size
        return self._checked(self._found, array)

    def _checked(
        self, known: dict[str, tuple[str, Variable]], array: Array
    ) -> tuple[str, int, int]:
        role, variable = known[array.name]
        if variable.size != array.size:
            raise ModelError(
                f"'{self.layout.name}': '{array.name}' has {array.size} numbers a point in the "
                f"law, and {variable.size} in a library, which knows no sub-batch of fields"
            )
        return role, variable.offset, array.size


def _own(name: str, seen: Variable, layout: Layout) -> Variable:
    """What a law itself has in place of a strain or stress that the caller sees."""
    return Variable(name, "SR2", 6, 0) if layout.logarithmic else seen


def _table(
    index: int, layout: Layout, stress_in_state: int, tables: Sequence[str], entries: Sequence[str]
) -> str:
    rows = {
        "STRAIN": (layout.strain,),
        "STRESS": (layout.stress,),
        "STATE": layout.state,
        "FIELDS": layout.fields,
        "PARAMETERS": layout.parameters,
    }
    variables = "\n".join(_variables(role.lower(), rows[role]) for role in ROLES)
    named = ", ".join(role.lower() for role in ROLES)
    counts = ", ".join(str(len(rows[role])) for role in ROLES)
    sizes = ", ".join(str(size(rows[role])) for role in ROLES)
    kernels = [*entries, *["nullptr"] * (4 - len(entries))]
    declared = "\n".join(f'extern "C" void {entry}(const Call *);' for entry in entries)
    body = "\n".join(tables)
    return f"""{declared}
namespace m{index} {{
{variables}
{body}
static const neml2fe_material material = {{
  {_text(layout.name)}, {_text(layout.measure)},
  {{{named}}},
  {{{counts}}}, {{{sizes}}},
  initial, defaults, {stress_in_state}, {int(layout.logarithmic)},
  sizeof in / sizeof *in - 1, sizeof out / sizeof *out - 1, in, out, settings,
  {", ".join(kernels)}
}};
}}  // namespace m{index}
"""


# Tables end with an entry that is not counted, as C++ has no empty arrays.


def _variables(name: str, row: Iterable[Variable]) -> str:
    entries = [f"{{{_text(v.name)}, {_text(v.kind)}, {v.size}, {v.offset}}}" for v in row]
    return f"static const neml2fe_variable {name}[] = {{{', '.join([*entries, '{}'])}}};"


def _places_table(name: str, places: Iterable[tuple[str, int, int]]) -> str:
    entries = [f"{{{role}, {offset}, {numbers}}}" for role, offset, numbers in places]
    return f"static const Place {name}[] = {{{', '.join([*entries, '{}'])}}};"


def _numbers(name: str, values: Iterable[float]) -> str:
    return f"static const double {name}[] = {{{', '.join([*(f'{v!r}' for v in values), '0'])}}};"


def _text(words: str) -> str:
    return json.dumps(words)
