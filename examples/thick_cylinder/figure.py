"""The steam pipe: comparison with closed forms, and the figure.

- At once after start-up: Lame's stresses of the pressure and Timoshenko's of the temperature.
- Stationary creep: the hoop strain rate of a long pipe is C / r^2, so that the equivalent stress
  is eta(T) (2 C / (sqrt(3) r^2))^(1/n), and equilibrium, d sigma_r / dr = 2 sigma_eq / (sqrt(3) r),
  gives C from the pressure (Odqvist, Mathematical Theory of Creep and Creep Rupture, 1966; with
  eta a function of the radius).

Reads the run's files (neml2fe run examples/thick_cylinder/pipe.i), writes
docs/images/fe_thick_cylinder.png.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson

from neml2fe import io
from neml2fe.io.canvas import figure

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
IMAGE = HERE.parents[1] / "docs/images/fe_thick_cylinder.png"
INNER, OUTER, PRESSURE, EXPONENT = 50.0, 100.0, 40.0, 5.0
YOUNG, POISSON, EXPANSION = 160e3, 0.3, 1.2e-5
OUTPUTS = {4.0: 1, 196.0: 2, 200.0: 3, 404.0: 4, 596.0: 5, 600.0: 6}  # time: number of file
Array = NDArray[np.float64]


def temperature(r: Array) -> Array:
    return 873.15 - 30 * np.log(r / INNER) / np.log(OUTER / INNER)


def elastic(r: Array) -> dict[str, Array]:
    """Radial and hoop stress of the pressure and of the logarithmic temperature."""
    ratio = OUTER**2 / INNER**2
    lame = PRESSURE / (ratio - 1)
    drop = YOUNG * EXPANSION * 30 / (2 * (1 - POISSON) * np.log(OUTER / INNER))
    log, part = np.log(OUTER / r), np.log(OUTER / INNER) / (ratio - 1)
    square = OUTER**2 / r**2
    return {
        "radial": lame * (1 - square) + drop * (-log - part * (1 - square)),
        "hoop": lame * (1 + square) + drop * (1 - log - part * (1 + square)),
    }


def stationary(r: Array) -> tuple[dict[str, Array], float]:
    """Radial and hoop stress, and the constant C of the hoop strain rate C / r^2 (1/h)."""
    fine = np.linspace(INNER, OUTER, 2001)
    strength = 0.58173 * np.exp(50e3 / (8.314462618 * temperature(fine)))
    unit = 2 / np.sqrt(3) * strength * fine ** (-2 / EXPONENT)  # of sigma_hoop - sigma_radial
    integral = cumulative_simpson(unit / fine, x=fine, initial=0)
    factor = PRESSURE / integral[-1]
    radial = np.interp(r, fine, factor * integral - PRESSURE)
    hoop = radial + np.interp(r, fine, factor * unit)
    return {"radial": radial, "hoop": hoop}, np.sqrt(3) / 2 * factor**EXPONENT


def profile(number: int) -> dict[str, Array]:
    """Radii and stresses along the middle of the pipe."""
    field = meshio.read(RESULTS / f"pipe_{number:04d}.vtu")
    line = np.flatnonzero(field.points[:, 1] == 0)
    line = line[np.argsort(field.points[line, 0])]
    stress = field.point_data["stress"][line]
    return {"r": field.points[line, 0], "radial": stress[:, 0], "hoop": stress[:, 2]}


def error(found: dict[str, Array], known: Callable[[Array], dict[str, Array]]) -> float:
    """Largest difference, over the largest stress."""
    exact = known(found["r"])
    largest = max(abs(stress).max() for stress in exact.values())
    return max(abs(found[name] - exact[name]).max() for name in exact) / largest


def rate(table: dict[str, Array], start: float, end: float) -> float:
    """Mean speed of the bore (mm/h) between two times."""
    bore = np.interp([start, end], table["time"], table["bore"])
    return float((bore[1] - bore[0]) / (end - start))


def main() -> None:
    table = io.read_table(RESULTS / "pipe.csv")
    profiles = {time: profile(number) for time, number in OUTPUTS.items()}
    creep = lambda r: stationary(r)[0]  # noqa: E731
    speed = stationary(np.array([INNER]))[1] / INNER
    print(f"stress at 596 h off stationary creep by {error(profiles[596.0], creep):.2%}")
    found = rate(table, 560.0, 596.0)
    print(f"speed of the bore, 560 to 596 h: {found:.4e} mm/h; stationary: {speed:.4e} mm/h")
    draw(table, profiles)


def draw(table: dict[str, Array], profiles: dict[float, Any]) -> None:
    r = np.linspace(INNER, OUTER, 100)
    with figure(IMAGE, (9.2, 3.6)) as page:
        left, right = page.subplots(1, 2)
        left.plot(table["time"], table["bore"], color="C3")
        left.set(xlabel="time in h", ylabel="displacement of the bore in mm", ylim=(0, None))
        left.set_title("three cycles of service")
        for time, colour, what in ((4.0, "C0", "start-up"), (596.0, "C1", "end of service"),
                                   (600.0, "C2", "shut down")):  # fmt: skip
            found = profiles[time]
            right.plot(
                found["r"], found["hoop"], "o", ms=4, color=colour, label=f"{time:g} h: {what}"
            )
        right.plot(r, elastic(r)["hoop"], color="C0", lw=1, label="Lamé and Timoshenko")
        right.plot(r, stationary(r)[0]["hoop"], color="C1", lw=1, label="stationary creep")
        right.set(xlabel="radius in mm", ylabel="hoop stress in MPa")
        right.legend(fontsize=8)


if __name__ == "__main__":
    main()
