"""`[Specimens]` blocks: histories of tests from CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neml2fe.calibration.csvspecimen import CSVColumn, CSVSpecimen, component
from neml2fe.calibration.specimens import Specimens
from neml2fe.calibration.units import UNITS, convert
from neml2fe.errors import Error, InputError, suggest
from neml2fe.input.csvoptions import CSV_FIELDS, csv_options
from neml2fe.input.csvtensor import number, position, read_rows
from neml2fe.input.deck import Block, FieldValue

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

_COLUMNS = ("variables", "columns", "units", "model_units", "weights", "sigmas")
_INPUTS = ("inputs", "field_names", "field_values", "field_units")
# Options of `CSVSpecimen` and how they read.
_OPTIONS: dict[str, Callable[[FieldValue], Any]] = {
    "control": FieldValue.as_list,
    "others": FieldValue.as_str,
    "inputs": FieldValue.as_list,
    "mask": FieldValue.as_str,
    "missing": FieldValue.as_str,
    "start": FieldValue.as_str,
    "start_time": FieldValue.as_float,
    "max_rows": FieldValue.as_int,
}
_BY_SPECIMEN = ("strain_rate", "weight")  # also options: in a list, columns of the index, too
_SHARED = (*_COLUMNS, *_INPUTS, *_BY_SPECIMEN, *_OPTIONS, "leave_out", *CSV_FIELDS)
FIELDS: dict[str, tuple[str, ...]] = {
    "CSVSpecimen": ("file", *dict.fromkeys(_SHARED)),
    "CSVSpecimenList": ("index", "name_column", "file_column", *dict.fromkeys(_SHARED)),
}
MODEL_UNITS = {"time": "s", "stress": "MPa", "strain": "1", "temperature": "K"}
_KINDS = {"gamma": "strain"}
_NO_UNIT = "-"


def build_specimens(source: Input, block: Block) -> Specimens:
    """The specimens of one block. Errors of files name the file, and the block that reads it."""
    columns, options = _columns(block), _options(block)
    if block.require("type").as_str() == "CSVSpecimen":
        options |= {n: v.as_float() for n in _BY_SPECIMEN if (v := block.get(n))}
        constants = {f.name: f.converted(_number(f.value, f.word)) for f in _fields(block)}
        file = block.require("file").as_path()
        with _read_for(block):
            return CSVSpecimen(file, columns, block.name, constants=constants, **options).read()
    with _read_for(block):
        return Specimens.stack(list(_listed(block, columns, options)))


def _listed(block: Block, columns: list[CSVColumn], options: dict[str, Any]) -> Iterator[Specimens]:
    """The specimens of an index, one a row; files are beside it."""
    index = block.require("index").as_path()
    header, rows = read_rows(str(index))
    at = {"file": _place(block, "file", header, index)}
    if "name" in header or block.get("name_column"):
        at["name"] = _place(block, "name", header, index)

    def value_at(value: FieldValue, word: str, line: int, row: list[str]) -> float:
        """A number of the deck, or the cell of a column of the index."""
        found = value.number_or_none(word)
        if found is not None:
            return found
        place = position(header, word, str(index))
        return number(row[place], word, str(index), line)

    for line, row in rows:
        for name, place in at.items():
            if not row[place]:
                message = f"the column '{header[place]}', the specimen's {name}, is empty here"
                raise InputError(message, f"{index}:{line}")
        own: dict[str, Any] = {
            n: value_at(v, v.as_str(), line, row) for n in _BY_SPECIMEN if (v := block.get(n))
        }
        constants = {
            f.name: f.converted(value_at(f.value, f.word, line, row)) for f in _fields(block)
        }
        try:
            yield CSVSpecimen(
                index.parent / row[at["file"]],
                columns,
                row[at["name"]] if "name" in at else "",
                constants=constants,
                **own,
                **options,
            ).read()
        except Error as error:
            raise InputError(str(error), f"{index}:{line}") from None


def _place(block: Block, what: str, header: list[str], index: Path) -> int:
    value = block.get(f"{what}_column")
    return position(header, value.as_str() if value else what, str(index))


@contextmanager
def _read_for(block: Block) -> Iterator[None]:
    """Put the place of the block before errors that are about files."""
    try:
        yield
    except Error as error:
        if block.path in error.location:
            raise
        raise InputError(str(error), block.location) from None


def _options(block: Block) -> dict[str, Any]:
    found = csv_options(block)
    found |= {name: read(value) for name, read in _OPTIONS.items() if (value := block.get(name))}
    if value := block.get("leave_out"):
        rows = value.as_rows()
        if any(len(row) != 3 for row in rows):
            raise value.error("expected a variable and two numbers, then ';' before the next")
        found["leave_out"] = [
            (name, _number(value, low), _number(value, high)) for name, low, high in rows
        ]
    return found


# -- columns and fields ---------------------------------------------------------------------
def _columns(block: Block) -> list[CSVColumn]:
    """The parallel lists `variables`, `columns`, `units`, `weights` and `sigmas`."""
    variables = block.require("variables").as_list()
    given = {
        name: (value, _parallel(value, len(variables), "variables"))
        for name in ("columns", "units", "weights", "sigmas")
        if (value := block.get(name))
    }
    found = []
    for k, variable in enumerate(variables):
        words = {name: words[k] for name, (_, words) in given.items()}
        options: dict[str, Any] = {
            option: _number(given[name][0], words[name])
            for name, option in (("weights", "weight"), ("sigmas", "sigma"))
            if words.get(name, _NO_UNIT) != _NO_UNIT
        }
        if words.get("units", _NO_UNIT) != _NO_UNIT:
            options |= _unit(block, given["units"][0], variable, words["units"])
        try:
            found.append(CSVColumn(words.get("columns", variable), variable, **options))
        except Error as error:
            raise block.require("variables").error(error.message) from None
    return found


def noise_by_variable(block: Block) -> dict[str, bool]:
    """The variables that are compared, and whether all of their columns have a `sigmas`."""
    control, inputs = (
        value.as_list() if (value := block.get(name)) else getattr(CSVSpecimen, name)
        for name in ("control", "inputs")
    )
    found: dict[str, bool] = {}
    for column in _columns(block):
        if column.variable not in (*control, *inputs, "time") and column.weight > 0.0:
            place = component(column.variable)
            name = place[0] if place else column.variable
            found[name] = found.get(name, True) and column.sigma is not None
    return found


def _parallel(value: FieldValue, n: int, other: str) -> list[str]:
    """As many texts as `other` has: words, or, where there is a `;`, what stands between."""
    parts = value.text.split(";") if n == 1 or ";" in value.text else value.as_list()
    words = [" ".join(part.split()) for part in parts if part.strip()]
    if len(words) != n:
        raise value.error(f"{len(words)} entries for the {n} of '{other}'")
    return words


def _number(value: FieldValue, word: str) -> float:
    found = value.number_or_none(word)
    if found is None:
        raise value.error(f"expected a number, got '{word}'")
    return found


def model_units(block: Block) -> dict[str, str]:
    """The model's unit by dimension."""
    value = block.get("model_units")
    given = value.as_list() if value else []
    return MODEL_UNITS | {_dimension(value, unit): unit for unit in given if value}


def units_of(block: Block) -> dict[str, str]:
    """Units of the model's variables, as far as the block says, for reports."""
    found = {f.name: f.to for f in _fields(block)}
    found |= {_KINDS.get(k := c.variable.split("_")[0], k): c.to for c in _columns(block)}
    return {name: unit for name, unit in found.items() if unit is not None and unit != "1"}


def _unit(block: Block, value: FieldValue, variable: str, unit: str) -> dict[str, str]:
    """`unit` and `to` of a column; the kind of the variable and its unit must agree."""
    dimension = _dimension(value, unit)
    kind = variable.split("_")[0]
    expected = _KINDS.get(kind, kind)
    if expected in UNITS and dimension != expected:
        units = ", ".join(UNITS[expected])
        raise value.error(f"'{unit}' is a unit of {dimension}; '{variable}' has one of {units}")
    return {"unit": unit, "to": model_units(block)[dimension]}


def _dimension(value: FieldValue, unit: str) -> str:
    for dimension, known in UNITS.items():
        if unit in known:
            return dimension
    known_units = [unit for known in UNITS.values() for unit in known]
    raise value.error(f"there is no unit '{unit}'{suggest(unit, known_units)}")


@dataclass(frozen=True)
class _Field:
    """An input of the model that is one number for a specimen; `word` is that, or a column."""

    name: str
    value: FieldValue
    word: str
    unit: str | None
    to: str | None

    def converted(self, number: float) -> float:
        return (
            number if self.unit is None or self.to is None else convert(number, self.unit, self.to)
        )


def _fields(block: Block) -> list[_Field]:
    """The parallel lists `field_names`, `field_values` and `field_units`."""
    if not any(block.get(f"field_{part}") for part in ("names", "values", "units")):
        return []
    values, units = block.require("field_values"), block.get("field_units")
    keys = block.require("field_names").as_list()
    words = _parallel(values, len(keys), "field_names")
    found = []
    for k, (name, word) in enumerate(zip(keys, words, strict=True)):
        unit = _parallel(units, len(keys), "field_names")[k] if units else _NO_UNIT
        given: dict[str, str | None] = {"unit": None, "to": None}
        if units and unit != _NO_UNIT:
            given |= _unit(block, units, name, unit)
        found.append(_Field(name, values, word, **given))
    return found
