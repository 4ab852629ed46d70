"""`NonlinearSystem`: a model, its unknowns and its residuals, r(u; g, theta) = 0."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models import Model
from neml2fe.models.derivatives import pointwise_jacobian
from neml2fe.models.functional import substituted
from neml2fe.models.model import Spec

Raw = dict[str, torch.Tensor]


class NonlinearSystem:
    """Residuals r of `model` as functions of its unknowns u, given variables g and parameters.

    Unknowns and residuals are packed component by component into `(N, n)` arrays in the
    order of the lists. `residuals` defaults to `<unknown>_residual`. Raises `ModelError`
    when a name is unknown or the system is not square.
    """

    def __init__(
        self, model: Model, unknowns: Sequence[str], residuals: Sequence[str] | None = None
    ) -> None:
        self.model = model
        inputs, outputs = model.input_spec, model.output_spec
        residuals = residuals or [f"{name}_residual" for name in unknowns]
        for name in unknowns:
            if name not in inputs:
                raise ModelError(
                    f"unknown '{name}' is no input of '{model.label}'{suggest(name, inputs)}"
                )
        for name in residuals:
            if name not in outputs:
                raise ModelError(
                    f"residual '{name}' is no output of '{model.label}'{suggest(name, outputs)}"
                )
        self.unknowns: Spec = {name: inputs[name] for name in unknowns}
        self.residuals: Spec = {name: outputs[name] for name in residuals}
        self.given: Spec = {n: t for n, t in inputs.items() if n not in self.unknowns}
        self.sizes = [t.base_size() for t in self.unknowns.values()]
        self.size = sum(self.sizes)
        n_residuals = sum(t.base_size() for t in self.residuals.values())
        if n_residuals != self.size:
            raise ModelError(
                f"'{model.label}': {self.size} unknowns ({', '.join(self.unknowns)}) but "
                f"{n_residuals} residuals ({', '.join(self.residuals)})"
            )

    def pack(self, values: Raw) -> torch.Tensor:
        """Unknowns by name, `(N, *base)` each, to `(N, n)`."""
        return torch.cat(
            [values[n].reshape(len(values[n]), k.base_size()) for n, k in self.unknowns.items()],
            dim=-1,
        )

    def unpack(self, u: torch.Tensor) -> Raw:
        """`(*batch, n)` to unknowns by name, `(*batch, *base)` each."""
        parts = u.split(self.sizes, dim=-1)
        return {
            name: part.reshape((*u.shape[:-1], *kind.BASE_SHAPE))
            for (name, kind), part in zip(self.unknowns.items(), parts, strict=True)
        }

    def residual(self, u: torch.Tensor, given: Raw, parameters: Raw) -> torch.Tensor:
        """Residuals `(N, n)` at unknowns `u` `(N, n)`; `given` holds `(N, *base)` tensors.

        `parameters` replaces the model's parameters by name, so that it is a pure function.
        """
        values = {**given, **self.unpack(u)}
        typed = {name: kind(values[name]) for name, kind in self.model.input_spec.items()}
        with substituted(self.model, parameters):
            outputs = self.model._evaluate(typed)
        return torch.cat(
            [
                outputs[name]
                .data.expand(len(u), *kind.BASE_SHAPE)
                .reshape(len(u), kind.base_size())
                for name, kind in self.residuals.items()
            ],
            dim=-1,
        )

    def linearise(
        self, u: torch.Tensor, given: Raw, parameters: Raw
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Residuals `(N, n)` and Jacobian dr/du `(N, n, n)`."""
        r, _, jacobian = pointwise_jacobian(lambda x: (self.residual(x, given, parameters), {}), u)
        return r, jacobian
