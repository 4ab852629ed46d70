"""Forward and reverse sweeps along a `Path`, by one call of a kernel or step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import torch

from neml2fe.kernels import (
    BAR,
    SOLUTION,
    History,
    Kernel,
    Program,
    Request,
    numbers_of,
    repeated,
)
from neml2fe.kernels.request import Array
from neml2fe.material.compiled import PARAMETER
from neml2fe.material.history import lags
from neml2fe.material.path import MarchCotangents, MarchResult, Path

if TYPE_CHECKING:
    from neml2fe.material.results import State


def forward_kernel(path: Path, state: State, tangent: bool) -> Compiled | None:
    m = path.material
    slope = ((m.strain,), (m.stress,)) if tangent else ()
    return _compiled(path, state, Request("update", m.compiled.of, *slope))


def backward_kernel(path: Path, state: State) -> Compiled | None:
    return _compiled(path, state, path.material.compiled.pull_request())


@dataclass(frozen=True)
class Compiled:
    """A kernel, and the program that it was made from."""

    kernel: Kernel
    program: Program


def _compiled(path: Path, state: State, request: Request) -> Compiled | None:
    """None where the march is to go step by step."""
    material = path.material
    if material.compiled.substeps:
        return None
    kernels = material.compiled.kernels(path.inputs(state))
    with repeated(path.steps):
        if not kernels.prepared(material.backend, request, path.n, path.strain.device):
            return None
    return Compiled(kernels.kernel(request), kernels.program)


def _carry(
    to: Sequence[Array], source: Sequence[Array], names: Mapping[str, str]
) -> list[tuple[int, int]]:
    """Places of the numbers of each array in `to`, and of those that the step before gives."""
    a, b = numbers_of(to), numbers_of(source)
    return [pair for x, y in names.items() for pair in zip(a[x], b[y], strict=True)]


# --- forward -------------------------------------------------------------------------------
def forward(path: Path, state: State, tangent: bool, compiled: Compiled | None) -> MarchResult:
    if compiled is None:
        return _forward_by_steps(path, state, tangent)
    m, source = path.material, compiled.kernel.source
    found = compiled.kernel(
        path.n,
        path.arguments(state),
        [stage.settings() for stage in compiled.program.stages],
        like=path.strain,
        steps=path.steps,
        carry=_carry(source.inputs, source.outputs, {lags(n, 1): n for n in m.state_spec}),
    )
    values = found.arrays
    return MarchResult(
        stress=values[m.stress],
        state={n: torch.cat((state[n].to(values[n].dtype)[None], values[n])) for n in m.state_spec},
        status=found.status,
        iterations=found.iterations,
        tangent=values.get(f"{m.stress}/{m.strain}"),
        solution=values[SOLUTION],
    )


def _forward_by_steps(path: Path, state: State, tangent: bool) -> MarchResult:
    steps, states = [], [state]
    for k in range(path.steps):
        strain, time, dt, fields = path.step(k)
        result = path.material.update(strain, states[-1], time, dt, fields, tangent)
        steps.append(result)
        states.append(result.state)
    return MarchResult(
        stress=torch.stack([r.stress for r in steps]),
        state={n: torch.stack([s[n].to(states[-1][n].dtype) for s in states]) for n in state},
        status=torch.stack([r.status for r in steps]),
        iterations=torch.stack([r.iterations for r in steps]),
        tangent=torch.stack([r.tangent for r in steps if r.tangent is not None])
        if tangent
        else None,
    )


# --- backward ------------------------------------------------------------------------------
def backward(
    path: Path, known: MarchResult, bars: State, compiled: Compiled | None
) -> MarchCotangents:
    """Cotangents for those of stress and state after each step, `bars`; none where zero."""
    if compiled is None:
        return _backward_by_steps(path, known, bars)
    m, kernel = path.material, compiled.kernel
    source, like = kernel.source, path.strain
    shapes = {a.name: a.shape for a in source.inputs}
    arguments = path.arguments({n: v[0] for n, v in known.state.items()})
    arguments |= {lags(n, 1): History(v[:-1]) for n, v in known.state.items()}
    assert known.solution is not None
    arguments[SOLUTION] = History(known.solution)
    for name in m.compiled.of:
        zero = History(like.new_zeros(path.steps, *shapes[BAR + name]), shared=True)
        arguments[BAR + name] = History(bars[name]) if name in bars else zero
    ndims = m.compiled._base_ndims
    parameters = {n: p for n, p in m.model.named_parameters() if p.requires_grad}
    of_parameters = {a.name for a in source.outputs if a.name.startswith(BAR + PARAMETER)}
    constant = {BAR + n for n in path.fields if n not in path.varying}
    pairs = {BAR + n: BAR + lags(n, 1) for n in m.state_spec}
    found = kernel(
        path.n,
        arguments,
        like=like,
        steps=path.steps,
        summed=[BAR + PARAMETER + n for n, p in m.model.named_parameters() if p.ndim == ndims[n]],
        over_steps=of_parameters | constant,
        carry=_carry(source.inputs, source.outputs, pairs),
        backwards=True,
    ).arrays
    return MarchCotangents(
        strain=found[BAR + m.strain],
        state={n: found[BAR + lags(n, 1)][0] for n in m.state_spec},
        fields={n: found[BAR + n] for n in m.field_spec},
        parameters={
            n: found[BAR + PARAMETER + n].to(p.dtype).sum_to_size(p.shape)
            for n, p in parameters.items()
        },
    )


def _backward_by_steps(path: Path, known: MarchResult, bars: State) -> MarchCotangents:
    m, found = path.material, []
    nothing, carried = torch.zeros_like(known.stress[0]), dict[str, torch.Tensor]()
    for k in reversed(range(path.steps)):
        strain, time, dt, fields = path.step(k)
        now = {n: v[k] for n, v in bars.items()}
        stress_bar = now.pop(m.stress, nothing)
        old = {n: v[k] for n, v in known.state.items()}
        step = m.vjp(strain, old, time, dt, stress_bar, added(now, carried), fields)
        found.append(step)
        carried = step.state
    found.reverse()
    return MarchCotangents(
        strain=torch.stack([f.strain for f in found]),
        state=carried,
        fields={
            n: values if n in path.varying else values.sum(0)
            for n in m.field_spec
            for values in [torch.stack([f.fields[n] for f in found])]
        },
        parameters=reduce(added, (f.parameters for f in found)),
    )


def added(a: State, b: State) -> State:
    """Sums by name of what either holds."""
    return {**a, **{n: a[n] + v if n in a else v for n, v in b.items()}}
