"""A report as HTML or Markdown: sections of text, tables and pictures."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neml2fe.errors import OutputError
from neml2fe.io.paths import replacing


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header; columns of numbers are aligned to the right.

    `folded` hides it behind its caption in HTML until it is clicked.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """A `.png` file."""

    path: Path
    caption: str


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Text | Table | Picture]


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 0.8rem 0; font-size: 0.92em; }
th, td { padding: 0.2rem 0.9rem 0.2rem 0; text-align: left; border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 1px solid #666; font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } img { max-width: 100%; } figcaption, caption { color: #666; }
caption { text-align: left; padding-bottom: 0.3rem; } summary { cursor: pointer; color: #666; }
"""


def write_html(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> Path:
    """Write a page that needs no other file: pictures are within it.

    Raises `OutputError` if it cannot be written or a picture not be read.
    """
    body = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        body += [_html(block) for block in section.blocks]
    text = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    return _write(path, text)


def write_markdown(path: str | os.PathLike[str], title: str, sections: Sequence[Section]) -> Path:
    """Write the same as Markdown, which names the files of the pictures."""
    lines = [f"# {title}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for block in section.blocks:
            lines += [_markdown(block, Path(path).parent), ""]
    return _write(path, "\n".join(lines))


def _write(path: str | os.PathLike[str], text: str) -> Path:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%").strip() or "x")
    except ValueError:
        return False
    return True


def _numeric(table: Table) -> list[bool]:
    """For each column, whether all its cells are numbers or empty, and some are numbers."""
    columns = [[row[k] for row in table.rows] for k in range(len(table.header))]
    return [
        any(map(_is_number, column)) and all(_is_number(c) or c in ("", "-") for c in column)
        for column in columns
    ]


def _html(block: Text | Table | Picture) -> str:
    if isinstance(block, Text):
        return f"<p>{html.escape(block.text)}</p>"
    if isinstance(block, Picture):
        try:
            data = base64.b64encode(block.path.read_bytes()).decode()
        except OSError as error:
            raise OutputError(f"cannot read {block.path}: {error.strerror}") from error
        caption = html.escape(block.caption)
        return (
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    marks = [' class="number"' if n else "" for n in _numeric(block)]

    def line(cells: Sequence[str], tag: str) -> str:
        inside = (
            f"<{tag}{mark}>{html.escape(cell)}</{tag}>"
            for cell, mark in zip(cells, marks, strict=True)
        )
        return f"<tr>{''.join(inside)}</tr>"

    rows = "\n".join(line(row, "td") for row in block.rows)
    caption = html.escape(block.caption)
    head = f"<thead>{line(block.header, 'th')}</thead>"
    if block.folded:
        table = f"<table>{head}<tbody>\n{rows}\n</tbody></table>"
        return f"<details><summary>{caption}</summary>{table}</details>"
    above = f"<caption>{caption}</caption>" if caption else ""
    return f"<table>{above}{head}<tbody>\n{rows}\n</tbody></table>"


def _markdown(block: Text | Table | Picture, folder: Path) -> str:
    if isinstance(block, Text):
        return block.text
    if isinstance(block, Picture):
        return f"![{block.caption}]({os.path.relpath(block.path, folder)})"

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join("---:" if n else "---" for n in _numeric(block)) + "|"
    table = [line(block.header), rule, *(line(row) for row in block.rows)]
    return "\n".join([block.caption, "", *table] if block.caption else table)
