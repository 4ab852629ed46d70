"""Fields of a block as the arguments of a class or function in Python, by their annotations.

What Python takes, a deck takes under the same names: numbers, words and lists as they stand;
functions, fields, materials and tensors by the name of their block; a mapping `fields` as the two
lists `field_names` and `field_values`.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import os
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from neml2fe.errors import suggest
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.input.functions import function_or_field, is_function
from neml2fe.input.materials import material_of
from neml2fe.material import PointMaterial
from neml2fe.types import TypedTensor

if TYPE_CHECKING:
    from neml2fe.input.factory import Input


@dataclass(frozen=True)
class Call:
    """`make`, of whose arguments a deck gives all but those in `without`; in it the names of some
    arguments are others, by `renamed`. The argument `label` takes the name of the block."""

    make: Callable[..., Any]
    without: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    label: str = "label"

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Those that a deck gives, by their name in Python."""
        known = inspect.signature(self.make).parameters
        return {n: p for n, p in known.items() if n not in (*self.without, self.label)}

    @property
    def kinds(self) -> dict[str, Any]:
        """The annotations by name in Python."""
        is_plain_class = inspect.isclass(self.make) and not dataclasses.is_dataclass(self.make)
        return typing.get_type_hints(self.make.__init__ if is_plain_class else self.make)  # type: ignore[misc]

    def fields(self) -> tuple[str, ...]:
        """The fields of the deck."""
        kinds = self.kinds
        found: list[str] = []
        for name in self.parameters:
            known = self.renamed.get(name, name)
            if not _only_mapping(kinds[name]):
                found.append(known)
            if _mapping_of(kinds[name]) is not None:
                found += _pair(known)
        return tuple(found)

    def arguments(self, source: Input, block: Block) -> dict[str, Any]:
        """The arguments that `block` gives. Raises `InputError` where one is missing or wrong."""
        kinds, found = self.kinds, {}
        for name, parameter in self.parameters.items():
            known, kind = self.renamed.get(name, name), kinds[name]
            value = block.get(known)
            item = _mapping_of(kind)
            mapping = None if item is None else _mapping(source, block, known, item)
            if mapping and value is not None:
                raise value.error(f"give '{known}' or '{_pair(known)[0]}', not both")
            if mapping:
                found[name] = mapping
            elif value is not None:
                found[name] = read(source, value, kind)
            elif parameter.default is inspect.Parameter.empty:
                block.require(_pair(known)[0] if _only_mapping(kind) else known)
        return found

    def build(self, source: Input, block: Block) -> Any:
        """What `make` gives. Its errors gain the place of the block."""
        given = self.arguments(source, block)
        if self.label in inspect.signature(self.make).parameters:
            given[self.label] = block.name
        with located(block):
            return self.make(**given)


def read(source: Input, value: FieldValue, kind: Any) -> Any:
    """`value` as an argument annotated `kind`. Raises `InputError`."""
    kinds = alternatives(kind)
    several = [k for k in kinds if _is_sequence(k)]
    single = [k for k in kinds if k not in several]
    if several and (not single or len(value.as_list()) != 1):
        return _several(source, value, several[0])
    if len(value.as_list()) != 1 and not {str, Path} & set(single):
        raise value.error(f"expected one value, got '{value.text}'")
    return _one(source, value, value.as_str(), single)


def alternatives(kind: Any) -> list[Any]:
    """The parts of a union, without None."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return [] if kind is type(None) else [kind]
    return [part for arg in typing.get_args(kind) for part in alternatives(arg)]


def _several(source: Input, value: FieldValue, kind: Any) -> Any:
    """The words of a value as a sequence, or its rows as a sequence of sequences."""
    inner = [k for k in alternatives(typing.get_args(kind)[0]) if _is_sequence(k)]
    if inner:
        return [_row(source, value, row, inner[0]) for row in value.as_rows()]
    return _row(source, value, value.as_list(), kind)


def _row(source: Input, value: FieldValue, words: list[str], kind: Any) -> Any:
    items, is_tuple = typing.get_args(kind), typing.get_origin(kind) is tuple
    if is_tuple and len(words) != len(items):
        what = "names" if str in items else "numbers"
        raise value.error(f"expected {len(items)} {what}, got {len(words)}")
    found = [_one(source, value, word, alternatives(items[0])) for word in words]
    return tuple(found) if is_tuple else found


def _one(source: Input, value: FieldValue, word: str, kinds: list[Any]) -> Any:
    """A single `word` of a value as one of `kinds`."""
    if any(is_function(k) for k in kinds):
        return function_or_field(source, value, word, kinds)
    if PointMaterial in kinds:
        source.refer("Materials", value, word)
        return material_of(source, word)
    for kind in kinds:
        if typing.get_origin(kind) is typing.Literal:
            choices = [str(choice) for choice in typing.get_args(kind)]
            if word not in choices:
                raise value.error(f"no choice '{word}'{suggest(word, choices)}")
            return word
    if os.PathLike in (typing.get_origin(k) or k for k in kinds) or Path in kinds:
        return value.as_path()
    if any(typing.get_origin(kind) is np.ndarray for kind in kinds) and (
        source.find("Tensors", word) is not None or not {str, float} & set(kinds)
    ):
        tensor = source.refer("Tensors", value, word)
        data: torch.Tensor = tensor.data if isinstance(tensor, TypedTensor) else tensor
        return data.detach().cpu().numpy()
    single = FieldValue(value.name, word, value.where, value.block, value.overrides)
    readers: dict[Any, Callable[[], Any]] = {
        bool: single.as_bool,
        int: single.as_int,
        float: single.as_float,
        str: single.as_str,
    }
    for kind, reader in readers.items():
        if kind in kinds:
            return reader()
    raise AssertionError(f"no deck can give a {kinds}: {value.location}")


def _mapping(source: Input, block: Block, name: str, kind: Any) -> dict[str, Any]:
    """The mapping that two lists of a block give."""
    names, values = (block.get(part) for part in _pair(name))
    if names is None and values is None:
        return {}
    if names is None or values is None or len(names.as_list()) != len(values.as_list()):
        first, second = _pair(name)
        raise block.error(f"'{first}' and '{second}' must be equally long lists")
    kinds = alternatives(kind)
    found: dict[str, Any] = {}
    for key, word in zip(names.as_list(), values.as_list(), strict=True):
        if key in found:
            raise names.error(f"'{key}' is given twice")
        found[key] = _one(source, values, word, kinds)
    return found


def _pair(name: str) -> tuple[str, str]:
    """The names of the two lists that make the mapping `name`, which may be a plural."""
    stem = name[:-1] if name.endswith("s") and not name.endswith("ss") else name
    return f"{stem}_names", f"{stem}_values"


def _mapping_of(kind: Any) -> Any:
    """What the values of a mapping are, where an argument may be one; else None."""
    for part in alternatives(kind):
        if typing.get_origin(part) in (collections.abc.Mapping, dict):
            return typing.get_args(part)[1]
    return None


def _only_mapping(kind: Any) -> bool:
    return _mapping_of(kind) is not None and len(alternatives(kind)) == 1


def _is_sequence(kind: Any) -> bool:
    return typing.get_origin(kind) in (collections.abc.Sequence, list, tuple)
