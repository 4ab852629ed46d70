"""`Material`: what a host code sees of a constitutive model, all points of a batch at once."""

from __future__ import annotations

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.implicit import Status, recorded_solves
from neml2fe.kernels import BACKENDS
from neml2fe.material.compiled import CompiledMaterial
from neml2fe.material.composed import ComposedMaterial
from neml2fe.material.history import current_name, is_old, lags, split_lag
from neml2fe.material.march import march, march_vjp
from neml2fe.material.path import MarchCotangents, MarchResult
from neml2fe.material.response import response
from neml2fe.material.results import Fields, PointCotangents, PointResult, State
from neml2fe.models import Model
from neml2fe.models.derivatives import inner_shape
from neml2fe.models.functional import of_no_points
from neml2fe.models.model import Spec
from neml2fe.types import R2, SR2, TypedTensor


class Material:
    """A strain-driven model as a batched update of quadrature points.

    The state is found from the model's `x~1` inputs: every variable one step back that the
    model needs, be it computed (stress, plastic strain) or driven (strain). Time is handed
    over by the caller. All other inputs are `fields` (temperature, ...), given per point
    to each call. States and fields may have a sub-batch (slip systems, grains), `(n, *sub_batch,
    *base)`. Inputs may live on any device and stay there.

    `backend`: `kernel` compiles the whole update (`neml2fe.kernels`), `eager` runs it as torch
    operations, `auto` compiles where that pays and can be done; where it cannot, one warning says
    why.

    Raises `ModelError` when `strain` or `stress` cannot be found or is ambiguous.
    """

    def __init__(
        self,
        model: Model,
        strain: str | None = None,
        stress: str = "stress",
        time: str = "t",
        backend: str = "auto",
    ) -> None:
        if backend not in BACKENDS:
            raise ModelError(f"material: backend is {', '.join(BACKENDS)}, not '{backend}'")
        self.model, self.backend = model, backend
        self.inputs, self.outputs = model.input_spec, model.output_spec
        self.strain = strain if strain is not None else self._find_strain()
        self.stress, self.time = stress, time
        for name, spec, role in (
            (self.strain, self.inputs, "strain input"),
            (stress, self.outputs, "stress output"),
        ):
            if name not in spec:
                raise ModelError(
                    f"material: '{model.label}' has no {role} '{name}'{suggest(name, spec)}"
                )
            if spec[name] not in (SR2, R2):
                raise ModelError(f"material: {role} '{name}' must be an SR2 or R2 variable")
        driven = {self.strain, self.time}
        self._times = (time, lags(time, 1))  # handed over by the caller; older ones are state
        olds = [n for n in self.inputs if is_old(n) and n not in self._times]
        self.state_spec: Spec = {}
        for name in olds:  # to have x~2 in the next step, x and x~1 are kept
            kept = [lags(current_name(name), lag) for lag in range(split_lag(name)[1])]
            self.state_spec |= {n: self.inputs[name] for n in kept if lags(n, 1) not in self._times}
        for name in self.state_spec:
            base = current_name(name)
            if base not in self.outputs and base not in self.inputs:
                raise ModelError(
                    f"material: '{model.label}' needs '{base}~1', but nothing computes '{base}'; "
                    "add it to the model's outputs"
                )
        self.field_spec: Spec = {
            n: t for n, t in self.inputs.items() if not is_old(n) and n not in driven
        }
        self._shapes: dict[tuple[object, ...], dict[str, tuple[int, ...]]] = {}
        self.compiled, self.composed = CompiledMaterial(self), ComposedMaterial(self)

    def _find_strain(self) -> str:
        found = [n for n, t in self.inputs.items() if t is SR2 and not is_old(n)]
        if len(found) != 1:
            raise ModelError(
                f"material: cannot tell the strain among the SR2 inputs {found} of "
                f"'{self.model.label}'; name it with strain = ..."
            )
        return found[0]

    def state_shapes(self, fields: Fields | None = None) -> dict[str, tuple[int, ...]]:
        """Sub-batch and base shape of every state variable, given the fields of some points."""
        inner = {n: tuple(v.shape[1:]) for n, v in (fields or {}).items()}
        key = tuple(sorted(inner.items()))
        if key not in self._shapes:
            self._shapes[key] = self._find_shapes(inner)
        return self._shapes[key]

    def _find_shapes(self, inner: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """Updates of no points at all, until no state changes its shape."""
        shapes = {n: t.BASE_SHAPE for n, t in self.inputs.items()} | inner
        like = next(iter([*self.model.parameters(), torch.zeros(0, dtype=torch.float64)]))
        for _ in range(len(self.state_spec) + 1):
            nothing = {n: like.new_zeros(0, *shapes[n]) for n in self.inputs}
            with torch.no_grad(), recorded_solves(), of_no_points(self.model):
                outputs = self.model.evaluate(self.typed(nothing))
            found = {
                name: inner_shape(outputs[name])
                if name in outputs
                else shapes.get(name, kind.BASE_SHAPE)
                for name, kind in self.state_spec.items()
            }
            older = {lags(n, 1): shape for n, shape in found.items()}
            if all(shapes.get(n) == shape for n, shape in older.items()):
                break
            shapes |= older
        return found

    def typed(self, inputs: State) -> dict[str, TypedTensor]:
        """Inputs `(n, *sub_batch, *base)` with their types; times may be plain numbers."""
        return {
            name: kind(inputs[name], max(inputs[name].ndim - 1 - kind.base_ndim(), 0))
            for name, kind in self.inputs.items()
        }

    def initial_state(
        self,
        n: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        fields: Fields | None = None,
    ) -> State:
        """The virgin state of n points: zeros, or the identity for a deformation gradient.

        `fields` are needed only when they bring a sub-batch, such as an orientation per grain.
        """
        state = {}
        shapes = self.state_shapes(fields)
        for name, kind in self.state_spec.items():
            value = torch.zeros(n, *shapes[name], dtype=dtype, device=device)
            if kind is R2 and current_name(name) == self.strain:
                value = value + torch.eye(3, dtype=dtype, device=device)
            state[name] = value
        return state

    def update(
        self,
        strain: torch.Tensor,
        state: State,
        time: float | torch.Tensor,
        dt: float | torch.Tensor,
        fields: Fields | None = None,
        tangent: bool = True,
    ) -> PointResult:
        """Advance n points from `time - dt` to `time`. The results carry no graph; `vjp` gives
        derivatives beyond the tangent.

        `strain` `(n, 6)` is the total strain at `time`, `state` that at `time - dt`. A point
        that fails is reported in `status`; the others are unaffected.
        """
        inputs = self._inputs(strain, state, time, dt, fields)
        done = self.compiled.update(inputs, tangent) or self.composed.update(inputs, tangent)
        stress = done.values[self.stress].expand(len(strain), *self.outputs[self.stress].BASE_SHAPE)
        bad = (done.status == Status.CONVERGED) & ~torch.isfinite(stress).flatten(1).all(-1)
        status = torch.where(bad, torch.full_like(done.status, Status.NOT_FINITE), done.status)
        new = self._next(done.values, inputs, fields)
        return PointResult(stress, done.tangent, new, status, done.iterations, done.solution)

    def vjp(
        self,
        strain: torch.Tensor,
        state: State,
        time: float | torch.Tensor,
        dt: float | torch.Tensor,
        stress_bar: torch.Tensor,
        state_bar: State | None = None,
        fields: Fields | None = None,
        solution: torch.Tensor | None = None,
    ) -> PointCotangents:
        """Pull cotangents of the new stress `(n, 6)` and new state back through one update.

        One transposed local solve per point, and no other where the `solution` of the update is
        at hand. Raises `ConvergenceError` when a point does
        not converge, since its derivatives do not exist.
        """
        inputs = self._inputs(strain, state, time, dt, fields)
        bars = {n: v for n, v in (state_bar or {}).items() if n in self.outputs}
        known = bars.get(self.stress)
        bars[self.stress] = stress_bar if known is None else stress_bar + known
        wrt = [n for n in inputs if n not in self._times]
        found = self.compiled.vjp(inputs, bars, wrt, solution)
        by_input, by_parameter = found or self.composed.vjp(inputs, bars, wrt)
        for name, bar in (state_bar or {}).items():
            if name in by_input and name not in self.outputs:  # state that is only handed on
                by_input[name] = by_input[name] + bar
        return PointCotangents(
            strain=by_input[self.strain],
            state={n: by_input[lags(n, 1)] for n in self.state_spec},
            fields={n: by_input[n] for n in self.field_spec},
            parameters=by_parameter,
        )

    def march(
        self,
        strain: torch.Tensor,
        times: torch.Tensor,
        state: State | None = None,
        fields: Fields | None = None,
        tangent: bool = False,
        keep_every: int = 1,
    ) -> MarchResult:
        """Many steps in one call: see `neml2fe.material.march.march`."""
        return march(self, strain, times, state, fields, tangent, keep_every)

    def march_vjp(
        self,
        strain: torch.Tensor,
        times: torch.Tensor,
        result: MarchResult,
        stress_bar: torch.Tensor | None = None,
        state_bar: State | None = None,
        fields: Fields | None = None,
    ) -> MarchCotangents:
        """The reverse sweep: see `neml2fe.material.march.march_vjp`."""
        return march_vjp(self, strain, times, result, stress_bar, state_bar, fields)

    def response(
        self,
        strain: torch.Tensor,
        times: torch.Tensor,
        state: State | None = None,
        fields: Fields | None = None,
        keep_every: int = 1,
    ) -> tuple[torch.Tensor, State]:
        """A march as a node of torch's graph: see `neml2fe.material.response.response`."""
        return response(self, strain, times, state, fields, keep_every)

    def jvp(
        self,
        strain: torch.Tensor,
        state: State,
        time: float | torch.Tensor,
        dt: float | torch.Tensor,
        strain_rate: torch.Tensor,
        state_rate: State | None = None,
        fields: Fields | None = None,
        field_rate: State | None = None,
        solution: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, State]:
        """Push rates of strain `(n, 6)`, old state and fields through one update: rates of the
        new stress `(n, 6)` and state. Rates that are not given are zero; `solution` and errors
        as for `vjp`."""
        inputs = self._inputs(strain, state, time, dt, fields)
        old = {lags(n, 1): v for n, v in (state_rate or {}).items()}
        rates = {self.strain: strain_rate, **old, **(field_rate or {})}
        found = self.compiled.jvp(inputs, rates, solution) or self.composed.jvp(inputs, rates)
        zeros = {n: torch.zeros_like(v) for n, v in inputs.items() if n not in rates}
        return found[self.stress], self._next(found, {**zeros, **rates}, fields)

    def _inputs(
        self,
        strain: torch.Tensor,
        state: State,
        time: float | torch.Tensor,
        dt: float | torch.Tensor,
        fields: Fields | None,
    ) -> dict[str, torch.Tensor]:
        base = self.inputs[self.strain].BASE_SHAPE
        if tuple(strain.shape[1:]) != base:
            raise ModelError(
                f"material: strain '{self.strain}' must have shape "
                f"(n, {', '.join(map(str, base))}), got {tuple(strain.shape)}"
            )
        fields = fields or {}
        for name in fields:
            if name not in self.field_spec:
                raise ModelError(
                    f"material: '{self.model.label}' has no field '{name}'"
                    f"{suggest(name, self.field_spec)}"
                )
        given = {self.strain: strain}
        for role, spec, values in (
            ("state", self.state_spec, state),
            ("field", self.field_spec, fields),
        ):
            for name, kind in spec.items():
                expected = (len(strain), *kind.BASE_SHAPE)
                got = tuple(values[name].shape) if name in values else ()
                inner = got[max(len(got) - kind.base_ndim(), 1) :]
                if not got or got[0] != len(strain) or inner != kind.BASE_SHAPE:
                    raise ModelError(
                        f"material: {role} '{name}' must have shape {expected}, got "
                        f"{got if name in values else 'nothing'}"
                    )
                given[lags(name, 1) if role == "state" else name] = values[name]
        now = torch.as_tensor(time, dtype=strain.dtype, device=strain.device)
        return {**given, **dict(zip(self._times, (now, now - dt), strict=True))}

    def _next(self, values: State, inputs: State, fields: Fields | None) -> State:
        """The state after the step, from the model's outputs and inputs."""
        n, known = len(inputs[self.strain]), {**inputs, **values}
        return {
            name: known[name].expand(n, *shape) for name, shape in self.state_shapes(fields).items()
        }
