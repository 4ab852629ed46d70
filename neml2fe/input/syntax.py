"""Errors of HIT syntax: what the user most likely left out, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nmhit

from neml2fe.errors import InputError

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    | (?P<verbatim>\'\'\'.*?\'\'\'|\"\"\".*?\"\"\")
    | (?P<loose>\'\'\'|\"\"\")
    | (?P<quoted>'[^']*'|"[^"]*")
    | (?P<stray>'|")
    | (?P<include>!include[ \t]+[^\n\#]+)
    | (?P<moose>\[\.\.?/[^\]\n]*\])
    | (?P<value>=[ \t]*\[[^\n]*)
    | (?P<close>\[[ \t]*\])
    | (?P<open>\[[^\]\n]*\])""",
    re.DOTALL | re.VERBOSE,
)


# What a quoted value holds when its closing quote is missing: the lines after it.
_SWALLOWED = re.compile(r"\n[ \t]*(\[[\w./]*\][ \t]*(#.*)?\n|[\w./~]+[ \t]*:?=)")


def _tokens(text: str) -> Iterator[tuple[str, str, int, int]]:
    """Kind, text, line and column of comments, quotes, block marks and includes."""
    line, seen = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        yield match.lastgroup or "", match[0], line, seen - text.rfind("\n", 0, seen)


def includes(text: str) -> list[tuple[str, int]]:
    found = [(token, line) for kind, token, line, _ in _tokens(text) if kind == "include"]
    return [(token.removeprefix("!include").strip(), line) for token, line in found]


def first_non_ascii(texts: dict[str, str]) -> str:
    for file, text in texts.items():
        bare = _TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        if odd := re.search(r"[^\x00-\x7f]", bare):
            return f"{file}:{bare.count(chr(10), 0, odd.start()) + 1}"
    return next(iter(texts))


def syntax_error(message: nmhit.ErrorMessage, name: str, texts: dict[str, str]) -> InputError:
    """nmhit says where its grammar stopped; this says what the user most likely left out."""
    file = name if str(message.filename) == "." else str(message.filename)
    text = texts.get(file, "")
    line, said = message.line, message.message
    lines = text.split("\n")[:line]
    if "section header" in said or "section path" in said:
        advice = "the block header is broken: write [name] on one line, without blanks"
    elif twice := re.match(r"duplicate field '(.*?)'", said):
        earlier = re.compile(rf"\s*{re.escape(twice[1])}\s*:?=")
        first = [i for i, before in enumerate(lines[:-1], 1) if earlier.match(before)]
        at = f", first on line {first[-1]}" if first else ""
        advice = f"the field '{twice[1]}' is given twice{at}; write := to override"
    elif unbalanced := _unbalanced(text, line):
        line, advice = unbalanced
    else:
        if lines and not lines[-1][: message.column - 1].strip():
            # The token at fault stands first on its line: the line above is incomplete.
            above = [i for i, before in enumerate(lines[:-1], 1) if before.strip()]
            line = above[-1] if above else line
        shown = lines[line - 1].strip() if lines else ""
        if re.search(r"=\s*(#.*)?$", shown):
            advice = f"the field has no value: '{shown}'"
        elif "array element" in said:
            advice = f"a row has no values (';' stands between rows): '{shown}'"
        else:
            advice = (
                f"cannot read '{shown}': expected name = value; a value with blanks or brackets "
                "is quoted, one with quotes or '#' in it stands in triple quotes"
            )
    return InputError(advice, f"{file}:{line}")


def _unbalanced(text: str, fault: int) -> tuple[int, str] | None:
    """Line and advice for a block or quote that is left open; indents tell which block it is."""
    opened: list[tuple[int, str, int]] = []  # column, mark and line of the open blocks
    suspect: tuple[int, str, int] | None = None
    for kind, token, line, column in _tokens(text):
        last = line + token.count("\n")
        spans = kind == "quoted" and line < last and line <= fault <= last
        if kind in ("loose", "stray") or (spans and _SWALLOWED.search(token)):
            quote = token[0] if spans else token
            return line, f"the quote {quote} is never closed"
        if kind == "moose":
            return line, f"'{token}' is not known: open a block with [name], close it with []"
        if kind == "open":
            if opened and column <= opened[-1][0]:
                suspect = suspect or opened[-1]
            opened.append((column, token, line))
        if kind == "close":
            if not opened:
                return line, "[] closes a block, but no block is open"
            if column < opened[-1][0] and any(column == block[0] for block in opened):
                suspect = suspect or opened[-1]
            opened.pop()
    if not opened:
        return None
    _, mark, line = suspect or opened[-1]
    return line, f"the block {mark} is never closed; close it with []"
