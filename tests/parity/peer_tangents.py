"""Runs in the reference code's environment: directional derivatives of a deck's model.

    python peer_tangents.py DECK CASES.pt RESULT.pt

CASES holds `inputs` (by step and name), `tangents` (likewise) and `sub_batch` (by name);
RESULT gets `derivative[step][input][output]`, one input varied at a time.
"""

from __future__ import annotations

import sys

import neml2
import torch


def main() -> None:
    deck, source, target = sys.argv[1:]
    torch.set_default_dtype(torch.float64)
    model = neml2.load_model(deck, "model")
    cases = torch.load(source)
    found = {}
    for step, inputs in cases["inputs"].items():
        typed = {
            name: kind(inputs[name], sub_batch_ndim=cases["sub_batch"].get(name, 0))
            for name, kind in model.input_spec.items()
        }
        found[step] = {}
        for name, kind in model.input_spec.items():
            way = kind(cases["tangents"][step][name], sub_batch_ndim=typed[name].sub_batch_ndim)
            _, slopes = model.jvp(typed, {name: way})
            found[step][name] = {n: v.data.detach().clone() for n, v in slopes.items()}
    torch.save(found, target)


main()
