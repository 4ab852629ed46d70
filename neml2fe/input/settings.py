"""`[Settings]`: what a deck says of the shapes of its variables beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from neml2fe.errors import suggest
from neml2fe.input.deck import Block, Deck, FieldValue
from neml2fe.material import current_name

SECTION = "Settings"
SHAPE = "example_batch_shape"
FIELDS = (SHAPE, "dynamic_batch")
_EVERY = "*"
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_SIZES = r"\s*(?:\d+\s*(?:,\s*\d+\s*)*,?)?\s*"
_SPEC = re.compile(rf"\s*\(({_SIZES})(?:(;)({_SIZES}))?\)\s*")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Declared:
    """Batch shape before the `;`; sub-batch shape (slip systems, grains) after it, or None."""

    batch: Shape
    sub_batch: Shape | None
    value: FieldValue


@dataclass(frozen=True)
class Settings:
    """The declared shapes by variable, `*` for all, and whether batch sizes may change.

    Nothing is compiled here, so `batch` and `dynamic_batch` are read for the sake of decks that
    have them, and change nothing.
    """

    shapes: Mapping[str, Declared] = field(default_factory=dict)
    dynamic_batch: bool = True

    def sub_batch_shape(self, name: str) -> Shape | None:
        """The declared sub-batch shape of a variable, the same for `x` and `x~1`; None where
        the deck says nothing of it, `()` where it says that there is none."""
        base = current_name(name)
        family = [n for n in self.shapes if current_name(n) == base]
        for key in (name, base, *family, _EVERY):
            found = self.shapes.get(key)
            if found is not None and found.sub_batch is not None:
                return found.sub_batch
        return None

    def require_names(self, known: Iterable[str]) -> None:
        """Raises `InputError` for a shape of a variable that is not in `known`."""
        bases = {current_name(name) for name in known}
        for name, declared in self.shapes.items():
            if name != _EVERY and current_name(name) not in bases:
                raise declared.value.error(
                    f"no variable '{name}' to have a shape{suggest(name, bases)}"
                )


def read_settings(deck: Deck) -> Settings:
    """Raises `InputError` for unknown fields and for shapes that cannot be read or clash."""
    block = deck.sections.get(SECTION)
    if block is None:
        return Settings()
    block.unknown_fields(FIELDS)
    block.unknown_blocks([SHAPE])
    inner, uniform = block.find(SHAPE), block.get(SHAPE)
    if inner is not None and uniform is not None:
        raise uniform.error(f"given both as a field and as a block [{SHAPE}]; leave one out")
    values = {_EVERY: uniform} if uniform is not None else {}
    if inner is not None:
        inner.unknown_blocks()
        values.update(inner.fields)
    shapes = {name: _declared(value) for name, value in values.items()}
    _require_agreement(shapes)
    return Settings(shapes, _dynamic(block))


def _declared(value: FieldValue) -> Declared:
    match = _SPEC.fullmatch(value.text)
    if match is None:
        raise value.error(
            f"cannot read '{value.text}': a shape is '(2,)', or '(2; 12)' with a sub-batch of 12"
        )
    sub = _sizes(match[3]) if match[2] else None
    return Declared(_sizes(match[1]), sub, value)


def _sizes(text: str) -> Shape:
    return tuple(int(word) for word in text.replace(",", " ").split())


def _require_agreement(shapes: Mapping[str, Declared]) -> None:
    """A sub-batch belongs to the variable, so that `x` and `x~1` have the same."""
    known: dict[str, tuple[str, Shape]] = {}
    for name, declared in shapes.items():
        if declared.sub_batch is None:
            continue
        first, shape = known.setdefault(current_name(name), (name, declared.sub_batch))
        if shape != declared.sub_batch:
            raise declared.value.error(
                f"'{first}' has the sub-batch {shape}, but '{name}' {declared.sub_batch}; "
                "a variable and its old values have the same"
            )


def _dynamic(block: Block) -> bool:
    value = block.get("dynamic_batch")
    if value is None:
        return True
    word = value.text.lower()
    if word not in _TRUE + _FALSE:
        raise value.error(f"expected true or false, got '{value.text}'")
    return word in _TRUE
