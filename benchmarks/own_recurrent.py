"""Solves and times histories with `neml2fe.pyzag` for one job of recurrent.py.

    python own_recurrent.py FOLDER

FOLDER holds job.json and inputs.npz; states.npy and result.json are written there. Routes: the
backends of the solver, `march`, `chunk` and `sequential`.
"""

from __future__ import annotations

import json
from typing import Any

from recurrent_job import Solve, perform, read_job, recursion

import neml2fe
from neml2fe.pyzag import chunktime, nonlinear
from neml2fe.pyzag.model import NEML2PyzagModel


def chosen(model: NEML2PyzagModel, job: dict[str, Any]) -> Solve:
    solver = recursion(nonlinear, chunktime, model, job, backend=job["route"])
    return lambda y0, forces: nonlinear.solve_adjoint(solver, y0, len(forces), forces)


def main() -> None:
    folder, job = read_job()
    model = NEML2PyzagModel(neml2fe.load_nonlinear_system(job["deck"], "system"))
    found = perform(folder, job, model, chosen(model, job))
    (folder / "result.json").write_text(json.dumps(found))


main()
