"""A HIT deck as a plain tree of blocks and fields that know their file and line."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from neml2fe.errors import Error, InputError, suggest

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class FieldValue:
    """The text of one field, quotes removed. `where` is `file:line`, `block` its block's path."""

    name: str
    text: str
    where: str
    block: str = ""
    overrides: bool = False

    @property
    def location(self) -> str:
        block = f"[{self.block}] " if self.block else ""
        return f"{self.where}: {block}{self.name}"

    def error(self, message: str) -> InputError:
        """An error about this value, to be raised."""
        return InputError(message, self.location)

    def as_str(self) -> str:
        """The text, as it stands."""
        return self.text

    def as_path(self) -> Path:
        """A path, relative to the file that this field stands in (for one given on the command
        line, to the working directory)."""
        file = self.where.rpartition(":")[0]
        return Path(file).parent / self.text

    def as_float(self) -> float:
        return self._float(self.text)

    def number_or_none(self, word: str) -> float | None:
        """One `word` of the value as a number, or None where it is a name."""
        return self._float(word) if _NUMBER.fullmatch(word) else None

    def as_int(self) -> int:
        return self._int(self.text)

    def as_bool(self) -> bool:
        return self._bool(self.text)

    def as_bools(self) -> list[bool]:
        return [self._bool(word) for word in self.as_list()]

    def as_list(self) -> list[str]:
        """The words, separated by blanks or line breaks."""
        return self.text.split()

    def as_floats(self) -> list[float]:
        return [self._float(word) for word in self.as_list()]

    def as_ints(self) -> list[int]:
        return [self._int(word) for word in self.as_list()]

    def as_rows(self) -> list[list[str]]:
        """The words of each row; rows are separated by `;`."""
        return [row.split() for row in self.text.split(";")] if self.text.strip() else []

    def as_float_rows(self) -> list[list[float]]:
        """`as_rows` as numbers; the rows must be of one length."""
        rows = [[self._float(word) for word in row] for row in self.as_rows()]
        if len({len(row) for row in rows}) > 1:
            lengths = ", ".join(str(len(row)) for row in rows)
            raise self.error(f"expected rows of one length, got {lengths} values")
        return rows

    def _bool(self, word: str) -> bool:
        if word not in ("true", "false"):
            raise self.error(f"expected true or false, got '{word}'")
        return word == "true"

    def _float(self, word: str) -> float:
        if not _NUMBER.fullmatch(word):
            raise self.error(f"expected a number, got '{word}'")
        value = float(word)
        if not math.isfinite(value):
            raise self.error(f"'{word}' is too large for a double")
        return value

    def _int(self, word: str) -> int:
        if not _INTEGER.fullmatch(word):
            raise self.error(f"expected an integer, got '{word}'")
        return int(word)


@dataclass
class Block:
    """One `[name] ... []`: its fields by name and its inner blocks in the order of the file."""

    name: str
    path: str
    where: str
    fields: dict[str, FieldValue] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    @property
    def location(self) -> str:
        return f"{self.where}: [{self.path}]"

    def error(self, message: str) -> InputError:
        """An error about this block, to be raised."""
        return InputError(message, self.location)

    def get(self, name: str) -> FieldValue | None:
        return self.fields.get(name)

    def require(self, name: str) -> FieldValue:
        """The field `name`; InputError if the deck does not give it."""
        if name not in self.fields:
            raise self.error(f"the field '{name}' is missing")
        return self.fields[name]

    def find(self, name: str) -> Block | None:
        """The inner block `name`."""
        return next((block for block in self.blocks if block.name == name), None)

    def unknown_fields(self, known: Iterable[str]) -> None:
        """Raises InputError for the first field that is not in `known`."""
        known = list(known)
        for name, value in self.fields.items():
            if name not in known:
                location = f"{value.where}: [{self.path}]"
                raise InputError(f"unknown field '{name}'{suggest(name, known)}", location)

    def unknown_blocks(self, known: Iterable[str] = ()) -> None:
        """Raises InputError for the first inner block that is not in `known`."""
        known = list(known)
        for block in self.blocks:
            if block.name not in known:
                tail = suggest(block.name, known) if known else "; no block belongs here"
                raise block.error(f"unknown block [{block.name}]{tail}")


@contextmanager
def located(block: Block | FieldValue) -> Iterator[None]:
    """Give errors raised within the place of `block` or value, unless they already know better."""
    try:
        yield
    except Error as error:
        error.location = error.location or block.location
        raise


@dataclass
class Deck:
    """A whole deck: top-level fields, and sections by name, in the order of the file, with
    the `overrides` that were applied to it."""

    path: str
    fields: dict[str, FieldValue] = field(default_factory=dict)
    sections: dict[str, Block] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    def blocks(self, section: str) -> list[Block]:
        """The blocks of a section; none if the deck lacks the section."""
        return self.sections[section].blocks if section in self.sections else []

    def block(self, section: str, name: str) -> Block:
        """The block `[section/name]`; InputError, with the nearest name, if there is none."""
        for block in self.blocks(section):
            if block.name == name:
                return block
        names = [block.name for block in self.blocks(section)]
        raise InputError(f"no block [{section}/{name}]{suggest(name, names)}", self.path)

    def unknown_sections(self, known: Iterable[str]) -> None:
        """Raises InputError for the first top-level section that is not in `known` but nearly
        so; warns of others, which may be meant for other programs."""
        known = list(known)
        for section in self.sections.values():
            if section.name not in known:
                tail = suggest(section.name, known)
                error = section.error(f"unknown section [{section.name}]{tail}")
                if "did you mean" in tail:
                    raise error
                warnings.warn(f"{error}; it is left out", stacklevel=2)
