"""Multigrid moves no prescribed displacement, and so gives the reactions of a direct solver.

PETSc's aggregates of nodes that are all prescribed have no rigid-body modes, and their part of the
coarse space reaches into prescribed dofs. Newton's residual is zero there and does not see that.
"""

from __future__ import annotations

import numpy as np
import pytest
from gradients_box import law
from gradients_on_ranks import GAMG

from neml2fe.fem import Dirichlet, Problem
from neml2fe.fem.algebra import petsc_available
from neml2fe.fem.mesh.generate import box

pytestmark = pytest.mark.skipif(not petsc_available(), reason="petsc4py is not installed")


def pulled(backend: str, options: dict[str, str] | None) -> Problem:
    """A bar between three planes of symmetry, pulled beyond yield."""
    planes = [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Dirichlet("front", "z")]
    pull = Dirichlet("right", "x", lambda t: 0.004 * t, label="pull")
    mesh = box(4, 2, 2, "hexahedron", distortion=0.2)
    problem = Problem(mesh, law("j2"), [*planes, pull], backend=backend, petsc_options=options)
    assert problem.advance(1.0).converged
    return problem


def test_prescribed_displacements_are_exact_and_reactions_those_of_a_direct_solver() -> None:
    problem, direct = pulled("petsc", GAMG), pulled("scipy", None)
    fixed = problem.equations.fixed
    prescribed = problem.constraints.apply(problem.q, 1.0)
    np.testing.assert_array_equal(problem.q[fixed], prescribed[fixed])
    found, expected = (np.array(list(p.load_row().values())) for p in (problem, direct))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * abs(expected).max())
    problem.close()
