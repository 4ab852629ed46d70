"""The decks of the tests, run live in the reference code: same numbers, same saved files.

Needs NEML2FE_PEER, the python of an environment with `neml2==3.1.0`; see `peer.py`.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest
import torch
from peer import DECKS, peer_python, run_peer

import neml2fe

PEER = peer_python()
pytestmark = pytest.mark.skipif(
    PEER is None, reason="NEML2FE_PEER does not name the python of an environment with neml2"
)
NAMES = sorted(p.stem for p in DECKS.glob("*.i"))
each = pytest.mark.parametrize("deck", NAMES)


@cache
def theirs(deck: str) -> dict[str, torch.Tensor]:
    assert PEER is not None
    return run_peer(DECKS / f"{deck}.i", PEER)


@cache
def ours(deck: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor]
    found = neml2fe.load_input(DECKS / f"{deck}.i").get_driver("driver").driver.run().flat()
    return found


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
    """To 1e-7 of the largest value of each variable over the history."""
    for name in {key.split(".", 2)[2] for key in theirs(deck)}:
        keys = [key for key in theirs(deck) if key.split(".", 2)[2] == name]
        size = max(float(theirs(deck)[key].abs().max()) for key in keys)
        error = max(float((theirs(deck)[key] - ours(deck)[key]).abs().max()) for key in keys)
        assert error <= 1e-7 * size, f"{name}: {error / size:.1e}"


@pytest.mark.parametrize("deck", [n for n in NAMES if n != "temperature"])
def test_parameters_have_the_same_names(deck: str) -> None:
    """In the same order, so that scripts and checkpoints carry over. (A model that serves as
    a parameter lies below that parameter here, and beside its users in the peer.)
    """
    code = (
        "import sys, neml2\n"
        "model = neml2.load_model(sys.argv[1], 'model')\n"
        "print(*['parameter ' + n for n, p in model.named_parameters()], sep='\\n')"
    )
    path = Path(DECKS / f"{deck}.i")
    result = subprocess.run(
        [str(PEER), "-c", code, path], check=True, capture_output=True, text=True, timeout=200
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith("parameter ")]
    names = [line.removeprefix("parameter ") for line in lines if line != "parameter "]
    assert [n for n, _ in neml2fe.load_model(path, "model").named_parameters()] == names
