"""Materials of NEML2 in neml2fe: any update that NEML2 can load is a `PointMaterial`.

    material = Neml2Material("steel.i", "model", strain="strain", stress="stress")
    problem = neml2fe.fem.Problem(mesh, material, ...)

NEML2 computes everything, with extensions that are registered with it; here names, shapes and
batches are translated.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from neml2fe_neml2_chain import gaps
from neml2fe_neml2_derivatives import Derivatives
from neml2fe_neml2_model import Neml2Model, Raw, finite

from neml2fe.errors import ModelError, suggest
from neml2fe.implicit import Status
from neml2fe.material import PointCotangents, PointResult, Spec, State, current_name, is_old, lags
from neml2fe.material.interface import Time, require_fields, require_rates, require_shape
from neml2fe.material.results import Fields
from neml2fe.material.variables import require_variables, state_of, strain_of, stress_of
from neml2fe.types import R2, TypedTensor

__all__ = ["Neml2Material"]


class Neml2Material:
    """The model `model` of the NEML2 input file `file`, as a batched update of points.

    `strain` and `stress` name its variables; by default the only input and the usual output that
    may be one, as for `neml2fe.material.Material`. Variables with `~1` are the state, `time` (with
    its old values) is handed over, all other inputs are fields. An unknown that NEML2 wants a
    guess of starts from its old value, or from zero where it has none.

    `parameters` keep NEML2's names and tensors (`model` is its module); as there, all require a
    gradient until told not to. Number type and device are those of the strain; `to` moves the
    parameters.

    Raises `InputError` where NEML2 cannot load the model, `ModelError` where it can be no
    material.
    """

    def __init__(
        self,
        file: str | Path,
        model: str,
        strain: str | None = None,
        stress: str | None = None,
        time: str = "t",
    ) -> None:
        self._neml2 = Neml2Model(Path(file), model)
        self._derivatives = Derivatives(self._neml2)
        self.model, self.label = self._neml2.module, self._neml2.label
        self.inputs, self.outputs = self._neml2.inputs, self._neml2.outputs
        self._guesses = [n for n in self.inputs if n in self.outputs and not is_old(n)]
        names = SimpleNamespace(
            label=self.label,
            input_spec={n: t for n, t in self.inputs.items() if n not in self._guesses},
            output_spec=self.outputs,
            modules=self.model.modules,
        )
        seen = cast(Any, names)
        self.strain = strain_of(seen) if strain is None else strain
        self.stress = stress_of(seen, self.strain) if stress is None else stress
        require_variables(seen, self.strain, self.stress, None)
        self._times = (time, lags(time, 1))
        self.state_spec = state_of(seen, self._times)
        given = (self.strain, time, *self._guesses)
        self.field_spec: Spec = {
            n: t for n, t in self.inputs.items() if not is_old(n) and n not in given
        }
        self._gaps = gaps(self.model)
        if self._gap(self.field_spec):
            warnings.warn(f"{self._gap(self.field_spec)}; its tangent lacks it", stacklevel=2)

    @property
    def strain_kind(self) -> type[TypedTensor]:
        return self.inputs[self.strain]

    @property
    def stress_kind(self) -> type[TypedTensor]:
        return self.outputs[self.stress]

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """NEML2's, by their full names."""
        return self._neml2.parameters

    def with_parameters(self, values: Mapping[str, torch.Tensor]) -> AbstractContextManager[None]:
        """See `Material.with_parameters`."""
        return self._neml2.with_parameters(values)

    def to(self, *args: Any, **kwargs: Any) -> Neml2Material:
        """Move the parameters to another device or number type, as `torch.nn.Module.to`."""
        self.model.to(*args, **kwargs)
        return self

    def initial_state(
        self,
        n: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        fields: Fields | None = None,
    ) -> State:
        """The virgin state of n points: zeros, or the identity for an old value of a deformation
        gradient that drives the model."""
        state = {}
        for name, kind in self.state_spec.items():
            value = torch.zeros(n, *kind.BASE_SHAPE, dtype=dtype, device=device)
            if kind is R2 and current_name(name) == self.strain:
                value = value + torch.eye(3, dtype=dtype, device=device)
            state[name] = value
        return state

    @torch.no_grad()
    def update(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        fields: Fields | None = None,
        tangent: bool = True,
    ) -> PointResult:
        """See `Material.update`. Where NEML2 cannot solve all points at once, those that fail are
        searched for, and the others are solved without them."""
        inputs, n = self._inputs(strain, state, time, dt, fields), len(strain)
        slope = (self.stress, self.strain) if tangent else None
        with self._neml2.lock:
            parts = self._neml2.solved(inputs, torch.arange(n, device=strain.device), slope)
        status = torch.full((n,), Status.ITERATION_LIMIT, device=strain.device)
        status[~finite(inputs, n)] = Status.NOT_FINITE
        iterations = torch.zeros_like(status)
        for part in parts:
            fine = torch.isfinite(part.values[self.stress]).flatten(1).all(-1)
            status[part.points] = torch.where(fine, Status.CONVERGED, Status.NOT_FINITE)
            iterations[part.points] = part.iterations
        base = tuple(self.stress_kind.BASE_SHAPE)
        shapes = {k: tuple(t.BASE_SHAPE) for k, t in self.outputs.items() if k in self.state_spec}
        values = {
            name: _gathered(strain, shape, [(p.points, p.values[name]) for p in parts])
            for name, shape in {**shapes, self.stress: base}.items()
        }
        found = None
        if tangent:
            blocks = [(p.points, cast(torch.Tensor, p.slope)) for p in parts]
            found = _gathered(strain, base + tuple(self.strain_kind.BASE_SHAPE), blocks)
        new = self._next(values, inputs, state)
        return PointResult(values[self.stress], found, new, status, iterations)

    def vjp(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        stress_bar: torch.Tensor,
        state_bar: State | None = None,
        fields: Fields | None = None,
        solution: torch.Tensor | None = None,
    ) -> PointCotangents:
        """See `Material.vjp`: one update by NEML2 and one reverse sweep."""
        self._require_chain(self.field_spec)
        inputs = self._inputs(strain, state, time, dt, fields)
        bars, known = dict(state_bar or {}), (state_bar or {}).get(self.stress)
        for name in bars:
            if name not in self.state_spec and name != self.stress:
                raise ModelError(
                    f"material: '{self.label}' has no state '{name}' to have a cotangent"
                    f"{suggest(name, self.state_spec)}"
                )
        bars[self.stress] = stress_bar if known is None else stress_bar + known
        wanted = [n for n in inputs if n not in self._times and n not in self._guesses]
        computed = {n: bar for n, bar in bars.items() if n in self.outputs}
        by_input, by_parameter = self._derivatives.pulled(inputs, len(strain), computed, wanted)
        for name in bars.keys() & by_input.keys() - computed.keys():  # inputs handed on as state
            by_input[name] = by_input[name] + bars[name]
        return PointCotangents(
            strain=by_input[self.strain],
            state={n: by_input[lags(n, 1)] for n in self.state_spec},
            fields={n: by_input[n] for n in self.field_spec},
            parameters=by_parameter,
        )

    def jvp(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        strain_rate: torch.Tensor,
        state_rate: State | None = None,
        fields: Fields | None = None,
        field_rate: State | None = None,
        solution: torch.Tensor | None = None,
        parameter_rate: Mapping[str, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, State]:
        """See `Material.jvp`. Rates of parameters cost one reverse sweep for each number of
        NEML2's outputs."""
        self._require_chain(self.field_spec.keys() - (field_rate or {}).keys())
        inputs = self._inputs(strain, state, time, dt, fields)
        require_rates(self, "strain", {self.strain: strain_rate}, {self.strain: strain})
        require_rates(self, "state", state_rate, {n: state[n] for n in self.state_spec})
        require_rates(self, "field", field_rate, fields or {})
        require_rates(self, "parameter", parameter_rate, self.parameters)
        old = {lags(n, 1): v for n, v in (state_rate or {}).items()}
        rates = {self.strain: strain_rate, **old, **(field_rate or {})}
        found = self._derivatives.pushed(inputs, len(strain), rates, parameter_rate or {})
        zeros = {n: torch.zeros_like(v) for n, v in inputs.items() if n not in rates}
        return found[self.stress], self._next(found, {**zeros, **rates}, state)

    def _require_chain(self, but: Iterable[str]) -> None:
        if self._gap(but):
            raise ModelError(f"{self._gap(but)}; no derivative is given rather than a wrong one")

    def _gap(self, but: Iterable[str]) -> str:
        """A gap in NEML2's chain rule that more goes through than these variables and the time."""
        for place, through in self._gaps.items():
            others = through - {*but, *self._times, *self._guesses}
            if others:
                return (
                    f"'{self.label}': NEML2's derivatives leave out a variable in place of a "
                    f"parameter ({place}), by which {', '.join(sorted(others))} act"
                )
        return ""

    def _inputs(
        self, strain: torch.Tensor, state: State, time: Time, dt: Time, fields: Fields | None
    ) -> Raw:
        """All inputs of the model by name, `(n, *base)`; times are single numbers."""
        require_shape(self, strain)
        n, fields = len(strain), fields or {}
        require_fields(self, fields)
        given = {self.strain: strain}
        for role, spec, values in (
            ("state", self.state_spec, state),
            ("field", self.field_spec, fields),
        ):
            for name, kind in spec.items():
                got = tuple(values[name].shape) if name in values else "nothing"
                if got != (n, *kind.BASE_SHAPE):
                    raise ModelError(
                        f"material: {role} '{name}' must have shape {(n, *kind.BASE_SHAPE)}, got "
                        f"{got}"
                    )
                given[lags(name, 1) if role == "state" else name] = values[name]
        now = torch.as_tensor(time, dtype=strain.dtype, device=strain.device)
        given |= dict(zip(self._times, (now, now - dt), strict=True))
        for name in self._guesses:
            old = given.get(lags(name, 1))
            zero = strain.new_zeros(n, *self.inputs[name].BASE_SHAPE)
            given[name] = zero if old is None else old.detach()
        return given

    def _next(self, values: Raw, inputs: Raw, state: State) -> State:
        """The state after the step, from the model's outputs and inputs."""
        known = {**inputs, **values}
        return {n: known[n].expand(state[n].shape) for n in self.state_spec}


def _gathered(
    like: torch.Tensor, shape: tuple[int, ...], parts: list[tuple[torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """Values of all points `(n, *shape)`, NaN where no part has any."""
    if len(parts) == 1 and len(parts[0][0]) == len(like):
        return parts[0][1]
    found = like.new_full((len(like), *shape), torch.nan)
    for points, values in parts:
        found[points] = values
    return found
