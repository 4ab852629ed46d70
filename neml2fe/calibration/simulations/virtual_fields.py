"""The virtual fields method: a misfit of test data that needs no equilibrium to be solved.

The displacements measured over the whole region prescribe all nodes of a mesh (`NodalMotion`);
stresses follow point by point. With a virtual displacement w that is zero on the held edge and
constant along the load on the loaded one, the principle of virtual work asks that

    integral of stress : strain(w) - load * (w along the load on the loaded edge) = 0

in every image (F. Pierron, M. Grediac, The Virtual Fields Method, 2012). Its noise follows from
those of the load and, to first order, of the displacements through the whole history (compare
S. Avril, M. Grediac, F. Pierron, Comput. Mech. 34, 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neml2fe.calibration.fullfield import Series
from neml2fe.calibration.simulations.measurements import Measurement, Values
from neml2fe.calibration.simulations.nodal_motion import NodalMotion
from neml2fe.calibration.simulations.problem import SimulationProblem
from neml2fe.errors import ConvergenceError, InputError
from neml2fe.fem.conditions.conditions import COMPONENTS
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.observations import Observation, VirtualWork

Array = NDArray[np.float64]

_FLAT = 1e-6  # of the distance of the edges


@dataclass(frozen=True, eq=False)
class VirtualField:
    """A virtual displacement, zero on the held edge.

    - `displacement`: from coordinates `(n, dim)` to values `(n, dim)`, of size about one.
    - `loaded`: its value on the loaded edge along the load, constant there; all other components
      are zero there.
    """

    displacement: Callable[[Array], Array]
    loaded: float


def virtual_fields(mesh: Mesh, held: str, loaded: str, component: str) -> dict[str, VirtualField]:
    """Virtual fields for a specimen between two straight edges (or flat faces), `held` and `loaded`
    in the direction `component`, by name.

    With s from 0 on the held edge to 1 on the loaded one and b = 4 s (1 - s), the component along
    the load is s ("linear") or s^2 ("quadratic"). Fields of b do no work on the load: across the
    specimen, b ("shear") and b y ("contraction"), and along it, b y ("bending"), with y across it
    from -1 to 1; where the load itself acts across the specimen, "shear" is b along it.

    Raises `InputError` for edges that are not flat across one axis.
    """
    if component not in COMPONENTS[: mesh.dim]:
        raise InputError(f"the load acts in {', '.join(COMPONENTS[: mesh.dim])}, not '{component}'")
    along = COMPONENTS.index(component)
    ends = [mesh.points[mesh.boundary_nodes(edge)] for edge in (held, loaded)]
    spans = [np.ptp(x, axis=0) for x in ends]
    gaps = np.abs(ends[1].mean(axis=0) - ends[0].mean(axis=0))
    flat = np.max(spans, axis=0) <= _FLAT * gaps.max()
    if not (flat & (gaps > 0.0)).any():
        raise InputError(
            f"the edges '{held}' and '{loaded}' are not straight across one axis: give virtual "
            "fields of your own"
        )
    axis = int(np.argmax(np.where(flat, gaps, -1.0)))
    start, stop = ends[0][0, axis], ends[1][0, axis]
    middle = 0.5 * (mesh.points.min(axis=0) + mesh.points.max(axis=0))
    half = 0.5 * np.ptp(mesh.points, axis=0)

    def made(direction: int, shape: Sequence[float], across: int | None) -> VirtualField:
        centre = None if across is None else (across, float(middle[across]), float(half[across]))
        displacement = _Polynomial(direction, tuple(shape), axis, float(start), float(stop), centre)
        return VirtualField(displacement, sum(shape) if direction == along else 0.0)

    linear, quadratic, bubble = (0.0, 1.0), (0.0, 0.0, 1.0), (0.0, 4.0, -4.0)
    found = {"linear": made(along, linear, None), "quadratic": made(along, quadratic, None)}
    for k in (k for k in range(mesh.dim) if k != axis):
        name = "" if mesh.dim == 2 else f"_{COMPONENTS[k]}"
        found[f"bending{name}"] = made(axis, bubble, k)
        found[f"shear{name}"] = made(axis if k == along else k, bubble, None)
        found[f"contraction{name}"] = made(k, bubble, k)
    return found


@dataclass(frozen=True)
class _Polynomial:
    """In one `direction`, a polynomial in s with the coefficients `shape`, from the lowest; s goes
    from 0 at `start` to 1 at `stop` along `axis`. With `centre`, an axis, a middle and a half
    width, times a coordinate from -1 to 1 along that axis. (Ranks send it to each other.)"""

    direction: int
    shape: tuple[float, ...]
    axis: int
    start: float
    stop: float
    centre: tuple[int, float, float] | None

    def __call__(self, x: Array) -> Array:
        w = np.zeros_like(x)
        s = (x[:, self.axis] - self.start) / (self.stop - self.start)
        w[:, self.direction] = np.polynomial.polynomial.polyval(s, self.shape)
        if self.centre is not None:
            axis, middle, half = self.centre
            w[:, self.direction] *= (x[:, axis] - middle) / half
        return w


@dataclass(frozen=True, eq=False)
class VirtualFieldsMeasurement(Measurement):
    """The balance of virtual work of some `fields` with the `load`, in every image.

    It is for a simulation in which a `NodalMotion` prescribes every node. `factor` times the
    internal work is compared with that of the load (the thickness, of a plane body).

    Residuals are whitened by a `covariance` `(T F, T F)` of T times and F fields, all fields of a
    time together, such as `covariance_of_virtual_work` gives. Without it each counts in standard
    deviations of the load times a virtual displacement of one, which leaves out the noise of the
    displacements and that the fields share the noise of the load.
    """

    load: Series
    fields: Mapping[str, VirtualField]
    factor: float = 1.0
    covariance: Array | None = None

    def __post_init__(self) -> None:
        if not self.fields:
            raise InputError("the virtual fields method needs at least one virtual field")
        loaded = np.array([f.loaded for f in self.fields.values()])
        # What does not work on the loaded edge needs no load.
        valid = np.isfinite(self.load.values)[:, None] | (loaded == 0.0)
        work = np.where(loaded == 0.0, 0.0, self.load.values[:, None] * loaded)
        noise = 1.0 if self.load.noise is None else np.asarray(self.load.noise)
        size = valid.size
        covariance = self.covariance
        if covariance is None:
            covariance = np.diag(np.broadcast_to(np.square(noise), len(valid)).repeat(len(loaded)))
        if covariance.shape != (size, size):
            raise InputError(
                f"the covariance of {valid.shape[0]} times and {valid.shape[1]} virtual fields is "
                f"({size}, {size}), not {covariance.shape}"
            )
        there = np.flatnonzero(valid)
        try:
            factor = np.linalg.cholesky(covariance[np.ix_(there, there)])
        except np.linalg.LinAlgError:
            raise InputError("the covariance of virtual works is not positive definite") from None
        put = object.__setattr__  # the way into a frozen dataclass
        put(self, "_valid", torch.from_numpy(valid))
        put(self, "_work", torch.from_numpy(work))
        put(self, "_cholesky", torch.from_numpy(factor))

    @property
    def times(self) -> Array:
        return self.load.times

    @property
    def noise_is_known(self) -> bool:
        return self.load.noise is not None or self.covariance is not None

    def observations(self) -> dict[str, Observation]:
        return {name: VirtualWork(f.displacement) for name, f in self.fields.items()}

    def unbalanced(self, values: Values) -> Tensor:
        """`(T, F)`: internal less external virtual work."""
        internal = torch.stack([values[name] for name in self.fields], dim=1)
        return self.factor * internal - self._work

    def residuals(self, values: Values) -> Tensor:
        found = self.unbalanced(values)[self._valid]
        if not bool(found.detach().isfinite().all()):
            raise ConvergenceError("a virtual work that is compared with data is not finite")
        return torch.linalg.solve_triangular(self._cholesky, found[:, None], upper=False)[:, 0]

    _valid: Tensor = field(init=False, repr=False)
    _work: Tensor = field(init=False, repr=False)
    _cholesky: Tensor = field(init=False, repr=False)


def covariance_of_virtual_work(
    problem: SimulationProblem, name: str, motion: NodalMotion, x: Tensor | None = None
) -> Array:
    """`(T F, T F)`: the covariance of `unbalanced` of the measurement `name` of `problem`, from the
    noise of the load and, to first order at parameters `x` (None: the initial ones), that of the
    displacements in all images. One reverse sweep for each time and field. Collective.

    It changes with the parameters: fit, find it anew, and fit again. Raises `InputError` where a
    noise is not known.
    """
    measurement = problem.measurements.get(name)
    if not isinstance(measurement, VirtualFieldsMeasurement):
        raise InputError(f"'{name}' is no VirtualFieldsMeasurement of the problem")
    if motion.deviations is None or measurement.load.noise is None:
        raise InputError("the noise of the load and of the displacements must be known")
    nodal = motion.displacements
    if not any(tensor is nodal for tensor in problem.tensors.values()):
        raise InputError("another motion prescribes the nodes of the simulation")
    nodal.requires_grad_()
    try:
        with problem.at(problem.parameters.x0 if x is None else x), torch.enable_grad():
            solution = problem.solved()
            work = measurement.unbalanced(problem.values_of(name, solution.values)).flatten()
            rows = [torch.autograd.grad(w, nodal, retain_graph=True)[0] for w in work]
    finally:
        nodal.requires_grad_(False)
    spread = motion.deviations(torch.stack(rows, dim=-1).numpy())
    loaded = np.array([f.loaded for f in measurement.fields.values()])
    noise = np.broadcast_to(np.asarray(measurement.load.noise), len(measurement.times))
    covariance = spread.T @ spread + np.kron(np.diag(np.square(noise)), np.outer(loaded, loaded))
    return np.asarray(covariance)


def with_covariance(
    problem: SimulationProblem, name: str, motion: NodalMotion, x: Tensor | None = None
) -> VirtualFieldsMeasurement:
    """The measurement `name` of `problem` with `covariance_of_virtual_work`."""
    covariance = covariance_of_virtual_work(problem, name, motion, x)
    measurement = problem.measurements[name]
    assert isinstance(measurement, VirtualFieldsMeasurement)
    return replace(measurement, covariance=covariance)


class VirtualFieldsProblem(SimulationProblem):
    """A test by virtual fields, with the `motion` that prescribes the nodes of its simulation."""

    def __init__(self, motion: NodalMotion, *args: Any, **options: Any) -> None:
        """`args`, `options`: as of `SimulationProblem`."""
        super().__init__(*args, **options)
        self.motion = motion

    def weigh(self, x: Tensor) -> None:
        """Weigh by the noise of the displacements too, at parameters `x` `(P,)` of a first fit
        (`with_covariance`). Collective."""
        for name, measurement in self.measurements.items():
            if isinstance(measurement, VirtualFieldsMeasurement):
                self.measurements[name] = with_covariance(self, name, self.motion, x)
