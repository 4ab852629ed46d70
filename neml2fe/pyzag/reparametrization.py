"""Scaled parameters: an optimiser works on numbers of order one, the model on natural units.

The names are those of pyzag 2.0.0 (Argonne National Laboratory, MIT licence). Each scale is a
pair of inverse maps, `forward` from scaled to natural values and `reverse` back, that broadcasts
over the shape of a parameter and keeps its dtype and device. `Reparameterizer` puts scales on the
parameters of any module by `torch.nn.utils.parametrize`: the module goes on reading `self.p` in
natural units, while `parametrizations.p.original` is what is trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn.utils import parametrize

from neml2fe.errors import InputError, ModelError, suggest


class Scale(torch.nn.Module):
    """A differentiable, increasing map of scaled values to natural ones, and its inverse."""

    linear = False

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Natural values (*shape) from scaled ones (*shape)."""
        raise NotImplementedError

    def reverse(self, X: torch.Tensor) -> torch.Tensor:
        """Scaled values (*shape) from natural ones (*shape)."""
        raise NotImplementedError

    def slope(self, X: torch.Tensor) -> torch.Tensor:
        """Derivative of the natural by the scaled value, at scaled values X (*shape)."""
        raise NotImplementedError

    def outside(self, value: torch.Tensor) -> torch.Tensor:
        """Which natural values (*shape) are outside; NaN always."""
        raise NotImplementedError

    def check(self, value: torch.Tensor, name: str = "a parameter") -> None:
        """Raises `InputError` where natural values are outside of the scale."""
        try:
            wrong = self.outside(value).reshape(value.shape)
        except RuntimeError:
            shape = tuple(value.shape)
            raise InputError(f"{name} has the shape {shape}, which {self} does not fit") from None
        if bool(wrong.any()):
            raise InputError(f"{name} = {value[wrong][0].item():.6g} is outside of {self}")

    def right_inverse(self, X: torch.Tensor) -> torch.Tensor:
        """What torch calls when `module.p` is assigned: `reverse` of values that are inside."""
        self.check(X)
        return self.reverse(X)

    def forward_std_dev(self, X: torch.Tensor, at: torch.Tensor | None = None) -> torch.Tensor:
        """Standard deviation in natural units from a scaled one (*shape).

        Of first order, at scaled values `at` (*shape); only `RangeRescale` needs none.
        """
        return X * self.slope(self._point(at, X))

    def reverse_std_dev(self, X: torch.Tensor, at: torch.Tensor | None = None) -> torch.Tensor:
        """Scaled standard deviation from a natural one (*shape).

        Of first order, at natural values `at` (*shape); only `RangeRescale` needs none.
        """
        return X / self.slope(self.reverse(self._point(at, X)))

    def _point(self, at: torch.Tensor | None, X: torch.Tensor) -> torch.Tensor:
        if at is None and not self.linear:
            raise InputError(f"the slope of {self} depends on the value; give it as 'at'")
        return X if at is None else at


class RangeRescale(Scale):
    """Linear: 0 and 1 are the bounds.

    With `clamp`, values beyond the bounds become the bound, in both directions, and the gradient
    is zero there: an optimiser that has stepped over a bound does not come back by itself.
    Without, the bounds are a scale and no limits.

    Args:
        lb, ub: lower and upper bound in natural units; numbers, or tensors (*shape).
        clamp: whether the bounds are limits.

    Raises:
        InputError: if a bound is not finite or not lb < ub everywhere.
    """

    linear = True
    lb: torch.Tensor
    ub: torch.Tensor

    def __init__(
        self, lb: torch.Tensor | float, ub: torch.Tensor | float, clamp: bool = True
    ) -> None:
        super().__init__()
        self.register_buffer("lb", _number(f"{type(self).__name__}: lb", lb))
        self.register_buffer("ub", _number(f"{type(self).__name__}: ub", ub))
        if not bool((self.lb < self.ub).all()):
            raise InputError(f"{self}: the lower bound must be below the upper bound")
        self.clamp = clamp

    def extra_repr(self) -> str:
        return f"{_shown(self.lb)}, {_shown(self.ub)}"

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        lb, X = self.lb.to(X), torch.clamp(X, 0, 1) if self.clamp else X
        return X * (self.ub.to(X) - lb) + lb

    def reverse(self, X: torch.Tensor) -> torch.Tensor:
        lb = self.lb.to(X)
        Y = (X - lb) / (self.ub.to(X) - lb)
        return torch.clamp(Y, 0, 1) if self.clamp else Y

    def slope(self, X: torch.Tensor) -> torch.Tensor:
        return (self.ub.to(X) - self.lb.to(X)) * torch.ones_like(X)

    def outside(self, value: torch.Tensor) -> torch.Tensor:
        if not self.clamp:
            return ~torch.isfinite(value + 0 * self.lb.to(value))
        return ~((value >= self.lb.to(value)) & (value <= self.ub.to(value)))


class LogRescale(RangeRescale):
    """Logarithmic: lb (ub / lb)^x, for what is known by its order of magnitude.

    Args and errors as of `RangeRescale`; the bounds must be positive as well.
    """

    linear = False

    def __init__(
        self, lb: torch.Tensor | float, ub: torch.Tensor | float, clamp: bool = True
    ) -> None:
        super().__init__(lb, ub, clamp)
        if not bool((self.lb > 0).all()):
            raise InputError(f"{self}: the bounds of a logarithmic scale must be positive")

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        # Both ends by themselves, so that neither bound is missed by rounding.
        X = torch.clamp(X, 0, 1) if self.clamp else X
        return self.lb.to(X) ** (1 - X) * self.ub.to(X) ** X

    def reverse(self, X: torch.Tensor) -> torch.Tensor:
        lb = self.lb.to(X)
        Y = torch.log(X / lb) / torch.log(self.ub.to(X) / lb)
        return torch.clamp(Y, 0, 1) if self.clamp else Y

    def slope(self, X: torch.Tensor) -> torch.Tensor:
        return self(X) * torch.log(self.ub.to(X) / self.lb.to(X))

    def outside(self, value: torch.Tensor) -> torch.Tensor:
        return super().outside(value) | ~(value > 0)


class SoftplusRescale(Scale):
    """lower + scale log(1 + e^x): above a bound, and linear far above it.

    Args:
        scale: distance from the bound over which it bends, in natural units; tensors (*shape).
        lower: what values stay above.

    Raises:
        InputError: if a number is not finite or `scale` is not positive.
    """

    scale: torch.Tensor
    lower: torch.Tensor

    def __init__(
        self, scale: torch.Tensor | float = 1.0, lower: torch.Tensor | float = 0.0
    ) -> None:
        super().__init__()
        self.register_buffer("scale", _number("SoftplusRescale: scale", scale))
        self.register_buffer("lower", _number("SoftplusRescale: lower", lower))
        if not bool((self.scale > 0).all()):
            raise InputError(f"{self}: the scale must be positive")

    def extra_repr(self) -> str:
        return f"scale={_shown(self.scale)}, lower={_shown(self.lower)}"

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        # torch's softplus is cut off at 20, which would cost the inverse half of its digits.
        return self.lower.to(X) + self.scale.to(X) * torch.logaddexp(X, torch.zeros_like(X))

    def reverse(self, X: torch.Tensor) -> torch.Tensor:
        y = (X - self.lower.to(X)) / self.scale.to(X)
        return y + torch.log(-torch.expm1(-y))

    def slope(self, X: torch.Tensor) -> torch.Tensor:
        return self.scale.to(X) * torch.sigmoid(X)

    def outside(self, value: torch.Tensor) -> torch.Tensor:
        above = (value - self.lower.to(value)) / self.scale.to(value)
        return ~((above > 0) & torch.isfinite(above))


class Positive(Scale):
    """e^x: positive, with steps that are relative."""

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.exp(X)

    def reverse(self, X: torch.Tensor) -> torch.Tensor:
        return torch.log(X)

    def slope(self, X: torch.Tensor) -> torch.Tensor:
        return torch.exp(X)

    def outside(self, value: torch.Tensor) -> torch.Tensor:
        return ~((value > 0) & torch.isfinite(value))


class Reparameterizer:
    """Puts scales on the parameters of a module.

    Args:
        map_dict: scales by full parameter name, as in `module.named_parameters()`.
        error_not_provided: whether a parameter without a scale is an error.
    """

    def __init__(self, map_dict: Mapping[str, Scale], error_not_provided: bool = False) -> None:
        self.map_dict = {name.lstrip("."): scale for name, scale in map_dict.items()}
        self.error_not_provided = error_not_provided

    def __call__(self, base: torch.nn.Module) -> None:
        """Convert `base` in place: its values stay what they are. Nothing is changed on an error.

        The scaled parameters are new ones: make optimisers afterwards. One that several modules
        share stays shared, and any of its names will do; one that was frozen stays so.

        Raises:
            InputError: if a name is unknown, a value is outside of its scale, shared parameters
                get two scales, or a parameter has no scale and `error_not_provided`.
            ModelError: if a parameter belongs to a `neml2fe.models.Model`.
        """
        owners: dict[torch.nn.Parameter, list[tuple[torch.nn.Module, str, str]]] = {}
        for path, module in base.named_modules():
            for symbol, parameter in module.named_parameters(recurse=False):
                name = f"{path}.{symbol}" if path else symbol
                owners.setdefault(parameter, []).append((module, symbol, name))
        self._check_names({name for places in owners.values() for _, _, name in places})

        chosen: dict[torch.nn.Parameter, Scale] = {}
        for parameter, places in owners.items():
            scales = {n: self.map_dict[n] for *_, n in places if n in self.map_dict}
            if len(set(scales.values())) > 1:
                raise InputError(f"{' and '.join(scales)} are one parameter but have two scales")
            if scales:
                name, chosen[parameter] = next(iter(scales.items()))
                for module, symbol, place in places:
                    require_plain(module, symbol, place)
                chosen[parameter].check(parameter.detach(), name)
            elif self.error_not_provided:
                raise InputError(f"the parameter '{places[0][2]}' has no scale")

        for parameter, scale in chosen.items():
            # A new parameter: modules outside of `base` that share the old one read natural values.
            scaled = torch.nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
            for module, symbol, _ in owners[parameter]:
                # Registering rescales the parameter itself, which the next owner shares.
                with torch.no_grad():
                    scaled.copy_(parameter)
                setattr(module, symbol, scaled)
                parametrize.register_parametrization(module, symbol, scale)

    def _check_names(self, known: set[str]) -> None:
        for name, scale in self.map_dict.items():
            if not isinstance(scale, Scale):
                raise InputError(f"'{name}' needs a scale such as RangeRescale, got {scale!r}")
            path, _, symbol = name.rpartition(".")
            if f"{path}.parametrizations.{symbol}.original".lstrip(".") in known:
                raise InputError(f"the parameter '{name}' has a scale already")
            if name not in known:
                raise InputError(f"there is no parameter '{name}'{suggest(name, known)}")


def require_plain(module: torch.nn.Module, symbol: str, name: str) -> None:
    """Raises `ModelError` if `module.<symbol>` is not its parameter itself, as in typed models."""
    value = getattr(module, symbol)
    if value is not module._parameters[symbol]:
        raise ModelError(
            f"{type(module).__name__} hands its parameter '{name}' out as a "
            f"{type(value).__name__}, so that no other tensor can take its place; wrap the model's "
            "nonlinear system in neml2fe.pyzag.NEML2PyzagModel, whose parameters are plain"
        )


def _number(name: str, value: torch.Tensor | float) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        value = torch.tensor(value, dtype=torch.float64)
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{name} must be finite, got {_shown(value)}")
    return value.detach().clone()


def _shown(value: torch.Tensor) -> str:
    return f"{value.item():.6g}" if value.ndim == 0 else str(value.tolist())
