"""Functions of time, or of time and place, for loads, prescribed displacements and fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.errors import InputError
from neml2fe.fem.conditions.tensors import named_tensors, reads_others, requires_grad, tensors_of

Array = NDArray[np.float64]
T = TypeVar("T", float, torch.Tensor)
TimeFunction: TypeAlias = float | torch.Tensor | Callable[[float], Any]
"""A number or tensor `()`, or a function of time that gives one. A `torch.nn.Module` gets the time
as a tensor `()`."""
Through: TypeAlias = Callable[[torch.Tensor, torch.Tensor], None]
"""Takes what torch has made of tensors, with its graph, and a cotangent of the same shape."""


class PiecewiseLinear:
    """Straight lines through `(times, values)`, constant before the first and after the last.

    Values may be a tensor `(n,)`, or have tensors `()` among them, which are read at every call.
    Time steps end exactly at its `breakpoints`.
    """

    def __init__(
        self, times: Sequence[float], values: Sequence[float | torch.Tensor] | torch.Tensor
    ) -> None:
        given = named_tensors(values)
        for at, tensor in given.items():
            if at and tensor.ndim:
                raise InputError(
                    f"value {at} of a piecewise linear function is a tensor of shape "
                    f"{tuple(tensor.shape)}; it must be a number"
                )
        self.tensors = values if given else np.asarray(values, float)
        self.times, numbers = np.asarray(times, float), self.values
        if isinstance(numbers, torch.Tensor):
            numbers = numbers.detach().cpu().numpy()
        if self.times.shape != numbers.shape or self.times.ndim != 1 or not len(self.times):
            raise InputError(
                f"a piecewise linear function needs as many times as values, at least one; "
                f"got {self.times.size} and {numbers.size}"
            )
        if not (np.isfinite(self.times).all() and np.isfinite(numbers).all()):
            raise InputError("the times and values of a piecewise linear function must be finite")
        if np.any(np.diff(self.times) <= 0):
            raise InputError("the times of a piecewise linear function must increase")

    @property
    def values(self) -> Array | torch.Tensor:
        """An array, or a tensor where a tensor is among them, `(n,)`."""
        if isinstance(self.tensors, np.ndarray):
            return self.tensors
        if isinstance(self.tensors, torch.Tensor):
            return double(self.tensors)
        return torch.stack([double(value) for value in self.tensors])

    @property
    def breakpoints(self) -> list[float]:
        return [float(t) for t in self.times]

    def __call__(self, time: float) -> float | torch.Tensor:
        values = self.values
        if isinstance(values, np.ndarray):
            return float(np.interp(time, self.times, values))
        return on_lines(self.times, time, values.__getitem__)


class SpaceFunction:
    """A function of time and of the place in the undeformed body: `function(t, x)`, with x
    `(n, dim)`, gives `(n,)` values (or one number for all). Time steps end at its `breakpoints`.

    It must depend on nothing else (what it gives at a time may be used again) but on the `tensors`
    that it names: a list or mapping of them, or the parameters of a `torch.nn.Module`, which
    `function` may be itself. It then gets t and x as tensors, and gives one.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        breakpoints: Sequence[float] = (),
        tensors: Sequence[torch.Tensor] | Mapping[str, torch.Tensor] | torch.nn.Module = (),
    ) -> None:
        self.function, self.breakpoints = function, [float(t) for t in breakpoints]
        self.tensors: Any = tensors if named_tensors(tensors) else function

    def __call__(self, time: float, x: Array) -> Any:
        if isinstance(self.function, torch.nn.Module) or named_tensors(self):
            return self.function(torch.tensor(time, dtype=torch.float64), torch.tensor(x))
        return self.function(time, x)


Function: TypeAlias = TimeFunction | SpaceFunction
"""What conditions take as values."""


def on_lines(times: Array, time: float, value: Callable[[int], T]) -> T:
    """Straight lines through the values `value(k)` at `times[k]`, constant before and after."""
    k = int(np.searchsorted(times, time, side="right"))
    if k == 0 or k == len(times):
        return value(min(k, len(times) - 1))
    weight = float((time - times[k - 1]) / (times[k] - times[k - 1]))
    return (1.0 - weight) * value(k - 1) + weight * value(k)


def double(value: Any) -> torch.Tensor:
    """A number or tensor in double precision on the CPU, with its graph."""
    if isinstance(value, torch.Tensor):
        return value.to("cpu", torch.float64)
    return torch.tensor(float(value), dtype=torch.float64)


def value_at(function: TimeFunction, time: float, what: str) -> float:
    """The value of a number or function at `time`. Raises `InputError` unless it is finite."""
    with torch.no_grad():
        return tensor_at(function, time, what).item()


def tensor_at(function: TimeFunction, time: float, what: str) -> torch.Tensor:
    """`value_at` as a tensor `()`, with a graph to the tensors that the function reads."""

    def evaluated() -> torch.Tensor:
        if isinstance(function, torch.nn.Module):
            return double(function(torch.tensor(time, dtype=torch.float64)))
        return double(function(time) if callable(function) else function)

    value = _evaluated(evaluated, function, time, what)
    if value.numel() != 1:
        raise InputError(f"{what} is a tensor of shape {tuple(value.shape)}, not a number")
    number = value.detach().item()
    if not math.isfinite(number):
        raise InputError(f"{what} is {number} at time {time:g}; it must be a finite number")
    return value.reshape(())


def values_at(function: Function, time: float, x: Array, what: str) -> Array:
    """Values `(n,)` of a function at places `x` `(n, dim)`. Raises `InputError` unless they are
    finite numbers, one for each place."""
    with torch.no_grad():
        return tensors_at(function, time, x, what).clone().numpy()


def tensors_at(function: Function, time: float, x: Array, what: str) -> torch.Tensor:
    """`values_at` as a tensor `(n,)`, with a graph to the tensors that the function reads."""
    if not isinstance(function, SpaceFunction):
        return tensor_at(function, time, what).expand(len(x))

    def evaluated() -> torch.Tensor:
        values = function(time, x)
        if isinstance(values, torch.Tensor):
            return double(values)
        return torch.from_numpy(np.array(values, dtype=np.float64))

    values = _evaluated(evaluated, function, time, what)
    if values.shape not in ((), (len(x),)):
        raise InputError(
            f"{what}: a function of time and place must give one value for each of {len(x)} "
            f"places; it gave an array of shape {tuple(values.shape)}"
        )
    values = values.expand(len(x))
    bad = np.flatnonzero(~np.isfinite(values.detach().numpy()))
    if bad.size:
        where = ", ".join(f"{c:g}" for c in x[bad[0]])
        raise InputError(f"{what} is not a finite number at time {time:g} and ({where})")
    return values


def _evaluated(
    evaluate: Callable[[], torch.Tensor], function: Function, time: float, what: str
) -> torch.Tensor:
    """Raises `InputError` where a function fails, or hides a tensor whose gradient is asked for."""
    try:
        with torch.enable_grad():
            value = evaluate()
    except (ArithmeticError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise InputError(f"{what} cannot be evaluated at time {time:g}: {error}") from None
    if value.requires_grad and reads_others(value, tensors_of(function)):
        raise InputError(
            f"{what} reads a tensor that requires a gradient, which nothing can find: make the "
            "function a torch.nn.Module or a SpaceFunction that names all of its tensors, or "
            "detach it"
        )
    return value if torch.is_grad_enabled() else value.detach()  # a view keeps its graph


def pull_at(
    function: Function, time: float, x: Array, bar: Array, what: str, through: Through
) -> None:
    """Hand `through` the values `(n,)` of a function at places `x` `(n, dim)` and their cotangent
    `bar` `(n,)`, if a gradient is asked for."""
    if requires_grad(function):
        with torch.enable_grad():
            through(tensors_at(function, time, x, what), torch.as_tensor(bar))


def breakpoints(function: Any) -> list[float]:
    """Times at which a function has a kink, as far as it tells."""
    return list(getattr(function, "breakpoints", []))
