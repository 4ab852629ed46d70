"""One deck in both codes: saved histories, and derivatives of the update at some steps."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from peer import DECKS, peer_python, run_peer

import neml2fe
from neml2fe.input.factory import Input

Raw = dict[str, torch.Tensor]
NAMES = sorted(p.stem for p in DECKS.glob("*.i"))
STEPS = 5  # at which derivatives are compared
# The peer's GeneralElasticity leaves out the derivative of a stiffness that is itself a model;
# ours is checked against differences in tests/models.
# Its eager derivatives raise for implicit updates with sub-batched unknowns; those of the
# residuals agree, and the updates are checked against differences in tests/models.
RAISING = ("crystal_dislocations", "crystal_taylor", "crystal_taylor_block")
# Uniaxial tension whose first step ends exactly on the yield surface: the derivative jumps there,
# and round-off decides for either side.
ON_THE_KINK = {("uniaxial_linear", 1), ("uniaxial_kinematic", 1)}
LACKING = {("elasticity_crystal_temperature", "T")}


@dataclass(frozen=True)
class Comparison:
    """Worst differences relative to the largest entry of each variable (of each block of
    derivatives), and where they are; keys that only one of the codes saved."""

    values: float
    worst_value: str
    tangents: float
    worst_tangent: str
    only_here: frozenset[str]
    only_there: frozenset[str]


@cache
def source(deck: str) -> Input:
    return neml2fe.load_input(DECKS / f"{deck}.i")


@cache
def theirs(deck: str) -> Raw:
    python = peer_python()
    assert python is not None
    return run_peer(DECKS / f"{deck}.i", python)


@cache
def ours(deck: str) -> Raw:
    found: Raw = source(deck).get_driver("driver").driver.run().flat()
    return found


@cache
def compared(deck: str) -> Comparison:
    here, there = ours(deck), theirs(deck)
    values, worst_value = 0.0, ""
    for name in {key.split(".", 2)[2] for key in here.keys() & there.keys()}:
        keys = [key for key in there if key.split(".", 2)[2] == name and key in here]
        size = max(float(there[key].abs().max()) for key in keys)
        error = max(float((there[key] - here[key]).abs().max()) for key in keys)
        if error > values * size:
            values, worst_value = error / size if size else float("inf"), name
    tangents, worst_tangent = float("nan"), "the peer cannot"
    if deck not in RAISING:
        tangents, worst_tangent = tangent_difference(deck)
    return Comparison(
        values,
        worst_value,
        tangents,
        worst_tangent,
        frozenset(here.keys() - there.keys()),
        frozenset(there.keys() - here.keys()),
    )


def tangent_difference(deck: str) -> tuple[float, str]:
    """Worst difference of directional derivatives, one input varied at a time."""
    driver = source(deck).get_driver("driver").driver
    history, model = driver.run(), source(deck).get_model("model")
    last = len(history.inputs) - 1
    steps = sorted({1, *(max(1, round(last * k / (STEPS - 1))) for k in range(STEPS))})
    steps = [step for step in steps if (deck, step) not in ON_THE_KINK]
    generator = torch.Generator().manual_seed(0)
    cases: dict[str, dict] = {"inputs": {}, "tangents": {}, "sub_batch": history.sub_batch}
    for step in steps:
        known = {**driver._defaults(history.inputs[step]["t"]), **history.inputs[step]}
        raw = {n: getattr(known[n], "data", known[n]).detach().clone() for n in model.input_spec}
        cases["inputs"][step] = raw
        cases["tangents"][step] = {  # of the size of each input, so that all slopes compare
            n: (float(v.abs().max()) or 1.0) * torch.randn(v.shape, generator=generator).to(v)
            for n, v in raw.items()
        }
    there = _their_derivatives(deck, cases)
    sizes = {
        output: max(
            float(s[output].abs().max()) for slopes in there.values() for s in slopes.values()
        )
        for output in model.output_spec
    }
    worst, where = 0.0, ""
    for step in steps:
        raw = cases["inputs"][step]
        typed = {
            n: kind(raw[n], history.sub_batch.get(n, 0)) for n, kind in model.input_spec.items()
        }
        for name, slopes in there[step].items():
            if (deck, name) in LACKING:
                continue

            def outputs(x: torch.Tensor, name: str = name, typed: dict = typed) -> Raw:
                found = model.evaluate({**typed, name: typed[name].like(x)})
                return {n: v.data for n, v in found.items()}

            way = cases["tangents"][step][name]
            _, here = torch.func.jvp(outputs, (raw[name],), (way,))
            for output, slope in slopes.items():
                error = float((here[output].detach() - slope).abs().max())
                if error > worst * sizes[output]:
                    worst = error / sizes[output] if sizes[output] else float("inf")
                    where = f"d {output} / d {name} at step {step}"
    return worst, where


def _their_derivatives(deck: str, cases: dict) -> dict[int, dict[str, Raw]]:
    script = Path(__file__).with_name("peer_tangents.py")
    with tempfile.TemporaryDirectory() as folder:
        torch.save(cases, Path(folder) / "cases.pt")
        subprocess.run(
            [str(peer_python()), script, DECKS / f"{deck}.i", "cases.pt", "result.pt"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=280,
        )
        found: dict[int, dict[str, Raw]] = torch.load(Path(folder) / "result.pt")
    return found
