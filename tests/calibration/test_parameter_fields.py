"""Parameters of every element from full-field data: penalties, and the weight of these."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from analytic import CurveFit, double
from torch import Tensor

from neml2fe.calibration.fit import FitResult
from neml2fe.calibration.fullfield import FullField
from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    RegularisedProblem,
    SimulationProblem,
    Tikhonov,
    TotalVariation,
    by_discrepancy,
    corner,
    l_curve,
)
from neml2fe.calibration.simulations.penalties import Neighbours
from neml2fe.calibration.simulations.tradeoff import Tradeoff
from neml2fe.errors import InputError
from neml2fe.fem import Dirichlet, ElementField, Mesh, Problem, TimeStepping, Traction
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.observations import DisplacementsAt
from neml2fe.material import Material
from neml2fe.models import LinearIsotropicElasticity

PLATE = rectangle(10, 10, "quad")
CENTRES = PLATE.points[PLATE.cells[0].connectivity].mean(axis=1)
INSIDE = torch.from_numpy(np.hypot(*(CENTRES - 0.5).T) < 0.25)
TRUE = torch.where(INSIDE, 3000.0, 1000.0).double()


@cache
def plate() -> SimulationProblem:
    """A stiff inclusion in a plate pulled in both directions, seen at 900 points with noise of
    0.3 % of the largest displacement."""
    young = torch.full((100,), 1500.0, dtype=torch.float64, requires_grad=True)
    law = LinearIsotropicElasticity(
        label="law", coefficients=("E", 0.3), strain="strain",
        coefficient_types=("YOUNGS_MODULUS", "POISSONS_RATIO"),
    )  # fmt: skip
    conditions = [
        *(Dirichlet("left", c) for c in "xy"),
        Traction("right", [lambda t: 50.0 * t, 0.0]),
        Traction("top", [0.0, lambda t: 30.0 * t]),
    ]
    problem = Problem(
        PLATE, Material(law), conditions, fields={"E": ElementField(young)},
        formulation="plane_strain", backend="scipy",
    )  # fmt: skip
    grid = (np.arange(30) + 0.5) / 30
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    with torch.no_grad():
        young.copy_(TRUE)
        u = problem.solve([1.0], {"u": DisplacementsAt(points)})["u"].numpy()
        young.fill_(1500.0)
    noise = 0.003 * float(np.abs(u).max())
    u = u + noise * np.random.default_rng(0).standard_normal(u.shape)
    seen = FieldMeasurement(FullField(points, [1.0], u, noise))
    bounds = FitParameter("fields.E", 300.0, 10000.0, "log")
    return SimulationProblem(problem, TimeStepping(1.0, 1.0), {"u": seen}, [bounds])


def error(found: Tradeoff) -> float:
    values = plate().parameters.natural(found.result.x)
    return float((values - TRUE).norm() / TRUE.norm())


def jump(found: Tradeoff) -> float:
    """The largest step between neighbours across the border of the inclusion, of the true one, on
    average."""
    values = plate().parameters.natural(found.result.x)
    first, second = Neighbours(PLATE).pairs.T
    across = INSIDE[first] != INSIDE[second]
    return float((values[first] - values[second])[across].abs().mean() / 2000.0)


def test_an_inclusion_is_found_and_total_variation_keeps_its_border() -> None:
    options = {"tolerance": 0.03, "rel_improvement": 1e-3, "patience": 10}
    smooth = by_discrepancy(plate(), Tikhonov(PLATE, "fields.E", 400.0), **options)
    pieces = by_discrepancy(plate(), TotalVariation(PLATE, "fields.E", 600.0, 0.1), **options)
    for found in (smooth, pieces):
        assert abs(found.misfit - 1.0) <= 0.03
        assert found.result.uncertainty is None
    assert error(smooth) <= 0.15
    assert error(pieces) <= 0.5 * error(smooth)
    assert jump(smooth) <= 0.8
    assert 0.88 <= jump(pieces) <= 1.05


def test_gradient_of_the_regularised_loss_is_that_of_differences() -> None:
    penalty = TotalVariation(PLATE, "fields.E", 50.0, 0.1)
    problem = RegularisedProblem(plate(), [penalty, Tikhonov(PLATE, "fields.E", 3.0)])
    random = torch.Generator().manual_seed(0)
    x = 0.3 + 0.4 * torch.rand(100, generator=random, dtype=torch.float64)
    way = torch.randn(100, generator=random, dtype=torch.float64)
    at = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(problem.loss(at), at)
    h = 1e-5
    with torch.no_grad():
        slope = float(problem.loss(x + h * way) - problem.loss(x - h * way)) / (2.0 * h)
        assert float(gradient @ way) == pytest.approx(slope, rel=1e-7)
        r = problem.residuals(x)
        assert float(problem.loss(x)) == pytest.approx(0.5 * float(r @ r), rel=1e-12)


# --- penalties ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "mesh",
    [
        rectangle(5, 4, "quad", (2.0, 1.0)),
        rectangle(5, 4, "quad9", (2.0, 1.0)),
        box(4, 3, 5, "hexahedron", (2.0, 1.0, 3.0)),
    ],
)
def test_roughness_is_the_integral_of_the_squared_gradient(mesh: Mesh) -> None:
    """Of a linear field, but for half an element at each end of every line of elements."""
    centres = mesh.points[mesh.cells[0].connectivity].mean(axis=1)
    slope = torch.tensor([0.7, -0.2, 0.4][: mesh.dim], dtype=torch.float64)
    values = torch.from_numpy(centres) @ slope
    lengths = np.ptp(mesh.points, axis=0)
    counts = [len(np.unique(np.round(c, 9))) for c in centres.T]
    shares = torch.tensor([(n - 1) / n for n in counts], dtype=torch.float64)
    expected = float(lengths.prod()) * float((slope.square() * shares).sum())
    rows = Tikhonov(mesh, "f", 2.0).rows(values[:, None])
    assert 0.5 * float(rows @ rows) == pytest.approx(expected, rel=1e-12)
    # Far above its rounding, total variation is that of each direction.
    rows = TotalVariation(mesh, "f", 1.0, 1e-9).rows(values[:, None])
    expected = float(lengths.prod()) * float((slope.abs() * shares).sum())
    assert 0.5 * float(rows @ rows) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mesh", [rectangle(3, 2, "triangle6"), box(2, 1, 1, "tetra")])
def test_neighbours_of_simplices(mesh: Mesh) -> None:
    found = Neighbours(mesh)
    surface = sum(len(b.connectivity) for side in mesh.boundaries.values() for b in side)
    assert len(found.pairs) == (mesh.n_elements * (mesh.dim + 1) - surface) // 2
    area = found.volume / found.distance
    # Diagonals of rectangles of 1/3 by 1/2; in space, of 1/2 by 1, half of each times 1.
    largest = np.hypot(1 / 3, 1 / 2) if mesh.dim == 2 else 0.5 * np.hypot(0.5, 1.0)
    assert float(area.max()) == pytest.approx(largest)
    two = Neighbours(rectangle(2, 1, "quad", (2.0, 3.0)))
    assert two.pairs.tolist() == [[0, 1]]
    assert two.distance.tolist() == [1.0] and two.volume.tolist() == [3.0]


def test_penalties_of_what_is_no_field_are_refused() -> None:
    curve = CurveFit(lambda b: b, double([1.0]), [0.5], [(0.0, 2.0)], sigma=1.0)
    with pytest.raises(InputError, match="'b1' has 1 values for 100 elements"):
        RegularisedProblem(curve, [Tikhonov(PLATE, "b1", 1.0)])
    with pytest.raises(InputError, match=r"no parameter 'fields\.nu' is fitted"):
        RegularisedProblem(plate(), [Tikhonov(PLATE, "fields.nu", 1.0)])
    with pytest.raises(InputError, match="weight of a penalty must be positive"):
        Tikhonov(PLATE, "fields.E", 0.0)
    with pytest.raises(InputError, match="smoothing of a variation must be positive"):
        TotalVariation(PLATE, "fields.E", 1.0, 0.0)


# --- weights ----------------------------------------------------------------------------------
LINE = rectangle(40, 1, "quad", (1.0, 0.025))


class Blurred:
    """A smooth function, blurred and seen with noise of 0.02 in each of 40 elements: a problem of
    least squares that has no stable solution without a penalty."""

    noise_is_known = True

    def __init__(self) -> None:
        place = torch.arange(40, dtype=torch.float64)
        self.truth = 0.5 + 0.3 * torch.sin(0.15 * place)
        blur = torch.exp(-0.5 * ((place[:, None] - place) / 2.0).square())
        self.blur = blur / blur.sum(1, keepdim=True) / 0.02
        noise = torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.data = self.blur @ self.truth + noise
        tensor = torch.full((40,), 0.5, dtype=torch.float64, requires_grad=True)
        self.parameters = ParameterSet.of({"f": tensor}, [FitParameter("f", -9.0, 10.0)])

    def residuals(self, x: Tensor) -> Tensor:
        return self.blur @ self.parameters.natural(x) - self.data

    def loss(self, x: Tensor) -> Tensor:
        return 0.5 * self.residuals(x).square().sum()

    def linearised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.residuals(x), 19.0 * self.blur

    def error(self, found: Tradeoff) -> float:
        return float((self.parameters.natural(found.result.x) - self.truth).norm())


def test_discrepancy_finds_the_weight_that_leaves_the_noise() -> None:
    problem, options = Blurred(), {"optimiser": "least_squares"}
    for start in (1e3, 1e9):  # from both sides
        found = by_discrepancy(problem, Tikhonov(LINE, "f", start), **options)
        assert abs(found.misfit - 1.0) <= 0.02
        assert problem.error(found) <= 0.25
    with pytest.raises(InputError, match="no weight of the penalty on 'f'"):
        by_discrepancy(problem, Tikhonov(LINE, "f", 1e9), misfit=500.0, most=3, **options)


def test_an_l_curve_and_its_corner() -> None:
    problem = Blurred()
    penalty, weights = Tikhonov(LINE, "f", 1.0), [10.0**k for k in range(-1, 10)]
    curve = l_curve(problem, penalty, weights, optimiser="least_squares")
    assert [t.weight for t in curve] == weights[::-1]
    assert all(a.misfit >= b.misfit for a, b in pairwise(curve))
    assert all(a.roughness <= b.roughness for a, b in pairwise(curve))
    errors = [problem.error(t) for t in curve]
    assert errors[curve.index(corner(curve))] <= 2.0 * min(errors)
    assert max(errors) >= 5.0 * min(errors)
    with pytest.raises(InputError, match="at least three fits, got 2"):
        corner(curve[:2])


def test_the_corner_of_a_drawn_curve() -> None:
    result = FitResult({}, double([0.0]), 0.0, True, "", [])
    drawn = [(100.0, 1.0), (10.0, 1.1), (1.0, 1.2), (0.95, 20.0), (0.9, 400.0)]
    curve = [Tradeoff(10.0**-k, m, r, result) for k, (m, r) in enumerate(drawn)]
    assert corner(curve) is curve[2]
