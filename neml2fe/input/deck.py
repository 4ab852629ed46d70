"""HIT decks as a plain tree of blocks and fields that know their file and line.

`nmhit` does the parsing. Around it stand what a user's first mistakes need: errors that name
the block or quote that was left open, and included files, overrides and `${...}` expressions
that cannot run in circles.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import nmhit

from neml2fe.errors import Error, InputError, suggest

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
_OVERRIDE = re.compile(r"\s*([^\s=\[\]#]+?)\s*(?::override|:)?=\s*(.*?)\s*", re.DOTALL)
_HEAD = re.compile(r"[^\s=:]+\s*(?P<new>:override|:)?=\s*(?P<verbatim>\'\'\'|\"\"\")?")
_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
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
_COMMAND_LINE = "command line"
_MAX_CHAIN = 100  # fields, each of which names the next in its ${...}
_MAX_EXPANDED = 1_000_000  # characters of a value after its ${...} are filled in


@dataclass(frozen=True)
class FieldValue:
    """The text of one field, quotes removed. `where` is `file:line`, `block` its block's path."""

    name: str
    text: str
    where: str
    block: str = ""
    overrides: bool = False

    @property
    def location(self) -> str:
        block = f"[{self.block}] " if self.block else ""
        return f"{self.where}: {block}{self.name}"

    def error(self, message: str) -> InputError:
        """An error about this value, to be raised."""
        return InputError(message, self.location)

    def as_str(self) -> str:
        """The text, as it stands."""
        return self.text

    def as_float(self) -> float:
        return self._float(self.text)

    def as_int(self) -> int:
        return self._int(self.text)

    def as_bool(self) -> bool:
        if self.text not in ("true", "false"):
            raise self.error(f"expected true or false, got '{self.text}'")
        return self.text == "true"

    def as_list(self) -> list[str]:
        """The words, separated by blanks or line breaks."""
        return self.text.split()

    def as_floats(self) -> list[float]:
        return [self._float(word) for word in self.as_list()]

    def as_ints(self) -> list[int]:
        return [self._int(word) for word in self.as_list()]

    def as_rows(self) -> list[list[str]]:
        """The words of each row; rows are separated by `;`."""
        return [row.split() for row in self.text.split(";")] if self.text.strip() else []

    def as_float_rows(self) -> list[list[float]]:
        """`as_rows` as numbers; the rows must be of one length."""
        rows = [[self._float(word) for word in row] for row in self.as_rows()]
        if len({len(row) for row in rows}) > 1:
            lengths = ", ".join(str(len(row)) for row in rows)
            raise self.error(f"expected rows of one length, got {lengths} values")
        return rows

    def _float(self, word: str) -> float:
        if not _NUMBER.fullmatch(word):
            raise self.error(f"expected a number, got '{word}'")
        value = float(word)
        if not math.isfinite(value):
            raise self.error(f"'{word}' is too large for a double")
        return value

    def _int(self, word: str) -> int:
        if not _INTEGER.fullmatch(word):
            raise self.error(f"expected an integer, got '{word}'")
        return int(word)


@dataclass
class Block:
    """One `[name] ... []`: its fields by name and its inner blocks in the order of the file."""

    name: str
    path: str
    where: str
    fields: dict[str, FieldValue] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    @property
    def location(self) -> str:
        return f"{self.where}: [{self.path}]"

    def error(self, message: str) -> InputError:
        """An error about this block, to be raised."""
        return InputError(message, self.location)

    def get(self, name: str) -> FieldValue | None:
        return self.fields.get(name)

    def require(self, name: str) -> FieldValue:
        """The field `name`; InputError if the deck does not give it."""
        if name not in self.fields:
            raise self.error(f"the field '{name}' is missing")
        return self.fields[name]

    def find(self, name: str) -> Block | None:
        """The inner block `name`."""
        return next((block for block in self.blocks if block.name == name), None)

    def unknown_fields(self, known: Iterable[str]) -> None:
        """Raises InputError for the first field that is not in `known`."""
        known = list(known)
        for name, value in self.fields.items():
            if name not in known:
                location = f"{value.where}: [{self.path}]"
                raise InputError(f"unknown field '{name}'{suggest(name, known)}", location)

    def unknown_blocks(self, known: Iterable[str] = ()) -> None:
        """Raises InputError for the first inner block that is not in `known`."""
        known = list(known)
        for block in self.blocks:
            if block.name not in known:
                tail = suggest(block.name, known) if known else "; no block belongs here"
                raise block.error(f"unknown block [{block.name}]{tail}")


@contextmanager
def located(block: Block) -> Iterator[None]:
    """Give errors raised within the place of `block`, unless they already know better."""
    try:
        yield
    except Error as error:
        error.location = error.location or block.location
        raise


@dataclass
class Deck:
    """A whole deck: top-level fields, and sections by name, in the order of the file."""

    path: str
    fields: dict[str, FieldValue] = field(default_factory=dict)
    sections: dict[str, Block] = field(default_factory=dict)

    def blocks(self, section: str) -> list[Block]:
        """The blocks of a section; none if the deck lacks the section."""
        return self.sections[section].blocks if section in self.sections else []

    def block(self, section: str, name: str) -> Block:
        """The block `[section/name]`; InputError, with the nearest name, if there is none."""
        for block in self.blocks(section):
            if block.name == name:
                return block
        names = [block.name for block in self.blocks(section)]
        raise InputError(f"no block [{section}/{name}]{suggest(name, names)}", self.path)

    def unknown_sections(self, known: Iterable[str]) -> None:
        """Raises InputError for the first top-level section that is not in `known`."""
        known = list(known)
        for section in self.sections.values():
            if section.name not in known:
                tail = suggest(section.name, known)
                raise section.error(f"unknown section [{section.name}]{tail}")


def read_deck(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Deck:
    """Reads a deck and what it includes; `overrides` are texts `Block/path/field=value`.

    Blocks of one section may be spread over several `[Section]`s and files. A block or field
    given twice is an error unless the later one overrides (`field := value`).
    Raises InputError, with file and line, for whatever cannot be read or understood.
    """
    name = str(Path(path))
    texts = _collect(Path(path))
    return _build(lambda: nmhit.parse_file(name), name, texts, overrides)


def parse_deck(text: str, name: str = "<text>", overrides: Sequence[str] = ()) -> Deck:
    """`read_deck` for a text; `!include` paths are relative to the working directory."""
    texts = {name: text}
    for included, line in _includes(text):
        texts |= _collect(Path(included), f"{name}:{line}")
    return _build(lambda: nmhit.parse_text(text), name, texts, overrides)


# -- files ----------------------------------------------------------------------------------


def _collect(path: Path, where: str = "", above: tuple[Path, ...] = ()) -> dict[str, str]:
    """The texts of a deck and of all it includes, by file name as nmhit gives it."""
    texts = {str(path): _read_text(path, where)}
    if path.resolve() in above:
        raise InputError(f"'{path}' includes itself", where)
    for included, line in _includes(texts[str(path)]):
        texts |= _collect(path.parent / included, f"{path}:{line}", (*above, path.resolve()))
    return texts


def _read_text(path: Path, where: str) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'", where) from None
    except IsADirectoryError:
        raise InputError(f"'{path}' is a directory; name the deck in it", where) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read '{path}': {error}", where) from None
    if data.startswith(b"\xef\xbb\xbf"):
        raise InputError("remove the byte-order mark: save as UTF-8 without it", f"{path}:1")
    odd = re.search(rb"[^\t\n\f\r\x20-\xff]", data)
    position = odd.start() if odd else None
    text = ""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        position = error.start if position is None else position
    if position is not None:
        line = data.count(b"\n", 0, position) + 1
        raise InputError("not a deck: a deck is text in UTF-8", f"{path}:{line}")
    return text


# -- the tree -------------------------------------------------------------------------------


def _build(
    parse: Callable[[], nmhit.Root], name: str, texts: dict[str, str], overrides: Sequence[str]
) -> Deck:
    try:
        document = parse()
    except nmhit.Error as error:
        raise _syntax_error(error.messages[0], name, texts) from None
    except UnicodeDecodeError:  # nmhit complains about half of a non-ASCII character
        message = "a name or value holds a character outside of ASCII; quote it"
        raise InputError(message, _first_non_ascii(texts)) from None
    root = Block("", "", name)
    _fill(root, document, name, {file: text.split("\n") for file, text in texts.items()})
    if not root.fields and not root.blocks:
        raise InputError("the deck is empty; it needs blocks such as [Models] ... []", name)
    for override in overrides:
        _override(root, override)
    _expand_all(root, root)
    return Deck(name, root.fields, {block.name: block for block in root.blocks})


def _fill(block: Block, node: nmhit.Node, name: str, lines: dict[str, list[str]]) -> None:
    for child in node.children():
        file = name if str(child.filename) == "." else str(child.filename)
        where = f"{file}:{child.line()}"
        if isinstance(child, nmhit.Field):
            head = _HEAD.match(lines[file][child.line() - 1][child.column() - 1 :])
            raw = child.raw_val()
            text = raw if head and head["verbatim"] else _unquote(raw)
            value = FieldValue(child.path(), text, where, block.path, bool(head and head["new"]))
            _add_field(block, value)
        elif isinstance(child, nmhit.Section):
            path = f"{block.path}/{child.path()}".lstrip("/")
            inner = Block(child.path(), path, where)
            _fill(inner, child, name, lines)
            _add_block(block, inner)


def _add_field(block: Block, value: FieldValue) -> None:
    earlier = block.fields.get(value.name)
    if earlier and not value.overrides:
        raise value.error(f"given twice, first at {earlier.where}; write := to override")
    block.fields[value.name] = value


def _add_block(parent: Block, block: Block) -> None:
    earlier = parent.find(block.name)
    if earlier is None:
        parent.blocks.append(block)
        return
    if parent.path and not _only_overrides(block):
        raise block.error(f"the block [{block.name}] is given twice, first at {earlier.where}")
    for value in block.fields.values():
        _add_field(earlier, value)
    for inner in block.blocks:
        _add_block(earlier, inner)


def _only_overrides(block: Block) -> bool:
    given = [value.overrides for value in block.fields.values()]
    return all(given + [_only_overrides(inner) for inner in block.blocks])


def _override(root: Block, text: str) -> None:
    match = _OVERRIDE.fullmatch(text)
    if not match:
        raise InputError(f"cannot read '{text}': write Block/path/field=value", _COMMAND_LINE)
    *parents, name = match[1].split("/")
    block = root
    for parent in parents:
        inner = block.find(parent)
        if inner is None:
            near = suggest(parent, [b.name for b in block.blocks])
            raise InputError(f"'{text}': no block [{parent}]{near}", _COMMAND_LINE)
        block = inner
    block.fields[name] = FieldValue(name, _unquote(match[2]), _COMMAND_LINE, block.path, True)


def _unquote(raw: str) -> str:
    for quote in ("'''", '"""', "'", '"'):
        if len(raw) >= 2 * len(quote) and raw.startswith(quote) and raw.endswith(quote):
            return raw[len(quote) : -len(quote)]
    return raw


# -- ${...} ---------------------------------------------------------------------------------


def _expand_all(block: Block, root: Block) -> None:
    for name in block.fields:
        _expand(block, name, root, ())
    for inner in block.blocks:
        _expand_all(inner, root)


def _expand(block: Block, name: str, root: Block, above: tuple[str, ...]) -> str:
    """Fills in the `${...}` of a field, and of the fields that it names; returns its text."""
    value = block.fields[name]
    path = f"{block.path}/{name}".lstrip("/")
    if path in above:
        raise value.error(f"refers to itself: {' -> '.join((*above, path))}")
    if len(above) > _MAX_CHAIN:
        raise value.error(f"a chain of more than {_MAX_CHAIN} references")
    text = value.text
    while match := _INNERMOST.search(text):
        filled = _command(match[1].split(), value, root, (*above, path))
        if "${" in filled or len(text) + len(filled) > _MAX_EXPANDED:
            raise value.error(f"{match[0]} gives a text that cannot be filled in")
        text = text[: match.start()] + filled + text[match.end() :]
    block.fields[name] = replace(value, text=text)
    return text


def _command(words: list[str], value: FieldValue, root: Block, above: tuple[str, ...]) -> str:
    match words:
        case ["env", variable]:
            return os.environ.get(variable, "")
        case ["raw", *parts]:
            return "".join(parts)
        case ["replace", target] | [target]:
            *parents, name = target.split("/")
            block: Block | None = root
            for parent in parents:
                block = block and block.find(parent)
            if block is None or name not in block.fields:
                near = suggest(target, _field_paths(root))
                raise value.error(f"${{{target}}} names no field of the deck{near}")
            return _expand(block, name, root, above)
    known = "${Block/field}, ${replace Block/field}, ${env NAME} and ${raw a b ...}"
    raise value.error(f"cannot read ${{{' '.join(words)}}}; known are {known}")


def _field_paths(block: Block) -> Iterator[str]:
    for name in block.fields:
        yield f"{block.path}/{name}".lstrip("/")
    for inner in block.blocks:
        yield from _field_paths(inner)


# -- syntax errors --------------------------------------------------------------------------


def _tokens(text: str) -> Iterator[tuple[str, str, int, int]]:
    """Kind, text, line and column of comments, quotes, block marks and includes."""
    line, seen = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        yield match.lastgroup or "", match[0], line, seen - text.rfind("\n", 0, seen)


def _includes(text: str) -> list[tuple[str, int]]:
    found = [(token, line) for kind, token, line, _ in _tokens(text) if kind == "include"]
    return [(token.removeprefix("!include").strip(), line) for token, line in found]


def _first_non_ascii(texts: dict[str, str]) -> str:
    for file, text in texts.items():
        bare = _TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
        if odd := re.search(r"[^\x00-\x7f]", bare):
            return f"{file}:{bare.count(chr(10), 0, odd.start()) + 1}"
    return next(iter(texts))


def _syntax_error(message: nmhit.ErrorMessage, name: str, texts: dict[str, str]) -> InputError:
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
