"""Components as Abaqus has them: 11, 22, 33, 12, 13, 23 with engineering shear strain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ABAQUS = [0, 1, 2, 5, 4, 3]  # places of 11, 22, 33, 12, 13, 23 in Mandel order
NORMAL = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
STRESS_FACTOR = np.where(NORMAL, 1.0, np.sqrt(2.0))  # Mandel of a component of Abaqus
STRAIN_FACTOR = 1.0 / STRESS_FACTOR
COMPONENTS = {6: (3, 3), 4: (3, 1), 3: (2, 1), 1: (1, 0)}  # NDI and NSHR by NTENS
PLACES = {6: range(6), 4: range(4), 3: (0, 1, 3), 1: (0,)}


def to_mandel(values: np.ndarray, factor: np.ndarray) -> np.ndarray:
    found = np.empty(values.shape)
    found[..., ABAQUS] = values * factor
    return found


def from_mandel(values: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return values[..., ABAQUS] / factor


def matrix(stress: np.ndarray) -> np.ndarray:
    a, b, c, ab, ac, bc = stress
    return np.array([[a, ab, ac], [ab, b, bc], [ac, bc, c]])


def components(tensor: np.ndarray) -> np.ndarray:
    return tensor[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]


def rotation(angle: float, axis: Sequence[float] = (1.0, 2.0, -1.0)) -> np.ndarray:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    spin = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * spin + (1 - np.cos(angle)) * spin @ spin


def close(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> None:
    assert found.shape == wanted.shape
    if wanted.size:
        assert abs(found - wanted).max() <= tolerance * abs(wanted).max()
