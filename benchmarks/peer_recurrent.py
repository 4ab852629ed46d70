"""Solves and times histories with `pyzag` and `neml2` for one job of recurrent.py, in the
environment that has them.

    python peer_recurrent.py FOLDER

FOLDER holds job.json and inputs.npz; states.npy and result.json are written there. Routes:
`eager`, and `compiled`, the model given to `neml2.compile`.
"""

from __future__ import annotations

import json
import warnings
from importlib.metadata import version
from typing import Any

import neml2
from neml2.pyzag import NEML2PyzagModel
from pyzag import chunktime, nonlinear
from recurrent_job import Solve, perform, read_job, recursion


def chunked(model: NEML2PyzagModel, job: dict[str, Any]) -> Solve:
    solver = recursion(nonlinear, chunktime, model, job)
    return lambda y0, forces: nonlinear.solve_adjoint(solver, y0, len(forces), forces)


def main() -> None:
    warnings.filterwarnings("ignore", message="pyzag lowered")
    folder, job = read_job()
    model = NEML2PyzagModel(neml2.load_nonlinear_system(job["deck"], "system"))
    if job["route"] == "compiled":
        neml2.compile(model)
    versions = {name: version(name) for name in ("neml2", "pyzag", "torch")}
    found = {"versions": versions, **perform(folder, job, model, chunked(model, job))}
    (folder / "result.json").write_text(json.dumps(found))


main()
