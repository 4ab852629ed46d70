"""One viscoplastic model, 60 steps of 20 specimens, by pyzag's solver and by neml2fe's.

python example.py
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from neml2fe_pyzag import Operator
from pyzag import chunktime, nonlinear

import neml2fe
from neml2fe.pyzag import NEML2PyzagModel
from neml2fe.pyzag import nonlinear as ours

warnings.filterwarnings("ignore", "pyzag lowered")
DECK = Path(__file__).parents[1] / "neml2" / "steel.i"
N, S = 61, 20
FITTED = ["isotropic_hardening_R", "yield_surface_sy", "flow_rate_eta"]

model = NEML2PyzagModel(neml2fe.load_nonlinear_system(DECK, "system"), FITTED)
times = torch.linspace(0.0, 10.0, N, dtype=torch.float64).reshape(N, 1).expand(N, S)
pull = torch.tensor([1.0, -0.5, -0.5, 0.0, 0.0, 0.0], dtype=torch.float64)
sizes = torch.linspace(0.005, 0.02, S, dtype=torch.float64).reshape(1, S, 1)
strain = sizes * torch.sin(times)[..., None] * pull
forces = model.assemble_forces({"strain": strain, "t": times})
y0 = model.assemble_state({"stress": torch.zeros(S, 6, dtype=torch.float64)})


def run(solve: Callable[[], torch.Tensor]) -> tuple[float, list[float], float]:
    """The mean square of the stress, its gradient, and the seconds for both."""
    model.zero_grad()
    start = time.perf_counter()
    loss = model.split_state(solve())["stress"].square().mean()
    loss.backward()
    gradient = [float(getattr(model, name).grad) for name in FITTED]
    return float(loss.detach()), gradient, time.perf_counter() - start


if __name__ == "__main__":
    theirs = nonlinear.RecursiveNonlinearEquationSolver(
        Operator(model),
        step_generator=nonlinear.StepGenerator(10),
        predictor=nonlinear.LastStepPredictor(),
        nonlinear_solver=chunktime.ChunkNewtonRaphson(rtol=1e-12, atol=1e-10),
    )
    mine = ours.RecursiveNonlinearEquationSolver(model)
    for name, solve in {
        "pyzag": lambda: nonlinear.solve_adjoint(theirs, y0, N, forces),
        "neml2fe": lambda: ours.solve_adjoint(mine, y0, N, forces),
    }.items():
        run(solve)  # neml2fe compiles its march
        loss, gradient, seconds = run(solve)
        shown = " ".join(f"{g:16.12f}" for g in gradient)
        print(f"{name:>8}: loss {loss:.10f}, gradient {shown}, {seconds:.2f} s")
