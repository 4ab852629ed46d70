"""`[Tensors]` blocks: named tensors from expressions and CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

import neml2fe.types as types
from neml2fe.errors import Error, InputError
from neml2fe.input.csvtensor import read_csv_tensor
from neml2fe.input.deck import Block
from neml2fe.input.expression import evaluate
from neml2fe.input.vocabulary import FUNCTIONS
from neml2fe.types import TENSOR_TYPES, TypedTensor

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

CSV_SUFFIXES = {
    "Scalar": ("",),
    "Vec": ("_x", "_y", "_z"),
    "SR2": ("_xx", "_yy", "_zz", "_yz", "_xz", "_xy"),
    "WR2": ("_zy", "_xz", "_yx"),
}

FIELDS: dict[str, tuple[str, ...]] = {
    "Python": ("expr",),
    **{f"CSV{kind}": ("csv_file", "variable", "column_names") for kind in CSV_SUFFIXES},
}


class _Namespace(Mapping[str, object]):
    """Typed tensor classes and functions, and the deck's other tensors, built when asked for."""

    def __init__(self, source: Input) -> None:
        self._source = source
        inside = ("RegionView", "TENSOR_TYPES", "TypedTensor", "aligned", "lift")
        own = {name: getattr(types, name) for name in types.__all__ if name not in inside}
        self._fixed: dict[str, Any] = {**FUNCTIONS, **own}
        self._entries = {block.name for block in source.deck.blocks("Tensors")}

    def __getitem__(self, name: str) -> object:
        if name in self._entries:
            return self._source.get_tensor(name)
        return self._fixed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._fixed

    def __iter__(self) -> Iterator[str]:
        yield from {**self._fixed, **dict.fromkeys(self._entries)}

    def __len__(self) -> int:
        return len(set(self._fixed) | self._entries)


def build_tensor(source: Input, block: Block) -> TypedTensor | torch.Tensor:
    """The tensor of one block; a raw `torch.Tensor` where an expression gives one."""
    kind = block.require("type").as_str()
    if kind == "Python":
        expr = block.require("expr")
        value = evaluate(expr.as_str(), _Namespace(source), expr.location, source.trust)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = types.Scalar(torch.tensor(float(value), dtype=torch.float64))
        if not isinstance(value, (TypedTensor, torch.Tensor)):
            raise expr.error(f"the expression gives a {type(value).__name__}, not a tensor")
        return value
    tensor = kind.removeprefix("CSV")
    path = block.require("csv_file").as_path()
    variable, columns = block.get("variable"), block.get("column_names")
    try:
        data = read_csv_tensor(
            path,
            CSV_SUFFIXES[tensor],
            variable.as_str() if variable else None,
            columns.as_list() if columns else None,
        )
    except Error as error:
        raise InputError(str(error), block.location) from None
    return TENSOR_TYPES[tensor](data)
