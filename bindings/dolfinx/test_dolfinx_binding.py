"""The binding against DOLFINx itself, and simulations with it against neml2fe's own solver."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="DOLFINx is not installed: make bindings-test")

import meshio
import torch
import ufl
from dolfinx import fem
from dolfinx.mesh import CellType, create_box, create_unit_square, meshtags
from dolfinx.nls.petsc import NewtonSolver
from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).parent))
from dolfinx_reference import ROOT, Case, python
from neml2fe_dolfinx import QuadratureMaterial, QuadratureProblem

from neml2fe import load_model
from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.material import Material, finite_strain

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("dolfinx_binding_example", HERE / "example.py")
example = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)

LAWS = str(HERE / "laws.i")
STEEL = str(ROOT / "examples" / "steel.i")
LU = {"ksp_type": "preonly", "pc_type": "lu"}

needs_reference = pytest.mark.skipif(
    python() is None, reason="NEML2FE_PYTHON names no Python with neml2fe's solver"
)


def law(name: str = "plasticity", deck: str = LAWS) -> Material:
    return Material(load_model(deck, name))


def cube(n: int = 2) -> fem.Function:
    """Displacements on a cube of hexahedra."""
    mesh = create_box(MPI.COMM_WORLD, [[0.0] * 3, [1.0] * 3], [n] * 3, CellType.hexahedron)
    return fem.Function(fem.VectorFunctionSpace(mesh, ("Lagrange", 1)))


def bend(u: fem.Function, size: float) -> None:
    """An uneven motion with strains of about `size`."""
    u.interpolate(
        lambda x: (
            size
            * np.stack([x[0] + 0.3 * x[1] * x[2], 0.5 * x[0] ** 2, x[2] * x[0] - x[1]])[
                : u.function_space.mesh.geometry.dim
            ]
        )
    )


def lattice_file(path: Path, cell_type: str, n: int, lengths: tuple[float, ...]) -> str:
    """A rectangle of triangles or box of hexahedra in meshio's order, inner nodes shifted."""
    dim = len(lengths)
    numbers = np.arange((n + 1) ** dim).reshape((n + 1,) * dim)
    points = np.stack(np.meshgrid(*[np.linspace(0, 1, n + 1)] * dim, indexing="ij"), -1)
    points = points.reshape(-1, dim)
    inside = ((points > 0) & (points < 1)).all(1)
    shift = np.random.default_rng(1).uniform(-0.2, 0.2, points.shape) / n
    points[inside] += shift[inside]
    ring = [(0, 0), (1, 0), (1, 1), (0, 1)]
    if dim == 3:
        ring = [(*at, up) for up in (0, 1) for at in ring]
    cells = np.stack([numbers[tuple(slice(o, n + o) for o in at)].ravel() for at in ring], 1)
    if cell_type == "triangle":
        cells = np.vstack([cells[:, [0, 1, 2]], cells[:, [0, 2, 3]]])
    meshio.Mesh(np.pad(points * lengths, ((0, 0), (0, 3 - dim))), {cell_type: cells}).write(path)
    return str(path)


# --- simulations ----------------------------------------------------------------------------
CUBE = {
    "deck": LAWS,
    "model": "plasticity",
    "formulation": "three_dimensional",
    "degree": 2,
    "held": [("bottom", c) for c in "xyz"],
    "driven": ("top", "y", [0.0, 1.0, 3.0], [0.0, 0.006, -0.006]),
    "times": [0.5, 1.0, 1.5, 2.0, 2.5, 3.0],
    "sides": True,
}


@needs_reference
@pytest.mark.parametrize(
    ("cell_type", "lengths", "changes"),
    [
        ("hexahedron", (1.0, 1.0, 1.0), {}),
        ("hexahedron", (1.0, 1.0, 1.0), {"kinematics": "finite", "times": [0.5, 1.0, 2.0]}),
        (
            "triangle",
            (1.0, 2.0),
            {"formulation": "plane_stress", "held": [("bottom", "x"), ("bottom", "y")]},
        ),
    ],
    ids=["J2", "J2 at finite strain", "J2 in plane stress"],
)
def test_cyclic_tests_agree_with_our_solver(cell_type, lengths, changes, tmp_path):
    mesh = lattice_file(tmp_path / "body.vtu", cell_type, 3, lengths)
    case = Case(mesh=mesh, **{**CUBE, **changes})
    u, forces = example.simulate(case)
    assert abs(forces).max() > 100.0 and forces.min() < 0.0 < forces.max()
    of_forces, of_u = example.differences(case, tmp_path, u, forces)
    assert of_forces < 1e-8 and of_u < 1e-8


@needs_reference
@pytest.mark.mpi
def test_two_ranks_give_what_our_solver_gives_on_one():
    """The example, the plate, which prints how far it is from our solver."""
    mpiexec = shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    env = os.environ | {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "OMP_NUM_THREADS": "1",
    }
    run = [mpiexec, "-n", "2", sys.executable, str(HERE / "example.py"), "4"]
    out = subprocess.run(run, capture_output=True, text=True, env=env, timeout=300)
    assert out.returncode == 0, out.stderr
    last = out.stdout.strip().splitlines()[-1].replace(",", "").split()
    assert last[:4] == ["relative", "to", "neml2fe's", "solver:"]
    assert float(last[5]) < 1e-8 and float(last[7]) < 1e-8


# --- the map itself ---------------------------------------------------------------------------
@pytest.mark.parametrize("kinematics", ["small", "finite"])
def test_the_jacobian_is_the_derivative_of_the_residual(kinematics):
    u = cube()
    points = QuadratureMaterial(law() if kinematics == "small" else finite_strain(law()), u, 2)
    space = u.function_space
    v, du = ufl.TestFunction(space), fem.Function(space)
    residual, along = fem.form(points.residual(v)), fem.form(points.jacobian(du, v))
    bend(u, 4e-3)
    start = u.x.array.copy()
    du.x.array[:] = np.random.default_rng(0).normal(size=len(start))

    def at(step: float) -> np.ndarray:
        u.x.array[:] = start + step * du.x.array
        points.update(1.0, 1.0)
        return fem.petsc.assemble_vector(residual).array.copy()

    h = 1e-7
    slope = (at(h) - at(-h)) / (2 * h)
    at(0.0)
    exact = fem.petsc.assemble_vector(along).array
    assert abs(slope - exact).max() < 1e-6 * abs(exact).max()


def test_an_update_may_be_repeated_and_starts_from_the_accepted_state():
    u = cube()
    points, other = (QuadratureMaterial(law(), u, 2) for _ in range(2))
    bend(u, 5e-3)
    points.update(1.0, 1.0)  # tried, and given up
    bend(u, 2e-3)
    points.update(0.5, 0.5)
    points.update(0.5, 0.5)
    points.accept()
    other.update(0.5, 0.5)
    other.accept()
    assert (points.stress.x.array == other.stress.x.array).all()
    assert set(points.state) == {"plastic_strain", "equivalent_plastic_strain"}
    for name, function in points.state.items():
        assert abs(function.x.array).max() > 0.0
        assert (function.x.array == other.state[name].x.array).all()
    with pytest.raises(ModelError, match="no update since the last accepted step"):
        points.accept()


def test_a_restart_takes_the_state_from_the_functions():
    u = cube()
    first, second = (QuadratureMaterial(law("viscoplasticity", STEEL), u, 2) for _ in range(2))
    bend(u, 3e-3)
    first.update(1.0, 1.0)
    first.accept()
    for name, function in first.state.items():
        second.state[name].x.array[:] = function.x.array
    second.load_state()
    bend(u, 1e-3)
    for points in (first, second):
        points.update(2.0, 1.0)
    assert abs(first.stress.x.array).max() > 1.0
    assert (first.stress.x.array == second.stress.x.array).all()


@pytest.mark.parametrize("value", [1e4, np.nan], ids=["absurd", "not a number"])
def test_failed_points_are_an_error_after_which_a_smaller_step_works(value):
    u = cube()
    points, other = (QuadratureMaterial(law("viscoplasticity", STEEL), u, 2) for _ in range(2))
    bend(u, 1.0)
    u.x.array[:] *= value
    with pytest.raises(ConvergenceError, match=r"failed at \d+ of 64 points in the step of 1 to"):
        points.update(1.0, 1.0)
    with pytest.raises(ModelError, match="it failed"):
        points.accept()
    bend(u, 2e-3)
    for some in (points, other):
        some.update(0.5, 0.5)
    assert np.isfinite(points.stress.x.array).all() and np.isfinite(points.tangent.x.array).all()
    assert (points.stress.x.array == other.stress.x.array).all()


def test_materials_share_a_mesh_by_tags():
    """The law on two halves is that on the whole; another law on one half is not."""
    u = cube()
    mesh = u.function_space.mesh
    cells = np.arange(8, dtype=np.int32)
    tags = meshtags(mesh, 3, cells, (cells % 2 + 1).astype(np.int32))
    v = ufl.TestFunction(u.function_space)

    def forces(*materials: QuadratureMaterial) -> np.ndarray:
        for points in materials:
            points.update(1.0, 1.0)
        return fem.petsc.assemble_vector(fem.form(sum(p.residual(v) for p in materials))).array

    halves = [QuadratureMaterial(law(), u, 2, subdomain=(tags, tag)) for tag in (1, 2)]
    bend(u, 4e-3)
    whole = forces(QuadratureMaterial(law(), u, 2))
    assert [half.n for half in halves] == [32, 32]
    assert abs(forces(*halves) - whole).max() < 1e-12 * abs(whole).max()
    mixed = law("viscoplasticity", STEEL)
    stiffer = [halves[0], QuadratureMaterial(mixed, u, 2, subdomain=(tags, 2))]
    assert abs(forces(*stiffer) - whole).max() > 1e-3 * abs(whole).max()


def test_fields_are_expressions_that_every_update_reads():
    mesh = create_unit_square(MPI.COMM_WORLD, 2, 2)
    u = fem.Function(fem.VectorFunctionSpace(mesh, ("Lagrange", 1)))
    x, rise = ufl.SpatialCoordinate(mesh), fem.Constant(mesh, 0.0)
    points = QuadratureMaterial(law("heated"), u, 2, fields={"temperature": 300.0 + rise * x[0]})
    points.update(1.0, 1.0)
    assert abs(points.stress.x.array).max() < 1e-9
    rise.value = 50.0
    points.update(1.0, 1.0)
    at = fem.Expression(x, points.x).eval(points.cells).reshape(-1, 2)[:, 0]
    pressure = -200e3 / (1 - 2 * 0.3) * 1e-5 * 50.0 * at
    stress = points.stress.x.array.reshape(-1, 6)
    assert np.allclose(stress[:, :3], pressure[:, None], rtol=1e-12, atol=1e-9)
    assert abs(stress[:, 3:]).max() < 1e-9


def test_derivatives_by_parameters_over_steps_match_differences():
    """Direct differentiation of the force on a bar, two plastic steps and one back."""

    def run(material: Material, rate: dict[str, torch.Tensor] | None) -> tuple[float, float]:
        u = cube()
        space, mesh = u.function_space, u.function_space.mesh
        points = QuadratureMaterial(material, u, 2)
        v, du, pull = ufl.TestFunction(space), ufl.TrialFunction(space), fem.Function(space)
        top = fem.Constant(mesh, 0.0)

        def on(axis: int, at: float, component: int) -> np.ndarray:
            part = space.sub(component), space.sub(component).collapse()[0]
            return fem.locate_dofs_geometrical(part, lambda x: np.isclose(x[axis], at))[0]

        low = [(on(1, 0.0, c), c) for c in range(3)]
        bcs = [fem.dirichletbc(0.0, dofs, space.sub(c)) for dofs, c in low]
        bcs += [fem.dirichletbc(top, on(1, 1.0, 1), space.sub(1))]
        problem = QuadratureProblem([points], u, bcs)
        solver = NewtonSolver(mesh.comm, problem)
        solver.convergence_criterion, solver.rtol, solver.atol = "residual", 1e-13, 1e-9
        pull.x.array[on(1, 1.0, 1)] = 1.0
        fixed = [fem.dirichletbc(0.0, dofs, space.sub(c)) for dofs, c in low]
        fixed += [fem.dirichletbc(0.0, on(1, 1.0, 1), space.sub(1))]
        state_rate, force_rate = None, 0.0
        for k, height in enumerate((2e-3, 5e-3, 3e-3), 1):
            problem.time, problem.dt, top.value = float(k), 1.0, height
            solver.solve(u)
            if rate is not None:
                alone, _ = points.derivative(rate, None, state_rate)
                work = ufl.inner(alone, points.variation(v)) * points.dx
                u_rate = fem.petsc.LinearProblem(
                    points.jacobian(du, v), -work, fixed, petsc_options=LU
                ).solve()
                stress_rate, state_rate = points.derivative(rate, u_rate, state_rate)
                force_rate = fem.assemble_scalar(
                    fem.form(ufl.inner(stress_rate, points.variation(pull)) * points.dx)
                )
            force = fem.assemble_scalar(fem.form(points.residual(pull)))
            problem.accept()
        return force, force_rate

    material = law()
    name = next(n for n in material.parameters if n.endswith(".sy"))
    value = material.parameters[name]
    _, exact = run(material, {name: torch.ones_like(value)})
    there = []
    for step in (0.05, -0.05):
        with torch.no_grad():
            value += step
            there.append(run(material, None)[0])
            value -= step
    assert abs(exact) > 0.1
    assert abs((there[0] - there[1]) / 0.1 - exact) < 1e-6 * abs(exact)


# --- what is refused --------------------------------------------------------------------------
def test_wrong_names_shapes_and_kinds_are_one_clear_error():
    u = cube(1)
    with pytest.raises(ModelError, match="has no field 'temprature'; did you mean 'temperature'"):
        QuadratureMaterial(law("heated"), u, 2, fields={"temprature": 300.0})
    with pytest.raises(ModelError, match="needs the field 'temperature'"):
        QuadratureMaterial(law("heated"), u, 2)
    with pytest.raises(ModelError, match=r"'temperature' must have shape \(\), got \(3,\)"):
        QuadratureMaterial(law("heated"), u, 2, fields={"temperature": u})
    with pytest.raises(ModelError, match=r"takes a strain of shape \(6,\), got \(3, 3\)"):
        QuadratureMaterial(law(), u, 2, strain=ufl.sym(ufl.grad(u)))
    points = QuadratureMaterial(law(), u, 2)
    with pytest.raises(ModelError, match="no update since"):
        points.accept()
    points.update(1.0, 1.0)
    with pytest.raises(ModelError, match="yield"):
        points.derivative({"yeild": torch.tensor(1.0)})
