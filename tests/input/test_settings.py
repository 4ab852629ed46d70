"""The [Settings] of a deck: shapes of variables, and what is wrong with them."""

from __future__ import annotations

import pytest
from ladder import DECKS

import neml2fe
from neml2fe.errors import InputError
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck
from neml2fe.input.settings import Settings


def settings(text: str) -> Settings:
    return Input(parse_deck(f"[Settings]\n{text}\n[]\n", "deck.i")).settings


def variables(**shapes: str) -> str:
    lines = [f"{name.replace('__', '~')} = '{shape}'" for name, shape in shapes.items()]
    return "[example_batch_shape]\n" + "\n".join(lines) + "\n[]"


@pytest.mark.parametrize(
    ("text", "batch", "sub_batch"),
    [
        ("(2,)", (2,), None),
        ("(2; 12)", (2,), (12,)),
        ("(2, 3)", (2, 3), None),
        ("(2; 12, 5)", (2,), (12, 5)),
        ("(; 12)", (), (12,)),
        ("(2; )", (2,), ()),
        ("()", (), None),
        (" ( 2 , 3, ; 4, ) ", (2, 3), (4,)),
    ],
)
def test_shapes(text: str, batch: tuple[int, ...], sub_batch: tuple[int, ...] | None) -> None:
    found = settings(variables(x=text))
    assert found.shapes["x"].batch == batch
    assert found.sub_batch_shape("x") == sub_batch and found.sub_batch_shape("y") is None
    everywhere = settings(f"example_batch_shape = '{text}'")
    assert everywhere.sub_batch_shape("anything") == sub_batch


def test_a_variable_and_its_old_values_have_one_sub_batch() -> None:
    found = settings(variables(x="(2; 12)", y__1="(3; 4)", z="(2,)", z__1="(2; 5)"))
    assert found.sub_batch_shape("x~1") == found.sub_batch_shape("x~2") == (12,)
    assert found.sub_batch_shape("y") == (4,) and found.sub_batch_shape("z") == (5,)


def test_without_settings() -> None:
    found = Input(parse_deck("[Models]\n[]\n", "deck.i")).settings
    assert found.dynamic_batch and found.sub_batch_shape("x") is None


@pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False), ("no", False)])
def test_dynamic_batch(text: str, value: bool) -> None:
    assert settings(f"dynamic_batch = {text}").dynamic_batch is value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exampel_batch_shape = '(2,)'", "deck.i:2: [Settings]: unknown field 'exampel_batch_sh"),
        ("[example_shape]\n[]", "unknown block [example_shape]; did you mean 'example_batch_sha"),
        ("dynamic_batch = maybe", "deck.i:2: [Settings] dynamic_batch: expected true or false"),
        ("example_batch_shape = '2'", "cannot read '2': a shape is '(2,)', or '(2; 12)'"),
        ("example_batch_shape = '(2; 12:slip)'", "cannot read '(2; 12:slip)'"),
        ("example_batch_shape = '(2; 3; 4)'", "cannot read '(2; 3; 4)'"),
        ("example_batch_shape = '(-2,)'", "cannot read '(-2,)'"),
        ("example_batch_shape = '(2.5,)'", "cannot read '(2.5,)'"),
        (variables(x="(a,)"), "deck.i:3: [Settings/example_batch_shape] x: cannot read '(a,)'"),
        (
            "example_batch_shape = '(2,)'\n" + variables(x="(2,)"),
            "given both as a field and as a block",
        ),
        (variables(x="(2; 3)", x__1="(2; 4)"), "a variable and its old values have the same"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        settings(text)
    assert message in str(caught.value)


def test_shapes_of_variables_that_the_model_lacks() -> None:
    deck = (DECKS / "perzyna_voce.i").read_text()
    for name, wrong in (("stress", False), ("flow_rate", False), ("E~1", False), ("stres", True)):
        text = f"{deck}\n[Settings]\n[example_batch_shape]\n{name} = '(2,)'\n[]\n[]\n"
        source = Input(parse_deck(text, "deck.i"))
        if wrong:
            with pytest.raises(InputError, match="no variable 'stres' to have a shape; did you"):
                source.get_driver("driver")
        else:
            source.get_driver("driver")
    assert neml2fe.load_input(DECKS / "perzyna_voce.i").settings.shapes == {}
