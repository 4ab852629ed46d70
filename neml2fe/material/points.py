"""Some of the points of an update, and results of parts put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from neml2fe.material.interface import Time
from neml2fe.material.results import Fields, PointResult, State


@dataclass(frozen=True)
class Step:
    """What an update takes besides the strain."""

    state: State
    time: Time
    dt: Time
    fields: Fields | None

    def at(self, points: torch.Tensor) -> Step:
        return Step(
            {n: v[points] for n, v in self.state.items()},
            _at(self.time, points),
            _at(self.dt, points),
            None if self.fields is None else {n: v[points] for n, v in self.fields.items()},
        )


def _at(time: Time, points: torch.Tensor) -> Time:
    return time[points] if isinstance(time, torch.Tensor) and time.ndim else time


@dataclass(frozen=True)
class Part:
    """Results of some points, by their numbers."""

    points: torch.Tensor
    result: PointResult

    def of(self, rows: torch.Tensor) -> Part:
        """Those where `rows` `(n,)` is true."""
        if bool(rows.all()):
            return self
        r = self.result

        def some(value: torch.Tensor | None) -> torch.Tensor | None:
            return None if value is None else value[rows]

        return Part(
            self.points[rows],
            PointResult(
                r.stress[rows],
                some(r.tangent),
                {n: v[rows] for n, v in r.state.items()},
                r.status[rows],
                r.iterations[rows],
                some(r.solution),
                some(r.energy),
            ),
        )


def together(parts: Sequence[Part]) -> PointResult:
    """The results of parts that are all points, each once, in order."""
    if len(parts) == 1:
        return parts[0].result
    order = torch.cat([p.points for p in parts])
    results = [p.result for p in parts]

    def joined(values: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
        known = [v for v in values if v is not None]
        return put(known) if len(known) == len(values) else None

    def put(values: Sequence[torch.Tensor]) -> torch.Tensor:
        found = values[0].new_empty(len(order), *values[0].shape[1:])
        for part, value in zip(parts, values, strict=True):
            found[part.points] = value
        return found

    return PointResult(
        put([r.stress for r in results]),
        joined([r.tangent for r in results]),
        {n: put([r.state[n] for r in results]) for n in results[0].state},
        put([r.status for r in results]),
        put([r.iterations for r in results]),
        joined([r.solution for r in results]),
        joined([r.energy for r in results]),
    )


def with_nan(result: PointResult) -> PointResult:
    """A copy with NaN where points failed."""
    failed = result.failed

    def cleared(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[failed] = torch.nan
        return value

    def maybe(value: torch.Tensor | None) -> torch.Tensor | None:
        return None if value is None else cleared(value)

    return replace(
        result,
        stress=cleared(result.stress),
        tangent=maybe(result.tangent),
        state={n: cleared(v) for n, v in result.state.items()},
        solution=maybe(result.solution),
        energy=maybe(result.energy),
    )
