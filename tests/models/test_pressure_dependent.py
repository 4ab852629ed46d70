"""Returns to cones, edges and apices against exact projections and the equations they solve."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from ladder import along, assert_v, f64, randn
from rungs_beyond import SOIL
from scipy.optimize import minimize, nnls

import neml2fe.models as m
from neml2fe.errors import ModelError
from neml2fe.material import Material
from neml2fe.models import Model, value_and_jacobian
from neml2fe.types import SR2

E, NU, C = SOIL["youngs_modulus"], SOIL["poissons_ratio"], SOIL["cohesion"]
BULK, SHEAR = E / (3.0 * (1.0 - 2.0 * NU)), E / (2.0 * (1.0 + NU))
STIFFNESS = (BULK - 2.0 / 3.0 * SHEAR) * np.ones((3, 3)) + 2.0 * SHEAR * np.eye(3)
ASSOCIATED = {**SOIL, "dilatancy_angle": 30.0, "hardening_modulus": 0.0}
SIN, COS = math.sin(math.radians(30.0)), math.cos(math.radians(30.0))
MODELS = ("DruckerPragerReturn", "MohrCoulombReturn")


def make(name: str, **fields: object) -> Model:
    return getattr(m, name)(**fields)


def inputs_of(strain: torch.Tensor, p: float = 0.0) -> dict[str, torch.Tensor]:
    return {
        "strain": strain,
        "plastic_strain~1": torch.zeros_like(strain),
        "equivalent_plastic_strain~1": torch.full(strain.shape[:-1], p, dtype=torch.float64),
    }


def results(model: Model, strain: torch.Tensor, p: float = 0.0) -> dict[str, np.ndarray]:
    found = model.evaluate(inputs_of(strain, p))
    return {n: v.data.detach().numpy() for n, v in found.items()}


def matrix(mandel: torch.Tensor | np.ndarray) -> np.ndarray:
    return SR2(torch.as_tensor(mandel)).to_r2().data.numpy()


def normals(sine: float) -> np.ndarray:
    """Of the six planes of Mohr-Coulomb in the space of principal stresses."""
    rows = np.zeros((6, 3))
    for row, (i, j) in zip(rows, permutations(range(3), 2), strict=True):
        row[i], row[j] = 1.0 + sine, -(1.0 - sine)
    return rows


def projected(trial: np.ndarray, a: np.ndarray, b: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """The point nearest to `trial` with a x <= b, by trying all sets of active constraints."""
    best, found = math.inf, trial
    for k in range(len(trial) + 1):
        for active in map(list, combinations(range(len(a)), k)):
            x = trial
            if k:
                compliance = np.linalg.solve(metric, a[active].T)
                system = a[active] @ compliance
                if np.linalg.matrix_rank(system) < k:
                    continue
                x = trial - compliance @ np.linalg.solve(system, a[active] @ trial - b[active])
            distance = (x - trial) @ metric @ (x - trial)
            if (a @ x - b).max() < 1e-9 and distance < best * (1.0 - 1e-12):
                best, found = distance, x
    return found


@pytest.mark.parametrize("cohesion", [C, 0.0])
def test_mohr_coulomb_projects(cohesion: float) -> None:
    """Associated and perfectly plastic: the nearest admissible stress in the energy norm."""
    strain = 3e-3 * randn(120, 6)
    got = results(m.MohrCoulombReturn(**{**ASSOCIATED, "cohesion": cohesion}), strain)["stress"]
    a, b = normals(SIN), np.full(6, 2.0 * cohesion * COS)
    used = set()
    for e, sigma in zip(matrix(strain), matrix(got), strict=True):
        values, vectors = np.linalg.eigh(e)
        stress = projected(STIFFNESS @ values, a, b, np.linalg.inv(STIFFNESS))
        expected = vectors @ np.diag(stress) @ vectors.T
        assert np.abs(sigma - expected).max() < 1e-11 * max(np.abs(values).max() * E, 1.0)
        used.add(int((a @ stress > b - 1e-9).sum()))
    assert used >= {1, 2, 6}  # planes, edges, apex


@pytest.mark.parametrize("fit", ["OUTER", "INNER", "PLANE_STRAIN"])
@pytest.mark.parametrize("cohesion", [C, 0.0])
def test_drucker_prager_projects(fit: str, cohesion: float) -> None:
    """In the plane of p and sqrt(J2), in which the cone is a wedge."""
    slope = {
        "OUTER": 6.0 * SIN / (math.sqrt(3.0) * (3.0 - SIN)),
        "INNER": 6.0 * SIN / (math.sqrt(3.0) * (3.0 + SIN)),
        "PLANE_STRAIN": 3.0 * SIN / math.sqrt(9.0 * COS**2 + 12.0 * SIN**2),
    }[fit]
    strain = 3e-3 * randn(120, 6)
    model = m.DruckerPragerReturn(**{**ASSOCIATED, "cohesion": cohesion}, fit=fit)
    a = np.array([[slope, 1.0], [0.0, -1.0]])
    b = np.array([slope * cohesion * COS / SIN, 0.0])
    used = set()
    for e, sigma in zip(matrix(strain), matrix(results(model, strain)["stress"]), strict=True):
        p, s = BULK * np.trace(e), 2.0 * SHEAR * (e - np.trace(e) / 3.0 * np.eye(3))
        root = math.sqrt(0.5 * (s * s).sum())
        mean, left = projected(np.array([p, root]), a, b, np.diag([1.0 / BULK, 1.0 / SHEAR]))
        expected = mean * np.eye(3) + left / root * s
        assert np.abs(sigma - expected).max() < 1e-11 * np.abs(e).max() * E
        used.add((bool(a[0] @ [mean, left] > b[0] - 1e-9), left > 0.0))
    assert used >= {(True, True), (True, False)}


def test_projection_by_another_program() -> None:
    """SciPy's SLSQP on all six components, for a trial stress beyond the cone."""
    strain = f64([-2.0, -1.0, 1.4, 0.2, 0.1, 0.3]) * 1e-3
    eta = 6.0 * SIN / (math.sqrt(3.0) * (3.0 - SIN))
    compliance = np.full((6, 6), 0.0)
    compliance[:3, :3] = np.linalg.inv(STIFFNESS)
    compliance[3:, 3:] = np.eye(3) / (2.0 * SHEAR)
    trial = np.linalg.solve(compliance, strain.numpy())

    def f(s: np.ndarray) -> float:
        mean = s[:3].sum() / 3.0
        deviator = s - mean * np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        return eta * (C * COS / SIN - mean) - math.sqrt(0.5 * deviator @ deviator)

    found = minimize(
        lambda s: 1e3 * (s - trial) @ compliance @ (s - trial),
        0.3 * trial,
        jac=lambda s: 2e3 * compliance @ (s - trial),
        constraints={"type": "ineq", "fun": f},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 300},
    )
    got = results(m.DruckerPragerReturn(**ASSOCIATED), strain)["stress"]
    assert np.abs(got - found.x).max() < 1e-6 * np.abs(got).max()  # as far as SLSQP gets


@pytest.mark.parametrize("dilatancy", [12.0, 0.0])
def test_mohr_coulomb_satisfies_its_equations(dilatancy: float) -> None:
    """Not associated, hardening: admissible stress, flow by active planes only, growth of the
    equivalent plastic strain, elasticity."""
    model = m.MohrCoulombReturn(**{**SOIL, "dilatancy_angle": dilatancy})
    strain, p0 = 3e-3 * randn(150, 6), 0.004
    found = results(model, strain, p0)
    sine = math.sin(math.radians(dilatancy))
    used = set()
    for e, sigma, flow, p in zip(
        matrix(strain),
        matrix(found["stress"]),
        matrix(found["plastic_strain"]),
        found["equivalent_plastic_strain"],
        strict=True,
    ):
        elastic = (BULK - 2.0 / 3.0 * SHEAR) * np.trace(e - flow) * np.eye(3) + 2.0 * SHEAR * (
            e - flow
        )
        assert np.abs(sigma - elastic).max() < 1e-10
        vectors = np.linalg.eigh(e)[1]
        inside = vectors.T @ sigma @ vectors
        assert np.abs(inside - np.diag(np.diag(inside))).max() < 1e-10  # coaxial
        f = normals(SIN) @ np.diag(inside) - 2.0 * COS * (C + SOIL["hardening_modulus"] * p)
        assert f.max() < 1e-10
        active = f > -1e-9
        used.add(int(active.sum()))
        rate = np.diag(vectors.T @ flow @ vectors)
        if not active.any():
            assert not rate.any() and p == p0
            continue
        if active.sum() == 6 and dilatancy == 0.0:
            continue  # no combination of isochoric flows leads to the apex
        amounts, miss = nnls(normals(sine)[active].T, rate)
        assert miss < 1e-12
        if active.sum() < 6:
            assert p - p0 == pytest.approx(2.0 * COS * amounts.sum(), rel=1e-8)
        else:
            assert p - p0 == pytest.approx(COS / sine * rate.sum(), rel=1e-8)
    assert used >= {0, 1, 2, 6}


def test_drucker_prager_satisfies_its_equations() -> None:
    model = m.DruckerPragerReturn(**SOIL)
    strain, p0 = 3e-3 * randn(150, 6), 0.004
    found = results(model, strain, p0)
    eta, xi, bar = (
        6.0 * x / (math.sqrt(3.0) * (3.0 - s))
        for x, s in ((SIN, SIN), (COS, SIN), (math.sin(math.radians(12.0)),) * 2)
    )
    used = set()
    for sigma, flow, p in zip(
        matrix(found["stress"]),
        matrix(found["plastic_strain"]),
        found["equivalent_plastic_strain"],
        strict=True,
    ):
        mean = np.trace(sigma) / 3.0
        s = sigma - mean * np.eye(3)
        root = math.sqrt(0.5 * (s * s).sum())
        f = root + eta * mean - xi * (C + SOIL["hardening_modulus"] * p)
        assert f < 1e-10
        where = "inside" if f < -1e-8 else "cone" if root > 1e-8 else "apex"
        used.add(where)
        if where == "inside":
            assert not flow.any() and p == p0
        elif where == "cone":
            amount = (p - p0) / xi
            assert np.abs(flow - amount * (s / (2.0 * root) + bar / 3.0 * np.eye(3))).max() < 1e-12
        else:
            assert p - p0 == pytest.approx(xi / bar * np.trace(flow), rel=1e-9)
    assert used == {"inside", "cone", "apex"}


STATES = {
    "inside": f64([-0.2, -0.2, -0.3, 0.05, 0.1, 0.0]) * 1e-3,
    "plane": f64([-2.0, -1.0, 1.4, 0.2, 0.1, 0.3]) * 1e-3,
    "edge of an equal pair below": f64([2.0, -2.0, -1.9, 0.0, 0.1, 0.0]) * 1e-3,
    "edge of an equal pair above": f64([1.0, 0.95, -4.0, 0.0, 0.1, 0.0]) * 1e-3,
    "triaxial extension": f64([2.0, -2.0, -2.0, 0.0, 0.0, 0.0]) * 1e-3,
    "triaxial compression": f64([1.0, 1.0, -4.0, 0.0, 0.0, 0.0]) * 1e-3,
    "apex": f64([2.0, 1.5, 1.8, 0.1, 0.2, 0.1]) * 1e-3,
    "hydrostatic apex": f64([2.0, 2.0, 2.0, 0.0, 0.0, 0.0]) * 1e-3,
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("state", sorted(STATES))
def test_consistent_tangent(name: str, state: str) -> None:
    """Of all outputs by strain and old values, against differences; also where trial stresses
    coincide, and for all parameters at once."""
    model, inputs = make(name, **SOIL), inputs_of(STATES[state], 0.002)
    values, jacobian = value_and_jacobian(model, inputs)
    way = {
        "strain": 1e-4 * randn(6),
        "plastic_strain~1": 1e-4 * randn(6),
        "equivalent_plastic_strain~1": f64(1e-3),
    }
    for output, blocks in jacobian.items():
        slope = sum(
            b.reshape(*b.shape[: values[output].ndim], -1) @ way[n].reshape(-1)
            for n, b in blocks.items()
        )

        def f(h: float, output: str = output) -> torch.Tensor:
            return model.evaluate(along(inputs, way, h))[output].data

        # Where the update is linear, differences are exact at once; elsewhere they form a V.
        error = (f(0.1) - f(-0.1)).detach() / 0.2 - slope
        if float(error.abs().max()) > 1e-9 * float(slope.detach().abs().max()):
            assert state != "inside"
            assert_v(f, slope)


def test_tension_is_cut_at_the_apex() -> None:
    for name in MODELS:
        got = results(make(name, **ASSOCIATED), STATES["apex"])["stress"]
        assert np.abs(matrix(got) - C * COS / SIN * np.eye(3)).max() < 1e-12
        got = results(make(name, **{**ASSOCIATED, "cohesion": 0.0}), STATES["apex"])["stress"]
        assert np.abs(got).max() < 1e-13


def test_drucker_prager_meets_mohr_coulomb_where_it_should() -> None:
    for fit, state in (("OUTER", "triaxial compression"), ("INNER", "triaxial extension")):
        cone = results(m.DruckerPragerReturn(**ASSOCIATED, fit=fit), STATES[state])["stress"]
        s = matrix(cone)
        top, low = np.linalg.eigvalsh(s)[[2, 0]]
        assert top - low + (top + low) * SIN == pytest.approx(2.0 * C * COS, rel=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_as_a_material(name: str) -> None:
    """A history over two steps through the interface of host codes."""
    material = Material(make(name, **SOIL))
    strain = torch.stack(list(STATES.values()))
    state = material.initial_state(len(strain))
    for step in (1, 2):
        result = material.update(step / 2.0 * strain, state, float(step), 1.0)
        state = result.state
    assert not len(result.failed) and result.tangent is not None
    assert bool(torch.isfinite(result.tangent).all())
    assert float(state["equivalent_plastic_strain"][0]) == 0.0
    assert bool((state["equivalent_plastic_strain"][1:] > 0.0).all())


@pytest.mark.parametrize("name", MODELS)
def test_errors(name: str) -> None:
    for fields, said in (
        ({"friction_angle": 0.0}, "friction_angle"),
        ({"dilatancy_angle": -1.0}, "dilatancy_angle"),
        ({"hardening_modulus": -1.0}, "hardening_modulus"),
        ({"youngs_modulus": 0.0}, "youngs_modulus"),
        ({"poissons_ratio": 0.5}, "poissons_ratio"),
        ({"poissons_ratio": 2.0}, "poissons_ratio"),
        ({"poissons_ratio": f64([0.3, -1.0])}, "poissons_ratio.* got nu = -1"),
    ):
        with pytest.raises(ModelError, match=said):
            make(name, **{**SOIL, **fields})


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_point_that_is_not_finite_spoils_no_other(name: str, bad: float) -> None:
    model, good = make(name, **SOIL), torch.stack(list(STATES.values()))
    spoiled = torch.cat([good, good[:1].clone()])
    spoiled[-1, 3] = bad
    expected, found = results(model, good), results(model, spoiled)
    for output, values in found.items():
        assert np.array_equal(values[:-1], expected[output])
        assert not np.isfinite(values[-1]).all()


def test_a_tie_of_branches_is_continuous() -> None:
    """Across the border between a plane and an edge the stress does not jump."""
    model = m.MohrCoulombReturn(**SOIL)
    a, b = STATES["plane"], STATES["triaxial compression"]
    path = torch.linspace(0.0, 1.0, 2001, dtype=torch.float64)[:, None]
    stress = torch.from_numpy(results(model, a + path * (b - a))["stress"])
    jumps = (stress[1:] - stress[:-1]).abs().max(dim=-1).values
    assert float(jumps.max()) < 3.0 * E * float((b - a).abs().max()) / 2000.0
