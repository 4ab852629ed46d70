"""`CalibrationProblem`: a model and specimens as the problem that a fit minimises."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from neml2fe.calibration.noise import GaussianNoise, Noise
from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.specimens import Specimens
from neml2fe.errors import ConvergenceError, InputError, suggest
from neml2fe.implicit import NonlinearSystem
from neml2fe.kernels import repeated
from neml2fe.models import Model
from neml2fe.pyzag import NEML2PyzagModel, controlled_system, nonlinear
from neml2fe.pyzag.chunktime import ChunkNewtonRaphson

CALLS = 100  # of a simulation in a fit, about: whether to compile depends on it


class CalibrationProblem:
    """Measured against simulated histories, in the form that `fit` takes.

    `model` is strain-driven; the components of strain and stress that a test prescribes drive it
    (`controlled_system`). Or it is a `NonlinearSystem` that has the given variables `control` and
    `prescribed` already. `strain`, `stress` and `time` are the names of its variables; the strain
    is found if there is one only.

    Rows of the data are the steps of the simulation; `substeps` divides each into equal parts,
    along which everything prescribed varies linearly.

    Specimens that cannot be simulated at the initial values are left out and named in `flagged`.

    Raises InputError where data and model do not fit, and ConvergenceError if no specimen can be
    simulated at the initial values.
    """

    def __init__(
        self,
        model: Model | NonlinearSystem,
        specimens: Specimens,
        parameters: Sequence[FitParameter],
        noise: Noise | None = None,
        strain: str | None = None,
        stress: str = "stress",
        time: str = "t",
        control: str = "control",
        prescribed: str = "prescribed",
        backend: str = "auto",
        substeps: int = 1,
    ) -> None:
        if substeps < 1:
            raise InputError(f"substeps must be at least 1, got {substeps}")
        self.noise, self._substeps = noise or GaussianNoise(), substeps
        if isinstance(model, NonlinearSystem):
            system = model
        else:
            observed = [n for n in specimens.measured if n not in ("strain", "stress")]
            system = controlled_system(model, strain, stress, observed, control, prescribed)
            strain = strain or _added(system)
        if strain is None:
            raise InputError(f"name the strain among the unknowns {', '.join(system.unknowns)}")
        self.names = {"strain": strain, "stress": stress}  # of measured variables, in the model
        self.recursion = NEML2PyzagModel(system, [p.name for p in parameters])
        self.parameters = ParameterSet.of(system.model, parameters)
        self._places = {full: short for short, full in self.recursion.full_names.items()}
        self.solver = nonlinear.RecursiveNonlinearEquationSolver(
            self.recursion,
            predictor=nonlinear.PreviousStepsPredictor(),
            nonlinear_solver=ChunkNewtonRaphson(throw_on_fail=False),
            backend=backend,
        )
        self._check(system, specimens, (time, control, prescribed))
        self._drives = (time, control, prescribed)
        self.specimens, self.flagged = specimens, dict[str, str]()
        self._pack()
        self._leave_out_failed()

    @property
    def noise_is_known(self) -> bool:
        return self.noise.is_known

    # --- what `fit` asks for ------------------------------------------------------------------
    def residuals(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._compared(self.predict(x))

    def loss(self, x: Tensor) -> Tensor:
        with self._at(x):
            y = nonlinear.solve_adjoint(self.solver, self._start, len(self._forces), self._forces)
        measured, weights = self.specimens.measured, self.specimens.weights
        return self.noise.loss(self._measured(y), measured, weights)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Residuals and their Jacobian by forward sensitivities: one linear solution a step and
        parameter."""
        with torch.no_grad(), self._at(x) as tensors:
            y = nonlinear.solve(self.solver, self._start, len(self._forces), self._forces)
            predicted = self._measured(y)
            residuals = self._compared(predicted)
            columns = []
            for rate in self._directions(x, tensors):
                change = nonlinear.sensitivities(
                    self.solver, y, self._forces, parameters=[*tensors.values()], rates=[rate]
                )
                columns.append(self._change(predicted, self._measured(change[..., 0])))
        return residuals, torch.stack(columns, -1)

    def curvature_weights(self, residuals: Tensor) -> Tensor | None:
        if isinstance(self.noise, GaussianNoise):
            return None
        return self.noise.curvature_weights(residuals)

    def specimen_of_residuals(self) -> Tensor:
        """`(m,)`: the number of the specimen that each residual belongs to."""
        weights = self.specimens.weights
        return torch.cat([weights[n].nonzero()[:, 1] for n in self.specimens.measured])

    # --- simulation ---------------------------------------------------------------------------
    @torch.no_grad()
    def predict(self, x: Tensor) -> dict[str, Tensor]:
        """What the model says of the measured variables, `(N, S, *base)`."""
        with self._at(x):
            y = nonlinear.solve(self.solver, self._start, len(self._forces), self._forces)
        return self._measured(y)

    @contextmanager
    def _at(self, x: Tensor) -> Iterator[dict[str, Tensor]]:
        """With the model's parameters at x; yields them."""
        tensors = self.parameters.as_parameters(x)
        if not x.requires_grad:
            tensors = {n: t.detach().requires_grad_() for n, t in tensors.items()}
        table = self.recursion._parameters
        before = {n: table[self._places[n]] for n in tensors}
        try:
            for name, tensor in tensors.items():
                table[self._places[name]] = tensor  # type: ignore[assignment]
            with repeated(CALLS):
                yield tensors
        finally:
            for name, parameter in before.items():
                table[self._places[name]] = parameter

    def _directions(self, x: Tensor, tensors: Mapping[str, Tensor]) -> Iterator[list[Tensor]]:
        """Changes of the parameters with each component of x."""
        for row in torch.diag(self.parameters.slopes(x)):
            parts = row.split([t.numel() for t in tensors.values()])
            yield [
                part.to(t.device, t.dtype).reshape(t.shape)
                for part, t in zip(parts, tensors.values(), strict=True)
            ]

    def _measured(self, y: Tensor) -> dict[str, Tensor]:
        states = self.recursion.split_state(y[:: self._substeps])
        return {n: states[self.names.get(n, n)] for n in self.specimens.measured}

    def _compared(self, predicted: Mapping[str, Tensor]) -> Tensor:
        return self.noise.residuals(predicted, self.specimens.measured, self.specimens.weights)

    def _change(self, predicted: dict[str, Tensor], change: dict[str, Tensor]) -> Tensor:
        """How the residuals change with what is predicted."""
        found: Tensor
        _, found = torch.func.jvp(self._compared, (predicted,), (change,))  # type: ignore[misc]
        return found

    # --- set-up -------------------------------------------------------------------------------
    def _check(self, system: NonlinearSystem, specimens: Specimens, drives: Sequence[str]) -> None:
        for name in drives[1:]:
            if name not in system.given:
                raise InputError(
                    f"'{system.model.label}' has no given variable '{name}'"
                    f"{suggest(name, system.given)}"
                )
        for name in specimens.measured:
            variable = self.names.get(name, name)
            if variable not in system.unknowns:
                raise InputError(
                    f"measured are values of '{variable}', which is no unknown of "
                    f"'{system.model.label}'{suggest(variable, system.unknowns)}"
                )
        needed = [n for n in self.recursion.fvars if n not in drives]
        for name in needed:
            if name not in specimens.fields:
                raise InputError(
                    f"'{system.model.label}' needs '{name}'; give it for each specimen"
                )

    def _pack(self) -> None:
        """Forces `(N, S, n_force)` and the initial state of the specimens."""
        data, (time, control, prescribed) = self.specimens, self._drives
        values = {control: data.control, prescribed: data.strain + data.stress, time: data.times}
        values |= data.fields
        known = {n: v for n, v in values.items() if n in self.recursion.fvars}
        known = {n: _divided(v, self._substeps, n == control) for n, v in known.items()}
        self._forces = self.recursion.assemble_forces(known)
        first = {self.names["strain"]: torch.where(data.control[0] > 0.5, 0.0, data.strain[0])}
        self._start = self.recursion.assemble_state(first)

    def _leave_out_failed(self) -> None:
        """Try all specimens once; from then on a failure is an error."""
        with torch.no_grad(), self._at(self.parameters.x0), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `flagged` says it
            nonlinear.solve(self.solver, self._start, len(self._forces), self._forces)
        failed, names = self.solver.outcome.failed, self.specimens.names
        self.flagged = {
            names[s]: "the simulation with the initial values does not converge at row "
            f"{-(-step // self._substeps)}; more substeps may help"
            for s, step in sorted(failed.items())
        }
        if len(failed) == len(names):
            raise ConvergenceError(
                "no specimen can be simulated with the initial values "
                f"({self.parameters.describe(self.parameters.x0)}); start from others"
            )
        if failed:
            kept = [s for s in range(len(names)) if s not in failed]
            self.specimens = self.specimens.select(kept)
            self._pack()
        self.solver.nonlinear_solver.throw_on_fail = True


def _divided(values: Tensor, parts: int, constant: bool) -> Tensor:
    """Rows `(N, ...)` with others between them, `((N - 1) parts + 1, ...)`: in equal steps, or as
    the next row."""
    if parts == 1:
        return values
    share = torch.arange(1, parts + 1, dtype=values.dtype, device=values.device) / parts
    share = share.reshape(1, parts, *(1,) * (values.ndim - 1))
    old, new = values[:-1].unsqueeze(1), values[1:].unsqueeze(1)
    between = new.expand(-1, parts, *new.shape[2:]) if constant else old + share * (new - old)
    return torch.cat((values[:1], between.flatten(0, 1)))


def _added(system: NonlinearSystem) -> str:
    """The strain of a controlled system, its last unknown."""
    return list(system.unknowns)[-1]
