"""`[Drivers]` blocks to drivers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neml2fe.drivers import MixedControlDriver, TransientDriver
from neml2fe.drivers.mixed import CONTROLS, control_of_words
from neml2fe.errors import Error
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.types import SR2, TENSOR_TYPES, Scalar, TypedTensor

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

_HISTORIES = [
    f"{group}_{kind}_{part}"
    for kind in TENSOR_TYPES
    for group in ("prescribed", "ic")
    for part in ("names", "values")
]
FIELDS: dict[str, tuple[str, ...]] = {
    "TransientDriver": ("model", "prescribed_time", "time", "save_as", *_HISTORIES),
    "MixedControlDriver": (
        "model",
        "prescribed_time",
        "control",
        "prescribed_strain",
        "prescribed_stress",
        "strain",
        "stress",
        "time",
        "save_as",
        "rel_tol",
        "max_its",
        "max_bisections",
        *_HISTORIES,
    ),
}


@dataclass
class MaterialRun:
    """A driver of material-point histories and where its result dictionary goes."""

    name: str
    driver: Any
    save_as: Path | None


def build_driver(source: Input, block: Block) -> MaterialRun:
    save_as = block.get("save_as")
    path = Path(save_as.as_str()) if save_as and save_as.as_str() else None
    build = {"TransientDriver": _transient, "MixedControlDriver": _mixed}
    driver = build[block.require("type").as_str()](source, block)
    return MaterialRun(block.name, driver, path)


def _transient(source: Input, block: Block) -> TransientDriver:
    model = source.refer("Models", block.require("model"))
    time = block.get("time")
    with located(block):
        return TransientDriver(
            model,
            tensor_of(source, block.require("prescribed_time"), None, Scalar),
            _named_tensors(source, block, "prescribed"),
            _named_tensors(source, block, "ic"),
            time.as_str() if time else "t",
        )


def _mixed(source: Input, block: Block) -> MixedControlDriver:
    model = source.refer("Models", block.require("model"))
    options: dict[str, Any] = {}
    for name in ("prescribed_strain", "prescribed_stress"):
        if value := block.get(name):
            options[name] = tensor_of(source, value, None, SR2)
    for name in ("strain", "stress", "time"):
        if value := block.get(name):
            options[name] = value.as_str()
    for name in ("max_its", "max_bisections"):
        if value := block.get(name):
            options[name] = value.as_int()
    if value := block.get("rel_tol"):
        options["rel_tol"] = value.as_float()
    with located(block):
        return MixedControlDriver(
            model,
            tensor_of(source, block.require("prescribed_time"), None, Scalar),
            _control(source, block.require("control")),
            prescribed=_named_tensors(source, block, "prescribed"),
            initial=_named_tensors(source, block, "ic"),
            **options,
        )


def _control(source: Input, value: FieldValue) -> SR2:
    """Six words, or the name of a tensor."""
    words = value.as_list()
    if len(words) == 1 and words[0] not in CONTROLS:
        control: SR2 = tensor_of(source, value, None, SR2)
        return control
    try:
        return control_of_words(words)
    except Error as error:
        raise value.error(error.message) from None


def _named_tensors(source: Input, block: Block, group: str) -> dict[str, TypedTensor]:
    found: dict[str, TypedTensor] = {}
    for kind, cls in TENSOR_TYPES.items():
        names, values = (block.get(f"{group}_{kind}_{part}") for part in ("names", "values"))
        if names is None and values is None:
            continue
        if names is None or values is None:
            missing = "names" if names is None else "values"
            raise block.error(f"the field '{group}_{kind}_{missing}' is missing")
        if len(names.as_list()) != len(values.as_list()):
            raise values.error(
                f"{len(values.as_list())} values for the {len(names.as_list())} names of "
                f"{group}_{kind}_names"
            )
        for name, word in zip(names.as_list(), values.as_list(), strict=True):
            if name in found:
                raise names.error(f"'{name}' is given twice")
            found[name] = tensor_of(source, values, word, cls)
    return found


def tensor_of(source: Input, value: FieldValue, word: str | None, kind: type[TypedTensor]) -> Any:
    """The tensor named `word` (the whole field by default) as a `kind`; numbers are Scalars."""
    word = value.as_str() if word is None else word
    if kind is Scalar and source.find("Tensors", word) is None:
        number = value.number_or_none(word)
        if number is not None:
            return Scalar(torch.tensor(number, dtype=torch.float64))
    tensor = source.refer("Tensors", value, word)
    if isinstance(tensor, TypedTensor) and not isinstance(tensor, kind):
        raise value.error(f"'{word}' is a {type(tensor).__name__}, not a {kind.__name__}")
    try:
        return kind(tensor)
    except Error as error:
        raise value.error(f"'{word}': {error}") from None
