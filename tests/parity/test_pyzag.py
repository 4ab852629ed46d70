"""One script for pyzag, run live with `pyzag==2.0.0` and with `neml2fe.pyzag`: same trajectories
and gradients, but where pyzag is known to be wrong.

Needs NEML2FE_PEER, the python of an environment with `neml2==3.1.0` and `pyzag==2.0.0`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest
import torch
from peer import DECKS, peer_python

PEER = peer_python()
pytestmark = pytest.mark.skipif(
    PEER is None, reason="NEML2FE_PEER does not name the python of an environment with pyzag"
)
SCRIPT = Path(__file__).parent / "pyzag_script.py"
DECK = DECKS / "perzyna_voce.i"
VALUES, GRADIENTS = 1e-8, 1e-6  # of the largest value
# Its gradient by the initial state takes the derivative of the first residual by it for -1.
WRONG_INITIAL_STATE = ("ForwardEulerODE", "Recursion")
Results = dict[str, dict[str, torch.Tensor]]


@cache
def results(code: str) -> Results:
    python = PEER if code == "pyzag" else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "result.pt"
        run = subprocess.run(
            [str(python), str(SCRIPT), code, str(DECK), str(target)],
            capture_output=True,
            text=True,
            timeout=280,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert run.returncode == 0, run.stderr[-2000:]
        found: Results = torch.load(target)
    return found


def difference(case: str, name: str) -> float:
    here, there = results("neml2fe")[case][name], results("pyzag")[case][name]
    assert here.shape == there.shape
    return float((here - there).abs().max() / there.abs().max())


def cases() -> list[str]:
    return [case for case in results("pyzag") if case != "names"]


def test_the_same_cases_and_parameters() -> None:
    here, there = results("neml2fe"), results("pyzag")
    assert {case: list(found) for case, found in here.items()} == {
        case: list(found) for case, found in there.items()
    }
    assert len(cases()) == 26


def test_trajectories_agree() -> None:
    for case in cases():
        assert difference(case, "y") < VALUES, case


def test_gradients_agree() -> None:
    for case in cases():
        for name in results("pyzag")[case]:
            if name != "y" and not (name == "y0" and case.startswith(WRONG_INITIAL_STATE)):
                assert difference(case, name) < GRADIENTS, f"{case}: {name}"


def test_initial_states_where_pyzag_is_wrong() -> None:
    """Ours do not depend on the chunks and are those of the loop (tests/pyzag/test_adjoint.py);
    its own are far off, whatever the chunks."""
    for kind in WRONG_INITIAL_STATE:
        named = [case for case in cases() if case.startswith(kind)]
        first = results("neml2fe")[named[0]]["y0"]
        for case in named:
            other = results("neml2fe")[case]["y0"]
            assert float((other - first).abs().max() / first.abs().max()) < VALUES
            assert difference(case, "y0") > 0.1, "pyzag was mended: compare this as well"
