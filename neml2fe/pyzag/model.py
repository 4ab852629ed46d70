"""`NEML2PyzagModel`: a nonlinear system of a deck as a recursion in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from neml2fe.errors import InputError, ModelError, suggest
from neml2fe.implicit import NonlinearSystem
from neml2fe.implicit.system import unpacked
from neml2fe.kernels import BACKENDS
from neml2fe.material import current_name, is_old, split_lag
from neml2fe.models.derivatives import pointwise_jacobian
from neml2fe.models.functional import parameter_base_ndims
from neml2fe.pyzag.compiled import CompiledSystem
from neml2fe.pyzag.inner import Raw
from neml2fe.pyzag.operators import DenseBlockJacobian
from neml2fe.pyzag.packing import Shapes, packed, together
from neml2fe.pyzag.recursion import Linearised, NonlinearFunctionOperatorFactory


class NEML2PyzagModel(torch.nn.Module, NonlinearFunctionOperatorFactory):
    """The residuals of `system` for many steps and specimens at once.

    The state of a step are all unknowns of the system, in their order (`svars`); its forces all
    other variables, `x~1` being the value of `x` one step before (`fvars`). Both are packed into
    rows by `assemble_state` and `assemble_forces`.

    Each parameter of the system's model becomes a `torch.nn.Parameter` of this module, the same
    object (from then on, set it here), named by its block and symbol: `yield_sy` for `sy` of block
    `yield`, or by its full path where that is ambiguous. `include_parameters` or
    `exclude_parameters`, but not both, choose some of them, by these names or full paths; the
    others stay constant. A parameter may have a value for each specimen, `(S, *shape)`.

    `backend`: whether single steps of Newton's method and whole marches are compiled, see
    `docs/kernels.md`.
    """

    def __init__(
        self,
        system: NonlinearSystem,
        include_parameters: Iterable[str] | None = None,
        exclude_parameters: Iterable[str] | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if not isinstance(system, NonlinearSystem):
            raise ModelError(
                f"NEML2PyzagModel wraps a NonlinearSystem, not a {type(system).__name__}; "
                "neml2fe.load_nonlinear_system(file, name) reads one from a deck"
            )
        if include_parameters is not None and exclude_parameters is not None:
            raise ModelError("give include_parameters or exclude_parameters, not both")
        if isinstance(include_parameters, str) or isinstance(exclude_parameters, str):
            raise ModelError("include_parameters and exclude_parameters are lists of names")
        if backend not in BACKENDS:
            raise ModelError(f"backend is {', '.join(BACKENDS)}, not '{backend}'")
        self.system, self.backend = system, backend
        self.svars = list(system.unknowns)
        self._require_lag_of_one()
        currents = map(current_name, system.given)
        self.fvars = list(dict.fromkeys(n for n in currents if n not in system.unknowns))
        object.__setattr__(self, "model", system.model)  # its parameters are registered here
        self.full_names = self._chosen(include_parameters, exclude_parameters)
        for name, full in self.full_names.items():
            parameter = system.model.get_parameter(full)
            parameter.requires_grad_()
            self.register_parameter(name, parameter)
        self._base_ndims = parameter_base_ndims(system.model)
        self._tables = {
            full: (system.model.get_submodule(path)._parameters, symbol)
            for full, _ in system.model.named_parameters()
            for path, _, symbol in [full.rpartition(".")]
        }
        self._specimens: torch.Tensor | None = None
        self._state_shapes: Shapes = {n: t.BASE_SHAPE for n, t in system.unknowns.items()}
        given = {current_name(n): t for n, t in system.given.items()}
        self._force_shapes: Shapes = {n: given[n].BASE_SHAPE for n in self.fvars}
        self.compiled = CompiledSystem(self)

    def _require_lag_of_one(self) -> None:
        for name in self.system.given:
            base, lag = split_lag(name)
            if lag > 1:
                raise ModelError(
                    f"'{self.system.model.label}' needs '{name}'; recursions look back one step"
                )
            if lag == 0 and f"{name}~1" in self.system.unknowns:
                raise ModelError(f"'{self.system.model.label}': '{base}~1' is an unknown")

    def _chosen(
        self, include: Iterable[str] | None, exclude: Iterable[str] | None
    ) -> dict[str, str]:
        """Full names by the names of this module."""
        paths = [name for name, _ in self.system.model.named_parameters()]
        short = ["_".join(path.split(".")[-2:]) for path in paths]
        names = {
            s if short.count(s) == 1 else path.replace(".", "_"): path
            for s, path in zip(short, paths, strict=True)
        }
        include, exclude = (None if n is None else list(n) for n in (include, exclude))
        for name in [*(include or []), *(exclude or [])]:
            if name not in names and name not in paths:
                raise ModelError(
                    f"'{self.system.model.label}' has no parameter '{name}'{suggest(name, names)}"
                )
        return {
            name: path
            for name, path in names.items()
            if include is None or name in include or path in include
            if exclude is None or not {name, path}.intersection(exclude)
        }

    # --- packing ------------------------------------------------------------------------------
    @property
    def parameter_names(self) -> list[str]:
        return list(self.full_names)

    @property
    def nstate(self) -> int:
        """How many numbers a state has."""
        return sum(map(math.prod, self._state_shapes.values()))

    @property
    def nforce(self) -> int:
        """How many numbers the forces of a step have."""
        return sum(map(math.prod, self._force_shapes.values()))

    def assemble_state(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Unknowns by name, `(S, *sub_batch, *base)`, as rows `(S, nstate)`; those that are not
        given are zero."""
        kinds = {n: t.base_ndim() for n, t in self.system.unknowns.items()}
        rows, shapes = packed("state", values, kinds, dict(self._state_shapes), 1, True)
        self._state_shapes = shapes
        return rows

    def assemble_forces(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Driving forces by name, `(N, S, *sub_batch, *base)`, as rows `(N, S, nforce)`; those
        given for one specimen, `(N, 1, ...)`, hold for all."""
        given = {current_name(n): t.base_ndim() for n, t in self.system.given.items()}
        kinds = {n: given[n] for n in self.fvars}
        rows, shapes = packed("force", values, kinds, dict(self._force_shapes), 2, False)
        self._force_shapes = shapes
        return rows

    def split_state(self, y: torch.Tensor) -> dict[str, torch.Tensor]:
        """Rows `(*batch, nstate)` as unknowns by name, `(*batch, *sub_batch, *base)`."""
        return unpacked(y, self._state_shapes)

    def split_forces(self, forces: torch.Tensor) -> dict[str, torch.Tensor]:
        """Rows `(*batch, nforce)` as forces by name."""
        return unpacked(forces, self._force_shapes)

    @property
    def packing(self) -> tuple[Shapes, Shapes]:
        """Shapes of unknowns and forces."""
        return self._state_shapes, self._force_shapes

    @packing.setter
    def packing(self, shapes: tuple[Shapes, Shapes]) -> None:
        self._state_shapes, self._force_shapes = shapes

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> NEML2PyzagModel:
        """To another device or number type, with the parameters that stay constant."""
        self.system.model._apply(fn)
        return super()._apply(fn, recurse)

    @property
    def shapes(self) -> Shapes:
        """Sub-batch and base shape of all unknowns and forces, as they were packed last."""
        return {**self._state_shapes, **self._force_shapes}

    # --- the recursion ------------------------------------------------------------------------
    def held_modules(self) -> list[torch.nn.Module]:
        return [self.system.model]

    def check(self, y0: torch.Tensor, forces: Sequence[torch.Tensor]) -> None:
        given = [("a state", y0.shape[-1], self.nstate, self.svars)]
        given.append(("the forces", sum(f.shape[-1] for f in forces), self.nforce, self.fvars))
        for what, got, expected, names in given:
            if got != expected:
                raise InputError(
                    f"'{self.system.model.label}': {what} must be a row of {expected} numbers "
                    f"({', '.join(names)}), got {got}; assemble_state and assemble_forces make them"
                )
        for name, value in self.values().items():
            if self.varies(name, value) and len(value) not in (1, len(y0)):
                raise InputError(
                    f"parameter '{name}' has values for {len(value)} specimens, of which there are "
                    f"{len(y0)}"
                )
            if value.dtype != y0.dtype:
                raise InputError(
                    f"parameter '{name}' is of {value.dtype}, the states of {y0.dtype}; use one "
                    "type for both"
                )

    def separable(self, n_specimens: int) -> bool:
        return True

    @contextmanager
    def only(self, specimens: torch.Tensor) -> Iterator[None]:
        before = self._specimens
        self._specimens = specimens if before is None else before[specimens]
        try:
            yield
        finally:
            self._specimens = before

    def values(self) -> Raw:
        """All parameters of the system by full name, as this module has them now; those that
        differ by specimen for the specimens at hand."""
        values = {full: _present(table[symbol]) for full, (table, symbol) in self._tables.items()}
        values |= {full: getattr(self, name) for name, full in self.full_names.items()}
        if self._specimens is None:
            return values
        return {
            n: p[self._specimens] if self.varies(n, p) and len(p) > 1 else p
            for n, p in values.items()
        }

    def varies(self, full_name: str, value: torch.Tensor) -> bool:
        """Whether a parameter differs by specimen."""
        return value.ndim > self._base_ndims[full_name]

    def of_points(self, m: int, n_specimens: int) -> Raw:
        """All parameters, for m steps: `(m * S, *shape)` where they differ by specimen."""
        return {
            n: p.expand(m, n_specimens, *p.shape[1:]).flatten(0, 1) if self.varies(n, p) else p
            for n, p in self.values().items()
        }

    def given(self, x_old: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> Raw:
        """The given variables `(*batch, *shape)`, from packed rows of states and forces."""
        before = {**self.split_forces(old), **self.split_state(x_old)}
        now = self.split_forces(new)
        return {n: before[current_name(n)] if is_old(n) else now[n] for n in self.system.given}

    def _function(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[Callable[..., torch.Tensor], torch.Tensor, torch.Tensor]:
        """Residuals as a function of new and old states `(m * S, n)`, and these."""
        f = together(forces)
        parameters = self.of_points(len(x_full) - 1, x_full.shape[1])
        new, before = f[1:].flatten(0, 1), f[:-1].flatten(0, 1)

        def function(u: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
            return self.system.residual(u, self.given(old, new, before), parameters)

        return function, x_full[1:].flatten(0, 1), x_full[:-1].flatten(0, 1)

    def evaluate_raw(
        self, x_full: torch.Tensor, forces: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, DenseBlockJacobian]:
        function, u, old = self._function(x_full, forces)
        n, steps = u.shape[-1], (len(x_full) - 1, x_full.shape[1])
        with torch.no_grad():
            residual, _, jacobian = pointwise_jacobian(
                lambda x: (function(x[..., :n], x[..., n:]), {}), torch.cat((u, old), -1)
            )
        if torch.is_grad_enabled():
            residual = function(u, old)
        jacobian = jacobian.unflatten(0, steps)
        blocks = DenseBlockJacobian(jacobian[..., :n], jacobian[..., n:])
        return residual.unflatten(0, steps), blocks

    # --- by kernels, where that pays and can be done -------------------------------------------
    def linearisation(self, forces: Sequence[torch.Tensor]) -> Callable[[torch.Tensor], Linearised]:
        found = self.compiled.linearisation(together(forces))
        return found or super().linearisation(forces)

    def swept_back(
        self,
        x_full: torch.Tensor,
        forces: Sequence[torch.Tensor],
        substitute: Callable[[torch.Tensor], torch.Tensor],
        wanted: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        found = self.compiled.swept_back(x_full, forces, substitute, wanted)
        return found or super().swept_back(x_full, forces, substitute, wanted)

    def driven(
        self,
        x_full: torch.Tensor,
        forces: Sequence[torch.Tensor],
        wrt: Sequence[torch.Tensor],
        rates: Sequence[Sequence[torch.Tensor]],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.compiled.driven(x_full, forces, wrt, rates)
        return found or super().driven(x_full, forces, wrt, rates)


def _present(parameter: torch.Tensor | None) -> torch.Tensor:
    assert parameter is not None
    return parameter
