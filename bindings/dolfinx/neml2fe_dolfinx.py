"""neml2fe materials in DOLFINx: `QuadratureMaterial` is a law at the quadrature points of a mesh.

    points = QuadratureMaterial(Material(load_model("laws.i", "steel")), u, degree=2)
    problem = QuadratureProblem([points], u, bcs)
    solver = NewtonSolver(mesh.comm, problem)
    problem.time, problem.dt = 0.1, 0.1
    solver.solve(u)
    problem.accept()

For DOLFINx 0.5, in double precision and with real numbers.
"""

from __future__ import annotations

import dolfinx
from neml2fe_dolfinx_material import QuadratureMaterial
from neml2fe_dolfinx_problem import QuadratureProblem
from neml2fe_dolfinx_strains import deformation_gradient, mandel_strain

__all__ = ["QuadratureMaterial", "QuadratureProblem", "deformation_gradient", "mandel_strain"]

if not dolfinx.__version__.startswith("0.5."):  # later ones have renamed most of what is used here
    raise ImportError(f"neml2fe_dolfinx needs DOLFINx 0.5, this is {dolfinx.__version__}")
