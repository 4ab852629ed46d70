"""The fit of `deterministic.i`, for specimens that differ from each other.

Least squares come first. How much the specimens scatter is then estimated from their residuals,
and the mean is fitted again by generalised least squares, whose intervals allow for the scatter.

    python deterministic.py FOLDER [INDEX]

INDEX lists other tests than those in `data/`. FOLDER gets the report of the fit (`report.md`), and
fitted against true values as a table (`recovery.csv`) and a figure (`recovery.png`).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import synthetic

from neml2fe.calibration.report import write_report
from neml2fe.calibration.scatter import ScatteredFit, fit_with_scatter
from neml2fe.calibration.uncertainty import Uncertainty
from neml2fe.input import load_input
from neml2fe.io.aligned import aligned
from neml2fe.io.canvas import WIDTH, figure

DECK = Path(__file__).with_name("deterministic.i")
HEADER = ("parameter", "true", "start", "least squares", "fitted", "lower", "upper", "inside")


def truth() -> dict[str, float]:
    """Means of the population, by the names of fitted values."""
    found = {}
    for name, mean in synthetic.means(synthetic.model()).items():
        for k, value in enumerate(mean.reshape(-1).tolist()):
            found[f"{name}[{k}]" if mean.ndim else name] = value
    return found


def recovery(found: ScatteredFit, start: dict[str, float]) -> list[list[str]]:
    """Rows of HEADER."""
    assert found.uncertainty is not None and found.ordinary is not None
    limits = dict(zip(found.uncertainty.names, found.uncertainty.intervals.tolist(), strict=True))
    rows = []
    for name, true in truth().items():
        low, high = limits[name]
        numbers = [true, start[name], found.ordinary.values[name], found.values[name], low, high]
        rows.append([name, *(f"{v:.5g}" for v in numbers), "yes" if low <= true <= high else "no"])
    return rows


def errors(known: Uncertainty) -> list[tuple[float, float, float]]:
    """Error and limits of each fitted value, in percent of the true one."""
    rows = dict(zip(known.names, zip(known.values, known.intervals, strict=True), strict=True))
    found = []
    for name, true in truth().items():
        value, limits = rows[name]
        ends = sorted(100.0 * (v / true - 1.0) for v in limits.tolist())
        found.append((100.0 * (float(value) / true - 1.0), ends[0], ends[1]))
    return found


def draw(path: Path, found: ScatteredFit, start: dict[str, float]) -> None:
    """Errors with 95 % intervals, of least squares and with scatter."""
    assert found.uncertainty is not None
    assert found.ordinary is not None and found.ordinary.uncertainty is not None
    true = truth()
    methods = (
        ("least squares: noise only", found.ordinary.uncertainty, 0.16, "#d55e00", "s"),
        ("with scatter of the specimens", found.uncertainty, -0.16, "#0072b2", "o"),
    )
    with figure(path, (WIDTH, 4.6)) as page:
        axes = page.subplots()
        axes.axvline(0.0, color="#666666", linewidth=0.8)
        off = [100.0 * (start[name] / true[name] - 1.0) for name in true]
        axes.plot(off, range(len(true)), "x", color="#888888", markersize=5, label="start")
        for label, known, shift, colour, mark in methods:
            for k, (centre, low, high) in enumerate(errors(known)):
                axes.plot([low, high], [k - shift] * 2, color=colour, linewidth=1.6)
                named = label if k == 0 else None
                axes.plot(centre, k - shift, mark, color=colour, markersize=4, label=named)
        axes.set_yticks(range(len(true)), list(true))
        axes.invert_yaxis()
        axes.set_xlabel("fitted - true, % of true")
        page.legend(loc="outside lower center", ncols=3, fontsize="small")


def main(folder: Path, overrides: Sequence[str] = ()) -> ScatteredFit:
    calibration = load_input(DECK, overrides).get("Calibrations", "deterministic")
    problem = calibration.problem()
    start = problem.parameters.values(problem.parameters.x0)
    found = fit_with_scatter(problem, dict.fromkeys(synthetic.SCATTER))
    assert found.estimate is not None and found.uncertainty is not None

    report = write_report(
        folder, "Steel from 20 to 800 degC", found, problem.specimens, problem.predict(found.x),
        problem.parameters, problem.flagged, noise=calibration.noise, units=calibration.units,
    )  # fmt: skip
    rows = recovery(found, start)
    with (folder / "recovery.csv").open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([HEADER, *rows])
    draw(folder / "recovery.png", found, start)

    print("\n".join(aligned(rows, HEADER, right=".rrrrrr.")))
    for name, size in found.estimate.scatter.items():
        assert isinstance(size, float)
        share, spread = 100.0 * size, 100.0 * size * found.estimate.errors[name]
        known = f"({share:.1f} +- {spread:.1f}) % of its mean" if size else "no sign of any"
        print(f"scatter of {name}: {known}")
    for name, why in found.uncertainty.not_identifiable.items():
        print(f"warning: {name} is not identified: {why}")
    print(f"{sum(row[-1] == 'yes' for row in rows)} of {len(rows)} intervals hold the true value")
    print(f"{report} and {folder / 'recovery.png'} are written")
    return found


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python deterministic.py FOLDER [INDEX]")
    main(Path(sys.argv[1]), [f"Specimens/tension/index={index}" for index in sys.argv[2:]])
