"""A script for pyzag, which runs with `pyzag` and with `neml2fe.pyzag`: only imports differ.

    python pyzag_script.py (pyzag | neml2fe) DECK RESULT.pt

RESULT gets trajectories and gradients by case.
"""

from __future__ import annotations

import sys

import torch

code, deck, target = sys.argv[1:]
if code == "pyzag":
    from neml2 import load_nonlinear_system
    from neml2.pyzag import NEML2PyzagModel
    from pyzag import chunktime, nonlinear, ode, reparametrization
    from pyzag.operators.dense import DenseBlockJacobian
else:
    from neml2fe import load_nonlinear_system
    from neml2fe.pyzag import NEML2PyzagModel, chunktime, nonlinear, ode, reparametrization
    from neml2fe.pyzag.operators import DenseBlockJacobian

N, S = 14, 3  # 13 steps
OPERATORS = {
    "thomas": chunktime.BidiagonalThomasFactorization,
    "pcr": chunktime.BidiagonalPCRFactorization,
    "hybrid": chunktime.BidiagonalHybridFactorization(min_size=3),
}
WAYS = [("thomas", 1, 0), ("thomas", 5, 0), ("thomas", 5, 2), ("pcr", 4, 0), ("hybrid", 13, 0)]
PARAMETERS = ["elasticity_E", "yield_surface_sy", "flow_rate_eta", "flow_rate_n", "isoharden_R"]
found = {}


class VanDerPol(torch.nn.Module):
    """x' = y, y' = mu (1 - x^2) y - k x + t / 5."""

    def __init__(self) -> None:
        super().__init__()
        self.mu = torch.nn.Parameter(torch.tensor(1.3))
        self.k = torch.nn.Parameter(torch.tensor(0.7))

    def forward(self, t, state):
        x, y = state[..., 0], state[..., 1]
        rates = torch.stack([y, self.mu * (1 - x**2) * y - self.k * x + t[..., 0] / 5], -1)
        first = torch.stack([torch.zeros_like(x), torch.ones_like(x)], -1)
        second = torch.stack([-2 * self.mu * x * y - self.k, self.mu * (1 - x**2)], -1)
        return rates, torch.stack([first, second], -2)


class Recursion(torch.nn.Module, nonlinear.NonlinearFunctionOperatorFactory):
    """2 x + a x^3 = K x~1 + f."""

    lookback = 1

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor([0.5, 0.8]))
        self.K = torch.nn.Parameter(torch.tensor([[1.6, 0.3], [-0.4, 1.2]]))

    @property
    def wrapper(self):
        return ode.DenseODEWrapper()

    def make_operator(self, prev_solution, forces, inverse_operator):
        return nonlinear.ChunkOp(self, prev_solution, forces, inverse_operator)

    def evaluate_raw(self, x_full, forces):
        old, x = x_full[:-1], x_full[1:]
        residual = 2 * x + self.a * x**3 - old @ self.K.mT - forces[0][1:]
        diag = torch.diag_embed(2 + 3 * self.a * x**2)
        return residual, DenseBlockJacobian(diag=diag, sub=-self.K.expand_as(diag))


def solver_of(func, operator, block, first, newton=chunktime.ChunkNewtonRaphson, predictor=None):
    return nonlinear.RecursiveNonlinearEquationSolver(
        func,
        step_generator=nonlinear.StepGenerator(block, first_block_size=first),
        predictor=predictor or nonlinear.PreviousStepsPredictor(),
        direct_solve_operator=OPERATORS[operator],
        nonlinear_solver=newton(rtol=1e-10, atol=1e-10, miter=50),
    )


def record(name, y, scale, **wrt):
    weights = torch.linspace(0.5, 1.5, y.numel()).reshape(y.shape)
    loss = (weights * y / scale).sum() + ((y / scale) ** 2).sum()
    loss.backward()
    found[name] = {"y": y.detach()} | {n: t.grad.clone() for n, t in wrt.items()}


def odes():
    t = torch.linspace(0.0, 2.0, N).reshape(N, 1, 1).expand(N, S, 1).clone()
    start = torch.linspace(-1.0, 1.5, 2 * S).reshape(S, 2)
    for kind in ("BackwardEulerODE", "ForwardEulerODE"):
        for operator, block, first in WAYS:
            module, y0 = VanDerPol(), start.clone().requires_grad_()
            solver = solver_of(getattr(ode, kind)(module), operator, block, first)
            y = nonlinear.solve_adjoint(solver, y0, N, t)
            name = f"{kind} {operator} {block} {first}"
            record(name, y, 1.0, mu=module.mu, k=module.k, y0=y0)


def recursions():
    f = torch.linspace(0.0, 2.0, N).reshape(N, 1, 1).expand(N, S, 1).clone()
    start = torch.linspace(-1.0, 1.5, 2 * S).reshape(S, 2)
    for operator, block, first in WAYS:
        func, y0 = Recursion(), start.clone().requires_grad_()
        y = nonlinear.solve_adjoint(solver_of(func, operator, block, first), y0, N, f)
        record(f"Recursion {operator} {block} {first}", y, 1.0, a=func.a, K=func.K, y0=y0)


def rescaled():
    module = VanDerPol()
    ranges = {"mu": reparametrization.RangeRescale(torch.tensor(0.5), torch.tensor(2.5))}
    func = ode.BackwardEulerODE(module)
    reparametrization.Reparameterizer(
        {f"ode.{name}": scale for name, scale in ranges.items()}, error_not_provided=False
    )(func)
    t = torch.linspace(0.0, 2.0, N).reshape(N, 1, 1).expand(N, S, 1).clone()
    y0 = torch.linspace(-1.0, 1.5, 2 * S).reshape(S, 2).requires_grad_()
    y = nonlinear.solve_adjoint(solver_of(func, "thomas", 5, 0), y0, N, t)
    own = {n.replace(".", " "): p for n, p in func.named_parameters()}
    record("rescaled", y, 1.0, y0=y0, **own)


def model():
    system = load_nonlinear_system(deck, "eq_sys")
    names = NEML2PyzagModel(system).parameter_names
    found["names"] = {n: torch.tensor(0.0) for n in names}
    time = torch.linspace(0.0, 1.0, N).reshape(N, 1).expand(N, S).clone()
    ways = torch.tensor(
        [[1.0, -0.4, -0.5, 0, 0, 0], [0, 0, 0, 0.3, 0.8, 0], [0.7, 0.7, -1, 0, 0, 1]]
    )
    values = {"E": 0.008 * torch.sin(6.0 * time)[..., None] * ways, "t": 5.0 * time}
    start = {"stress": torch.zeros(S, 6), "equivalent_plastic_strain": torch.zeros(S)}
    scale = torch.tensor([100.0] * 6 + [1.0])
    for newton in ("ChunkNewtonRaphson", "ChunkNewtonRaphsonLineSearch"):
        for operator, block, first in WAYS:
            fresh = load_nonlinear_system(deck, "eq_sys")
            wrapped = NEML2PyzagModel(fresh, include_parameters=PARAMETERS)
            y0, forces = wrapped.assemble_state(start), wrapped.assemble_forces(values)
            y0 = y0.clone().requires_grad_()
            solver = solver_of(wrapped, operator, block, first, getattr(chunktime, newton))
            y = nonlinear.solve_adjoint(solver, y0, N, forces)
            own = dict(wrapped.named_parameters())
            record(f"{newton} {operator} {block} {first}", y, scale, y0=y0, **own)


torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
odes()
recursions()
rescaled()
model()
torch.save(found, target)
