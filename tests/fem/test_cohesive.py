"""Cohesive interfaces: the law of the material at the scale of a body, and its energy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import neml2fe
from neml2fe.errors import Error, InputError, ModelError
from neml2fe.fem.conditions.conditions import CohesiveInterface, Condition, Dirichlet
from neml2fe.fem.conditions.functions import PiecewiseLinear
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.interfaces import split_regions
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.fem.results.recorder import Recorder
from neml2fe.fem.simulation import simulate
from neml2fe.fem.stepping import TimeStepping
from neml2fe.fem.terms.cohesive import CohesiveTerm
from neml2fe.material import Material

HERE = Path(__file__).parent
YOUNG, NU = 70e3, 0.3
CONFINED = YOUNG * (1 - NU) / ((1 + NU) * (1 - 2 * NU))
SHEAR = YOUNG / (2 * (1 + NU))
PATH = PiecewiseLinear([0.0, 1.0], [0.0, 1.0])
STRENGTH, ONSET, FAILURE, TOUGHNESS = 60.0, 0.006, 0.03, 0.9


def material(name: str) -> Material:
    return Material(neml2fe.load_model(HERE / f"{name}.i", "model"))


def halves(mesh: Mesh) -> Mesh:
    """A mesh cut open across its middle in y."""
    low, high = mesh.bounding_box
    up = mesh.points[mesh.cells[0].connectivity].mean(axis=1)[:, 1] > (low[1] + high[1]) / 2
    regions = {"lower": (np.flatnonzero(~up),), "upper": (np.flatnonzero(up),)}
    whole = Mesh(mesh.points, mesh.cells, mesh.boundaries, regions=regions)
    return split_regions(whole, "lower", "upper", "glue")


def parted(
    mesh: Mesh,
    component: str,
    quadrature: str = "gauss",
    move: PiecewiseLinear = PATH,
    **options: object,
) -> Problem:
    """The upper half moves in one component, with sides held so that the stress is uniform."""
    axes = "xyz"[: mesh.dim]
    sides = {"x": ("left", "right"), "z": ("back", "front")}
    conditions: list[Condition] = [CohesiveInterface("glue", material("interface"), quadrature)]
    for axis in axes:
        conditions.append(Dirichlet("bottom", axis))
        conditions.append(Dirichlet("top", axis, move if axis == component else 0.0))
        if axis == component != "y":
            conditions += [Dirichlet(side, "y") for side in sides[axis]]
        elif axis != "y" and component == "y" and options.get("formulation") != "axisymmetric":
            conditions += [Dirichlet(side, axis) for side in sides[axis]]
    return Problem(mesh, material("elastic"), conditions, backend="scipy", **options)


MESHES = {
    "quad": lambda: rectangle(2, 2, "quad"),
    "triangle6": lambda: rectangle(2, 2, "triangle6"),
    "hexahedron": lambda: box(2, 2, 2, "hexahedron"),
    "tetra10": lambda: box(1, 2, 1, "tetra10"),
}


@pytest.mark.parametrize(
    ("name", "component", "quadrature"),
    [
        ("quad", "y", "gauss"),
        ("quad", "x", "nodes"),
        ("triangle6", "y", "nodes"),
        ("hexahedron", "y", "gauss"),
        ("hexahedron", "z", "nodes"),
        ("tetra10", "y", "gauss"),
    ],
)
def test_parting_an_interface_takes_its_energy(name: str, component: str, quadrature: str) -> None:
    """Force against displacement is a straight line up, where the block stretches too, and one
    down: the work to failure is the toughness times the area, 1."""
    problem = parted(halves(MESHES[name]()), component, quadrature)
    peak = ONSET + STRENGTH / (CONFINED if component == "y" else SHEAR)
    times = [0.0, peak, *np.linspace(peak, FAILURE, 5)[1:], FAILURE * 1.5]
    forces = [0.0]
    for time in times[1:]:
        result = problem.advance(time)
        assert result.converged, result.reason
        forces.append(problem.load_row()[f"top_{component}_reaction"])
    assert np.trapezoid(forces, times) == pytest.approx(TOUGHNESS, rel=1e-9)
    assert max(forces) == pytest.approx(STRENGTH, rel=1e-9)
    assert abs(forces[-1]) <= 1e-9 * STRENGTH
    term = next(t for t in problem.terms if isinstance(t, CohesiveTerm))
    assert term.state["damage"].min() == 1.0
    assert problem.load_row()["glue_normal_force"] == pytest.approx(0.0, abs=1e-9)


def test_opening_and_traction_are_the_closed_form_in_softening_and_unloading() -> None:
    """A confined bar in series with the interface: displacement = opening + traction L / M."""
    path = PiecewiseLinear([0.0, 1.0, 2.0], [0.0, 0.015, 0.01])
    problem = parted(halves(rectangle(2, 2, "quad")), "y", move=path)
    term = next(t for t in problem.terms if isinstance(t, CohesiveTerm))

    def opening_at(time: float) -> torch.Tensor:
        assert problem.advance(time).converged
        opening, traction = term.jump(torch.as_tensor(problem.u))[:, 0], term.traction[:, 0]
        assert torch.allclose(opening + traction / CONFINED, torch.full_like(opening, path(time)))
        return opening

    opening_at(0.5)
    largest = opening_at(1.0)
    softened = STRENGTH * (FAILURE - largest) / (FAILURE - ONSET)
    assert torch.allclose(term.traction[:, 0], softened, rtol=1e-9)
    assert problem.load_row()["glue_normal_force"] == pytest.approx(float(softened[0]), rel=1e-9)
    opening = opening_at(2.0)
    assert torch.allclose(term.traction[:, 0], softened * opening / largest, rtol=1e-9)


def test_pressed_interfaces_carry_compression() -> None:
    conditions = [
        CohesiveInterface("glue", material("interface")),
        *[Dirichlet("bottom", c) for c in "xy"],
        Dirichlet("top", "x"),
        Dirichlet("top", "y", lambda t: -0.001 * t),
    ]
    mesh = halves(rectangle(2, 2, "quad"))
    problem = Problem(mesh, material("elastic"), conditions, backend="scipy")
    assert problem.advance(1.0).converged
    row = problem.load_row()
    assert row["glue_normal_force"] < 0.0
    assert row["glue_normal_force"] == pytest.approx(row["top_y_reaction"], rel=1e-9)
    term = next(t for t in problem.terms if isinstance(t, CohesiveTerm))
    assert term.state["damage"].max() == 0.0


def test_axisymmetric_interfaces_have_the_area_of_the_ring() -> None:
    mesh = halves(rectangle(3, 2, "quad9", (2.0, 1.0)))
    problem = parted(mesh, "y", formulation="axisymmetric")
    assert problem.advance(0.001).converged
    term = next(t for t in problem.terms if isinstance(t, CohesiveTerm))
    assert term.areas.sum().item() == pytest.approx(4.0 * np.pi, rel=1e-12)
    row = problem.load_row()
    assert row["top_y_reaction"] == pytest.approx(row["glue_normal_force"], rel=1e-9)


@pytest.mark.parametrize("name", list(MESHES))
def test_stiffness_is_the_derivative_of_the_forces(name: str) -> None:
    mesh = halves(MESHES[name]())
    local = Problem(mesh, material("elastic"), [], backend="scipy").local
    condition = CohesiveInterface("glue", material("interface"))
    points = torch.as_tensor(mesh.points)
    cells, numbers = local.interfaces["glue"][0], local.interface_numbers["glue"][0]
    term = CohesiveTerm(condition, cells, numbers, points, False, 0.0)
    matrix = LocalMatrix([np.arange(mesh.n_nodes)[None]], mesh.n_nodes, mesh.dim)
    term.bind(matrix)
    random = np.random.default_rng(1)
    plus = np.unique(local.interfaces["glue"][0].connectivity[:, term._nodes.shape[1] // 2 :])
    u = np.zeros((mesh.n_nodes, mesh.dim))
    u[plus] = 0.01 + 0.001 * random.standard_normal((len(plus), mesh.dim))
    u = torch.as_tensor(u.reshape(-1))
    direction = torch.as_tensor(random.standard_normal(len(u)))

    def forces(u: torch.Tensor, with_matrix: bool = False) -> torch.Tensor:
        f = torch.zeros_like(u)
        assert term.update(u, 1.0, 1.0, f, matrix if with_matrix else None) == 0
        return f

    forces(u, with_matrix=True)
    h = 1e-8
    expected = (forces(u + h * direction) - forces(u - h * direction)) / (2.0 * h)
    found = torch.as_tensor(matrix.product(direction.numpy()))
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


REFUSED = {
    "name": (InputError, "no interface 'glu'; did you mean 'glue'", ("glu", "interface", "gauss")),
    "law": (ModelError, "driven by a displacement jump", ("glue", "elastic", "gauss")),
    "rule": (InputError, "'gauss' or 'nodes'", ("glue", "interface", "lobatto")),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_wrong_interfaces_are_refused(case: str) -> None:
    kind, message, (name, law, rule) = REFUSED[case]
    assert issubclass(kind, Error)
    condition = CohesiveInterface(name, material(law), rule)
    with pytest.raises(kind, match=message):
        Problem(halves(rectangle(2, 2, "quad")), material("elastic"), [condition])


def test_a_restart_knows_the_damage(tmp_path: Path) -> None:
    """Onset is passed before the checkpoint: what follows is the same, bit by bit."""

    def part() -> Problem:
        return parted(halves(rectangle(2, 2, "quad")), "y")

    whole = part()
    steps = TimeStepping(end=0.01, dt=0.005)
    simulate(whole, steps, Recorder(whole, tmp_path, "glue"), quiet=True)
    resumed = part()
    recorder = Recorder(resumed, tmp_path, "glue")
    simulate(
        resumed,
        TimeStepping(end=0.02, dt=0.005),
        recorder,
        resume=recorder.checkpoint_path,
        quiet=True,
    )
    simulate(whole, TimeStepping(end=0.02, dt=0.005), quiet=True)
    assert resumed.time == whole.time == 0.02
    assert np.array_equal(resumed.u, whole.u)
    terms = [next(t for t in p.terms if isinstance(t, CohesiveTerm)) for p in (whole, resumed)]
    assert 0.0 < terms[0].state["damage"].min() < 1.0
    assert torch.equal(terms[0].state["damage"], terms[1].state["damage"])
    assert torch.equal(terms[0].traction, terms[1].traction)
