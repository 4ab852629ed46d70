"""The UMAT with deformation gradients, and with rotations of small-strain laws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from umat_calls import Call
from umat_components import NORMAL, STRESS_FACTOR, close, components, from_mandel, matrix, rotation
from umat_driving import History, results
from umat_histories import DT
from umat_laws import FINITE, PART, n_state

from neml2fe.export.layout import Layout
from neml2fe.kernels import backend
from neml2fe.material import Material, PointMaterial, finite_strain

GRADIENTS = [
    np.eye(3) + t * np.array([[0.3, 0.2, -0.1], [0.05, -0.1, 0.15], [0.1, 0.0, 0.2]])
    for t in np.linspace(0.0, 1.0, 6)
]


def cauchy(
    material: PointMaterial, measure: str, gradients: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """By `Material.update`, with the textbook's relations of the stress measures."""
    state, found = material.initial_state(1), []
    for k, F in enumerate(gradients[1:]):
        with backend("eager"):
            done = material.update(torch.tensor(F)[None], state, (k + 1) * DT, DT)
        assert not len(done.failed)
        state, raw, J = done.state, done.stress[0].numpy(), np.linalg.det(F)
        if measure != "PK1":
            raw = matrix(from_mandel(raw, STRESS_FACTOR))
        of = {
            "PK1": lambda s, F=F, J=J: s @ F.T / J,
            "PK2": lambda s, F=F, J=J: F @ s @ F.T / J,
            "KIRCHHOFF": lambda s, J=J: s / J,
            "CAUCHY": lambda s: s,
        }
        found.append(of[measure](raw))
    return found


def gradient_history(
    name: str, ntens: int, nstatv: int, gradients: Sequence[np.ndarray]
) -> History:
    steps = [[DT, 293.0, *map(float, F.reshape(-1))] for F in gradients[1:]]
    return History(name, ntens, nstatv, steps, kind="gradient")


@pytest.mark.parametrize("name", FINITE)
def test_finite_strain(
    name: str, laws: dict[str, Material], layouts: dict[str, Layout], driver: Path, tmp_path: Path
) -> None:
    n, path = n_state(layouts[name]), [np.eye(3) + PART[name] * (F - np.eye(3)) for F in GRADIENTS]
    flat = [F.copy() for F in path]
    for F in flat:
        F[2, :2] = F[:2, 2] = 0.0
    given = [gradient_history(name, 6, n, path), gradient_history(name, 4, n, flat)]
    found = results(driver, tmp_path, given)
    law = finite_strain(laws[name]) if name == "hencky" else laws[name]
    for result, gradients, places in zip(found, (path, flat), (range(6), range(4)), strict=True):
        wanted = np.stack([components(s) for s in cauchy(law, FINITE[name], gradients)])
        close(result.stress, wanted[:, list(places)], 1e-10)


@pytest.mark.parametrize("name", FINITE)
@pytest.mark.parametrize("ntens", [6, 4])
def test_tangent_at_finite_strain(
    name: str, ntens: int, layouts: dict[str, Layout], umat: Path
) -> None:
    """(1/J) d(J sigma) along stretchings D without spin: that of the Jaumann rate of J sigma."""
    F0, F = (np.eye(3) + PART[name] * (GRADIENTS[k] - np.eye(3)) for k in (3, 5))
    if ntens == 4:
        for M in (F0, F):
            M[2, :2] = M[:2, 2] = 0.0
    first = Call.virgin(name, ntens, n_state(layouts[name]), gradient=F0)(umat)
    call, h, J = first.next(gradient=F), 1e-6, np.linalg.det(F)
    found = call.again()(umat)
    assert found.pnewdt == 1.0
    for c in range(ntens):
        D = matrix(np.eye(6)[c] * np.where(NORMAL, 1.0, 0.5))  # an engineering shear strain of 1
        moved = [F + s * h * D @ F for s in (1, -1)]
        tau = [np.linalg.det(G) * call.again(gradient=G)(umat).stress for G in moved]
        close((tau[0] - tau[1]) / (2 * h * J), found.ddsdde[:, c], 1e-6)


def nominal(call: Call) -> tuple[np.ndarray, np.ndarray]:
    """First Piola-Kirchhoff stress of an answer, and its tangent as a host with Jaumann's rate
    assembles it: d tau = J DDSDDE D + W tau - tau W."""
    F, sigma = call.gradient, matrix(call.stress)
    J, inverse = np.linalg.det(F), np.linalg.inv(F)
    slope = np.empty((9, 9))
    for k in range(9):
        L = np.eye(9)[k].reshape(3, 3) @ inverse
        D, W = (L + L.T) / 2, (L - L.T) / 2
        jaumann = matrix(call.ddsdde @ (components(D) * np.where(NORMAL, 1.0, 2.0)))
        tau = J * (jaumann + W @ sigma - sigma @ W)
        slope[:, k] = ((tau - J * sigma @ L.T) @ inverse.T).reshape(-1)
    return J * sigma @ inverse.T, slope


@pytest.mark.parametrize("name", FINITE)
def test_newton_in_large_shear(name: str, layouts: dict[str, Layout], umat: Path) -> None:
    """Simple shear, which turns the axes of stretch, all other nominal stresses that do no spin
    zero: the error of Newton's method is squared in every iteration."""
    free = [0, 2, 4, 5, 8]  # 11, 13, 22, 23, 33
    now, F = Call.virgin(name, 6, n_state(layouts[name])), np.eye(3)
    for shear in PART[name] * np.linspace(0.1, 1.5, 15):
        F[0, 1], misses = shear, [1.0]
        while misses[-1] > 1e-9 and len(misses) < 12:
            found = now.next(gradient=F.copy())(umat)
            assert found.pnewdt == 1.0
            P, slope = nominal(found)
            miss = P.reshape(-1)[free]
            misses.append(abs(miss).max() / abs(P).max())
            F.reshape(-1)[free] -= np.linalg.solve(slope[np.ix_(free, free)], miss)
        assert misses[-1] < max(1e-9, 10 * misses[-2] ** 2)
        now = found
    assert abs(now.gradient[0, 0] - 1) > 1e-3 * PART[name]


@pytest.mark.parametrize("name", FINITE)
def test_objective(name: str, layouts: dict[str, Layout], umat: Path) -> None:
    plain = turned = Call.virgin(name, 6, n_state(layouts[name]))
    for k in range(1, 6):
        F, Q = np.eye(3) + PART[name] * (GRADIENTS[k] - np.eye(3)), rotation(0.7 * k)
        plain, turned = plain.next(gradient=F)(umat), turned.next(gradient=Q @ F)(umat)
        close(matrix(turned.stress), Q @ matrix(plain.stress) @ Q.T, 1e-11)


def test_nlgeom(layouts: dict[str, Layout], driver: Path, tmp_path: Path) -> None:
    """A bar is stretched, then turned at constant stretch: the stress and the back stresses of the
    bar that stays, turned."""
    layout, n = layouts["chaboche"], n_state(layouts["chaboche"])
    stretch = [np.diag([1 + 0.004 * k, 1 - 0.002 * k, 1 - 0.002 * k]) for k in range(5)]
    still = [*stretch, *[stretch[-1]] * 6]
    turns = [*[np.eye(3)] * 5, *(rotation(0.5 * k) for k in range(1, 7))]
    moving = [Q @ F for Q, F in zip(turns, still, strict=True)]
    given = [gradient_history("CHABOCHE", 6, n, path) for path in (still, moving)]
    stays, turned = results(driver, tmp_path, given)
    for k, Q in enumerate(turns[1:]):
        close(matrix(turned.stress[k]), Q @ matrix(stays.stress[k]) @ Q.T, 1e-11)
        for v in layout.state:
            place = slice(v.offset, v.offset + v.size)
            a, b = stays.statev[k, place], turned.statev[k, place]
            if v.kind == "SR2":
                a, b = (matrix(from_mandel(x, STRESS_FACTOR)) for x in (a, b))
                close(b, Q @ a @ Q.T, 1e-11)
            else:
                close(b, a, 1e-12)
    assert abs(stays.stress[-1]).max() > 50.0 and abs(turned.stress[-1, 3]) > 5.0
