"""The catalog as text for a terminal, as Markdown pages and as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from neml2fe.errors import InputError, suggest
from neml2fe.inspection.examples import example
from neml2fe.inspection.types import FieldInfo, TypeInfo, catalog
from neml2fe.io.aligned import aligned
from neml2fe.io.paths import replacing
from neml2fe.types import TENSOR_TYPES

WIDTH = 90  # characters of a summary
HEAD = ("field", "kind", "type", "default", "dimension", "meaning")
NOTE = "<!-- Written by `make catalog` from the declared fields; do not edit. -->"


def find(name: str) -> list[TypeInfo]:
    """The types of this name, one a section. Raises `InputError`."""
    known = catalog()
    found = [info for info in known if info.type == name]
    if not found:
        names = [info.type for info in known]
        near = [other for other in names if name.lower() in other.lower()]
        hint = suggest(name, near or names)
        end = "" if hint.endswith("?") else "; neml2fe syntax lists all"
        raise InputError(f"no type '{name}'{hint}{end}")
    return found


def row(field: FieldInfo) -> tuple[str, ...]:
    """The words of one line of a table of fields."""
    default = "required" if field.default is None else field.default
    meaning = field.doc
    if field.choices:
        meaning = f"{meaning}: {', '.join(field.choices)}" if meaning else ", ".join(field.choices)
    return field.name, field.kind, field.type, default, field.dimension, meaning


# -- text -----------------------------------------------------------------------------------
def overview() -> str:
    """All types by group, one line each."""
    lines: list[str] = []
    known = catalog()
    for title in dict.fromkeys(heading(info) for info in known):
        rows = [(info.type, _short(info.summary)) for info in known if heading(info) == title]
        lines += [title, *aligned(rows), ""]
    return "\n".join([*lines, "neml2fe syntax TYPE explains one of them."])


def _short(summary: str) -> str:
    return summary if len(summary) <= WIDTH else summary[: WIDTH - 4] + " ..."


def heading(info: TypeInfo) -> str:
    return f"[{info.section}] {info.group}" if info.section == "Models" else f"[{info.section}]"


def text(info: TypeInfo) -> str:
    """All about one type."""
    lines = [f"{info.type}  in {heading(info)}", "", *_indented(info.doc)]
    lines += ["", f"  source: {info.source}"] if info.source else []
    lines += ["", *aligned([row(f) for f in info.fields], HEAD)] if info.fields else []
    return "\n".join([*lines, "", "Example:", "", *_indented(example(info).rstrip("\n"))])


def _indented(doc: str) -> list[str]:
    return [f"  {line}".rstrip() for line in doc.split("\n")]


def data(infos: Iterable[TypeInfo]) -> list[dict[str, Any]]:
    """Plain lists and dictionaries, for JSON."""
    found = []
    for info in infos:
        entry = {**dataclasses.asdict(info), "example": example(info)}
        for field, declared in zip(entry["fields"], info.fields, strict=True):
            field["required"] = declared.required
        found.append(entry)
    return found


# -- Markdown -------------------------------------------------------------------------------
def pages() -> dict[str, str]:
    """Pages by file name: one a group, and an index."""
    known = catalog()
    groups = list(dict.fromkeys(info.group for info in known))
    found = {_file(group): _page(group, known) for group in groups}
    lines = [NOTE, "# Catalog", "", "Everything that a deck may name. `neml2fe syntax TYPE` prints"]
    lines += ["the same on a terminal.", ""]
    for group in groups:
        count = sum(info.group == group for info in known)
        lines.append(f"- [{group}]({_file(group)}): {count} types")
    return {"README.md": "\n".join(lines) + "\n", **found}


def write(directory: Path) -> list[Path]:
    """Write the pages and remove those of groups that are gone. Raises `OutputError`."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for old in directory.glob("*.md"):
        if old.name not in wanted:
            old.unlink()
    for name, content in wanted.items():
        with replacing(directory / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return [directory / name for name in wanted]


def _file(group: str) -> str:
    return group.lower().replace(" ", "_") + ".md"


def _page(group: str, known: list[TypeInfo]) -> str:
    families: dict[TypeInfo, list[TypeInfo]] = {}
    for info in known:
        if info.group == group:
            families.setdefault(_family(info), []).append(info)
    parts = [f"{NOTE}\n# {group}\n"]
    for family, members in families.items():
        parts.append(_entry(family, members))
    return "\n".join(parts)


def _family(info: TypeInfo) -> TypeInfo:
    """The same for types that differ in their tensor type alone: it reads `T`."""
    kind = next((k for k in (*TENSOR_TYPES, "") if k in info.type), "")
    if not kind or info.section != "Models":
        return info
    stem = info.type.replace(kind, "T", 1)

    def general(text: str) -> str:
        return "T" if text == kind else "list of T" if text == f"list of {kind}" else text

    fields = tuple(replace(field, type=general(field.type)) for field in info.fields)
    return replace(info, type=stem, fields=fields)


def _entry(family: TypeInfo, members: list[TypeInfo]) -> str:
    info = members[0]
    shown = family if len(members) > 1 else info
    lines = [f"## {', '.join(m.type for m in members)}", "", info.doc, ""]
    if shown.fields:
        rows = [[_cell(word) for word in row(field)] for field in shown.fields]
        used = [k for k in range(len(HEAD)) if any(r[k] for r in rows)]
        lines.append(f"| {' | '.join(HEAD[k] for k in used)} |")
        lines.append("|---" * len(used) + "|")
        lines += [f"| {' | '.join([f'`{r[0]}`', *(r[k] for k in used[1:])])} |" for r in rows]
        lines.append("")
    return "\n".join([*lines, "```", example(info).rstrip("\n"), "```", ""])


def _cell(word: str) -> str:
    return word.replace("|", "\\|")
