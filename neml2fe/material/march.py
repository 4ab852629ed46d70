"""`march`: many points through whole histories of strain, and the reverse sweep.

A compiled model steps inside its kernel, without a way back to Python between two steps; any
other goes step by step through `Material.update` and `Material.vjp`, with the same results.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import torch

from neml2fe.errors import ConvergenceError, ModelError, suggest
from neml2fe.implicit import Status
from neml2fe.material.path import MarchCotangents, MarchResult, Path
from neml2fe.material.sweeps import added, backward, backward_kernel, forward, forward_kernel

if TYPE_CHECKING:
    from neml2fe.material.point import Material
    from neml2fe.material.results import Fields, State


def march(
    material: Material,
    strain: torch.Tensor,
    times: torch.Tensor,
    state: State | None = None,
    fields: Fields | None = None,
    tangent: bool = False,
    keep_every: int = 1,
) -> MarchResult:
    """Take n points through the S steps of `strain` `(S, n, 6)` between `times` `(S + 1,)` or
    `(S + 1, n)`, of which the first is that of the initial `state`.

    Fields are `(n, *shape)`, or `(S, n, *shape)` where they vary. `keep_every` = k keeps the
    state of every k-th step only, from which `march_vjp` computes the others once more. The
    results carry no graph; those of `response` do.
    """
    if keep_every < 1:
        raise ModelError(f"march: keep_every must be at least 1, got {keep_every}")
    path = Path.of(material, strain, times, fields)
    state = path.start(state)
    compiled = forward_kernel(path, state, tangent)
    if keep_every == 1:
        return _ended(forward(path, state, tangent, compiled))
    pieces, states = [], [state]
    for part in path.parts(keep_every):
        piece = forward(part, states[-1], tangent, compiled)
        states.append({n: v[-1].clone() for n, v in piece.state.items()})
        pieces.append(replace(piece, state={}, solution=None))
    return _ended(
        MarchResult(
            stress=torch.cat([p.stress for p in pieces]),
            state={
                n: torch.stack([s[n].to(v.dtype) for s in states]) for n, v in states[-1].items()
            },
            status=torch.cat([p.status for p in pieces]),
            iterations=torch.cat([p.iterations for p in pieces]),
            tangent=torch.cat([t for p in pieces if (t := p.tangent) is not None])
            if tangent
            else None,
            keep_every=keep_every,
        )
    )


def _ended(result: MarchResult) -> MarchResult:
    """With NaN and the first bad status from the step on in which a point failed."""
    status, k = result.status, result.keep_every
    bad = ~torch.isfinite(result.stress).flatten(2).all(-1) & (status == Status.CONVERGED)
    status = torch.where(bad, torch.full_like(status, Status.NOT_FINITE), status)
    failed = (status != Status.CONVERGED).cummax(0).values
    if not failed.any():
        return result
    first = failed.to(torch.int64).argmax(0, keepdim=True)
    status = torch.where(failed, status.gather(0, first), status)
    later = failed.clone()
    later[1:] &= failed[:-1]
    later[0] = False
    ends = [*range(k, len(status), k), len(status)]
    for values in (result.stress, result.tangent, result.solution):
        if values is not None:
            values[failed] = torch.nan
    for values in result.state.values():
        values[1:][failed[[e - 1 for e in ends]]] = torch.nan
    return replace(result, status=status, iterations=result.iterations.masked_fill(later, 0))


def march_vjp(
    material: Material,
    strain: torch.Tensor,
    times: torch.Tensor,
    result: MarchResult,
    stress_bar: torch.Tensor | None = None,
    state_bar: State | None = None,
    fields: Fields | None = None,
) -> MarchCotangents:
    """Pull cotangents of a march's stress `(S, n, 6)` and state, in the shapes of
    `result.state`, back to the start.

    Raises `ConvergenceError` where a point failed, since its derivatives do not exist.
    """
    path, bars, k = Path.of(material, strain, times, fields), state_bar or {}, result.keep_every
    _require_converged(material, result.status)
    _require_shapes(result, stress_bar, bars)
    start = {n: v[0] for n, v in result.state.items()}
    update, pull = forward_kernel(path, start, False), backward_kernel(path, start)
    again = k > 1 or (pull is not None and result.solution is None)
    stretches = list(enumerate(path.parts(k if k > 1 else path.steps)))
    found: list[MarchCotangents] = []
    for i, part in reversed(stretches):
        known = result
        if again:
            known = forward(part, {n: v[i] for n, v in result.state.items()}, False, update)
            _require_converged(material, known.status, i * k)
        given = {n: v[1:] for n, v in bars.items()}
        if k > 1:
            last = added({n: v[i + 1] for n, v in bars.items()}, found[-1].state if found else {})
            given = {n: _after(part.steps - 1, v) for n, v in last.items()}
        if stress_bar is not None:
            given = added(given, {material.stress: stress_bar[i * k :][: part.steps]})
        found.append(backward(part, known, given, pull))
    found.reverse()
    by_field = {n: [f.fields[n] for f in found] for n in material.field_spec}
    return MarchCotangents(
        strain=torch.cat([f.strain for f in found]),
        state=added(found[0].state, {n: v[0] for n, v in bars.items()}),
        fields={
            n: torch.cat(v) if n in path.varying else torch.stack(v).sum(0)
            for n, v in by_field.items()
        },
        parameters=reduce(added, (f.parameters for f in found)),
    )


def _after(steps: int, value: torch.Tensor) -> torch.Tensor:
    """`value` after so many steps of zeros."""
    return torch.cat((value.new_zeros(steps, *value.shape), value[None]))


def _require_converged(material: Material, status: torch.Tensor, first: int = 0) -> None:
    failed = (status != Status.CONVERGED).nonzero()
    if len(failed):
        step, point = failed[0].tolist()
        points = int((status != Status.CONVERGED).any(0).sum())
        raise ConvergenceError(
            f"'{material.model.label}' did not converge at {points} of {status.shape[1]} points "
            f"(first: step {first + step + 1}, point {point}); derivatives do not exist there"
        )


def _require_shapes(result: MarchResult, stress_bar: torch.Tensor | None, bars: State) -> None:
    known = {"stress": result.stress} | {f"state '{n}'": v for n, v in result.state.items()}
    given = {} if stress_bar is None else {"stress": stress_bar}
    for name, bar in {**given, **{f"state '{n}'": v for n, v in bars.items()}}.items():
        if name not in known:
            raise ModelError(f"march: the material has no {name}{suggest(name, known)}")
        if bar.shape != known[name].shape:
            raise ModelError(
                f"march: cotangents of {name} must have shape {tuple(known[name].shape)}, got "
                f"{tuple(bar.shape)}"
            )
