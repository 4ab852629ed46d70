"""The same laws in Python, and what the tests give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from c_calls import FIELDS, STATE, STRAIN, STRESS, Law, Update

from neml2fe import load_input
from neml2fe.kernels import backend
from neml2fe.material import PointMaterial


class Reference:
    """The same law in Python; its state and fields in rows like those of a library."""

    def __init__(self, material: PointMaterial) -> None:
        self.material = material

    @classmethod
    def of(cls, deck: Path, name: str) -> Reference:
        return cls(load_input(deck).get("Materials", name))

    def state(self, law: Law, row: np.ndarray) -> dict[str, torch.Tensor]:
        shapes = {n: v.shape[1:] for n, v in self.material.initial_state(1).items()}
        return {
            name: torch.tensor(row[:, place]).reshape(len(row), *shapes[name])
            for name, (_, place) in law.variables(STATE).items()
        }

    def update(
        self,
        law: Law,
        strain: np.ndarray,
        state: np.ndarray,
        time: float,
        dt: float,
        fields: np.ndarray | None = None,
    ) -> Update:
        given = torch.tensor(strain).reshape(-1, *self.material.strain_kind.BASE_SHAPE)
        named = {} if fields is None else {"temperature": torch.tensor(fields[:, 0])}
        with backend("eager"):
            found = self.material.update(given, self.state(law, state), time, dt, named)
        new = np.concatenate(
            [found.state[n].reshape(len(strain), -1) for n in self.material.state_spec]
            or [np.zeros((len(strain), 0))],
            axis=1,
        )
        assert found.tangent is not None
        energy = np.full(len(strain), np.nan) if found.energy is None else found.energy.numpy()
        return Update(
            len(found.failed),
            found.stress.flatten(1).numpy(),
            new,
            found.tangent.reshape(len(strain), law.size(STRESS), -1).numpy(),
            energy,
            found.status.numpy(),
        )


def strains(law: Law, n: int, k: int) -> np.ndarray:
    """Of n points in step k, other ones for other points, well in the plastic range."""
    draw = np.random.default_rng(k).standard_normal((n, law.size(STRAIN)))
    if law.size(STRAIN) == 9:
        return np.eye(3).reshape(1, 9) + 0.1 * draw
    return 3e-3 * (k + 1) * draw


def temperatures(law: Law, n: int) -> np.ndarray | None:
    fields = 300.0 + np.arange(float(n)).reshape(n, 1) % 50
    return fields if law.size(FIELDS) else None


def close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    assert found.shape == expected.shape
    if expected.size:
        assert abs(found - expected).max() <= tolerance * abs(expected).max()
