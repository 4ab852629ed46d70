"""neml2fe materials in torch-fem: `NemlMaterial` is a torch-fem material.

    material = neml2fe.material.Material(neml2fe.load_model("laws.i", "steel"))
    model = torchfem.Planar(nodes, elements, NemlMaterial(material, "plane_stress"))
    set_clock(model, duration=10.0)
    u, f, stress, F, state = model.solve(torch.linspace(0.0, 1.0, 11))

torch-fem (0.14) gives a material increments of the displacement gradient `(n_elem, d, d)`, one
integration point of all elements a call, and takes Cauchy stress at small strain or the first
Piola-Kirchhoff stress at finite strain, the derivative of that by the displacement gradient
`(n_elem, d, d, d, d)`, and a state `(n_elem, n_state)` that starts from zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from neml2fe_torchfem_update import Call, Layout, Update
from torchfem.base import Mechanics
from torchfem.materials import MechanicsMaterial

from neml2fe.errors import ModelError, suggest
from neml2fe.material import FORMULATIONS, PointMaterial, State, in_formulation
from neml2fe.types import R2

__all__ = ["FORMULATIONS", "NemlMaterial", "set_clock"]

FieldLike = float | torch.Tensor | Callable[[float], float | torch.Tensor]
Model = TypeVar("Model", bound=Mechanics)


def set_clock(model: Model, duration: float) -> Model:
    """Let the load factor of `model.solve(increments)` change by one in `duration`.

    torch-fem knows no time. It is carried by the skew part of `model.ext_strain`, which no strain
    has, so that steps that torch-fem cuts back or grows take their share. Set `ext_strain` first:
    setting it anew stops the clock. Returns the model.
    """
    if not 0.0 < duration < math.inf:
        raise ModelError(f"clock: the duration must be positive, got {duration}")
    rate = model.ext_strain.clone()
    rate = 0.5 * (rate + rate.mT)
    rate[:, 0, 1] += duration
    rate[:, 1, 0] -= duration
    model.ext_strain = rate
    return model


class NemlMaterial(MechanicsMaterial):
    """`material` as a material of torch-fem.

    - `material` maps SR2 to SR2 (small strain), or R2 to R2 (deformation gradient to first
      Piola-Kirchhoff stress, see `neml2fe.material.finite_strain`); the latter makes an analysis
      geometrically nonlinear.
    - `formulation`: "three_dimensional" (for `Solid` and `Axisymmetric`), "plane_strain" or
      "plane_stress" (for `Planar`).
    - `fields`: values of the further inputs of the material, by name: a number, a tensor `(*base)`
      or `(n_elem, *base)`, or a function of time that gives one of these.
    - `rate_independent`: without a clock (`set_clock`) every step takes a time of one.
    - `symmetric_tangent`: whether torch-fem may take conjugate gradients for large systems.
    - `rho`: density, for torch-fem's masses.

    `model.solve(differentiable_parameters=...)` differentiates by those of `parameters` and fields
    that require a gradient, all of which torch-fem wants in its list. Failed points make the
    residual NaN, upon which torch-fem cuts its step; a warning names them.

    Raises `ModelError` for another kind of material, and for unknown names.
    """

    def __init__(
        self,
        material: PointMaterial,
        formulation: str = "three_dimensional",
        *,
        fields: Mapping[str, FieldLike] | None = None,
        rate_independent: bool = False,
        symmetric_tangent: bool = False,
        rho: float | torch.Tensor = 1.0,
    ) -> None:
        super().__init__()
        self.rho = torch.as_tensor(rho)
        self.material = in_formulation(material, formulation, "torch-fem")
        self.formulation, self.rate_independent = formulation, rate_independent
        self.symmetric_tangent = symmetric_tangent
        self.finite_strain = material.strain_kind is R2
        self.dim = 3 if formulation == "three_dimensional" else 2
        self.fields = dict(fields or {})
        self._known: tuple[torch.Tensor, int | None, float, bool] | None = None
        for name in (*self.fields, *material.field_spec):
            if name not in material.field_spec or name not in self.fields:
                what = "no field" if name in self.fields else "a field that is not given,"
                raise ModelError(
                    f"torch-fem: '{material.label}' has {what} '{name}'"
                    + (suggest(name, material.field_spec) if name in self.fields else "")
                )

    @property
    def parameters(self) -> dict[str, torch.Tensor]:
        """Those of the material by name; `requires_grad_()` chooses those to differentiate by."""
        return self.material.parameters

    def vectorize(self, n_elem: int) -> NemlMaterial:
        """This material for `n_elem` elements; torch-fem calls it."""
        if self.is_vectorized:
            return self
        if torch.get_default_dtype() != torch.float64:
            raise ModelError(
                "torch-fem: neml2fe computes in double precision: call "
                "torch.set_default_dtype(torch.float64) before making meshes and models"
            )
        new = super().vectorize(n_elem)
        new._layout = Layout(new.material, new.dim, n_elem, new._fields(n_elem, 0.0))
        new.n_state = new._layout.size
        return new

    def rotate(self, R: torch.Tensor) -> NemlMaterial:
        """Raises `ModelError`: the law itself reads an orientation, as a field."""
        raise ModelError(
            f"torch-fem: '{self.material.label}' is not turned by rotate; name an orientation in "
            "the deck of the law, and give it as a field"
        )

    def named_state(self, state: torch.Tensor) -> State:
        """The variables `(..., n_elem, *base)` of a state `(..., n_elem, n_state)` that
        `model.solve` returns."""
        return self._layout.named(state)

    def step(
        self,
        H_inc: torch.Tensor,
        F: torch.Tensor,
        stress: torch.Tensor,
        state: torch.Tensor,
        de0: torch.Tensor,
        cl: torch.Tensor,
        iter: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `MechanicsMaterial.step`; stress, state and tangent of one integration point of all
        elements. `stress`, `cl` and `iter` are not used."""
        if not self.is_vectorized:
            raise ModelError("torch-fem: vectorize(n_elem) the material before its steps")
        n, d, layout = self._layout.n, self.dim, self._layout
        for name, got, shape in (
            ("H_inc", H_inc, (n, d, d)),
            ("F", F, (n, d, d)),
            ("de0", de0, (n, d, d)),
            ("state", state, (n, layout.size)),
        ):
            if tuple(got.shape) != shape:
                raise ModelError(
                    f"torch-fem: {name} of '{self.material.label}' ({self.formulation}, {n} "
                    f"elements) must have shape {shape}, got {tuple(got.shape)}"
                )
        dt, strained = self._increment(de0)
        timed = [name for name, value in self.fields.items() if callable(value)]
        if not dt and (timed or not self.rate_independent) and bool(H_inc.any()):
            what = f"field '{timed[0]}'" if timed else f"'{self.material.label}'"
            raise ModelError(
                f"torch-fem: {what} needs the time, of which torch-fem has none: call set_clock("
                "model, duration), or, for a law without effects of rates, make the NemlMaterial "
                "with rate_independent=True"
            )
        dt = dt or 1.0
        time = float(state[0, 0].detach()) + dt
        fields = self._fields(n, time)
        parameters = {name: p for name, p in self.parameters.items() if p.requires_grad}
        call = Call(layout, time, dt, strained, tuple(fields), tuple(parameters))
        more = (*fields.values(), *parameters.values())
        found: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = Update.apply(
            call, F + H_inc, state, de0, *more
        )
        return found

    def _increment(self, de0: torch.Tensor) -> tuple[float, bool]:
        """The time step, or zero, and whether the external strain changes. All points and
        iterations of an increment have the same `de0`: the last one is remembered."""
        version = None if de0.is_inference() else de0._version
        known = self._known
        if known is None or version is None or known[0] is not de0 or known[1] != version:
            given = de0.detach()
            low, high = (float(v) for v in (given[:, 0, 1] - given[:, 1, 0]).aminmax())
            if low != high:
                raise ModelError(
                    "torch-fem: the external strain is not symmetric: set it, then set_clock("
                    "model, duration)"
                )
            strained = bool((given + given.mT).any())
            if self.finite_strain and strained:
                raise ModelError("torch-fem: at finite strain there is no external strain")
            known = self._known = (de0, version, 0.5 * abs(low), strained)
        return known[2:]

    def _fields(self, n: int, time: float) -> State:
        found = {}
        for name, given in self.fields.items():
            base = self.material.field_spec[name].BASE_SHAPE
            value = torch.as_tensor(given(time) if callable(given) else given)
            value = value.to(torch.get_default_dtype())
            inner = value.shape[max(value.ndim - len(base), 0) :]
            shape = value.shape if value.ndim > len(base) else (n, *value.shape)
            if inner != base or shape[0] != n:
                raise ModelError(
                    f"torch-fem: field '{name}' must have shape {base} or {(n, *base)}, got "
                    f"{tuple(value.shape)}"
                )
            found[name] = value.expand(shape)
        return found
