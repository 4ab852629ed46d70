"""Recording what torch computes at one point as CasADi expressions.

`Tracer` sees every operation below automatic differentiation and `torch.func`, so that nested
derivatives arrive as the elementary operations they consist of. Each tensor that depends on a
symbol is known by a column of scalar expressions; everything else is a constant.
"""

from __future__ import annotations

import linecache
import math
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import casadi as cs
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neml2fe.errors import Error
from neml2fe.kernels.operations import RULES, Unsupported

if TYPE_CHECKING:
    from neml2fe.kernels.program import Stage

LARGE = 200_000  # scalar operations of one traced tensor operation: no constitutive law


class Untraceable(Error):
    """A model holds an operation that no kernel can be made of; the message names it and its
    source line."""


class Tracer(TorchDispatchMode):
    """Within `with Tracer() as tracer`, operations on its symbols are recorded.

    Symbols carry `fill` as their value: what a number does that escapes the tracer (by
    `.tolist()`) shows when another fill gives another result. `stages` are the implicit solves on
    the way, `refused` what was met first that cannot be traced.
    """

    def __init__(self, fill: float = math.nan) -> None:
        super().__init__()
        self.fill = fill
        self.refused: Untraceable | None = None
        # The tensors are kept: a number of an object is used again after its end.
        self._known: dict[int, tuple[torch.Tensor, cs.SX]] = {}
        self.stages: list[Stage] = []

    def symbol(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A tensor of free symbols."""
        value = torch.full(shape, self.fill, dtype=dtype)
        return self.bind(value, cs.SX.sym(name, value.numel()))

    def bind(self, value: torch.Tensor, expression: cs.SX) -> torch.Tensor:
        """`value`, known from now on as the column `expression`."""
        if not value.numel():  # the shapes of things found on no points
            return value
        if expression.numel() != value.numel():
            raise AssertionError(f"{expression.numel()} expressions for {tuple(value.shape)}")
        self._known[id(value)] = (value, cs.densify(expression))
        return value

    def is_symbolic(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor) and id(value) in self._known

    def expression(self, value: torch.Tensor) -> cs.SX:
        """The column of expressions of a tensor's components; numbers for a constant."""
        if id(value) in self._known:
            return self._known[id(value)][1]
        return cs.densify(cs.SX(cs.DM(value.detach().to(torch.float64).flatten().tolist())))

    @contextmanager
    def recording(self) -> Iterator[Tracer]:
        """Record, also where the innermost functions ask for the tracer."""
        token = _current.set(self)
        try:
            with self:
                yield self
        finally:
            _current.reset(token)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            self._refuse(f"{func} is random, {_place()}")
        if not any(map(self.is_symbolic, tree_leaves((args, kwargs)))):
            return func(*args, **kwargs)
        rule = RULES.get(func) or RULES.get(func.overloadpacket)
        try:
            if rule is not None:
                return rule(self, func, *args, **kwargs)
            with self:
                return _decomposed(func, args, kwargs)
        except Unsupported as error:
            self._refuse(f"{func} {error}, {_place()}")

    def _refuse(self, reason: str) -> NoReturn:
        """Kept as well as raised: a law may catch the exception."""
        self.refused = self.refused or Untraceable(reason)
        raise self.refused


def _decomposed(func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    """An operation without a rule of its own by simpler ones, as torch has it."""
    decomposition = torch._decomp.decomposition_table.get(func)
    if decomposition is not None:
        return decomposition(*args, **kwargs)
    result = func.decompose(*args, **kwargs)
    if result is NotImplemented:
        raise Unsupported("has no symbolic form")
    return result


_current: ContextVar[Tracer | None] = ContextVar("neml2fe_tracer", default=None)


def current_tracer() -> Tracer | None:
    """The tracer that records now, if any."""
    return _current.get()


def _place() -> str:
    return place_of(traceback.walk_stack(None))


def place_of(frames: Iterable[tuple[FrameType, int]]) -> str:
    """File, line and text of the first of `frames` outside of torch and of this package."""
    package = __name__.rpartition(".")[0].replace(".", "/")
    for frame, line in frames:
        name = frame.f_code.co_filename.replace("\\", "/")
        if "/torch/" not in name and package not in name and not name.startswith("<"):
            text = linecache.getline(frame.f_code.co_filename, line).strip()
            return f"in {name.rpartition('/')[2]}:{line} ({text})"
    return "outside of any file"
