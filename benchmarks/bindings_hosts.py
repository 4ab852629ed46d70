"""Times the bindings to torch-fem and scikit-fem; `bindings.py` calls it in their environment.

    bindings_hosts.py POINTS

Prints a JSON list. The update of a material, the binding's call, and a bare copy of as many numbers
as the tangent that the host wants, 81 a point, take turns.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stopwatch import interleaved

import neml2fe
from neml2fe.kernels import backend
from neml2fe.material import Material
from neml2fe.types.mandel import to_matrix

HERE = Path(__file__).parent
LAWS = ("perzyna", "chaboche2")
DT, LIMIT, AGREEMENT = 1.0, 1.1, 1e-12
ROUNDS = 100
for folder in ("torchfem", "skfem"):
    sys.path.insert(0, str(HERE.parent / "bindings" / folder))
torch.set_default_dtype(torch.float64)

Call = Callable[[], Any]


def main() -> int:
    n = int(sys.argv[1])
    torch.set_num_threads(1)
    found, full = [], np.ones((n, 81))
    with backend("kernel"), torch.no_grad():
        for law in LAWS:
            material = Material(neml2fe.load_model(str(HERE / "decks" / f"{law}.i"), "model"))
            gradient = _gradients(n)
            strain = 0.5 * (gradient + gradient.mT)
            mandel = torch.stack([strain[:, i, j] for i, j in _ORDER], 1)
            mandel[:, 3:] *= 2**0.5
            state = material.initial_state(n)

            def direct(m: Material = material, e: Any = mandel, s: Any = state) -> Any:
                return m.update(e, s, DT, DT)

            expected = to_matrix(direct().stress)
            for name, make in (("torchfem", _torchfem), ("skfem", _skfem)):
                call, stress = make(material, gradient)
                difference = float((stress() - expected).abs().max() / expected.abs().max())
                assert difference < AGREEMENT, (name, law, difference)
                update, called, copied = interleaved(direct, call, full.copy, rounds=ROUNDS)
                found.append(
                    {
                        "binding": name,
                        "law": law,
                        "difference": difference,
                        "us a point": 1e6 * called / n,
                        "of material.update": called / update,
                        "its tangent copied": copied / update,
                        "limit": LIMIT,
                    }
                )
    print(json.dumps(found))
    return 0


_ORDER = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def _gradients(n: int) -> torch.Tensor:
    """Random displacement gradients, from elastic to a per cent."""
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(n, 3, 3, generator=generator)
    size = 10.0 ** (-4.0 + 2.0 * torch.rand(n, 1, 1, generator=generator))
    return direction / torch.linalg.matrix_norm(direction)[:, None, None] * size


def _torchfem(material: Material, gradient: torch.Tensor) -> tuple[Call, Call]:
    from neml2fe_torchfem import NemlMaterial

    n = len(gradient)
    law = NemlMaterial(material, rate_independent=True).vectorize(n)
    one = torch.eye(3).expand(n, 3, 3).contiguous()
    zero, state = torch.zeros(n, 3, 3), torch.zeros(n, law.n_state)

    def call() -> Any:
        return law.step(gradient, one, zero, state, zero, torch.ones(n), 0)

    return call, lambda: call()[0]


def _skfem(material: Material, gradient: torch.Tensor) -> tuple[Call, Call]:
    from neml2fe_skfem import MaterialPoints

    points = MaterialPoints(material, (len(gradient) // 8, 8))
    given = gradient.permute(1, 2, 0).reshape(3, 3, -1, 8).numpy().copy()

    def call() -> Any:
        return points.update(given, DT, DT)

    return call, lambda: torch.from_numpy(call()[0].reshape(3, 3, -1)).permute(2, 0, 1)


if __name__ == "__main__":
    raise SystemExit(main())
