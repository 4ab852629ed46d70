"""What reports compare: one measured component of all specimens beside the fitted one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe.calibration.specimens import COMPONENTS
from neml2fe.errors import InputError

if TYPE_CHECKING:
    from neml2fe.calibration.noise import Noise
    from neml2fe.calibration.specimens import Specimens

Array = NDArray[np.float64]

_TAILS = {
    (): ("",),
    (3,): ("1", "2", "3"),
    (6,): COMPONENTS,
    (3, 3): tuple(f"{i}{j}" for i in "123" for j in "123"),
}


@dataclass(frozen=True)
class Channel:
    """One component of a measured variable: arrays (N, S), the predictions (K, N, S).

    `used` are the rows with a weight, of specimens that are not left out. Symmetric tensors
    have Mandel components, shear times sqrt(2). `strain` is the strain component that drove
    this one in the test, where one did.
    """

    variable: str
    component: str
    time: Array
    strain: Array | None
    lengths: NDArray[np.int64]
    measured: Array
    weight: Array
    used: NDArray[np.bool_]
    predictions: Array

    @property
    def label(self) -> str:
        """`stress_11`, or the variable's name where it is a scalar."""
        return f"{self.variable}_{self.component}" if self.component else self.variable

    @property
    def fitted(self) -> Array:
        """(N, S) the first of the predictions."""
        return self.predictions[0]

    @cached_property
    def residual(self) -> Array:
        """(N, S) fitted minus measured, 0 where nothing was measured."""
        return np.where(self.used, self.fitted - self.measured, 0.0)

    def whitened(self, noise: Noise | None) -> Array:
        """(m,) residuals of the rows used by the noise's standard deviation, times the root of
        their weights; without noise, by 1."""
        deviation: float | torch.Tensor = 1.0
        if noise is not None:
            deviation = noise.deviation(self.variable, torch.from_numpy(self.measured[self.used]))
        scale = np.asarray(deviation, dtype=np.float64)
        return np.sqrt(self.weight[self.used]) * self.residual[self.used] / scale

    @property
    def abscissa(self) -> tuple[str, Array]:
        """Name and values (N, S) of what to draw this over: the driving strain, or time."""
        if self.strain is None:
            return "time", self.time
        return f"strain_{self.component}", self.strain


def channels(
    specimens: Specimens,
    predicted: Mapping[str, torch.Tensor],
    left_out: Collection[str] = (),
) -> list[Channel]:
    """Every component with a measurement, in the order of the variables.

    Args:
        specimens: The tests.
        predicted: By measured variable, (N, S, *base), or (K, N, S, *base) for K samples.
        left_out: Names of specimens whose rows do not count.

    Raises:
        InputError: if a measured variable is not predicted or has another shape, or nothing
            is measured at all.
    """
    keep = np.array([name not in left_out for name in specimens.names], dtype=bool)
    found = []
    for variable, measured in specimens.measured.items():
        sampled = _sampled(variable, measured, predicted)
        base = tuple(measured.shape[2:])
        size = int(np.prod(base, dtype=int))
        tails = _tails(base)
        flat = [_array(v).reshape(*v.shape[: v.ndim - len(base)], size) for v in
                (measured, specimens.weights[variable], sampled)]  # fmt: skip
        for k, tail in enumerate(tails):
            y, weight, samples = (v[..., k] for v in flat)
            used = (weight > 0) & keep
            if used.any():
                strain = _driving(specimens, k, used) if base == (6,) else None
                found.append(
                    Channel(
                        variable, tail, _array(specimens.times), strain,
                        specimens.lengths.cpu().numpy(), y, weight, used, samples,
                    )
                )  # fmt: skip
    if not found:
        raise InputError("no specimen has a measurement to compare the fit with")
    return found


def unpredicted(specimens: Specimens, predicted: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Specimens for which a prediction is not finite where there is data, and the first row."""
    found: dict[str, str] = {}
    for variable, measured in specimens.measured.items():
        finite = torch.isfinite(_sampled(variable, measured, predicted)).all(dim=0)
        bad = ~finite & (specimens.weights[variable] > 0)
        bad = bad.reshape(*bad.shape[:2], -1).any(dim=2)
        for s in bad.any(dim=0).nonzero().flatten().tolist():
            row = int(bad[:, s].nonzero()[0])
            reason = f"the fitted model gives no finite {variable} at row {row}"
            found.setdefault(specimens.names[s], reason)
    return found


def with_rates(specimens: Specimens) -> Specimens:
    """With the condition `strain_rate` if no rate is given and some strain is prescribed.

    It is the median over the rows, of the component prescribed to move fastest.
    """
    if any("rate" in name for name in specimens.conditions):
        return specimens
    rates = torch.full((len(specimens.names),), torch.nan, dtype=torch.float64)
    for s, length in enumerate(specimens.lengths.tolist()):
        driven = (specimens.control[1:length, s] == 0).all(dim=0)
        steps = specimens.strain[:length, s].diff(dim=0)
        speeds = (steps.T / specimens.times[:length, s].diff()).abs().median(dim=1).values
        fastest = float(speeds[driven].max()) if driven.any() else 0.0
        if fastest > 0:
            rates[s] = float(f"{fastest:.2g}")
    if rates.isnan().all():
        return specimens
    return replace(specimens, conditions={**specimens.conditions, "strain_rate": rates})


def drives_and_compared(specimens: Specimens) -> dict[str, list[str]]:
    """Names of specimens by what drives them and what is compared, in words:
    `strain_11 drives, other stresses are zero; stress_11 is compared`."""
    found: dict[str, list[str]] = {}
    for s, (name, n) in enumerate(zip(specimens.names, specimens.lengths.tolist(), strict=True)):
        prescribed = {
            kind: (getattr(specimens, kind)[:n, s] != 0).any(dim=0) for kind in ("strain", "stress")
        }
        driving = [
            f"{kind}_{COMPONENTS[k]}"
            for kind, moves in prescribed.items()
            for k in moves.nonzero().flatten().tolist()
        ]
        rest = specimens.control[1:n, s][:, ~(prescribed["strain"] | prescribed["stress"])]
        held = "stresses" if bool((rest == 1).all()) else "strains"
        if not bool((rest == 1).all() | (rest == 0).all()):
            held = "strains and stresses"
        words = _listed([*driving, *specimens.fields], "drives", "drive")
        words += f", other {held} are zero; " if rest.numel() else "; "
        compared = [
            f"{variable}_{tail}" if tail else variable
            for variable, weights in specimens.weights.items()
            for tail, used in _used(weights[:n, s])
            if used
        ]
        found.setdefault(words + _listed(compared, "is compared", "are compared"), []).append(name)
    return found


def _used(weights: torch.Tensor) -> list[tuple[str, bool]]:
    """Each component's name, and whether a row of `(n, *base)` has a weight."""
    used = (weights > 0).any(dim=0).flatten().tolist()
    return list(zip(_tails(tuple(weights.shape[1:])), used, strict=True))


def _tails(base: tuple[int, ...]) -> tuple[str, ...]:
    return _TAILS.get(base, tuple(str(k) for k in range(int(np.prod(base, dtype=int)))))


def _listed(names: list[str], one: str, several: str) -> str:
    if len(names) < 2:
        return f"{names[0] if names else 'nothing'} {one}"
    return f"{', '.join(names[:-1])} and {names[-1]} {several}"


def _array(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()


def _sampled(
    variable: str, measured: torch.Tensor, predicted: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """(K, N, S, *base)"""
    if variable not in predicted:
        raise InputError(f"'{variable}' was measured but not predicted")
    values = predicted[variable]
    if values.shape == measured.shape:
        return values[None]
    if values.shape[1:] != measured.shape or not len(values):
        raise InputError(
            f"the prediction of '{variable}' has shape {tuple(values.shape)}; "
            f"the measurement {tuple(measured.shape)}"
        )
    return values


def _driving(specimens: Specimens, k: int, used: NDArray[np.bool_]) -> Array | None:
    """(N, S) strain component k if it was prescribed, and kept moving, wherever k counts.

    In a relaxation test the strain stands still, and only time tells the rows apart.
    """
    strain = _array(specimens.strain[..., k])
    moves = total = 0
    for s in np.flatnonzero(used.any(axis=0)):
        length = int(specimens.lengths[s])
        if bool((specimens.control[1:length, s, k] != 0).any()):
            return None
        steps = np.diff(strain[:length, s])
        moves += int(np.count_nonzero(np.abs(steps) > 1e-6 * np.abs(steps).max(initial=0.0)))
        total += len(steps)
    return strain if moves > 0.8 * total else None
