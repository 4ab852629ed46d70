"""Reading HIT decks: includes, overrides and `${...}` expressions that cannot run in circles.

`nmhit` does the parsing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import nmhit

from neml2fe.errors import InputError, suggest
from neml2fe.input.deck import Block, Deck, FieldValue
from neml2fe.input.syntax import first_non_ascii, includes, syntax_error

_OVERRIDE = re.compile(r"\s*([^\s=\[\]#]+?)\s*(?::override|:)?=\s*(.*?)\s*", re.DOTALL)
_HEAD = re.compile(r"[^\s=:]+\s*(?P<new>:override|:)?=\s*(?P<verbatim>\'\'\'|\"\"\")?")
_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_COMMAND_LINE = "command line"
_MAX_CHAIN = 100  # fields, each of which names the next in its ${...}
_MAX_EXPANDED = 1_000_000  # characters of a value after its ${...} are filled in


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
    for included, line in includes(text):
        texts |= _collect(Path(included), f"{name}:{line}")
    return _build(lambda: nmhit.parse_text(text), name, texts, overrides)


# -- files ----------------------------------------------------------------------------------


def _collect(path: Path, where: str = "", above: tuple[Path, ...] = ()) -> dict[str, str]:
    """The texts of a deck and of all it includes, by file name as nmhit gives it."""
    texts = {str(path): _read_text(path, where)}
    if path.resolve() in above:
        raise InputError(f"'{path}' includes itself", where)
    for included, line in includes(texts[str(path)]):
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
        raise syntax_error(error.messages[0], name, texts) from None
    except UnicodeDecodeError:  # nmhit complains about half of a non-ASCII character
        message = "a name or value holds a character outside of ASCII; quote it"
        raise InputError(message, first_non_ascii(texts)) from None
    root = Block("", "", name)
    _fill(root, document, name, {file: text.split("\n") for file, text in texts.items()})
    if not root.fields and not root.blocks:
        raise InputError("the deck is empty; it needs blocks such as [Models] ... []", name)
    for override in overrides:
        _override(root, override)
    _expand_all(root, root)
    sections = {block.name: block for block in root.blocks}
    return Deck(name, root.fields, sections, tuple(overrides))


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
