"""Functions of principal values against NumPy, and their derivatives at repeated ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ladder import close, f64, randn

from neml2fe.types import SR2, Scalar, det
from neml2fe.types.spectral import extreme_principal, pair_power, power_sums


def matrix(mandel: torch.Tensor) -> np.ndarray:
    return SR2(mandel).to_r2().data.numpy()


def test_extreme_principal_values_and_projections() -> None:
    tensors = SR2(randn(20, 6))
    values, vectors = np.linalg.eigh(matrix(tensors.data))
    for largest, k in ((True, 2), (False, 0)):
        value, projection = extreme_principal(tensors, largest)
        n = vectors[:, :, k]
        assert np.abs(value.data.numpy() - values[:, k]).max() < 1e-14
        assert np.abs(matrix(projection.data) - n[:, :, None] * n[:, None, :]).max() < 1e-13


def test_derivatives_of_a_simple_value_beside_a_pair() -> None:
    """p = a_11 + a_12^2 / (a_11 - a_22) + ... of diag(3, 1, 1), exactly."""
    a = SR2.fill(3.0, 1.0, 1.0, dtype=torch.float64).data
    value = lambda x: extreme_principal(SR2(x), True)[0].data  # noqa: E731
    hessian = torch.zeros(6, 6, dtype=torch.float64)
    hessian[4, 4] = hessian[5, 5] = 0.5  # a_12 = m_5 / sqrt 2, over a gap of 2
    assert close(torch.func.grad(value)(a), f64([1.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    assert close(torch.func.hessian(value)(a), hessian)
    third = torch.func.jacfwd(torch.func.hessian(value))(a)
    assert float(third[5, 5, 0]) == pytest.approx(-0.25)  # of the gap
    assert float(third[5, 5, 1]) == pytest.approx(0.25)


@pytest.mark.parametrize("a", [2.0, 2.5, 7.0, 30.0])
def test_pair_power_in_all_its_regimes(a: float) -> None:
    x, y = f64([1.0, 1.0, 1.0, 2.0, 0.3, 0.0, 1e-9]), f64([0.0, 1e-5, 0.1, 2.0, 1.7, 1.0, 1.0])
    got = pair_power(Scalar(x * x), Scalar(y * y), Scalar(f64(a))).data
    assert bool(torch.isclose(got, (x + y) ** a + (x - y).abs() ** a, rtol=1e-13).all())


def test_power_sums_and_determinant() -> None:
    tensors = SR2(randn(10, 6))
    values = np.linalg.eigvalsh(matrix(tensors.data))
    for k, total in enumerate(power_sums(tensors, 9)):
        expected = (values**k).sum(axis=1)
        assert np.abs(total.data.numpy() - expected).max() < 1e-12 * np.abs(expected).max()
    assert close(det(tensors).data, torch.from_numpy(values.prod(axis=1)), 1e-12)
