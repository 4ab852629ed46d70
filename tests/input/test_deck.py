"""HIT decks: the tree, where its parts stand, and messages for what users get wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neml2fe.errors import InputError
from neml2fe.input.deck import Block, Deck, FieldValue
from neml2fe.input.reader import parse_deck, read_deck

DECK = """\
# a comment with 'quotes' and [brackets]
rate = 2e-3
[Models]
  [elasticity]
    type = LinearIsotropicElasticity   # steel
    coefficients = '200e3 0.3'
    rate_form = true
    order = 2
    table = '1 2 3;
             4 5 6'
    speed = '${rate} ${raw a ${rate}}'
  []
[]
[Tensors]
  [strain]
    expr = '''
      a = torch.tensor(['x', "y"])
      result = a[${Models/elasticity/order}]
    '''
  []
[]
[Models]
  [flow]
    type = 'ComposedModel'
    linear/max_iter = 5
  []
[]
"""


def fails(text: str, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_deck(text, "d.i", overrides)
    return str(caught.value)


def value(text: str) -> FieldValue:
    return FieldValue("x", text, "d.i:3", "M/b")


def test_tree_and_locations() -> None:
    deck = parse_deck(DECK, "d.i")
    assert list(deck.sections) == ["Models", "Tensors"]
    assert [b.name for b in deck.blocks("Models")] == ["elasticity", "flow"]
    assert deck.blocks("Drivers") == []
    elasticity = deck.block("Models", "elasticity")
    assert elasticity.location == "d.i:4: [Models/elasticity]"
    assert elasticity.require("coefficients").location == "d.i:6: [Models/elasticity] coefficients"
    assert deck.fields["rate"].location == "d.i:2: rate"
    assert elasticity.require("type").as_str() == "LinearIsotropicElasticity"
    assert elasticity.require("coefficients").as_floats() == [200e3, 0.3]
    assert elasticity.require("coefficients").as_list() == ["200e3", "0.3"]
    assert elasticity.require("rate_form").as_bool() is True
    assert elasticity.require("order").as_int() == 2
    assert elasticity.require("table").as_rows() == [["1", "2", "3"], ["4", "5", "6"]]
    assert elasticity.require("table").as_float_rows() == [[1, 2, 3], [4, 5, 6]]
    assert elasticity.require("speed").as_str() == "2e-3 a2e-3"
    assert elasticity.get("absent") is None
    assert "result = a[2]" in deck.block("Tensors", "strain").require("expr").as_str()
    inner = deck.block("Models", "flow").find("linear")
    assert inner is not None
    assert inner.require("max_iter").as_int() == 5


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (FieldValue.as_float, "abc", "expected a number, got 'abc'"),
        (FieldValue.as_float, "nan", "expected a number, got 'nan'"),
        (FieldValue.as_float, "1_000", "expected a number, got '1_000'"),
        (FieldValue.as_float, "1 2", "expected a number, got '1 2'"),
        (FieldValue.as_float, "1e999", "'1e999' is too large for a double"),
        (FieldValue.as_int, "3.0", "expected an integer, got '3.0'"),
        (FieldValue.as_bool, "True", "expected true or false, got 'True'"),
        (FieldValue.as_floats, "1 2 x", "expected a number, got 'x'"),
        (FieldValue.as_ints, "1 2.5", "expected an integer, got '2.5'"),
        (FieldValue.as_float_rows, "1 2; 3", "expected rows of one length, got 2, 1 values"),
    ],
)
def test_values_of_the_wrong_kind(read: object, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(value(text))  # type: ignore[operator]
    assert str(caught.value) == f"d.i:3: [M/b] x: {said}"


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_every_double_is_read_back(number: float) -> None:
    deck = parse_deck(f"[M]\n  [b]\n    x = '{number!r}'\n  []\n[]\n")
    assert deck.block("M", "b").require("x").as_float() == number


names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
trees = st.recursive(
    st.dictionaries(names, st.text("abc 123;.", max_size=8), max_size=3),
    lambda inner: st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, st.dictionaries(names, trees, max_size=3), min_size=1, max_size=3))
@settings(deadline=None)
def test_any_tree_is_read_back(tree: dict[str, object]) -> None:
    def write(node: object, depth: int) -> str:
        assert isinstance(node, dict)
        text = ""
        for name, inner in node.items():
            pad = "  " * depth
            if isinstance(inner, str):
                text += f"{pad}{name} = '''{inner}'''\n"
            else:
                text += f"{pad}[{name}]\n{write(inner, depth + 1)}{pad}[]\n"
        return text

    def back(block: Block) -> dict[str, object]:
        fields = {name: field.as_str() for name, field in block.fields.items()}
        return {**fields, **{inner.name: back(inner) for inner in block.blocks}}

    deck = parse_deck(write(tree, 0))
    assert {name: back(block) for name, block in deck.sections.items()} == tree


# -- unknown and missing names --------------------------------------------------------------


def test_unknown_names_come_with_the_nearest_right_one() -> None:
    deck = parse_deck("[Models]\n [a]\n  sautration = 1\n  [inner]\n  []\n []\n[]\n", "d.i")
    block = deck.block("Models", "a")
    block.unknown_fields(["sautration"])
    block.unknown_blocks(["inner"])
    deck.unknown_sections(["Models"])
    for call, said in [
        (
            lambda: block.unknown_fields(["saturation", "type"]),
            "d.i:3: [Models/a]: unknown field 'sautration'; did you mean 'saturation'?",
        ),
        (
            lambda: block.unknown_blocks(),
            "d.i:4: [Models/a/inner]: unknown block [inner]; no block belongs here",
        ),
        (
            lambda: deck.unknown_sections(["Model"]),
            "d.i:1: [Models]: unknown section [Models]; did you mean 'Model'?",
        ),
        (lambda: block.require("type"), "d.i:2: [Models/a]: the field 'type' is missing"),
        (lambda: deck.block("Models", "aa"), "d.i: no block [Models/aa]; did you mean 'a'?"),
    ]:
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value) == said


# -- what does not parse --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[M]\n  [a]\n    x = 1\n  []\n", "d.i:1: the block [M] is never closed"),
        ("[M]\n  [a]\n    x = 1\n[]\n[T]\n[]\n", "d.i:2: the block [a] is never closed"),
        ("[M]\n  [a]\n  x = 1\n[T]\n  [t]\n  []\n[]\n", "d.i:2: the block [a] is never closed"),
        ("[M]\n[]\n[]\n", "d.i:3: [] closes a block, but no block is open"),
        ("[./M]\n[../]\n", "d.i:1: '[./M]' is not known: open a block with [name]"),
        ("[M\n  x = 1\n[]\n", "d.i:1: the block header is broken"),
        ("[M x]\n[]\n", "d.i:1: the block header is broken"),
        ("[M]\n  x = 'a b\n[]\n[T]\n[]\n", "d.i:2: the quote ' is never closed"),
        ("[M]\n  x = 'a b\n  y = 'c d'\n[]\n", "d.i:2: the quote ' is never closed"),
        ("[M]\n  x = '''a b\n[]\n", "d.i:2: the quote ''' is never closed"),
        ("[M]\n  hello world\n[]\n", "d.i:2: cannot read 'hello world': expected name = value"),
        ("[M]\n  x = a b\n\n[]\n", "d.i:2: cannot read 'x = a b': expected name = value"),
        ("[M]\n  x = [1, 2]\n[]\n", "d.i:2: cannot read 'x = [1, 2]'"),
        ("[M]\n  x = '1 # 2'\n[]\n", "d.i:2: cannot read"),
        ("[M]\n  x = 'f(\"a\")'\n[]\n", "stands in triple quotes"),
        ("[M]\n  x = \n  y = 2\n[]\n", "d.i:2: the field has no value: 'x ='"),
        ("[M]\n  x = '1 2;'\n[]\n", "d.i:2: a row has no values"),
        ("[M]\n  x = 1\n  x = 2\n[]\n", "d.i:3: the field 'x' is given twice, first on line 2"),
        ("[M]\n  x = ${y\n[]\n", "d.i:2: cannot read"),
        ("[M]\n  é = 1\n[]\n", "d.i:2: a name or value holds a character outside of ASCII"),
        ("", "d.i: the deck is empty"),
        ("# nothing\n\n", "d.i: the deck is empty"),
    ],
)
def test_syntax_errors_name_the_line_at_fault(text: str, said: str) -> None:
    assert said in fails(text)


@given(st.text("[]M a='\"#\n$\\{}!;:/é\x00\t1", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_deck_or_an_input_error(text: str) -> None:
    try:
        parse_deck(text, "d.i")
    except InputError as error:
        assert str(error)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_deck_with_a_piece_cut_out_never_crashes(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(DECK)))
    stop = data.draw(st.integers(start, len(DECK)))
    try:
        parse_deck(DECK[:start] + DECK[stop:], "d.i")
    except InputError as error:
        assert re.match(r"d\.i(:\d+)?: ", str(error))


# -- repeated names and overrides -----------------------------------------------------------


def test_repeated_blocks_and_fields() -> None:
    twice = "[M]\n [a]\n  x = 1\n []\n[]\n[M]\n [a]\n  x = 2\n []\n[]\n"
    assert fails(twice) == "d.i:7: [M/a]: the block [a] is given twice, first at d.i:2"
    section = "[S]\n x = 1\n[]\n[S]\n x = 2\n[]\n"
    assert fails(section) == "d.i:5: [S] x: given twice, first at d.i:2; write := to override"
    deck = parse_deck(twice.replace("x = 2", "x := 2"))
    assert deck.block("M", "a").require("x").as_int() == 2
    deck = parse_deck("[M]\n [a]\n  x = 1\n  x :override= 3\n []\n[]\n")
    assert deck.block("M", "a").require("x").as_int() == 3


def test_overrides_from_the_command_line() -> None:
    overrides = [
        "Models/elasticity/coefficients='1 2'",
        "Models/elasticity/speed := 3 4",
        "rate=5",
        "Models/flow/linear/max_iter=7",
    ]
    deck = parse_deck(DECK, "d.i", overrides)
    elasticity = deck.block("Models", "elasticity")
    assert elasticity.require("coefficients").as_floats() == [1, 2]
    assert elasticity.require("speed").as_floats() == [3, 4]
    linear = deck.block("Models", "flow").find("linear")
    assert linear is not None
    assert linear.require("max_iter").as_int() == 7
    with pytest.raises(InputError, match=r"^command line: \[Models/elasticity\] order: expected"):
        deck = parse_deck(DECK, "d.i", ["Models/elasticity/order=x"])
        deck.block("Models", "elasticity").require("order").as_int()
    assert "write Block/path/field=value" in fails(DECK, "nonsense")
    assert "no block [elastic]; did you mean 'elasticity'?" in fails(DECK, "Models/elastic/a=1")


# -- ${...} ---------------------------------------------------------------------------------


def test_brace_expressions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DECK_ROOT", "/data")
    text = (
        "n = 2\nd = n\n[M]\n  a = ${replace n}\n  c = ${${d}}\n"
        "  b = '${raw ${env DECK_ROOT} /x} ${M/a}'\n[]\n"
    )
    section = parse_deck(text).sections["M"]
    assert section.require("a").as_int() == 2
    assert section.require("b").as_list() == ["/data/x", "2"]
    assert section.require("c").as_int() == 2
    assert parse_deck(text, overrides=["n=9"]).sections["M"].require("b").as_list()[1] == "9"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ${b}\nb = ${a}\n", "d.i:1: a: refers to itself: a -> b -> a"),
        (
            "rate = 1\n[M]\n x = ${rat}\n[]\n",
            "d.i:3: [M] x: ${rat} names no field of the deck; did",
        ),
        ("[M]\n x = ${fparse 1 + 2}\n[]\n", "d.i:2: [M] x: cannot read ${fparse 1 + 2}; known are"),
        (
            "a = 'xxxxxxxxxx'\n"
            + "".join(f"a{i} = '{'${a%s}' % (i - 1 if i else '') * 10}'\n" for i in range(12)),
            "gives a text that cannot be filled in",
        ),
        (
            "\n".join(f"a{i} = ${{a{i + 1}}}" for i in range(5000)) + "\na5000 = 1",
            "a chain of more",
        ),
    ],
)
def test_brace_expressions_that_cannot_be_filled_in(text: str, said: str) -> None:
    assert said in fails(text)


# -- files ----------------------------------------------------------------------------------


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_includes_keep_their_own_locations(tmp_path: Path) -> None:
    main = write(
        tmp_path / "main.i",
        "e = 3\n[Models]\n  !include ./parts/a b.i # here\n[]\n!include parts/../parts/b.i\n",
    )
    write(
        tmp_path / "parts/a b.i",
        "# !include no.i\n[a]\n  x = ${e}\n  y = '''!include no.i'''\n[]\n",
    )
    write(tmp_path / "parts/b.i", "[Models]\n  [a]\n    x := 4\n  []\n[]\n!include deep/c.i\n")
    write(tmp_path / "parts/deep/c.i", "\n[Tensors]\n[]\n")
    deck = read_deck(main)
    assert isinstance(deck, Deck)
    assert deck.path == str(main)
    a = deck.block("Models", "a")
    assert a.require("x").as_int() == 4
    assert a.require("x").location == f"{tmp_path}/parts/../parts/b.i:3: [Models/a] x"
    assert a.location == f"{tmp_path}/parts/a b.i:2: [Models/a]"
    assert deck.sections["Tensors"].where == f"{tmp_path}/parts/../parts/deep/c.i:2"
    deck = read_deck(main, ["Models/a/y=7"])
    assert deck.block("Models", "a").require("y").as_int() == 7


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    include = write(tmp_path / "inc.i", "[M]\n!include gone.i\n[]\n")
    circle = write(tmp_path / "one.i", "[M]\n[]\n!include two.i\n")
    write(tmp_path / "two.i", "\n!include one.i\n")
    broken = write(tmp_path / "outer.i", "[M]\n[]\n!include inner.i\n")
    write(tmp_path / "inner.i", "\n[T]\n  [x]\n")
    cases = {
        tmp_path / "gone.i": "there is no file",
        tmp_path: "is a directory",
        include: f"{include}:2: there is no file '{tmp_path / 'gone.i'}'",
        circle: f"{tmp_path / 'two.i'}:2: '{circle}' includes itself",
        broken: f"{tmp_path / 'inner.i'}:3: the block [x] is never closed",
        write(tmp_path / "bin.i", bytes(range(256))): "bin.i:1: not a deck",
        write(tmp_path / "nul.i", b"[M]\n a = 1\0\n[]\n"): "nul.i:2: not a deck",
        write(tmp_path / "latin.i", b"[M]\n# \xe9\n[]\n"): "latin.i:2: not a deck",
        write(tmp_path / "bom.i", b"\xef\xbb\xbf[M]\n[]\n"): "bom.i:1: remove the byte-order mark",
        write(tmp_path / "empty.i", b""): "the deck is empty",
    }
    for path, said in cases.items():
        with pytest.raises(InputError) as caught:
            read_deck(path)
        assert said in str(caught.value)


def test_windows_line_ends(tmp_path: Path) -> None:
    deck = read_deck(write(tmp_path / "crlf.i", DECK.replace("\n", "\r\n")))
    assert deck.block("Models", "elasticity").require("coefficients").as_floats() == [200e3, 0.3]
    assert deck.block("Models", "flow").require("type").as_str() == "ComposedModel"


def test_screen_stays_clean() -> None:
    script = (
        "from neml2fe.input.reader import parse_deck\n"
        "from neml2fe.errors import InputError\n"
        "for text in ('[M]\\n[]\\n', '[M]', 'a = ${b}', \"[M]\\n x='1 # \\n[]\"):\n"
        "    try: kept = parse_deck(text)\n"
        "    except InputError as error: kept = error\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == ""
    assert done.stderr == ""
