"""What a camera and a load cell would measure of the notched specimen, into the folder `data`.

The specimen of pull.i with the true parameters, on a mesh of other elements, half as large
(biquadratic quadrilaterals for triangles; the time steps are the same). The camera follows the
centres of square subsets on a grid:

- 5 megapixels (2,448 x 2,048) over 73 x 61 mm: 0.03 mm a pixel; subsets of 21 pixels, 23 apart;
- noise of 0.015 pixel in each displacement, independent since subsets do not overlap;
- between images the camera or the grips move a little, as a rigid body;
- 1 % of the subsets are not found in an image, and after 12 s those next to the notches are not:
  empty displacements, correlation 0.

The load cell is one of 10 kN with noise of 0.15 % of that; the clip gauge spans 25 mm of the right
edge with noise of 1 um. Both are read every second, the camera every other second.

    python examples/notched_specimen_dic/make_data.py       # the same files every time
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from neml2fe import fem, load_input
from neml2fe.fem.observations import DisplacementsAt, Reaction
from neml2fe.io import write_columns

Array = NDArray[np.float64]
HERE = Path(__file__).resolve().parent
FINE = HERE.parents[1] / "meshes/double_notch_fine.msh"

LAW = "Models/plasticity"
TRUTH = {
    f"{LAW}/yield_stress": 320.0,
    f"{LAW}/isotropic_hardening/saturated_hardening": 240.0,
    f"{LAW}/isotropic_hardening/saturation_rate": 18.0,
    f"{LAW}/equivalent_stress/F": 0.4,
    f"{LAW}/equivalent_stress/N": 2.0,
}
SECONDS = np.arange(1.0, 21.0)
IMAGES = SECONDS[1::2]
SPECIMEN, RADIUS = np.array([20.0, 50.0]), 4.0
NOTCHES = np.array([[0.0, 21.0], [20.0, 29.0]])
CLIPS = np.array([[20.0, 12.5], [20.0, 37.5]])

PIXEL = 0.03  # mm
SUBSET, STEP = 21 * PIXEL, 23 * PIXEL
CAMERA_NOISE = 0.015 * PIXEL
LOAD_NOISE, CLIP_NOISE = 15.0, 1e-3  # N, mm
ROTATION, TRANSLATION = 1e-4, 0.02  # rad, mm: standard deviations of the camera's motion
GAUGE = (5.0, 45.0)  # heights between which there are points
LOST_BEFORE, LOST_WIDTH = 12.0, 0.8  # s, mm


def from_notch(points: Array) -> Array:
    """Distance of each point from the nearest notch's edge."""
    return np.linalg.norm(points[:, None] - NOTCHES, axis=2).min(axis=1) - RADIUS


def grid() -> Array:
    """Centres of the subsets that lie on the specimen, `(m, 2)`."""
    x, y = (np.arange(low, high, STEP) for low, high in ((0.37, SPECIMEN[0]), GAUGE))
    points = np.round(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2), 6)
    inside = (points[:, 0] < SPECIMEN[0] - SUBSET / 2) & (from_notch(points) > SUBSET / 2)
    return points[inside]


def simulate(mesh: str | Path, points: Array) -> tuple[Array, Array, Array]:
    """Displacements `(10, m, 2)` in the images, forces `(20,)` and elongations `(20,)` without
    noise."""
    driver = load_input(HERE / "pull.i", [f"{k}={v}" for k, v in TRUTH.items()]).get_driver("pull")
    problem = fem.Problem(mesh, driver.bodies, driver.conditions, **driver.problem)
    observed = {
        "camera": DisplacementsAt(points),
        "clips": DisplacementsAt(CLIPS),
        "force": Reaction("top"),
    }
    with torch.no_grad():
        result = problem.solve(driver.stepping, observed, SECONDS.tolist())
    camera, clips, force = (result[name].numpy() for name in observed)
    return camera[1::2], force, clips[:, 1, 1] - clips[:, 0, 1]


def moved(points: Array, u: Array, chance: np.random.Generator) -> Array:
    """Displacements `(m, 2)` as a camera sees them that moves a little."""
    angle, centre = ROTATION * chance.standard_normal(), SPECIMEN / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    place = (points + u - centre) @ turn.T + centre + TRANSLATION * chance.standard_normal(2)
    return place - points


def write_image(path: Path, points: Array, u: Array, found: NDArray[np.bool_]) -> None:
    """One row for each subset: x, y, u, v and whether it was found (correlation 1 or 0)."""
    rows = ["x [mm],y [mm],u [mm],v [mm],correlation"]
    for (x, y), (a, b), there in zip(points, u, found, strict=True):
        rows.append(f"{x:.2f},{y:.2f}," + (f"{a:.5f},{b:.5f},1" if there else ",,0"))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def main() -> None:
    chance = np.random.default_rng(2026)
    points = grid()
    camera, force, elongation = simulate(FINE, points)
    folder = HERE / "data"
    folder.mkdir(exist_ok=True)
    for k, (time, u) in enumerate(zip(IMAGES, camera, strict=True), start=1):
        seen = moved(points, u, chance) + CAMERA_NOISE * chance.standard_normal(u.shape)
        found = chance.random(len(points)) > 0.01
        found &= (time <= LOST_BEFORE) | (from_notch(points) > LOST_WIDTH)
        write_image(folder / f"image_{k:02d}.csv", points, seen, found)
    force += LOAD_NOISE * chance.standard_normal(len(force))
    elongation += CLIP_NOISE * chance.standard_normal(len(force))
    table = {"time": SECONDS, "force": force.round(1), "elongation": elongation.round(5)}
    write_columns(folder / "load.csv", table)


if __name__ == "__main__":
    main()
