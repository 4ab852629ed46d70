"""Simulations in DOLFINx with the binding, against our own solver and what is known."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dolfinx", reason="DOLFINx is not in this Python: make bindings-test")

import torch
import ufl
from dolfinx import fem
from dolfinx.nls.petsc import NewtonSolver
from dolfinx_bodies import LAWS, cube, lattice_file, law
from dolfinx_reference import Case, python
from neml2fe_dolfinx import QuadratureMaterial, QuadratureProblem

from neml2fe.errors import ConvergenceError
from neml2fe.material import Material, finite_strain

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("dolfinx_binding_example", HERE / "example.py")
example = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(example)

LU = {"ksp_type": "preonly", "pc_type": "lu"}

needs_reference = pytest.mark.skipif(
    python() is None, reason="NEML2FE_PYTHON names no Python with the finite elements of neml2fe"
)


# The step after the reversal is small: NewtonSolver has no line search.
CUBE = {
    "deck": LAWS,
    "model": "plasticity",
    "formulation": "three_dimensional",
    "degree": 2,
    "held": [("bottom", c) for c in "xyz"],
    "driven": ("top", "y", [0.0, 1.0, 3.0], [0.0, 0.006, -0.006]),
    "times": [0.5, 1.0, 1.1, 1.4, 2.0, 3.0],
    "sides": True,
}


@needs_reference
@pytest.mark.parametrize(
    ("cell_type", "lengths", "changes"),
    [
        ("hexahedron", (1.0, 1.0, 1.0), {}),
        ("hexahedron", (1.0, 1.0, 1.0), {"kinematics": "finite", "times": [0.5, 1.0, 1.1, 2.0]}),
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
    run = [mpiexec, "-n", "2", sys.executable, str(HERE / "example.py"), "3"]
    out = subprocess.run(run, capture_output=True, text=True, env=env, timeout=300)
    assert out.returncode == 0, out.stderr
    last = out.stdout.strip().splitlines()[-1].replace(",", "").split()
    assert last[:4] == ["relative", "to", "neml2fe's", "solver:"]
    assert float(last[5]) < 1e-8 and float(last[7]) < 1e-8


def stretched(material: Material) -> tuple[fem.Function, fem.Constant, QuadratureProblem]:
    """A cube under a lid that moves in y by what the Constant says, elsewhere as in tension."""
    u = cube()
    space, lid = u.function_space, fem.Constant(u.function_space.mesh, 0.0)
    sides = [(lid, 1, 1.0), *((0.0, axis, 0.0) for axis in range(3))]
    bcs = [fem.dirichletbc(value, on(u, *at), space.sub(at[0])) for value, *at in sides]
    return u, lid, QuadratureProblem([QuadratureMaterial(material, u, 2)], u, bcs)


def on(u: fem.Function, axis: int, at: float) -> np.ndarray:
    """The numbers of the displacements along `axis` of the side across it."""
    part = u.function_space.sub(axis)
    spaces = part, part.collapse()[0]
    return fem.locate_dofs_geometrical(spaces, lambda x: np.isclose(x[axis], at))[0]


def newton(problem: QuadratureProblem, u: fem.Function) -> NewtonSolver:
    solver = NewtonSolver(u.function_space.mesh.comm, problem)
    solver.convergence_criterion, solver.rtol, solver.atol = "residual", 1e-12, 1e-8
    return solver


def test_a_dead_load_stretches_a_bar_as_it_must():
    """Uniaxial stress t: t / E + (t - 200) / 2000 along it."""
    u = cube()
    space, mesh, t = u.function_space, u.function_space.mesh, 250.0
    y = ufl.SpatialCoordinate(mesh)[1]
    top = ufl.conditional(ufl.gt(y, 1.0 - 1e-9), t, 0.0)  # on that side
    load = top * ufl.TestFunction(space)[1] * ufl.ds
    bcs = [fem.dirichletbc(0.0, on(u, axis, 0.0), space.sub(axis)) for axis in range(3)]
    problem = QuadratureProblem([QuadratureMaterial(law(), u, 2)], u, bcs, external=load)
    problem.time = problem.dt = 1.0
    newton(problem, u).solve(u)
    assert np.allclose(u.x.array[on(u, 1, 1.0)], t / 200e3 + (t - 200.0) / 2e3, rtol=1e-9)


def test_a_step_that_fails_in_the_solver_can_be_cut():
    """A lid pushed through the bottom: the error comes through NewtonSolver, and then it goes on as
    if the step had not been tried."""

    def run(tries: list[float]) -> np.ndarray:
        u, lid, problem = stretched(finite_strain(law()))
        solver = newton(problem, u)
        for height in (2e-3, *tries, 4e-3):
            start = u.x.array.copy()
            problem.time, problem.dt, lid.value = problem.time + 1.0, 1.0, height
            try:
                solver.solve(u)
            except ConvergenceError:
                assert height == -1.5
                u.x.array[:], problem.time = start, problem.time - 1.0
            else:
                assert height > 0.0
                problem.accept()
        return np.concatenate([u.x.array, problem.materials[0].stress.x.array])

    assert (run([-1.5]) == run([])).all()


def test_derivatives_by_parameters_over_steps_match_differences():
    """Direct differentiation of the force on a bar, two plastic steps and one back."""

    def run(material: Material, rate: dict[str, torch.Tensor] | None) -> tuple[float, float]:
        u, lid, problem = stretched(material)
        (points,), space = problem.materials, u.function_space
        v, du, pull = ufl.TestFunction(space), ufl.TrialFunction(space), fem.Function(space)
        solver = newton(problem, u)
        pull.x.array[on(u, 1, 1.0)] = 1.0
        sides = [(1, 1.0), *((axis, 0.0) for axis in range(3))]
        fixed = [fem.dirichletbc(0.0, on(u, *at), space.sub(at[0])) for at in sides]
        state_rate, force_rate = None, 0.0
        for k, height in enumerate((2e-3, 5e-3, 3e-3), 1):
            problem.time, problem.dt, lid.value = float(k), 1.0, height
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
