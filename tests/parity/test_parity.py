"""The decks of the tests, run live in the reference code: same numbers, derivatives, files, names.

Needs NEML2FE_PEER, the python of an environment with `neml2==3.1.0`; see `peer.py`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from catalog import NOT_THERE, differences, peer_catalog, required
from compare import DECKS, NAMES, RAISING, compared, ours, theirs
from peer import peer_python

import neml2fe
from neml2fe.input.factory import Input

PEER = peer_python()
pytestmark = pytest.mark.skipif(
    PEER is None, reason="NEML2FE_PEER does not name the python of an environment with neml2"
)
each = pytest.mark.parametrize("deck", NAMES)
TOLERANCE = 1e-8  # of the largest value of a variable, or of its derivatives, over the history


@each
def test_saved_keys_are_the_same(deck: str) -> None:
    assert set(ours(deck)) == set(theirs(deck))


@each
def test_saved_shapes_and_dtypes_are_the_same(deck: str) -> None:
    """Where nothing varies by specimen the peer may leave the specimens out of a shape."""
    for key, value in theirs(deck).items():
        shape = ours(deck)[key].shape
        assert value.dtype == ours(deck)[key].dtype
        assert value.shape == shape or value.shape == shape[shape.numel() and 1 :], key


@each
def test_values_agree(deck: str) -> None:
    found = compared(deck)
    assert found.values <= TOLERANCE, f"{found.worst_value}: {found.values:.1e}"


@pytest.mark.parametrize("deck", [n for n in NAMES if n not in RAISING])
def test_derivatives_agree(deck: str) -> None:
    found = compared(deck)
    assert found.tangents <= TOLERANCE, f"{found.worst_tangent}: {found.tangents:.1e}"


def has_nested_parameters(source: Input) -> bool:
    return any(getattr(m, "_nested", None) for m in source.get_model("model").modules())


@each
def test_parameters_have_the_same_names(deck: str) -> None:
    """In the same order, so that scripts and checkpoints carry over."""
    path = Path(DECKS / f"{deck}.i")
    source = neml2fe.load_input(path)
    if has_nested_parameters(source):
        pytest.skip("a model that is a parameter lies below its user here, beside it in the peer")
    code = (
        "import sys, neml2\n"
        "model = neml2.load_model(sys.argv[1], 'model')\n"
        "print(*['parameter ' + n for n, p in model.named_parameters()], sep='\\n')"
    )
    result = subprocess.run(
        [str(PEER), "-c", code, path], check=True, capture_output=True, text=True, timeout=200
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("parameter ")]
    names = [line.removeprefix("parameter ") for line in lines if line != "parameter "]
    assert [n for n, _ in source.get_model("model").named_parameters()] == names


def test_no_type_of_the_catalog_is_missing() -> None:
    assert [name for name, how in required().items() if how == "missing"] == []


@pytest.mark.parametrize("kind", sorted(required()) if PEER else [])
def test_fields_are_those_of_the_catalog(kind: str) -> None:
    assert differences(peer_catalog()[kind]) == []


def test_every_type_is_in_a_compared_deck() -> None:
    left = [name for name, how in required().items() if how == "not compared"]
    assert sorted(left) == sorted(NOT_THERE)
