"""Runs a deck in the reference code, `neml2==3.1.0`; as a script, rewrites the reference CSVs.

    NEML2FE_PEER=/path/to/python python tests/parity/peer.py

NEML2FE_PEER names the python of an environment with neml2; its `neml2-run` is used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import torch

import neml2fe
from neml2fe.drivers.result import COMPONENTS
from neml2fe.models.model import Spec

DECKS = Path(__file__).parent.parent / "decks"
HEADER = """\
# {deck}.i by neml2==3.1.0 (`neml2-run {deck}.i driver`): every step but the initial one.
# SR2 components are Mandel. Agreement asked: 1e-7 of the largest value of each variable.
"""


def peer_python() -> Path | None:
    name = os.environ.get("NEML2FE_PEER")
    return Path(name) if name else None


def run_peer(deck: Path, python: Path) -> dict[str, torch.Tensor]:
    """The dictionary that the peer's driver saves."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [python.parent / "neml2-run", deck.resolve(), "driver"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=280,
        )
        found: dict[str, torch.Tensor] = torch.load(Path(folder) / "result.pt")
    return {name: value.detach() for name, value in found.items()}


def table(result: dict[str, torch.Tensor], types: Spec) -> dict[str, np.ndarray]:
    """Outputs of all steps but the first as columns, one row per step and specimen; those of a
    sub-batch are `slip[3]_12`."""
    steps = sorted({int(n.split(".")[1]) for n in result} - {0})
    names = [n.split(".", 2)[2] for n in result if n.startswith(f"output.{steps[-1]}.")]
    times = torch.stack([result[f"input.{k}.t"] for k in steps]).reshape(len(steps), -1)
    n_specimens = times.shape[1]
    columns = {
        "step": np.repeat(steps, n_specimens),
        "specimen": np.tile(np.arange(n_specimens), len(steps)),
        "time": times.numpy().reshape(-1),
    }
    for name in sorted(names):
        base = types[name].BASE_SHAPE
        last = result[f"output.{steps[-1]}.{name}"]
        outer = last.shape[: last.ndim - len(base)]
        sub = outer[1:] if outer[:1] in ((1,), (n_specimens,)) else outer
        inner = (*sub, *base)
        rows = [result[f"output.{k}.{name}"].expand((n_specimens, *inner)) for k in steps]
        values = torch.stack(rows).reshape(len(times) * n_specimens, -1).numpy()
        entries = ["".join(f"[{i}]" for i in place) for place in product(*map(range, sub))]
        tails = [entry + tail for entry in entries for tail in COMPONENTS[base]]
        for tail, column in zip(tails, values.T, strict=True):
            columns[name + tail] = column
    return columns


def main() -> None:
    python = peer_python()
    if python is None:
        sys.exit("set NEML2FE_PEER to the python of an environment with neml2")
    for deck in sorted(DECKS.glob("*.i")):
        types = neml2fe.load_input(deck).get_driver("driver").driver.types
        columns = table(run_peer(deck, python), types)
        lines = [",".join(columns)]
        for row in zip(*columns.values(), strict=True):
            lines.append(",".join(f"{value:.12g}" for value in row))
        text = HEADER.format(deck=deck.stem) + "\n".join(lines) + "\n"
        deck.with_suffix(".csv").write_text(text)
        print(deck.with_suffix(".csv"))


if __name__ == "__main__":
    main()
