"""`NonlinearSystem`: a model, its unknowns and its residuals, r(u; g, theta) = 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models import Model
from neml2fe.models.derivatives import flattened, inner_shape, pointwise_jacobian
from neml2fe.models.functional import (
    emptied,
    parameter_sub_batch_ndims,
    substituted,
)
from neml2fe.models.model import Spec, Values
from neml2fe.types import TypedTensor

Raw = dict[str, torch.Tensor]
Groups = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Layout:
    """Where the unknowns and residuals of one point lie in a row of `size` numbers.

    `shapes` and `residuals` hold sub-batch and base shape by name; `unknown_groups` and
    `residual_groups` the numbers of components of the groups of a system, in order.
    """

    shapes: dict[str, tuple[int, ...]]
    residuals: dict[str, tuple[int, ...]]
    unknown_groups: tuple[int, ...]
    residual_groups: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(self.unknown_groups)

    def pack(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Unknowns by name, `(N, *sub, *base)` each, to `(N, n)`; lacking sub-batch dimensions
        are broadcast."""
        rows = []
        for name, shape in self.shapes.items():
            value = values[name]
            n, inner = len(value), value.shape[1:]
            value = value.reshape(n, *(1,) * (len(shape) - len(inner)), *inner)
            rows.append(value.expand(n, *shape).reshape(n, math.prod(shape)))
        return torch.cat(rows, dim=-1)

    def unpack(self, u: torch.Tensor) -> Raw:
        """`(*batch, n)` to unknowns by name, `(*batch, *sub, *base)` each."""
        return unpacked(u, self.shapes)


def unpacked(u: torch.Tensor, shapes: Mapping[str, tuple[int, ...]]) -> Raw:
    """Rows `(*batch, n)` cut into tensors `(*batch, *shape)` by name."""
    parts = u.split([math.prod(shape) for shape in shapes.values()], dim=-1)
    return {
        name: part.reshape((*u.shape[:-1], *shape))
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


class NonlinearSystem:
    """Residuals r of `model` as functions of its unknowns u, given variables g and parameters.

    `unknowns` and `residuals` are lists of names, or lists of groups of names, which a
    `SchurComplement` solver and `structure` refer to. `residuals` defaults to
    `<unknown>_residual`. The sub-batch of an unknown (slip systems, grains) is found from the
    residual in the same place of the lists. `structure` says of each group whether the
    residuals of one entry of the sub-batch depend on the unknowns of all entries ("dense", the
    default) or of that entry only ("block"). Raises `ModelError` when a name is unknown or the
    system is not square.
    """

    def __init__(
        self,
        model: Model,
        unknowns: Sequence[str] | Groups,
        residuals: Sequence[str] | Groups | None = None,
        structure: Sequence[str] = (),
    ) -> None:
        self.model = model
        inputs, outputs = model.input_spec, model.output_spec
        self.unknown_groups = _grouped(unknowns)
        self.residual_groups = (
            _grouped(residuals)
            if residuals
            else [[f"{name}_residual" for name in group] for group in self.unknown_groups]
        )
        for name in chain(*self.unknown_groups):
            if name not in inputs:
                raise ModelError(
                    f"unknown '{name}' is no input of '{model.label}'{suggest(name, inputs)}"
                )
        for name in chain(*self.residual_groups):
            if name not in outputs:
                raise ModelError(
                    f"residual '{name}' is no output of '{model.label}'{suggest(name, outputs)}"
                )
        self.unknowns: Spec = {name: inputs[name] for name in chain(*self.unknown_groups)}
        self.residuals: Spec = {name: outputs[name] for name in chain(*self.residual_groups)}
        self.given: Spec = {n: t for n, t in inputs.items() if n not in self.unknowns}
        self.structure = [word.lower() for word in structure]
        if structure and len(structure) != len(self.unknown_groups):
            raise ModelError(
                f"'{model.label}': {len(self.unknown_groups)} groups of unknowns need as many "
                f"words of structure, got {len(structure)}"
            )
        for word in self.structure:
            if word not in ("dense", "block"):
                raise ModelError(f"'{model.label}': structure is 'dense' or 'block', not '{word}'")
        self._tables = [n for n, k in parameter_sub_batch_ndims(model).items() if k]
        self._layouts: dict[tuple[object, ...], Layout] = {}
        self._require_square(
            {n: t.BASE_SHAPE for n, t in self.unknowns.items()},
            {n: t.BASE_SHAPE for n, t in self.residuals.items()},
        )

    def _require_square(
        self, unknowns: Mapping[str, tuple[int, ...]], residuals: Mapping[str, tuple[int, ...]]
    ) -> None:
        n, m = (sum(map(math.prod, shapes.values())) for shapes in (unknowns, residuals))
        if n != m:
            shown = [
                ", ".join(name + _brackets(shapes[name], kind) for name, kind in spec.items())
                for shapes, spec in ((unknowns, self.unknowns), (residuals, self.residuals))
            ]
            raise ModelError(
                f"'{self.model.label}': {n} unknowns ({shown[0]}) but {m} residuals ({shown[1]})"
            )

    def layout(self, given: Raw, parameters: Raw) -> Layout:
        """The layout for given variables `(N, *sub, *base)`; `parameters` as in `residual`."""
        key = (
            *(given[name].shape[1:] for name in self.given),
            *(parameters[name].shape for name in self._tables if name in parameters),
        )
        if key not in self._layouts:
            self._layouts[key] = self._find_layout(given, parameters)
        return self._layouts[key]

    def _find_layout(self, given: Raw, parameters: Raw) -> Layout:
        """Give each unknown the sub-batch of its residual until nothing changes; no point is
        needed to see it."""
        shapes = {n: t.BASE_SHAPE for n, t in self.unknowns.items()}
        like = next(iter([*given.values(), *parameters.values()]))
        parameters = emptied(self.model, parameters)
        nowhere = {n: v[:0] for n, v in given.items()}
        residuals: dict[str, tuple[int, ...]] = {}
        for _ in range(len(shapes) + 1):
            u = {n: like.new_zeros(0, *shape) for n, shape in shapes.items()}
            outputs = self._outputs(u, nowhere, parameters)
            residuals = {n: inner_shape(outputs[n]) for n in self.residuals}
            found = {
                name: _broadcast(shapes[name], kind.BASE_SHAPE, outputs[r].sub_batch_shape)
                for (name, kind), r in zip(self.unknowns.items(), self.residuals, strict=False)
            }
            if found == shapes:
                break
            shapes = found
        self._require_square(shapes, residuals)
        return Layout(
            shapes,
            residuals,
            tuple(sum(math.prod(shapes[n]) for n in g) for g in self.unknown_groups),
            tuple(sum(math.prod(residuals[n]) for n in g) for g in self.residual_groups),
        )

    def _outputs(self, unknowns: Raw, given: Raw, parameters: Raw) -> Values:
        values = {**given, **unknowns}
        typed = {
            name: kind(values[name], values[name].ndim - 1 - kind.base_ndim())
            for name, kind in self.model.input_spec.items()
        }
        with substituted(self.model, parameters):
            return self.model._evaluate(typed)

    def residual(self, u: torch.Tensor, given: Raw, parameters: Raw) -> torch.Tensor:
        """Residuals `(N, n)` at unknowns `u` `(N, n)`; `given` holds `(N, *sub, *base)` tensors.

        `parameters` replaces the model's parameters by name, so that it is a pure function.
        """
        unknowns = self.layout(given, parameters).unpack(u)
        outputs = self._outputs(unknowns, given, parameters)
        return torch.cat([flattened(outputs[name], (len(u),)) for name in self.residuals], dim=-1)

    def linearise(
        self, u: torch.Tensor, given: Raw, parameters: Raw
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Residuals `(N, n)` and Jacobian dr/du `(N, n, n)`."""
        r, _, jacobian = pointwise_jacobian(lambda x: (self.residual(x, given, parameters), {}), u)
        return r, jacobian


def _grouped(names: Sequence[str] | Groups) -> list[list[str]]:
    if all(isinstance(name, str) for name in names):
        return [list(map(str, names))]
    return [[group] if isinstance(group, str) else list(group) for group in names]


def _broadcast(
    shape: tuple[int, ...], base: tuple[int, ...], sub_batch: tuple[int, ...]
) -> tuple[int, ...]:
    """`shape` with its sub-batch broadcast against another one."""
    own = shape[: len(shape) - len(base)]
    return (*torch.broadcast_shapes(own, sub_batch), *base)


def _brackets(shape: tuple[int, ...], kind: type[TypedTensor]) -> str:
    """The sub-batch of a variable as a message shows it: `[12]`, or nothing."""
    return "".join(f"[{n}]" for n in shape[: len(shape) - kind.base_ndim()])
