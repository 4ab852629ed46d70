"""What was measured in a test, and how a simulation of it is compared with that."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neml2fe.calibration.fullfield import (
    FullField,
    RigidMotionRemoval,
    Series,
    StrainGauge,
    StrainWhitening,
    StrainWindows,
)
from neml2fe.calibration.fullfield.edge import prescribed_by
from neml2fe.errors import ConvergenceError, InputError
from neml2fe.fem.conditions.conditions import Condition
from neml2fe.fem.observations import (
    DisplacementsAt,
    Observation,
    Reaction,
    SurfaceDisplacementsAt,
)

Array = NDArray[np.float64]
Values = Mapping[str, Tensor]
"""What was observed, by the names of `Measurement.observations`, `(T, ...)` at its times."""


class Measurement(ABC):
    """Data at some `times` of a test, increasing."""

    @property
    @abstractmethod
    def times(self) -> Array:
        """`(T,)`"""

    @property
    @abstractmethod
    def noise_is_known(self) -> bool:
        """Whether residuals are in units of a standard deviation."""

    @abstractmethod
    def observations(self) -> dict[str, Observation]:
        """What the simulation must observe at these times."""

    @abstractmethod
    def residuals(self, values: Values) -> Tensor:
        """`(m,)`: simulated - measured, whitened, of what is not missing; differentiable. Raises
        `ConvergenceError` where a simulated value is not finite."""

    def under(self, conditions: Sequence[Condition]) -> Measurement:
        """The same in a simulation with these `conditions`, without data that they prescribe."""
        return self


def check_noise(is_known: Mapping[str, bool]) -> None:
    """Raise `InputError` where noise is not known and there is more than one kind of data: their
    residuals are in different units and cannot be added, nor have they one noise in common."""
    unknown = [name for name, known in is_known.items() if not known]
    if unknown and len(is_known) > 1:
        others = ", but for others" if len(unknown) < len(is_known) else ""
        raise InputError(
            f"the standard deviation of the noise is not known for {', '.join(unknown)}{others}: "
            "give it for all, so that their residuals, in different units, can be added; only one "
            "measurement alone can do without"
        )


class _OfData(Measurement):
    """A measurement of one set of data."""

    data: Series | FullField

    @property
    def times(self) -> Array:
        return self.data.times

    @property
    def noise_is_known(self) -> bool:
        return self.data.noise is not None


@dataclass(frozen=True, eq=False)
class LoadMeasurement(_OfData):
    """The force of a load cell: `factor` times the reaction of the boundary condition `reaction`
    (2 where the simulated half of a body takes half of the force; the thickness, of a plane
    body)."""

    data: Series
    reaction: str
    factor: float = 1.0

    def observations(self) -> dict[str, Observation]:
        return {"reaction": Reaction(self.reaction)}

    def residuals(self, values: Values) -> Tensor:
        return self.data.whitened(self.factor * values["reaction"])


@dataclass(frozen=True, eq=False)
class GaugeMeasurement(_OfData):
    """The elongation between two material `points` `(2, dim)`, as of a clip gauge: the change of
    their distance."""

    data: Series
    points: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        if np.ndim(self.points) != 2 or len(self.points) != 2:
            raise InputError("a gauge needs two points")
        first, second = np.asarray(self.points, dtype=np.float64)
        if not np.linalg.norm(second - first) > 0.0:
            raise InputError("the two points of a gauge are the same")

    def observations(self) -> dict[str, Observation]:
        return {"ends": DisplacementsAt(self.points)}

    def residuals(self, values: Values) -> Tensor:
        return self.data.whitened(self.elongation(values["ends"]))

    def elongation(self, u: Tensor) -> Tensor:
        """`(T,)` from displacements of the ends `(T, 2, dim)`."""
        x = torch.as_tensor(np.asarray(self.points, dtype=np.float64))
        arm, change = x[1] - x[0], u[:, 1] - u[:, 0]
        return torch.linalg.vector_norm(arm + change, dim=-1) - torch.linalg.vector_norm(arm)


@dataclass(frozen=True, eq=False)
class FieldMeasurement(_OfData):
    """Displacements that cameras saw, on a plane body or on a surface of one in space.

    - `boundary`: of a body in space, the boundary whose surface was seen.
    - `without_rigid_motion`: fit and remove the rigid motion of every image, from the data and
      from the simulation alike.
    - `strain`: compare strains over windows (virtual strain gauges) of both sides instead of
      displacements. Residuals are made independent by the covariance of strains that share points
      (`StrainWhitening`).
    - `rigid_motion_points`: a mask `(m,)` of the points to which the motion is fitted.
    - `compare_prescribed`: whether displacements of an edge that the simulation prescribes as they
      were measured (`edge_motion`) are data all the same. Their residuals say next to nothing of
      the parameters, and are no noise: by default they are missing.
    - `masks`: how the points were chosen, in words, for the report.
    """

    data: FullField
    boundary: str = ""
    without_rigid_motion: bool = False
    strain: StrainGauge | None = None
    rigid_motion_points: ArrayLike | None = None
    compare_prescribed: bool = False
    masks: str = ""

    def __post_init__(self) -> None:
        put = object.__setattr__  # the way into a frozen dataclass
        data, removal = self.data, None
        if self.without_rigid_motion:
            removal = data.rigid_motion_removal(self.rigid_motion_points)
            data, _ = data.without_rigid_motion(self.rigid_motion_points)
        put(self, "_removal", removal)
        put(self, "compared", data)
        if self.strain is not None:
            windows = self.strain.on(data)
            put(self, "windows", windows)
            put(self, "measured_strain", windows(torch.from_numpy(data.displacements)))
            put(self, "_whitening", StrainWhitening(windows))

    def observations(self) -> dict[str, Observation]:
        points = self.data.points
        if self.boundary:
            return {"field": SurfaceDisplacementsAt(self.boundary, points)}
        return {"field": DisplacementsAt(points)}

    def under(self, conditions: Sequence[Condition]) -> FieldMeasurement:
        """Raises `InputError` where nothing is left."""
        if self.compare_prescribed:
            return self
        u = self.data.displacements
        values = [getattr(condition, "value", None) for condition in conditions]
        used = prescribed_by(values, self.data.points, u.shape[2])
        if not used.any():
            return self
        kept = np.where(used, np.nan, u)
        if np.isnan(kept).all():
            raise InputError(
                "every displacement of a full field is prescribed as it was measured, nothing is "
                "left to compare: take it out of the measurements of the test"
            )
        found = replace(self, data=replace(self.data, displacements=kept))
        object.__setattr__(found, "prescribed_points", int(used.any(axis=1).sum()))
        return found

    def comparable(self, u: Tensor) -> Tensor:
        """Simulated displacements `(T, m, c)`, without rigid motion if the data are."""
        return u if self._removal is None else self._removal(u)

    def residuals(self, values: Values) -> Tensor:
        u = self.comparable(values["field"])
        if self.windows is None:
            return self.compared.whitened(u)
        strain = self.windows(u)
        if not bool(strain.detach()[torch.from_numpy(self.windows.valid)].isfinite().all()):
            raise ConvergenceError("a simulated strain that is compared with data is not finite")
        return self._whitening(strain - self.measured_strain)

    compared: FullField = field(init=False, repr=False)
    """`data`, without rigid motion where that is removed"""
    prescribed_points: int = field(init=False, repr=False, default=0)
    """How many points lack displacements because these are prescribed"""
    _removal: RigidMotionRemoval | None = field(init=False, repr=False)
    windows: StrainWindows | None = field(init=False, repr=False, default=None)
    """The gauges of `strain`"""
    measured_strain: Tensor = field(init=False, repr=False)
    """`(T, n, 3)` at these, NaN where there is none"""
    _whitening: StrainWhitening = field(init=False, repr=False)
