"""A model of NEML2 by names and plain tensors: values, derivatives, and which points fail."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import neml2
import torch
from neml2.solvers import ConvergenceError as NoConvergence
from neml2.solvers import RetCode

from neml2fe.errors import Error, InputError, ModelError
from neml2fe.material import Spec
from neml2fe.types import TENSOR_TYPES

FAILURES = (NoConvergence, torch.linalg.LinAlgError)
REDUCTIONS = ("SR2Dynamic", "SR2Intermediate")  # of points, or of grains where there are any
Raw = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """What NEML2 found for some points, by their numbers: outputs by name, `(n, *base)`,
    the derivative of one of them, and Newton's iterations."""

    points: torch.Tensor
    values: Raw
    slope: torch.Tensor | None
    iterations: int


class Neml2Model:
    """The model `name` of the input file `file`.

    Raises `InputError` where NEML2 cannot load it, `ModelError` where it has what points of
    neml2fe have no place for.

    Evaluations hold `lock`, since a system of NEML2 keeps the point that it is being solved at:
    calls from several threads wait for each other.
    """

    def __init__(self, file: Path, name: str) -> None:
        self.label, self.lock = f"{file.name}:{name}", threading.RLock()
        if not file.is_file():
            raise InputError(f"NEML2: there is no input file '{file}'")
        try:
            loaded = neml2.load_input(file)
            self.module, settings = loaded.get_model(name), loaded.settings
        except Exception as error:  # of NEML2, or of the code in a deck's Python tensors
            text = error.args[0] if isinstance(error, KeyError) else error
            raise InputError(f"NEML2 cannot load the model '{name}' of '{file}': {text}") from error
        if not isinstance(self.module, neml2.Model):
            raise ModelError(
                f"'{self.label}' is a {type(self.module).__name__}; neml2fe takes NEML2's own "
                "models, so load the deck that it was compiled from"
            )
        self.inputs = self._spec("input", self.module.input_spec)
        self.outputs = self._spec("output", self.module.output_spec)
        self.updates = [m for m in self.module.modules() if isinstance(m, neml2.ImplicitUpdate)]
        self._require_plain()
        self._require_no_sub_batch(settings)

    @property
    def parameters(self) -> Raw:
        return dict(self.module.named_parameters())

    @contextmanager
    def with_parameters(self, values: Mapping[str, torch.Tensor]) -> Iterator[None]:
        """Within this context `values`, by the names of `parameters`, take the place of these,
        in all models that share them."""
        own = self.parameters
        new = {id(own[name]): value for name, value in values.items()}
        places = [
            (module._parameters, symbol, parameter)
            for module in self.module.modules()
            for symbol, parameter in module._parameters.items()
            if id(parameter) in new
        ]
        try:
            for table, symbol, parameter in places:
                table[symbol] = new[id(parameter)]  # type: ignore[assignment]
            yield
        finally:
            for table, symbol, parameter in places:
                table[symbol] = parameter

    def _spec(self, side: str, kinds: Mapping[str, Any]) -> Spec:
        for name, kind in kinds.items():
            if kind.__name__ not in TENSOR_TYPES:
                raise ModelError(
                    f"'{self.label}': the {side} '{name}' is of the type {kind.__name__}, which "
                    "neml2fe does not have"
                )
        return {name: TENSOR_TYPES[kind.__name__] for name, kind in kinds.items()}

    def _require_plain(self) -> None:
        if any(u.max_substepping_level > 0 or u.incremental_variables for u in self.updates):
            raise ModelError(
                f"'{self.label}' asks for substeps, which NEML2 takes in compiled models only; "
                "leave out max_substepping_level and incremental_variables: a step that fails is "
                "cut by neml2fe"
            )
        for name, parameter in self.parameters.items():
            if parameter.ndim > self._inner_ndim(name):
                raise ModelError(
                    f"'{self.label}': parameter '{name}' has a batch, {tuple(parameter.shape)}; "
                    "what differs from point to point is a field: give the parameter the name of "
                    "a variable in the deck"
                )

    def _require_no_sub_batch(self, settings: Any) -> None:
        without = (
            "NEML2 3.1 does not differentiate such models, and finite elements need the tangent"
        )
        for name in self.inputs:
            if settings.sub_batch_shape(name):
                raise ModelError(
                    f"'{self.label}': '{name}' has a sub-batch {settings.sub_batch_shape(name)}; "
                    f"{without}"
                )
        for member in self.module.modules():
            kind = type(member).__name__
            if kind.startswith(REDUCTIONS):
                raise ModelError(f"'{self.label}': {kind} joins points or a sub-batch; {without}")

    def _inner_ndim(self, name: str) -> int:
        """Dimensions of a parameter that are its own: entries of a table, and its base."""
        path, _, symbol = name.rpartition(".")
        owner = self.module.get_submodule(path)
        own: int = owner._typed_storage_sub_batch_ndim.get(symbol, 0)
        if symbol.startswith("abscissa"):
            own = max(own, 1)
        if symbol == "ordinate":
            own = max(own, sum(other.startswith("abscissa") for other in owner._parameters))
        return own + len(self.module.parameter_base_shapes[name])

    # --- values ---------------------------------------------------------------------------------
    def typed(self, raw: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Values `(n, *base)` in NEML2's types, in its order."""
        spec = self.module.input_spec.items()
        return {name: kind(raw[name]) for name, kind in spec if name in raw}

    def values(self, inputs: Raw, n: int) -> Raw:
        """Outputs by name, differentiable where the inputs are."""
        found = self.module(*self.typed(inputs).values())
        found = found if isinstance(found, tuple) else (found,)
        return {k: expanded(v, n) for k, v in zip(self.outputs, found, strict=True)}

    def solved(
        self, inputs: Raw, points: torch.Tensor, slope: tuple[str, str] | None
    ) -> list[Part]:
        """Results of those of the `points` that NEML2 can solve; `slope` = (y, x) asks for dy/dx.

        NEML2 has one verdict for a batch. One that fails is divided: numbers that are not finite
        are left out first, then what NEML2's masked solve says has failed; else it is halved.
        """
        if not len(points):
            return []
        here = {k: v[points] if v.ndim else v for k, v in inputs.items()}
        try:
            with self.evaluating():
                return [self._called(here, points, slope)]
        except FAILURES:
            if len(points) == 1:
                return []
        good = finite(here, len(points))
        if bool(good.all()):
            good = self._converged(len(points)).to(points.device)
        groups = [points[good]]
        if bool(good.all()) or not bool(good.any()):
            groups = list(points.tensor_split(2))
        return [part for group in groups for part in self.solved(inputs, group, slope)]

    def _called(self, inputs: Raw, points: torch.Tensor, slope: tuple[str, str] | None) -> Part:
        n = len(points)
        for update in self.updates:
            update.last_status, update.last_iterations = RetCode.SUCCESS, 0
        if slope is None:
            values, block = self.values(inputs, n), None
        else:
            of, by = slope
            kind = self.module.input_spec[by]
            size = math.prod(kind.BASE_SHAPE)
            like = inputs[by]
            unit = torch.eye(size, dtype=like.dtype, device=like.device)
            unit = unit.reshape(size, 1, *kind.BASE_SHAPE)
            ways = unit.expand(size, n, *kind.BASE_SHAPE).contiguous()
            seed = kind(ways, k_ndim=1, k_state=("full",), k_pairing=(None,))
            *found, slopes = self.module(*self.typed(inputs).values(), v={by: {by: seed}})
            values = {k: expanded(v, n) for k, v in zip(self.outputs, found, strict=True)}
            block = self._block(slopes.get(of, {}).get(by), values[of], kind.BASE_SHAPE)
        iterations = max((u.last_iterations for u in self.updates), default=0)
        return Part(points, values, block, iterations)

    @staticmethod
    def _block(found: Any, of: torch.Tensor, base: tuple[int, ...]) -> torch.Tensor:
        """A derivative by a variable of shape `base`, `(n, *out, *base)`."""
        if found is None:  # does not depend on it
            return of.new_zeros(*of.shape, *base)
        block = found.data.movedim(0, -1)  # base-shaped where all points have the same
        return block.expand(*of.shape, math.prod(base)).reshape(*of.shape, *base)

    def _converged(self, n: int) -> torch.Tensor:
        """Which of the n points of the call that failed do converge; all true where unknown."""
        unknown = torch.ones(n, dtype=torch.bool)
        failed = [u for u in self.updates if u.last_status is not RetCode.SUCCESS]
        if len(failed) != 1:
            return unknown
        try:
            mask = failed[0].solver.solve_masked(failed[0].system)[0]
        except (*FAILURES, NotImplementedError):
            return unknown
        return mask if mask.shape == (n,) else unknown

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Errors of NEML2, or of a law that is registered with it, as those of neml2fe; but for
        those of convergence."""
        try:
            with self.lock:
                yield
        except (*FAILURES, Error):
            raise
        except Exception as error:  # shapes, most of the time
            raise ModelError(
                f"NEML2 cannot evaluate '{self.label}' at points of one value each: "
                f"{type(error).__name__}: {error}"
            ) from error


def finite(values: Mapping[str, torch.Tensor], n: int) -> torch.Tensor:
    """Where all of the values `(n, ...)` are finite, `(n,)`."""
    per_point = [v.reshape(n, math.prod(v.shape[1:])) for v in values.values() if v.ndim]
    found = [torch.isfinite(v).all(-1) for v in per_point]
    return torch.stack(found).all(0)


def expanded(value: Any, n: int) -> torch.Tensor:
    """The tensor of a value of NEML2, `(n, *sub_batch, *base)`, also where it has no batch."""
    data: torch.Tensor = value.data
    return data.expand(n, *value.sub_batch_shape, *value.BASE_SHAPE)
