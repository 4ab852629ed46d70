"""`neml2fe compile --library FILE` and `--umat FILE`: a deck's laws for compiled codes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from neml2fe.errors import InputError, ModelError, suggest
from neml2fe.export import HEADER, Exported, build_library, build_umat, described
from neml2fe.input import Input, load_input
from neml2fe.input.materials import MEASURE
from neml2fe.material import Material


def export_deck(given: argparse.Namespace) -> int:
    """Build the library, print what it holds and write that beside it; the exit code."""
    if given.device != "cpu" or given.dtype != "float64":
        raise InputError("a library is for the CPU and for numbers in float64")
    source, to = load_input(given.deck, given.set, given.trust), Path(given.umat or given.library)
    chosen = _chosen(source, given.model)
    materials = [replace(m, finite_strain=given.finite_strain) for m in chosen]
    if not materials:
        raise InputError("the deck has no law that is driven by a strain", source.deck.path)
    layouts = (build_umat if given.umat else build_library)(materials, to)
    text = "\n\n".join(described(layout, umat=bool(given.umat)) for layout in layouts)
    to.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    for m in materials:
        if m.material.compiled.substeps:
            print(
                f"neml2fe: '{m.name}' divides steps that fail (max_substepping_level), which a "
                "library does not: the host is told to cut back"
            )
    print(f"{to}, {to.with_name(HEADER)}, {to.with_suffix('.txt')}")
    return 0


def _chosen(source: Input, names: list[str] | None) -> Iterator[Exported]:
    """The models `names`; else all materials of the deck, or without any its laws."""
    blocks = source.deck.blocks("Models")
    if names:
        for name in names:
            there = [block.name for block in blocks]
            if name not in there:
                raise InputError(f"no model '{name}'{suggest(name, there)}", source.deck.path)
            yield Exported(name, Material(source.get_model(name)))
    elif source.deck.blocks("Materials"):
        for block in source.deck.blocks("Materials"):
            measure = block.get(MEASURE)
            yield Exported(
                block.name,
                source.get("Materials", block.name),
                "auto" if measure is None else measure.as_str(),
            )
    else:
        models = {block.name: source.get_model(block.name) for block in blocks}
        inner = {id(part) for m in models.values() for part in m.modules() if part is not m}
        for name, model in models.items():
            if id(model) not in inner:
                with suppress(ModelError):  # no law by itself
                    yield Exported(name, Material(model))
