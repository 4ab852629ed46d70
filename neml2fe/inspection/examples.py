"""A short deck for every type: what is required, with values by the type and dimension of fields.

Where such values make no sense, `NUMBERS` gives better ones by the name of the field, `VALUES` by
type and field, `DECKS` a whole deck
for types that need other blocks beside their own, `OTHERS` such blocks by the type of the
field that refers to them. Numbers are in mm, N, s, MPa and K.
"""

from __future__ import annotations

import re

from neml2fe.inspection.example_decks import DECKS, OTHERS
from neml2fe.inspection.example_values import NUMBERS, VALUES
from neml2fe.inspection.types import FieldInfo, TypeInfo
from neml2fe.types import TENSOR_TYPES

BY_DIMENSION = {
    "stress": "100",
    "1": "2",
    "1/time": "0.1",
    "time": "10",
    "temperature": "300",
    "length": "0.1",
    "1/temperature": "1e-5",
    "stress/time": "10",
    "energy": "1e8",
    "stress*time": "1000",
}
LAWS = {
    "law of elasticity": "isotropic(E = 2e5, nu = 0.3)",
    "law of isotropic hardening": "voce(R = 100, d = 12)",
    "law of viscous flow": "perzyna(eta = 700, n = 4)",
    "law of creep": "norton(eta = 700, n = 4)",
    "law of viscoelastic branches": "maxwell(E = 0.5, eta = 10)",
}


def example(info: TypeInfo) -> str:
    """The deck, ending in a line break."""
    whole = DECKS.get(f"{info.section}/{info.type}")
    if whole is not None:
        return "".join(f"{line}\n" for line in whole.splitlines() if line)
    given = VALUES.get(info.type, {})
    tensors: dict[str, str] = {}
    lines = [f"type = {info.type}"]
    for field in info.fields:
        value = given.get(field.name)
        if value is None and (field.required or (field.kind == "input" and _many(field))):
            value = _value(field, tensors)
        if value is not None:
            lines.append(f"{field.name} = {_quoted(value)}")
    text = "".join(_block(name, ["type = Python", f"expr = '{e}'"]) for name, e in tensors.items())
    head = f"[Tensors]\n{text}[]\n" if tensors else ""
    needed = "".join(OTHERS.get(field.type, "") for field in info.fields)
    return f"{needed}{head}[{info.section}]\n{_block(_label(info.type), lines)}[]\n"


def block_name(info: TypeInfo) -> str:
    """The block of the example's deck that is of this type."""
    lines = example(info).splitlines()
    at = next(k for k, line in enumerate(lines) if line.split() == ["type", "=", info.type])
    heads = [line.strip() for line in lines[:at] if re.fullmatch(r"  \[\w+\]", line)]
    return heads[-1].strip("[]")


def _value(field: FieldInfo, tensors: dict[str, str]) -> str:
    if field.type in LAWS:
        return LAWS[field.type]
    if field.choices:
        return " ".join(field.choices[:2]) if _many(field) else field.choices[0]
    if field.kind == "input" or (field.type == "list of name"):
        return "a b"
    base = field.type.removeprefix("list of ")
    if base in ("Scalar", "float", "int") and field.name in NUMBERS:
        return NUMBERS[field.name]
    if base == "Scalar":
        return BY_DIMENSION.get(field.dimension, "1")
    if base in TENSOR_TYPES:
        name = f"{field.name}_value"
        tensors[name] = _expression(base)
        return name
    return {"int": "1", "float": "1.5", "bool": "true", "number": "1"}.get(base, "a")


def _many(field: FieldInfo) -> bool:
    return field.type.startswith("list of")


def _expression(kind: str) -> str:
    shape = TENSOR_TYPES[kind].BASE_SHAPE
    if len(shape) == 2 and shape[0] == shape[1]:
        return f"{kind}(torch.eye({shape[0]}, dtype=torch.float64))"
    values = ", ".join(f"{0.1 * (k + 1):.1f}" for k in range(shape[0]))
    if kind == "MillerIndex":
        values = ", ".join(["1.0"] * shape[0])
    return f"{kind}(torch.tensor([{values}], dtype=torch.float64))"


def _quoted(value: str) -> str:
    return f"'{value}'" if " " in value or ";" in value else value


def _label(type_: str) -> str:
    """`SR2VariableRate` -> `sr2_variable_rate`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", type_).lower()


def _block(name: str, lines: list[str]) -> str:
    return f"  [{name}]\n" + "".join(f"    {line}\n" for line in lines) + "  []\n"
