"""`TransientRegression` and `Verification` decks end alike in both codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from compare import theirs
from peer import DECKS, peer_python

PEER = peer_python()
pytestmark = pytest.mark.skipif(
    PEER is None, reason="NEML2FE_PEER does not name the python of an environment with neml2"
)
REGRESSION = """
[Drivers]
  [check]
    type = TransientRegression
    driver = 'driver'
    reference = 'gold.pt'
    rtol = 1e-6
  []
[]
"""
VERIFICATION = """
[Tensors]
  [gold]
    type = CSVSR2
    csv_file = 'gold.csv'
    column_names = 'xx yy zz yz xz xy'
  []
[]
[Drivers]
  [check]
    type = Verification
    driver = 'driver'
    SR2_names = 'output.stress'
    SR2_values = 'gold'
    rtol = 1e-6
  []
[]
"""


def outcomes(deck: Path) -> tuple[int, int]:
    assert PEER is not None
    commands = [
        [sys.executable, "-m", "neml2fe", "run", deck.name, "check"],
        [str(PEER.parent / "neml2-run"), deck.name, "check"],
    ]
    found = [
        subprocess.run(command, cwd=deck.parent, capture_output=True, timeout=200).returncode
        for command in commands
    ]
    return found[0], found[1]


@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_a_regression_deck(tmp_path: Path, error: float) -> None:
    gold = {n: v.clone() for n, v in theirs("uniaxial_voce").items()}
    gold["output.7.stress"] *= 1.0 + error
    torch.save(gold, tmp_path / "gold.pt")
    deck = tmp_path / "deck.i"
    deck.write_text((DECKS / "uniaxial_voce.i").read_text() + REGRESSION)
    here, there = outcomes(deck)
    assert here == (1 if error else 0) and bool(there) == bool(error)


@pytest.mark.parametrize("error", [0.0, 1e-3])
def test_a_verification_deck(tmp_path: Path, error: float) -> None:
    found = theirs("uniaxial_voce")
    steps = sorted(int(n.split(".")[1]) for n in found if n.endswith(".stress") and "output" in n)
    rows = [found[f"output.{k}.stress"].reshape(-1, 6)[0] for k in steps]
    rows = [torch.zeros(6)] * (steps[0]) + rows
    rows[-1] = rows[-1] * (1.0 + error)
    root2 = 2.0**0.5
    lines = ["xx,yy,zz,yz,xz,xy"]
    for row in rows:
        tensor = row / torch.tensor([1.0, 1.0, 1.0, root2, root2, root2])
        lines.append(",".join(f"{x:.17g}" for x in tensor.tolist()))
    (tmp_path / "gold.csv").write_text("\n".join(lines) + "\n")
    deck = tmp_path / "deck.i"
    deck.write_text((DECKS / "uniaxial_voce.i").read_text() + VERIFICATION)
    here, there = outcomes(deck)
    assert here == (1 if error else 0) and bool(there) == bool(error)
