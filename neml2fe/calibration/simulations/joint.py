"""`JointProblem`: several tests of one material, fitted together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from neml2fe.calibration.interface import Problem, weights_of
from neml2fe.calibration.parameters import ParameterSet
from neml2fe.calibration.simulations.loss import loss_of
from neml2fe.calibration.simulations.measurements import check_noise
from neml2fe.errors import Error, InputError
from neml2fe.fem.collective import collectively

T = TypeVar("T")


class JointProblem:
    """The sum of the losses of `members`, which share parameters by name.

    A member is any problem that `fit` takes: histories of material points, or simulations of tests,
    each with its own noise. A parameter that several members have must have the same bounds, scale
    and initial value in each.

    With `comm`, tests can be simulated at the same time: a member is None on ranks that have no
    part in it, and on the others a problem, such as one distributed over a communicator of these.
    Every rank names all members in the same order, and gets the same results.

    Raises `InputError` for parameters that do not fit together, a member that no rank has, and
    noise that one of several members does not know.
    """

    def __init__(self, members: Mapping[str, Problem | None], comm: Any = None) -> None:
        if not members:
            raise InputError("a joint fit needs at least one test")
        self.members, self._comm = dict(members), comm
        self._first = self._find_first()
        self._sizes: list[int] = []  # of the members' residuals
        sets = self._shared(lambda member: member.parameters)
        noise_is_known = self._shared(lambda member: member.noise_is_known)
        check_noise(noise_is_known)
        self.noise_is_known = all(noise_is_known.values())
        self.parameters = ParameterSet.joined(sets)
        index = {name: k for k, name in enumerate(self.parameters.names)}
        self._places = {n: torch.tensor([index[p] for p in s.names]) for n, s in sets.items()}

    def _find_first(self) -> dict[str, int]:
        """The first rank that has each member."""
        mine = [name for name, member in self.members.items() if member is not None]
        ranks = [mine] if self._comm is None else self._comm.allgather(mine)
        for name in self.members:
            if not any(name in names for names in ranks):
                raise InputError(f"test '{name}' is simulated by no rank")
        return {n: next(r for r, names in enumerate(ranks) if n in names) for n in self.members}

    def _shared(self, what: Callable[..., T], x: Tensor | None = None) -> dict[str, T]:
        """`what` of every member (at its part of x), on every rank. Where one fails, all raise."""

        def mine() -> dict[str, T]:
            found, failure = {}, None
            for name, member in self.members.items():
                if member is None:
                    continue
                try:
                    found[name] = what(*(member,) if x is None else (member, x[self._places[name]]))
                except Exception as error:
                    if isinstance(error, Error):
                        error.message = f"test '{name}': {error.message}"
                    failure = failure or error
                    if self._comm is None:
                        break
                    # Else go on: for the next test, other ranks may wait for this one.
            if failure is not None:
                raise failure
            return found

        return self._from_owners(collectively(self._comm, mine, every_rank=True))

    def _from_owners(self, found: Mapping[str, T]) -> dict[str, T]:
        """What the first rank of each member has found of it."""
        if self._comm is None:
            return dict(found)
        rank = self._comm.rank
        parts = self._comm.allgather({n: v for n, v in found.items() if self._first[n] == rank})
        every = {n: v for part in parts for n, v in part.items()}
        return {name: every[name] for name in self.members}

    # --- what `fit` asks for ------------------------------------------------------------------
    def residuals(self, x: Tensor) -> Tensor:
        found = self._shared(lambda member, at: member.residuals(at).detach().cpu(), x)
        self._sizes = [len(part) for part in found.values()]
        return torch.cat(list(found.values()))

    def loss(self, x: Tensor) -> Tensor:
        return loss_of(self, x)

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self._shared(_linearised, x)
        self._sizes = [len(residuals) for residuals, _ in found.values()]
        rows = []
        for name, (residuals, jacobian) in found.items():
            whole = jacobian.new_zeros(len(residuals), len(x))
            whole[:, self._places[name]] = jacobian
            rows.append(whole)
        return torch.cat([residuals for residuals, _ in found.values()]), torch.cat(rows)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The loss `()` and its gradient `(P,)`."""
        found = self._shared(_gradient, x)
        gradient = torch.zeros_like(x)
        for name, (_, part) in found.items():
            gradient[self._places[name]] += part
        return torch.stack([loss for loss, _ in found.values()]).sum(), gradient

    def value(self, x: Tensor) -> Tensor:
        """The loss `()` without a gradient."""
        return torch.stack(list(self._shared(_loss, x).values())).sum()

    def curvature_weights(self, residuals: Tensor) -> Tensor | None:
        """Of members with noise that is not Gaussian, ones for the others; None where all are
        Gaussian. `residuals` are those of the last `linearised` or `residuals`."""
        parts = dict(zip(self.members, residuals.split(self._sizes), strict=True))
        found = {}
        for name, member in self.members.items():
            weights = None if member is None else weights_of(member, parts[name])
            found[name] = weights
        every = self._from_owners(found)
        if all(weights is None for weights in every.values()):
            return None
        ones = {n: torch.ones_like(part) for n, part in parts.items()}
        return torch.cat([ones[n] if w is None else w for n, w in every.items()])


def _loss(member: Problem, x: Tensor) -> Tensor:
    with torch.no_grad():
        return member.loss(x).detach().cpu()


def _gradient(member: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        loss = member.loss(x)
        (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach().cpu(), gradient.cpu()


def _linearised(member: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
    residuals, jacobian = member.linearised(x)
    return residuals.detach().cpu(), jacobian.detach().cpu()
