"""Small-strain histories of the tests, and what our own driver makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from umat_components import (
    ABAQUS,
    PLACES,
    STRAIN_FACTOR,
    STRESS_FACTOR,
    close,
    from_mandel,
    to_mandel,
)
from umat_driving import History

from neml2fe.drivers import MixedControlDriver
from neml2fe.export.layout import Layout
from neml2fe.material import Material
from neml2fe.types import SR2, Scalar

N_STEPS, DT = 8, 0.1
PATH = np.sin(np.linspace(0.0, 2.2 * np.pi, N_STEPS + 1))
KINDS = {  # control by component in Abaqus's order, and the values at the peak
    "uniaxial": ([0, 1, 1, 1, 1, 1], [0.01, 0, 0, 0, 0, 0]),
    "shear": ([1, 1, 1, 0, 1, 1], [0, 0, 0, 0.015, 0, 0]),
    "cyclic": ([0] * 6, [0.008, -0.003, -0.004, 0.002, 0.005, -0.003]),
    "mixed": ([1, 0, 1, 0, 1, 1], [60, 0.004, -30, 0.006, 20, 10]),
}


def fields_of(material: Material) -> tuple[list[str], np.ndarray]:
    """Names and histories `(steps, fields)` of the fields, a temperature first."""
    k = np.arange(N_STEPS + 1.0)
    if not material.field_spec:
        return [], np.zeros((N_STEPS + 1, 0))
    return ["T", "dose"], np.stack([300.0 + 20.0 * k, 100.0 + 5.0 * k], -1)


def history(
    material: Material,
    name: str,
    ntens: int,
    nstatv: int,
    control: Sequence[int],
    peak: Sequence[float],
) -> History:
    places = list(PLACES[ntens])
    names, fields = fields_of(material)
    row = fields if names else np.full((N_STEPS + 1, 1), 293.0)
    steps: list[list[float]] = [
        [DT, *row[k], *(control[c] for c in places), *(float(peak[c] * PATH[k]) for c in places)]
        for k in range(1, N_STEPS + 1)
    ]
    return History(name, ntens, nstatv, steps, start=row[0])


def expected(
    material: Material, controls: Sequence[Sequence[int]], peaks: Sequence[Sequence[float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Strains and stresses of Abaqus's components and rows of the state, `(steps, kinds, n)`."""
    n = len(controls)
    values = PATH[:, None, None] * np.array(peaks)
    signal = np.array(controls, dtype=float)
    names, fields = fields_of(material)
    times = torch.arange(N_STEPS + 1, dtype=torch.float64)[:, None].expand(-1, n) * DT
    under = np.empty(signal.shape)
    under[:, ABAQUS] = signal
    done = MixedControlDriver(
        material.model,
        Scalar(times),
        SR2(torch.tensor(under)),
        SR2(torch.tensor(to_mandel(values, STRAIN_FACTOR))),
        SR2(torch.tensor(to_mandel(values, STRESS_FACTOR))),
        {f: Scalar(torch.tensor(fields[:, k])[:, None].expand(-1, n)) for k, f in enumerate(names)},
        strain=material.strain,
        stress=material.stress,
        rel_tol=1e-12,
    ).run()
    rows = [{**i, **o} for i, o in zip(done.inputs[1:], done.outputs[1:], strict=True)]
    strain = np.stack([r[material.strain].numpy() for r in rows])
    stress = np.stack([r[material.stress].numpy() for r in rows])
    state = np.stack(
        [
            np.concatenate(
                [r[s].reshape(n, -1) for s in material.state_spec] or [np.zeros((n, 0))], 1
            )
            for r in rows
        ]
    )
    return from_mandel(strain, STRAIN_FACTOR), from_mandel(stress, STRESS_FACTOR), state


def state_is(layout: Layout, statev: np.ndarray, row: np.ndarray, tolerance: float) -> None:
    for v in layout.state:
        place = slice(v.offset, v.offset + v.size)
        close(statev[..., place], row[..., place], tolerance)
