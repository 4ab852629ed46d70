"""Rotated frames and rigid bodies: the answers of the same body in plain axes, and rotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from constraints_on_ranks import material, neo_hookean, solve, turned

from neml2fe.errors import InputError, MeshError
from neml2fe.fem.conditions.conditions import (
    Condition,
    ControlDisplacement,
    ControlForce,
    Dirichlet,
    PeriodicCell,
    RigidBody,
)
from neml2fe.fem.mesh.generate import box, quarter_annulus, rectangle
from neml2fe.fem.problem import Problem
from neml2fe.material import Material

HERE = Path(__file__).parent


def advanced(mesh: object, law: Material, conditions: list[Condition], *times: float) -> Problem:
    problem = Problem(mesh, law, conditions, backend="scipy")
    for time in times or (1.0,):
        result = problem.advance(time)
        assert result.converged, result.reason
    return problem


def test_a_turned_body_on_rollers_is_the_body_turned() -> None:
    plain = rectangle(4, 3, "quad9", distortion=0.3)
    mesh, axes = turned(plain, 0.3)
    pull = 0.01
    expected = advanced(
        plain,
        material("j2"),
        [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Dirichlet("right", "x", pull)],
    )
    found = advanced(
        mesh,
        material("j2"),
        [
            Dirichlet("left", "normal"),
            Dirichlet("bottom", "y", frame=axes.tolist()),
            Dirichlet("right", "normal", pull),
        ],
    )
    u = expected.u.reshape(-1, 2) @ axes
    assert np.abs(found.u.reshape(-1, 2) - u).max() <= 1e-12 * np.abs(u).max() + 1e-15
    row, other = found.load_row(), expected.load_row()
    assert row["right_normal_reaction"] == pytest.approx(other["right_x_reaction"], rel=1e-9)
    # The outward normal of the left side is against its x axis.
    assert row["left_normal_reaction"] == pytest.approx(-other["left_x_reaction"], rel=1e-9)


def test_normals_of_a_curved_boundary_are_radial() -> None:
    """A quarter of a ring whose rim moves outward by 0.01 at every node: u = a r + b / r. Where the
    rim ends at the planes of symmetry, its normal must be at right angles to theirs."""
    mesh = quarter_annulus(4, 8, "quad9", 1.0, 2.0)
    problem = advanced(
        mesh,
        material("elastic"),
        [
            Dirichlet("left", "x"),
            Dirichlet("bottom", "y"),
            Dirichlet("outer", "normal", 0.01, label="rim"),
        ],
    )
    u = problem.u.reshape(-1, 2)
    r = np.linalg.norm(mesh.points, axis=1)
    radial = (u * mesh.points).sum(axis=1) / r
    rim = mesh.boundary_nodes("outer")
    assert radial[rim] == pytest.approx(np.full(len(rim), 0.01), rel=1e-9)
    # No traction at the bore, r = 1, in plane strain: b = a / (1 - 2 nu)
    a = 0.01 / (2.0 + 0.5 / (1.0 - 2.0 * 0.3))
    expected = a * r + a / (1.0 - 2.0 * 0.3) / r
    assert np.abs(radial - expected).max() <= 2e-4 * 0.01
    hoop = u[:, 1] * mesh.points[:, 0] - u[:, 0] * mesh.points[:, 1]
    assert np.abs(hoop).max() <= 2e-4 * 0.01


def test_directions_at_other_angles_on_one_node_are_refused() -> None:
    slanted = Dirichlet("left", "x", frame=((0.6, 0.8), (-0.8, 0.6)))
    with pytest.raises(InputError, match="neither that of another condition nor at right angles"):
        Problem(
            rectangle(2, 2, "quad"), material("elastic"), [slanted, Dirichlet("bottom", "y")],
            backend="scipy",
        )  # fmt: skip


def test_a_rigid_head_turns_a_body_as_a_whole_without_stress() -> None:
    """Both ends turn by 2 radian about one axis: finite strain sees no deformation."""
    mesh = box(2, 2, 3, "hexahedron", (1.0, 1.0, 2.0))
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    conditions: list[Condition] = []
    for side in ("back", "front"):
        conditions.append(RigidBody(side, (0.0, 0.0, 0.0), label=side))
        conditions += [ControlDisplacement(side, c) for c in "xyz"]
        conditions += [
            ControlDisplacement(side, f"r{c}", lambda t, a=a: 2.0 * t * a)
            for c, a in zip("xyz", axis, strict=True)
        ]
    problem = advanced(mesh, neo_hookean(), conditions, 0.5, 1.0)
    k = np.cross(np.eye(3), axis)  # rows: e_i x axis, so that v @ k = v x axis
    turn = np.eye(3) - np.sin(2.0) * k + (1.0 - np.cos(2.0)) * k @ k
    expected = mesh.points @ turn - mesh.points
    assert np.abs(problem.u.reshape(-1, 3) - expected).max() <= 1e-9
    assert problem.solids[0].stress.abs().max() <= 1e-6


@pytest.mark.parametrize("name", ["rigid", "rollers"])
def test_newton_converges_quadratically_with_links(name: str) -> None:
    norms = [r for r in solve(name, "scipy")["residuals"] if r > 1e-10]
    order = np.log(norms[-1] / norms[-2]) / np.log(norms[-2] / norms[-3])
    assert order > 1.7, norms


def test_moments_on_a_rigid_head_balance() -> None:
    """A cantilever in small strain: the moment at the support is force times length + moment."""
    mesh = rectangle(30, 2, "quad9", (20.0, 1.0))
    problem = advanced(
        mesh,
        material("elastic"),
        [
            RigidBody("left", (0.0, 0.5), label="support"),
            *[ControlDisplacement("support", c) for c in ("x", "y", "rz")],
            RigidBody("right", (20.0, 0.5), label="head"),
            ControlForce("head", "y", -3.0),
            ControlForce("head", "rz", 5.0),
        ],
    )
    row = problem.load_row()
    assert row["support_y_reaction"] == pytest.approx(3.0, rel=1e-9)
    assert row["support_rz_reaction"] == pytest.approx(3.0 * 20.0 - 5.0, rel=1e-9)
    assert row["head_y_force"] == pytest.approx(-3.0, rel=1e-9)
    # Beam: E' I = E / (1 - nu^2) / 12, shear stiffness G 5 / 6
    flexural, shear = 70e3 / (1 - 0.09) / 12.0, 70e3 / 2.6 * 5.0 / 6.0
    beam = -3.0 * 20.0**3 / (3 * flexural) - 3.0 * 20.0 / shear + 5.0 * 20.0**2 / (2 * flexural)
    assert row["head_y_displacement"] == pytest.approx(beam, rel=5e-3)


def test_restored_unknowns_continue_the_same_run() -> None:
    mesh = box(1, 1, 2, "hexahedron")
    conditions = [
        *[Dirichlet("back", c) for c in "xyz"],
        RigidBody("front", (0.5, 0.5, 1.0), label="head"),
        ControlDisplacement("head", "rz", lambda t: 0.5 * t),
    ]
    first = advanced(mesh, neo_hookean(), conditions, 0.5)
    second = Problem(mesh, neo_hookean(), conditions, backend="scipy")
    second.restore(first.q, first.time)
    assert np.array_equal(second.u, first.u)
    assert first.advance(1.0).converged and second.advance(1.0).converged
    assert np.array_equal(second.u, first.u)


HEAD = RigidBody("right", (1.0, 0.5), label="head")
REFUSED = {
    "frame": ([Dirichlet("left", "x", frame=((1, 0), (1, 1)))], "2 unit vectors"),
    "component": ([Dirichlet("left", "z")], "no component 'z'"),
    "point": ([RigidBody("right", (1.0,))], "needs 2 coordinates"),
    "body": ([HEAD, ControlDisplacement("haed", "x")], "no rigid body 'haed'; did you mean 'head'"),
    "rotation": ([HEAD, ControlForce("head", "rx", 1.0)], "no component 'rx'"),
    "both": ([HEAD, Dirichlet("right", "x")], "which 'head' moves"),
    "twice": ([HEAD, RigidBody("top", (0.0, 1.0))], "both move the node"),
    "cell": ([HEAD, PeriodicCell()], "both move the node"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_links_that_contradict_are_refused(case: str) -> None:
    conditions, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        Problem(rectangle(2, 2, "quad"), material("elastic"), conditions, backend="scipy")


def test_axisymmetric_bodies_have_no_rigid_bodies() -> None:
    with pytest.raises(InputError, match="plane or"):
        Problem(
            rectangle(2, 2, "quad"), material("elastic"), [HEAD],
            formulation="axisymmetric", backend="scipy",
        )  # fmt: skip
    with pytest.raises(MeshError, match="did you mean 'right'"):
        Problem(
            rectangle(2, 2, "quad"), material("elastic"), [RigidBody("rigth", (0, 0))],
            backend="scipy",
        )  # fmt: skip
