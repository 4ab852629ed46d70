"""`[Drivers]` blocks to drivers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neml2fe.drivers import MixedControlDriver, TransientDriver
from neml2fe.drivers.mixed import CONTROLS, control_of_words
from neml2fe.drivers.regression import TransientRegression
from neml2fe.drivers.verification import Verification
from neml2fe.errors import Error
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.models import Model
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
    "TransientRegression": ("driver", "reference", "rtol", "atol"),
    "Verification": (
        "driver",
        "rtol",
        "atol",
        "time_steps",
        *(f"{kind}_{part}" for kind in TENSOR_TYPES for part in ("names", "values")),
    ),
}


@dataclass
class MaterialRun:
    """A driver of material-point histories and where its result dictionary goes."""

    name: str
    driver: Any
    save_as: Path | None


@dataclass
class MaterialCheck:
    """A driver that runs another one and compares what it computes with `reference`."""

    name: str
    run: MaterialRun
    check: TransientRegression | Verification
    reference: str


def build_driver(source: Input, block: Block) -> MaterialRun | MaterialCheck:
    if block.require("type").as_str() in ("TransientRegression", "Verification"):
        return _check(source, block)
    save_as = block.get("save_as")
    path = Path(save_as.as_str()) if save_as and save_as.as_str() else None
    build = {"TransientDriver": _transient, "MixedControlDriver": _mixed}
    driver = build[block.require("type").as_str()](source, block)
    return MaterialRun(block.name, driver, path)


def _check(source: Input, block: Block) -> MaterialCheck:
    value = block.require("driver")
    run = source.refer("Drivers", value)
    if not isinstance(run, MaterialRun):
        raise value.error(f"'{value.as_str()}' is no driver of a material point")
    options = {n: v.as_float() for n in ("rtol", "atol") if (v := block.get(n))}
    if block.require("type").as_str() == "TransientRegression":
        path = block.require("reference").as_path()
        if run.save_as is not None and run.save_as.resolve() == path.resolve():
            raise block.require("reference").error(
                f"'{value.as_str()}' saves its results as this very file, which would compare "
                "them with themselves"
            )
        return MaterialCheck(block.name, run, TransientRegression(path, **options), str(path))
    steps = block.get("time_steps")
    references = _named_tensors(source, block, "")
    with located(block):
        check = Verification(references, steps.as_ints() if steps else (), **options)
    return MaterialCheck(block.name, run, check, "the reference tensors")


def _model(source: Input, block: Block) -> Model:
    """The model of the field `model`, which has the variables that [Settings] speak of."""
    model: Model = source.refer("Models", block.require("model"))
    parts = [m for m in model.modules() if isinstance(m, Model)]
    source.settings.require_names({n for m in parts for n in (*m.input_spec, *m.output_spec)})
    return model


def _transient(source: Input, block: Block) -> TransientDriver:
    model = _model(source, block)
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
    model = _model(source, block)
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
    """The tensors of the fields `<group>_<type>_names` and `..._values`, by name."""
    found: dict[str, TypedTensor] = {}
    for kind, cls in TENSOR_TYPES.items():
        stem = f"{group}_{kind}".lstrip("_")
        names, values = (block.get(f"{stem}_{part}") for part in ("names", "values"))
        if names is None and values is None:
            continue
        if names is None or values is None:
            missing = "names" if names is None else "values"
            raise block.error(f"the field '{stem}_{missing}' is missing")
        if len(names.as_list()) != len(values.as_list()):
            raise values.error(
                f"{len(values.as_list())} values for the {len(names.as_list())} names of "
                f"{stem}_names"
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
