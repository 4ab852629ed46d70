"""What is fitted: model parameters between bounds, scaled to the unit box [0, 1]^P."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from neml2fe.errors import InputError, suggest


@dataclass(frozen=True)
class FitParameter:
    """A parameter of the model that the fit may change.

    `name` is as in `model.named_parameters()`; bounds and `initial` are in the parameter's own
    units and hold for every entry of a table; `initial = None` takes the model's own value.

    `scale` says along which scale the optimiser moves from `lower` to `upper`:

    - `linear`;
    - `log`: equal steps are equal factors; both bounds are positive;
    - `softplus`: logarithmic near `lower`, linear from about a typical size above it, which is
      `initial - lower` (or a tenth of the range where `initial` is `lower`). `upper` may be
      infinite: the search then ends at 100 typical sizes above `lower`.

    Raises InputError for bounds that are reversed or not finite, for `log` with a bound that is
    not positive, and for an unknown scale.
    """

    name: str
    lower: float
    upper: float
    scale: str = "linear"
    initial: float | Tensor | None = None

    def __post_init__(self) -> None:
        bounds = f"parameter '{self.name}': bounds {self.lower:g} to {self.upper:g}"
        if self.scale not in _SCALES:
            raise InputError(
                f"parameter '{self.name}': no scale '{self.scale}'{suggest(self.scale, _SCALES)}"
            )
        open_above = self.scale == "softplus" and self.upper == math.inf
        if not (math.isfinite(self.lower) and (math.isfinite(self.upper) or open_above)):
            raise InputError(
                f"{bounds} must be finite numbers (only with scale softplus may upper be inf)"
            )
        if self.lower >= self.upper:
            raise InputError(f"{bounds} are reversed: lower must be less than upper")
        if self.scale == "log" and self.lower <= 0.0:
            raise InputError(f"{bounds} must be positive for scale log; use linear or softplus")


class _Linear:
    """v = lower + x (upper - lower)."""

    def __init__(self, parameter: FitParameter, initial: Tensor) -> None:
        self.lower, self.upper = parameter.lower, parameter.upper

    def natural(self, x: Tensor) -> Tensor:
        return self.lower + x * (self.upper - self.lower)

    def scaled(self, value: Tensor) -> Tensor:
        return (value - self.lower) / (self.upper - self.lower)


class _Log:
    """log v is linear in x."""

    def __init__(self, parameter: FitParameter, initial: Tensor) -> None:
        self.start = math.log(parameter.lower)
        self.range = math.log(parameter.upper) - self.start

    def natural(self, x: Tensor) -> Tensor:
        return torch.exp(self.start + x * self.range)

    def scaled(self, value: Tensor) -> Tensor:
        return (torch.log(value) - self.start) / self.range


class _Softplus:
    """v = lower + size (softplus(z) - softplus(Z)), with z linear in x and z = Z at x = 0.

    Starting at Z, not at minus infinity, puts `lower` itself into the box. Below the box the
    value stays at `lower`.
    """

    Z = -6.0

    def __init__(self, parameter: FitParameter, initial: Tensor) -> None:
        self.lower = parameter.lower
        size = initial - self.lower
        if math.isinf(parameter.upper):
            if not bool((size > 0).all()):
                raise InputError(
                    f"parameter '{parameter.name}': initial must be greater than lower = "
                    f"{self.lower:g} to tell its typical size, as upper is infinite"
                )
            range_ = 100.0 * size
        else:
            range_ = torch.full_like(size, parameter.upper - self.lower)
        self.size = torch.where(size > 0, size, 0.1 * range_)
        self.offset = math.log1p(math.exp(self.Z))
        self.range = self._z(range_) - self.Z

    def _z(self, above: Tensor) -> Tensor:
        y = above / self.size + self.offset
        return y + torch.log(-torch.expm1(-y))

    def natural(self, x: Tensor) -> Tensor:
        y = softplus(self.Z + x * self.range, threshold=40.0) - self.offset
        return self.lower + self.size * y.clamp(min=0.0)

    def scaled(self, value: Tensor) -> Tensor:
        return (self._z(value - self.lower) - self.Z) / self.range


_SCALES: dict[str, type[_Linear] | type[_Log] | type[_Softplus]] = {
    "linear": _Linear,
    "log": _Log,
    "softplus": _Softplus,
}


class _Entry:
    """One FitParameter with its place in x, and its tensor in the model."""

    def __init__(self, parameter: FitParameter, tensor: Tensor, start: int) -> None:
        self.parameter = parameter
        self.shape, self.dtype, self.device = tensor.shape, tensor.dtype, tensor.device
        self.where = slice(start, start + tensor.numel())
        given = tensor.detach() if parameter.initial is None else parameter.initial
        value = torch.as_tensor(given, dtype=torch.float64, device="cpu").detach()
        try:
            self.initial = value.expand(self.shape).reshape(-1)
        except RuntimeError:
            raise InputError(
                f"parameter '{parameter.name}': initial has shape {tuple(value.shape)}, the "
                f"parameter {tuple(self.shape)}"
            ) from None
        indices = itertools.product(*(range(n) for n in self.shape))
        self.names = [
            parameter.name + (f"[{','.join(map(str, index))}]" if index else "")
            for index in indices
        ]
        for name, v in zip(self.names, self.initial.tolist(), strict=True):
            if not parameter.lower <= v <= parameter.upper:
                raise InputError(
                    f"parameter '{name}': the initial value {v:g} is outside of its bounds "
                    f"{parameter.lower:g} to {parameter.upper:g}"
                )
        self.scale = _SCALES[parameter.scale](parameter, self.initial)

    def at(self, start: int) -> _Entry:
        """The same at another place in x."""
        other = copy.copy(self)
        other.where = slice(start, start + len(self.names))
        return other

    def agrees_with(self, other: _Entry) -> bool:
        """Whether both mean the same by x."""
        mine, others = (
            (e.parameter.lower, e.parameter.upper, e.parameter.scale, e.shape)
            for e in (self, other)
        )
        return mine == others and bool(torch.equal(self.initial, other.initial))


class ParameterSet:
    """x in [0, 1]^P, float64 on the CPU, and the natural values that it stands for.

    A table contributes all of its entries: `E.values[0]`, `E.values[1]`, `C[0,1]`, ...
    `lower` and `upper` `(P,)` are the bounds in natural units.
    """

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self._entries = list(entries)
        self.names: list[str] = [name for entry in entries for name in entry.names]
        self.lower = self._each([entry.parameter.lower for entry in entries])
        self.upper = self._each([entry.parameter.upper for entry in entries])
        self.x0 = self.scaled(torch.cat([entry.initial for entry in entries])).clamp(0.0, 1.0)

    def _each(self, values: list[float]) -> Tensor:
        return torch.cat(
            [
                torch.full((len(entry.names),), value, dtype=torch.float64)
                for entry, value in zip(self._entries, values, strict=True)
            ]
        )

    @classmethod
    def of(
        cls, model: torch.nn.Module | Mapping[str, Tensor], parameters: Sequence[FitParameter]
    ) -> ParameterSet:
        """The parameters of `model`, or of tensors by name, to fit.

        Raises InputError for an unknown parameter, one named twice, one that is frozen or not of
        floating point, and an initial value that is outside of the bounds.
        """
        if not parameters:
            raise InputError("a fit needs at least one parameter")
        named = model.named_parameters() if isinstance(model, torch.nn.Module) else model
        known = dict(named)
        entries: list[_Entry] = []
        start = 0
        for parameter in parameters:
            name = parameter.name
            if name not in known:
                raise InputError(f"the model has no parameter '{name}'{suggest(name, known)}")
            if any(entry.parameter.name == name for entry in entries):
                raise InputError(f"parameter '{name}' is to be fitted twice")
            tensor = known[name]
            if not tensor.is_floating_point():
                raise InputError(f"parameter '{name}' is of {tensor.dtype}: only reals are fitted")
            if not tensor.requires_grad:
                raise InputError(
                    f"parameter '{name}' is frozen (requires_grad is false); unfreeze it or "
                    "leave it out of the fit"
                )
            entries.append(_Entry(parameter, tensor, start))
            start += tensor.numel()
        return cls(entries)

    @classmethod
    def joined(cls, sets: Mapping[str, ParameterSet]) -> ParameterSet:
        """The parameters of several tests, those of the same name once.

        Raises InputError where two tests say different things of one parameter.
        """
        found: dict[str, _Entry] = {}
        owner: dict[str, str] = {}
        start = 0
        for test, each in sets.items():
            for entry in each._entries:
                name = entry.parameter.name
                known = found.get(name)
                if known is None:
                    found[name], owner[name] = entry.at(start), test
                    start += len(entry.names)
                elif not known.agrees_with(entry):
                    raise InputError(
                        f"parameter '{name}' has other bounds, another scale or another initial "
                        f"value in test '{test}' than in '{owner[name]}'"
                    )
        return cls(list(found.values()))

    @property
    def initial(self) -> dict[str, Tensor]:
        """The initial values as they were given, full tensors by name: `as_parameters(x0)` without
        the round-off of the scales."""
        return {
            entry.parameter.name: entry.initial.reshape(entry.shape).to(entry.device, entry.dtype)
            for entry in self._entries
        }

    @property
    def tensor_names(self) -> list[str]:
        """Names of the tensors that are fitted, one for all entries of a table."""
        return [entry.parameter.name for entry in self._entries]

    def natural(self, x: Tensor) -> Tensor:
        """Values `(P,)` in natural units at `x` `(P,)`; differentiable."""
        return torch.cat([entry.scale.natural(x[entry.where]) for entry in self._entries])

    def scaled(self, values: Tensor) -> Tensor:
        """The x `(P,)` of natural values `(P,)`."""
        return torch.cat([entry.scale.scaled(values[entry.where]) for entry in self._entries])

    def slopes(self, x: Tensor) -> Tensor:
        """d natural / d x `(P,)` at `x` `(P,)`; positive."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.natural(x).sum(), x)[0]

    def as_parameters(self, x: Tensor) -> dict[str, Tensor]:
        """Full tensors by name of the model's parameter, on its device; differentiable."""
        values = self.natural(x)
        return {
            entry.parameter.name: values[entry.where]
            .reshape(entry.shape)
            .to(entry.device, entry.dtype)
            for entry in self._entries
        }

    def values(self, x: Tensor) -> dict[str, float]:
        """Natural values by name."""
        return dict(zip(self.names, self.natural(x.detach()).tolist(), strict=True))

    def describe(self, x: Tensor) -> str:
        """`yield.sy = 50, E[0] = 2e+05`, for messages."""
        return ", ".join(f"{name} = {value:.6g}" for name, value in self.values(x).items())
