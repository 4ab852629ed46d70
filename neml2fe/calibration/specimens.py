"""`Specimens`: what was prescribed to and measured on specimens, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from neml2fe.errors import InputError, suggest

COMPONENTS = ("11", "22", "33", "23", "13", "12")


@dataclass(frozen=True)
class Specimens:
    """S specimens, padded to N common rows; row 0 is the start.

    Strains and stresses are Mandel components (11, 22, 33, 23, 13, 12; shear times sqrt(2)).
    A padded row repeats what was prescribed last, one last increment of time later, and has no
    weight: it is easy to simulate and adds nothing to a loss.

    Raises `InputError` for shapes that do not fit, time that does not grow, prescribed values
    and weights that are not finite, weights that are negative or on padded rows, measured values
    that have a weight and are not finite, and a specimen of fewer than two rows.
    """

    names: tuple[str, ...]
    times: Tensor  # (N, S)
    lengths: Tensor  # (S,) rows that are data, int64
    control: Tensor  # (N, S, 6) 0: strain prescribed, 1: stress; row k holds for the step to k
    strain: Tensor  # (N, S, 6) prescribed where control is 0, zero elsewhere
    stress: Tensor  # (N, S, 6) prescribed where control is 1, zero elsewhere
    fields: dict[str, Tensor] = field(default_factory=dict)  # other inputs, (N, S, *base)
    measured: dict[str, Tensor] = field(default_factory=dict)  # (N, S, *base); 0 where absent
    weights: dict[str, Tensor] = field(default_factory=dict)  # as measured; 0: not compared
    conditions: dict[str, Tensor] = field(default_factory=dict)  # (S,) to show; NaN: not known

    def __post_init__(self) -> None:
        self._check_shapes()
        self._check_values()

    # --- making them ------------------------------------------------------------------
    @classmethod
    def uniaxial(
        cls,
        times: Tensor,
        strain: Tensor | None = None,
        stress: Tensor | None = None,
        temperature: float | Tensor | None = None,
        driven_by: str = "strain",
        names: Sequence[str] | None = None,
        weights: float | Tensor = 1.0,
    ) -> Specimens:
        """Tests along direction 11 with all other stresses zero, all tensors `(N, S)`.

        `driven_by` is `strain` or `stress`: that one is prescribed, the other, where given, is
        measured. `temperature` is one number, `(S,)` or `(N, S)`, `weights` those of the measured
        values, likewise. Row 0 is the start, which is not predicted and so gets no weight.
        """
        if times.ndim != 2:
            raise InputError(f"times must have shape (rows, specimens), not {tuple(times.shape)}")
        n, s = times.shape
        given = {"strain": strain, "stress": stress}
        driving = given.get(driven_by)
        if driving is None:
            raise InputError(f"driven_by = '{driven_by}': give that history, strain or stress")
        for name, x in given.items():
            if x is not None:
                _require_shape(name, x, (n, s))
        axial = times.new_zeros(6)
        axial[0] = 1.0
        zero = times.new_zeros(n, s, 6)
        prescribed = {"strain": zero, "stress": zero, driven_by: driving[..., None] * axial}
        measured: dict[str, Tensor] = {}
        counting: dict[str, Tensor] = {}
        for name, x in given.items():
            if name != driven_by and x is not None:
                counting[name] = _broadcast("weights", weights, times)[..., None] * axial
                counting[name][0] = 0.0
                measured[name] = torch.where(counting[name] > 0.0, x[..., None], 0.0)
        inputs, conditions = {}, {}
        if temperature is not None:
            inputs["temperature"] = _broadcast("temperature", temperature, times)
            conditions["temperature"] = inputs["temperature"].mean(0)
        return cls(
            names=tuple(names) if names is not None else tuple(f"specimen {i}" for i in range(s)),
            times=times,
            lengths=torch.full((s,), n, device=times.device),
            control=zero + (1.0 - axial if driven_by == "strain" else 1.0),
            **prescribed,
            fields=inputs,
            measured=measured,
            weights=counting,
            conditions=conditions,
        )

    @classmethod
    def stack(cls, parts: Sequence[Specimens]) -> Specimens:
        """All specimens of all parts, padded to the longest.

        A measured variable that a part lacks gets no weight there, a condition NaN. Raises
        `InputError` if there is none, names repeat, or the `fields` of parts differ.
        """
        if not parts:
            raise InputError("there are no specimens")
        for part in parts:
            lacking = sorted(set().union(*(p.fields for p in parts)) - set(part.fields))
            if lacking:
                raise InputError(
                    f"specimen '{part.names[0]}' has no '{lacking[0]}', which others have"
                )
        even = [part._padded(max(p.n_rows for p in parts)) for part in parts]
        sizes = [len(part.names) for part in parts]

        def columns(name: str) -> Tensor:
            return torch.cat([getattr(part, name) for part in even], 1)

        def tables(name: str) -> dict[str, Tensor]:
            return _joined([getattr(part, name) for part in even], sizes, 1, 0.0)

        return cls(
            names=tuple(name for part in parts for name in part.names),
            times=columns("times"),
            lengths=torch.cat([part.lengths for part in parts]),
            control=columns("control"),
            strain=columns("strain"),
            stress=columns("stress"),
            fields=tables("fields"),
            measured=tables("measured"),
            weights=tables("weights"),
            conditions=_joined([part.conditions for part in parts], sizes, 0, math.nan),
        )

    def select(self, specimens: Iterable[int | str]) -> Specimens:
        """Those of these indices or names, in this order, with no more rows than they need."""
        chosen = [self.index(i) if isinstance(i, str) else int(i) for i in specimens]
        wrong = [i for i in chosen if not -len(self.names) <= i < len(self.names)]
        if wrong or not chosen:
            what = f"index {wrong[0]}" if wrong else "an empty selection"
            raise InputError(f"{what} does not select among {len(self.names)} specimens")
        at = torch.tensor(chosen, device=self.times.device)
        n = int(self.lengths[at].max())
        return self._mapped(
            lambda x: x[:n, at],
            names=tuple(self.names[i] for i in chosen),
            lengths=self.lengths[at],
            conditions={name: x[at] for name, x in self.conditions.items()},
        )

    def to(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Specimens:
        """A copy on another device or in another floating-point type."""
        return self._mapped(
            lambda x: x.to(device=device, dtype=dtype),
            lengths=self.lengths.to(device),
            conditions={k: x.to(device=device, dtype=dtype) for k, x in self.conditions.items()},
        )

    # --- asking them ------------------------------------------------------------------
    @property
    def n_rows(self) -> int:
        return len(self.times)

    @property
    def is_data(self) -> Tensor:
        """`(N, S)`: False in padded rows."""
        return torch.arange(self.n_rows, device=self.times.device)[:, None] < self.lengths

    @property
    def n_values(self) -> Tensor:
        """`(S,)`: the number of measured values of each specimen that have a weight."""
        total = torch.zeros_like(self.lengths)
        for weight in self.weights.values():
            total = total + (weight > 0.0).movedim(1, 0).flatten(1).sum(1)
        return total

    def index(self, name: str) -> int:
        """The place of a specimen. Raises `InputError` if there is none of this name."""
        if name not in self.names:
            raise InputError(f"there is no specimen '{name}'{suggest(name, self.names)}")
        return self.names.index(name)

    # --- changed copies ---------------------------------------------------------------
    def _mapped(self, change: Callable[[Tensor], Tensor], **others: Any) -> Specimens:
        """All tensors `(N, S, ...)` changed, and `others` replaced."""
        changed: dict[str, Any] = {
            name: {key: change(x) for key, x in getattr(self, name).items()}
            for name in ("fields", "measured", "weights")
        }
        for name in ("times", "control", "strain", "stress"):
            changed[name] = change(getattr(self, name))
        return replace(self, **{**changed, **others})

    def _padded(self, n: int) -> Specimens:
        more = n - self.n_rows
        ahead = torch.arange(1, more + 1, device=self.times.device)[:, None]
        last = self.times[-1] - self.times[-2]

        def absent(table: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: torch.cat([x, x.new_zeros(more, *x.shape[1:])]) for k, x in table.items()}

        return self._mapped(
            lambda x: torch.cat([x, x[-1:].expand(more, *x.shape[1:])]),
            times=torch.cat([self.times, self.times[-1] + ahead * last]),
            measured=absent(self.measured),
            weights=absent(self.weights),
        )

    # --- checks -----------------------------------------------------------------------
    def _check_shapes(self) -> None:
        if self.times.ndim != 2 or not self.times.is_floating_point():
            raise InputError(
                "times must be a floating-point tensor of shape (rows, specimens), got "
                f"{self.times.dtype} of shape {tuple(self.times.shape)}"
            )
        n, s = self.times.shape
        if not s or len(self.names) != s or len(set(self.names)) != s:
            raise InputError(
                f"{s} specimens need as many different names, got {', '.join(self.names) or 'none'}"
            )
        shapes = {"lengths": (s,), **dict.fromkeys(("control", "strain", "stress"), (n, s, 6))}
        for name, shape in shapes.items():
            _require_shape(name, getattr(self, name), shape)
        for name in ("fields", "measured", "weights"):
            for key, x in getattr(self, name).items():
                _require_shape(f"{name} '{key}'", x, (n, s, *x.shape[2:]))
        for key, x in self.conditions.items():
            _require_shape(f"condition '{key}'", x, (s,))
        if self.measured.keys() != self.weights.keys():
            raise InputError(
                f"measured are {', '.join(self.measured) or 'none'}, but the weights are those of "
                f"{', '.join(self.weights) or 'none'}"
            )
        for key, x in self.measured.items():
            _require_shape(f"weights '{key}'", self.weights[key], tuple(x.shape))

    def _check_values(self) -> None:
        few = (self.lengths < 2) | (self.lengths > self.n_rows)
        if bool(few.any()):
            i = int(few.nonzero()[0])
            raise InputError(
                f"specimen '{self.names[i]}' has {int(self.lengths[i])} of {self.n_rows} rows; it "
                "needs at least two: the start and one step"
            )
        prescribed = {"times": self.times, "strain": self.strain, "stress": self.stress}
        measured = {f"measured {name}": x for name, x in self.measured.items()}
        for name, x in {**prescribed, **self.fields, **measured}.items():
            self._require(name, ~x.isfinite(), "is not finite")
        self._require("times", self.times.diff(dim=0) <= 0.0, "does not grow", first=1)
        stressed = self.control == 1.0
        self._require("control", ~(stressed | (self.control == 0.0)), "is neither 0 nor 1")
        for name, free in (("strain", stressed), ("stress", ~stressed)):
            against = free & (prescribed[name] != 0.0)
            self._require(name, against, "is prescribed against the control")
        for name, x in self.weights.items():
            wrong = ~((x >= 0.0) & x.isfinite())
            self._require(f"weight of {name}", wrong, "is not a number of at least 0")
            padded = ~self.is_data.reshape(*self.times.shape, *[1] * (x.ndim - 2))
            self._require(f"weight of {name}", padded & (x > 0.0), "is on a padded row")

    def _require(self, what: str, wrong: Tensor, why: str, first: int = 0) -> None:
        """Names the first specimen and row where `wrong` `(N, S, ...)` is true."""
        if bool(wrong.any()):
            row, i = (int(k) for k in wrong.nonzero()[0][:2])
            raise InputError(f"specimen '{self.names[i]}', row {row + first}: {what} {why}")


def _require_shape(what: str, x: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(x.shape) != shape:
        raise InputError(f"{what} has shape {tuple(x.shape)}, expected {shape}")


def _broadcast(what: str, x: float | Tensor, like: Tensor) -> Tensor:
    """A number, `(S,)` or `(N, S)` as a new `(N, S)`."""
    x = torch.as_tensor(x, dtype=like.dtype, device=like.device)
    if x.shape not in ((), like.shape[1:], like.shape):
        n, s = like.shape
        raise InputError(f"{what} has shape {tuple(x.shape)}; it must be (), ({s},) or ({n}, {s})")
    return x.expand_as(like).clone()


def _joined(
    tables: Sequence[Mapping[str, Tensor]], sizes: Sequence[int], axis: int, absent: float
) -> dict[str, Tensor]:
    """Tensors of one name side by side along `axis`, `absent` for tables that lack the name."""
    models = {key: x for table in tables for key, x in table.items()}
    joined = {}
    for key, like in models.items():
        parts = []
        for table, size in zip(tables, sizes, strict=True):
            shape = (*like.shape[:axis], size, *like.shape[axis + 1 :])
            parts.append(table.get(key, like.new_full(shape, absent)))
            _require_shape(f"'{key}'", parts[-1], shape)
        joined[key] = torch.cat(parts, axis)
    return joined
