"""Reports as HTML and Markdown: nothing in them is taken for markup, pictures are inside."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from neml2fe.errors import OutputError
from neml2fe.io.document import Picture, Section, Table, Text, write_html, write_markdown

NASTY = "<script>alert('x')</script> & | \"quoted\""


class Parsed(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def sections(tmp_path: Path) -> list[Section]:
    picture = tmp_path / "field.png"
    picture.write_bytes(b"\x89PNG of a field")
    return [
        Section("First & last", [Text(NASTY), Picture(picture, "The <field>")]),
        Section("Numbers", [Table(["name", "value"], [[NASTY, "1.5"], ["b", "-"]], "A table")]),
        Section("Long", [Table(["k"], [["1"], ["2"]], "Folded", folded=True)]),
    ]


def test_html_is_well_formed_and_self_contained(tmp_path: Path, sections: list[Section]) -> None:
    path = write_html(tmp_path / "report.html", f"Run {NASTY}", sections)
    page = path.read_text()
    parsed = Parsed(page)
    assert not parsed.open and "script" not in parsed.tags
    assert parsed.text.count(NASTY) == 4  # title twice, paragraph, cell
    data = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert [base64.b64decode(d) for d in data] == [b"\x89PNG of a field"]
    assert "http" not in page and 'src="field' not in page
    assert '<td class="number">1.5</td>' in page and "<details>" in page


def test_markdown(tmp_path: Path, sections: list[Section]) -> None:
    text = write_markdown(tmp_path / "report.md", "Run", sections).read_text()
    assert text.startswith("# Run\n\n## First & last\n")
    assert "![The <field>](field.png)" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[:2] == ["| name | value |", "|---|---:|"]
    assert "\\|" in rows[2]


def test_missing_picture_is_named(tmp_path: Path) -> None:
    lost = [Section("Pictures", [Picture(tmp_path / "lost.png", "")])]
    with pytest.raises(OutputError, match=r"lost\.png"):
        write_html(tmp_path / "report.html", "Run", lost)
    assert not (tmp_path / "report.html").exists()
