"""`Material`: what a host code sees of a constitutive model, all points of a batch at once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.implicit import Status
from neml2fe.kernels import BACKENDS
from neml2fe.material.compiled import CompiledMaterial
from neml2fe.material.composed import ComposedMaterial
from neml2fe.material.history import current_name, is_old, lags
from neml2fe.material.interface import require_fields, require_rates, require_shape
from neml2fe.material.march import march, march_vjp
from neml2fe.material.path import MarchCotangents, MarchResult
from neml2fe.material.response import response
from neml2fe.material.results import Fields, PointCotangents, PointResult, State
from neml2fe.material.shapes import Shapes, state_shapes
from neml2fe.material.variables import require_variables, state_of, strain_of, stress_of
from neml2fe.models import Model
from neml2fe.models.functional import substituted
from neml2fe.models.model import Spec
from neml2fe.types import R2, TypedTensor


class Material:
    """A model driven by a strain or a displacement jump, as a batched update of points.

    `strain`, by default the model's only input that may be one, is an `SR2` (small strain,
    Mandel), an `R2` (deformation gradient) or a `Vec` (displacement jump of an interface: normal,
    first and second tangential component). `stress` is then an `SR2`, an `R2` (first
    Piola-Kirchhoff) or a `Vec` (traction); by default `stress`, `traction`, or what the model's
    stress measure computes. `energy` names a Scalar output that results are to hold, such as the
    stored energy.

    The state is found from the model's `x~1` inputs: every variable one step back that the
    model needs, be it computed (stress, plastic strain) or driven (strain). Time is handed
    over by the caller. All other inputs are `fields` (temperature, ...), given per point
    to each call. A parameter that the deck gives as the name of a variable
    (`saturated_hardening = 'R'`) is such a field: a value a point. States and fields may have a
    sub-batch (slip systems, grains), `(n, *sub_batch, *base)`. Inputs stay on their device.

    `backend`: `kernel` compiles the whole update (`neml2fe.kernels`), `eager` runs it as torch
    operations, `auto` compiles where that pays and can be done, and else warns once, saying why.

    Raises `ModelError` when strain, stress or energy cannot be found or are ambiguous.
    """

    def __init__(
        self,
        model: Model,
        strain: str | None = None,
        stress: str | None = None,
        time: str = "t",
        backend: str = "auto",
        energy: str | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise ModelError(f"material: backend is {', '.join(BACKENDS)}, not '{backend}'")
        self.model, self.backend = model, backend
        self.inputs, self.outputs = model.input_spec, model.output_spec
        self.strain = strain_of(model) if strain is None else strain
        self.stress = stress_of(model, self.strain) if stress is None else stress
        self.time, self.energy = time, energy
        require_variables(model, self.strain, self.stress, energy)
        self._times = (time, lags(time, 1))  # handed over by the caller; older ones are state
        self.state_spec = state_of(model, self._times)
        self.field_spec: Spec = {
            n: t for n, t in self.inputs.items() if not is_old(n) and n not in (self.strain, time)
        }
        self._shapes: dict[tuple[object, ...], Shapes] = {}
        self.compiled, self.composed = CompiledMaterial(self), ComposedMaterial(self)

    @property
    def label(self) -> str:
        return self.model.label

    @property
    def strain_kind(self) -> type[TypedTensor]:
        return self.inputs[self.strain]

    @property
    def stress_kind(self) -> type[TypedTensor]:
        return self.outputs[self.stress]

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """Those of the model by full name, `(*base)` or `(n, *base)` where they vary by point.

        By these names `jvp` takes rates, and `vjp` gives cotangents of those that require a
        gradient.
        """
        return self.compiled.parameters()

    def with_parameters(self, values: Mapping[str, torch.Tensor]) -> AbstractContextManager[object]:
        """Within this context `values`, by the names of `parameters`, take the place of these;
        they have their shapes."""
        return substituted(self.model, values)

    def state_shapes(self, fields: Fields | None = None) -> Shapes:
        """Sub-batch and base shape of every state variable, given the fields of some points."""
        inner = {n: tuple(v.shape[1:]) for n, v in (fields or {}).items()}
        key = tuple(sorted(inner.items()))
        if key not in self._shapes:
            self._shapes[key] = state_shapes(self, inner)
        return self._shapes[key]

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
        """The virgin state of n points: zeros, or the identity for a deformation gradient. `fields`
        are needed only when they bring a sub-batch, such as an orientation per grain."""
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

        `strain` `(n, *base)` is the total strain at `time`, `state` that at `time - dt`. A point
        that fails is reported in `status`; the others are unaffected.
        """
        inputs = self._inputs(strain, state, time, dt, fields)
        done = self.compiled.update(inputs, tangent) or self.composed.update(inputs, tangent)
        stress = done.values[self.stress].expand(len(strain), *self.stress_kind.BASE_SHAPE)
        bad = (done.status == Status.CONVERGED) & ~torch.isfinite(stress).flatten(1).all(-1)
        status = torch.where(bad, torch.full_like(done.status, Status.NOT_FINITE), done.status)
        new = self._next(done.values, inputs, fields)
        energy = None if self.energy is None else done.values[self.energy].expand(len(strain))
        return PointResult(
            stress, done.tangent, new, status, done.iterations, done.solution, energy
        )

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
        """Pull cotangents of the new stress `(n, *base)` and new state back through one update;
        that of the energy may be among those of the state.

        One transposed local solve per point, and no other where the `solution` of the update is
        at hand. Raises `ConvergenceError` when a point does not converge, since its derivatives
        do not exist.
        """
        inputs = self._inputs(strain, state, time, dt, fields)
        bars, known = dict(state_bar or {}), (state_bar or {}).get(self.stress)
        for name in bars:
            if name not in self.compiled.of:
                raise ModelError(
                    f"material: '{self.label}' has no state '{name}' to have a cotangent"
                    f"{suggest(name, self.compiled.of)}"
                )
        bars[self.stress] = stress_bar if known is None else stress_bar + known
        wrt = [n for n in inputs if n not in self._times]
        found = self.compiled.vjp(inputs, bars, wrt, solution)
        by_input, by_parameter = found or self.composed.vjp(inputs, bars, wrt)
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
        parameter_rate: Mapping[str, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, State]:
        """Push rates of strain `(n, *base)`, old state, fields and parameters, zero where not
        given, through one update: rates of the new stress and state.

        `parameter_rate` is by the names of `parameters` and in their shapes; a parameter need not
        require a gradient. `solution` and errors as for `vjp`; `ModelError` for unknown names.
        """
        inputs = self._inputs(strain, state, time, dt, fields)
        require_rates(self, "strain", {self.strain: strain_rate}, {self.strain: strain})
        require_rates(self, "state", state_rate, {n: state[n] for n in self.state_spec})
        require_rates(self, "field", field_rate, fields or {})
        require_rates(self, "parameter", parameter_rate, self.parameters)
        old = {lags(n, 1): v for n, v in (state_rate or {}).items()}
        rates = {self.strain: strain_rate, **old, **(field_rate or {})}
        also = parameter_rate or {}
        found = self.compiled.jvp(inputs, rates, also, solution)
        found = found or self.composed.jvp(inputs, rates, also)
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
        require_shape(self, strain)
        fields = fields or {}
        require_fields(self, fields)
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
        for name, shape in self.state_shapes(fields).items():
            if state[name].ndim - 1 > len(shape):
                raise ModelError(
                    f"material: state '{name}' must have shape {(len(strain), *shape)}, got "
                    f"{tuple(state[name].shape)}; a sub-batch comes with fields"
                )
        now = torch.as_tensor(time, dtype=strain.dtype, device=strain.device)
        return {**given, **dict(zip(self._times, (now, now - dt), strict=True))}

    def _next(self, values: State, inputs: State, fields: Fields | None) -> State:
        """The state after the step, from the model's outputs and inputs."""
        n, known = len(inputs[self.strain]), {**inputs, **values}
        return {
            name: known[name].expand(n, *shape) for name, shape in self.state_shapes(fields).items()
        }
