"""Observations of solved problems: their values and transposes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from observations_on_ranks import EP, half_triangles, solved, transpose_error
from results_box import mesh, problem, two_bodies

from neml2fe.errors import Error, InputError, MeshError
from neml2fe.fem import (
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    Mesh,
    Problem,
    RigidBody,
    homogenised_strain,
    homogenised_stress,
)
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.observations import (
    ControlMotion,
    DisplacementsAt,
    ElementMeans,
    Instant,
    MeanStrain,
    MeanStress,
    NodalDisplacements,
    Observation,
    PointValues,
    Reaction,
    SurfaceDisplacementsAt,
    VirtualWork,
    VolumeIntegral,
)


def value(p: Problem, observation: Observation, at: Instant | None = None) -> np.ndarray:
    return observation.bind(p).apply(Instant.of(p) if at is None else at).numpy()


# --- values -----------------------------------------------------------------------
@pytest.fixture(scope="module")
def plane() -> Problem:
    return solved("plane")[0]


@pytest.fixture(scope="module")
def rigid() -> Problem:
    return solved("rigid")[0]


def test_reactions_and_motions_are_those_of_the_load_table(plane: Problem, rigid: Problem) -> None:
    for p in (plane, rigid):
        row = p.load_row()
        names = [c.removesuffix("_reaction") for c in row if c.endswith("_reaction")]
        assert len(names) >= 3
        for name in names:
            bound = Reaction(name).bind(p)
            assert bound.shape == () and transpose_error(p, bound) <= 1e-14
            assert value(p, Reaction(name)) == pytest.approx(row[f"{name}_reaction"], abs=1e-12)
    assert abs(row["head_rz_reaction"]) > 1.0
    for name in ("head_x", "head_ry", "head_rz"):
        assert value(rigid, ControlMotion(name)) == row[f"{name}_displacement"]
    assert value(rigid, ControlMotion("head_rz")) == 0.8


@pytest.mark.parametrize("name", ["cell", "finite"])
def test_means_of_a_periodic_cell(name: str) -> None:
    p, _ = solved(name)
    stress = homogenised_stress(p)
    assert MeanStress().bind(p).shape == stress.shape
    assert np.abs(value(p, MeanStress("cell")) - stress).max() <= 1e-13 * np.abs(stress).max()
    rest = np.eye(3) if name == "finite" else 0.0
    assert np.abs(value(p, MeanStrain()) + rest - homogenised_strain(p)).max() <= 1e-15
    volume = float(np.ptp(p.local.points, axis=0).prod())
    integral = value(p, VolumeIntegral("stress"))
    if name == "cell":
        integral = integral[[0, 1, 5]]
    error = np.abs(integral / volume - stress).max()  # Hill-Mandel: the mean over the volume
    assert error <= 1e-9 * np.abs(stress).max()


def test_values_at_points_in_the_order_of_elements(plane: Problem) -> None:
    fields = plane.point_fields()
    low, high = (next(k for k, s in enumerate(plane.solids) if s.name == n and s.block.n_points)
                 for n in ("low", "high"))  # fmt: skip
    bound = PointValues("stress").bind(plane)
    n_low, n_high = (plane.solids[k].block.n_points for k in (low, high))
    assert bound.elements.tolist() == [*np.repeat(np.arange(12), 4), *(12 + np.arange(24))]
    expected = torch.cat([fields[low]["stress"], fields[high]["stress"]])
    assert bound.shape == (n_low + n_high, 6)
    assert np.array_equal(value(plane, PointValues("stress")), expected.numpy())
    assert np.array_equal(value(plane, PointValues("stress", "high")), fields[high]["stress"])
    plastic = value(plane, PointValues(EP, "low"))
    assert np.array_equal(plastic, fields[low][EP]) and plastic.max() > 1e-4


def test_order_of_elements_of_bodies_that_alternate() -> None:
    """Elements 0, 2, ... of one body and 1, 3, ... of another, with different rules."""
    from neml2fe.fem import Body

    whole = rectangle(4, 2, "quad")
    regions = {"even": (np.arange(0, 8, 2),), "odd": (np.arange(1, 8, 2),)}
    parted = Mesh(whole.points, whole.cells, whole.boundaries, regions=regions)
    law = two_bodies().solids[0].material
    bodies = [Body(law, ["odd"], quadrature_degree=1), Body(law, ["even"])]
    p = problem(parted, bodies)
    centres = whole.points[whole.cells[0].connectivity].mean(axis=1)
    at = Instant.of(p)
    for values, solid in zip(at.points, p.solids, strict=True):
        x = solid.block.positions().reshape(-1, 2)
        values[EP] = 2.0 * x[:, 0] - x[:, 1]
    bound = PointValues(EP).bind(p)
    assert bound.elements.tolist() == np.repeat(np.arange(8), [4, 1] * 4).tolist()
    means = value(p, ElementMeans(EP), at)
    assert np.abs(means - (2.0 * centres[:, 0] - centres[:, 1])).max() <= 1e-14
    found, count = bound.apply(at).numpy(), np.bincount(bound.elements)
    assert np.abs(np.bincount(bound.elements, found) / count - means).max() <= 1e-14
    assert transpose_error(p, bound) <= 1e-14


def test_means_and_integrals_weigh_by_volume(plane: Problem) -> None:
    means, integral = value(plane, ElementMeans(EP, "low")), value(plane, VolumeIntegral(EP, "low"))
    solid = next(s for s in plane.solids if s.name == "low" and s.block.n_points)
    plastic, volumes = solid.state[EP].reshape(-1, 4), solid.block.volumes()
    expected = [float((p @ v) / v.sum()) for p, v in zip(plastic, volumes, strict=True)]
    assert means == pytest.approx(expected, rel=1e-13)
    assert integral == pytest.approx(means @ volumes.sum(1).numpy(), rel=1e-13)


def test_virtual_work_of_reactions_is_that_of_the_stress(plane: Problem) -> None:
    """u* = A X: the sum of f . u* over the fixed dofs is the integral of stress : A."""
    a = np.array([[0.3, -0.2], [0.5, 0.7]])
    stress = value(plane, VolumeIntegral("stress"))
    expected = a[0, 0] * stress[0] + a[1, 1] * stress[1] + (a[0, 1] + a[1, 0]) * stress[5] / 2**0.5
    work = value(plane, VirtualWork(lambda x: x @ a.T))
    assert work == pytest.approx(expected, rel=1e-9)
    assert value(plane, VirtualWork(half_triangles().points @ a.T)) == pytest.approx(work)
    shift = value(plane, VirtualWork(lambda x: np.ones_like(x)))
    assert abs(shift) <= 1e-9 * abs(expected)  # reactions are in balance


# --- what is refused -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("observation", "kind", "message"),
    [
        (NodalDisplacements("rigth"), MeshError, "'rigth'; did you mean 'right'"),
        (DisplacementsAt([[0.5, 0.5, 0.5]]), InputError, r"points \(m, 2\) are needed"),
        (DisplacementsAt([0.5, 0.5]), InputError, r"points \(m, 2\) are needed"),
        (DisplacementsAt([[0.5, 0.5], [np.nan, 0.0]]), InputError, "1 of 2 points .* number 1"),
        (DisplacementsAt([[0.5, 0.5]], outside="NaN"), InputError, "'error' or 'nan', not 'NaN'"),
        (DisplacementsAt([[0.5, 0.5]], tolerance=-1.0), InputError, "must be a length, got -1"),
        (SurfaceDisplacementsAt("right", [[1.0, 0.5]]), InputError, "needs a three-dimensional"),
        (Reaction("pul"), InputError, "'pul'.*did you mean 'pull'"),
        (ControlMotion("pull"), InputError, "no ControlForce or ControlDisplacement 'pull'"),
        (MeanStress(), InputError, "no periodic cell"),
        (MeanStrain("cell"), InputError, "no periodic cell 'cell'; none is defined"),
        (PointValues("strss"), InputError, "no variable 'strss'; did you mean 'stress'"),
        (PointValues(EP), InputError, "body 'high' has no .*; name a body that does: low"),
        (ElementMeans("stress", "lo"), InputError, "no body 'lo'; did you mean 'low'"),
        (VolumeIntegral("temperature"), InputError, "no variable 'temperature'"),
        (VirtualWork(np.ones((3, 2))), InputError, r"\(35, 2\) are needed, got \(3, 2\)"),
        (VirtualWork(lambda x: x / 0.0), InputError, "no finite number"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_a_problem_does_not_have(
    plane: Problem, observation: Observation, kind: type[Error], message: str
) -> None:
    with pytest.raises(kind, match=f"{type(observation).__name__}: .*{message}"):
        observation.bind(plane)


def test_what_linked_problems_do_not_have(rigid: Problem) -> None:
    with pytest.raises(InputError, match=r"VirtualWork: .* link displacements"):
        VirtualWork(lambda x: x).bind(rigid)
    with pytest.raises(MeshError, match="no boundary of facets 'frnt'; did you mean 'front'"):
        SurfaceDisplacementsAt("frnt", [[0.0, 0.0, 0.0]]).bind(rigid)
    loaded = [
        *[Dirichlet("left", c) for c in "xy"],
        RigidBody("right", (1.0, 0.5), label="head"),
        ControlDisplacement("head", "x", 0.01, label="drive"),
        ControlForce("head", "x", 1.0, label="push"),
    ]
    p = Problem(mesh("quad"), two_bodies().solids[1].material, loaded, backend="scipy")
    with pytest.raises(InputError, match="'push' puts a force on the component that 'drive'"):
        Reaction("drive").bind(p)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PointValues("stress"),
        lambda: ElementMeans("stress"),
        lambda: VolumeIntegral("stress", "high"),
        lambda: VirtualWork(lambda x: x**2),
    ],
)
def test_pull_adds(plane: Problem, make: Callable[[], Observation]) -> None:
    """To what is there already, so that cotangents of several observations add up."""
    bound = make().bind(plane)
    bar = torch.ones(bound.shape, dtype=torch.float64)
    once, twice = (Instant.of(plane).zeros_like() for _ in range(2))
    bound.pull(bar, once)
    bound.pull(bar, twice)
    bound.pull(bar, twice)
    assert np.array_equal(twice.forces, 2.0 * once.forces)
    total = 0.0
    for a, b in zip(once.points, twice.points, strict=True):
        for name in a:
            assert torch.equal(b[name], 2.0 * a[name])
            total += float(a[name].abs().sum())
    assert total + np.abs(once.forces).sum() > 0.0
