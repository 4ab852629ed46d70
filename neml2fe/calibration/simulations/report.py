"""The report of a fit to tests: a page as HTML and Markdown, its figures, numbers as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from neml2fe.calibration import diagnostics
from neml2fe.calibration.display import ending
from neml2fe.calibration.report import warnings_of
from neml2fe.calibration.simulations.fitted_fields import FittedField, draw_field, write_field
from neml2fe.calibration.simulations.identifiability import (
    Linearised,
    identifiability,
    shares_of,
)
from neml2fe.calibration.simulations.outcome import Outcomes, Predicted, Simulated, outcomes
from neml2fe.calibration.simulations.plots import plot_convergence
from neml2fe.calibration.simulations.report_priors import prior_sections
from neml2fe.calibration.simulations.report_tests import (
    SERIES,
    Blocks,
    Tests,
    series_rows,
    simulated_section,
    specimen_section,
)
from neml2fe.calibration.simulations.tests_fit import TestsFit
from neml2fe.calibration.tables import (
    PARAMETER_COLUMNS,
    known_correlation,
    parameter_rows,
    text,
    write_csv,
)
from neml2fe.io.document import Picture, Section, Table, Text, write_html, write_markdown

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult
    from neml2fe.calibration.parameters import ParameterSet
    from neml2fe.calibration.simulations.timed import TimedProblem

_CORRELATIONS = 40  # parameters whose correlation can be drawn


def write_report(
    folder: Path,
    title: str,
    result: FitResult,
    problem: TimedProblem,
    tests: Tests,
    *,
    flagged: Mapping[str, str] | None = None,
    root: bool = True,
) -> Path:
    """Write `report.html`, the same as `report.md` with its figures (PNG), `parameters.csv`,
    `series.csv` (curves over time), and each parameter field as `<name>.vtu` and `<name>.csv`.
    Collective: the tests are simulated once more, with sensitivities if the fit has found an
    uncertainty; rank `root` writes.

    Args:
        folder: Where the files go; made if missing.
        title: Heading of the report.
        result: The fit.
        problem: What was fitted.
        tests: The measurements of each test, by name, or its specimens.
        flagged: Specimens that were left out, and why.

    Returns the path of `report.html`. Raises `OutputError` if a file cannot be written,
    `ConvergenceError` where a test cannot be simulated any more.
    """
    point = Linearised(problem, result.x) if result.uncertainty is not None else None
    found = outcomes(problem, result.x)
    folder, parameters = Path(folder), problem.parameters
    path = folder / "report.html"
    if not root:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    figures = find_spec("matplotlib") is not None
    rows = parameter_rows(result, parameters)
    fields = {n: f for o in found.values() if isinstance(o, Simulated) for n, f in o.fields.items()}
    write_csv(folder / "parameters.csv", PARAMETER_COLUMNS, rows)
    write_csv(folder / "series.csv", SERIES, series_rows(tests, found))
    shares = {} if point is None else shares_of(point.leverages(), found)
    sections = [
        _summary(result, problem, tests),
        _warnings(result, parameters, flagged or {}, found),
        _parameters(folder, result, rows, list(fields), figures),
    ]
    if fields:
        sections.append(_fields(folder, fields, result, parameters, figures))
    if isinstance(result, TestsFit):
        sections += prior_sections(folder, result, parameters, figures)
    if point is not None:
        sections.append(identifiability(point))
    for name, test in tests.items():
        outcome = found[name]
        if isinstance(outcome, Predicted):
            assert not isinstance(test, Mapping)
            blocks = specimen_section(folder, name, test, outcome, figures)
        else:
            assert isinstance(test, Mapping)
            own = {m: shares[name, m] for m in test if (name, m) in shares}
            known = problem.noise_is_known
            blocks = simulated_section(folder, name, test, outcome, own, known, figures)
        sections.append(Section(f"Test {name}", blocks))
    if not figures:
        sections.append(Section("Figures", [Text("They need `pip install 'neml2fe[figures]'`.")]))
    write_markdown(folder / "report.md", title, sections)
    return write_html(path, title, sections)


# --- the fit --------------------------------------------------------------------------
def _summary(result: FitResult, problem: TimedProblem, tests: Tests) -> Section:
    rows = [
        ["Outcome", ending(result)],
        ["Loss", f"{result.loss:.6g}"],
        ["Iterations of the best start", str(result.history[-1].number if result.history else 0)],
        ["Simulations of all tests", str(problem.simulations)],
        ["Seconds for each, with derivatives", f"{problem.pace():.3g}"],
        ["Parameters", str(len(result.values))],
        ["Tests", ", ".join(tests)],
    ]
    return Section("Summary", [Table(("", ""), rows)])


def _warnings(
    result: FitResult, parameters: ParameterSet, flagged: Mapping[str, str], found: Outcomes
) -> Section:
    lines = [line.replace("**", "") for line in warnings_of(result, parameters, flagged)]
    lines += [
        f"Test {name}: {', '.join(outcome.measured_edges)}: displacements are prescribed as they "
        "were measured, and taken for exact; standard errors and intervals do not know of their "
        "noise and are too short, several times where it goes from point to point"
        for name, outcome in found.items()
        if isinstance(outcome, Simulated) and outcome.measured_edges
    ]
    return Section("Warnings", [Text(f"{line.rstrip('.')}.") for line in lines] or [Text("None.")])


def _parameters(
    folder: Path,
    result: FitResult,
    rows: Sequence[Sequence[object]],
    fields: Sequence[str],
    figures: bool,
) -> Section:
    """Values of `fields` have a section of their own."""
    known = result.uncertainty
    header, shown = ["parameter", "start", "fitted", "bounds", "flag"], []
    for row in rows:
        name, start, fitted, error, lower, upper, _, low, high, flag = row
        if any(_is_of(field, name) for field in fields):
            continue
        cells = [text(name), text(start), text(fitted)]
        if known is not None:
            cells += [text(error), f"{text(lower)} to {text(upper)}", _relative(fitted, error)]
        shown.append([*cells, f"{text(low)} to {text(high)}", text(flag)])
    blocks: Blocks = []
    if known is not None:
        header[3:3] = ["standard error", f"{100 * known.level:g} % interval", "known to"]
        note = (
            "Standard errors and intervals follow from the Gauss-Newton Hessian at the fitted "
            "values; they hold where the model is right and nearly linear over the interval."
        )
        if not known.not_identifiable and not known.remarks:
            note += " Every parameter is identified by these data."
    else:
        why = result.no_uncertainty if isinstance(result, TestsFit) else ""
        why = why or "no uncertainty was computed"
        note = f"{why[0].upper()}{why[1:]}."
    blocks += [*([Table(header, shown)] if shown else []), Text(note)]
    correlation = known_correlation(result)
    if figures and known is not None and correlation is not None and len(rows) <= _CORRELATIONS:
        path = diagnostics.plot_correlation(folder / "correlation.png", known.names, correlation)
        blocks.append(Picture(path, "Correlation of the parameters' errors."))
    if figures and len(result.history) > 1:
        path = plot_convergence(folder / "convergence.png", result)
        blocks.append(Picture(path, "Loss and parameters, iteration by iteration."))
    return Section("Parameters", blocks)


def _is_of(field: str, name: object) -> bool:
    """Whether this is an entry of a field."""
    return str(name).startswith(f"{field}[")


def _relative(fitted: object, error: object) -> str:
    if not isinstance(fitted, float) or not isinstance(error, float) or fitted == 0.0:
        return "-"
    return f"{100.0 * abs(error / fitted):.2g} %" if np.isfinite(error) else "-"


# --- fields ---------------------------------------------------------------------------
def _fields(
    folder: Path,
    fields: Mapping[str, FittedField],
    result: FitResult,
    parameters: ParameterSet,
    figures: bool,
) -> Section:
    shown, pictures, files, known = [], [], [], result.uncertainty
    for name, field in fields.items():
        start = parameters.initial[name].cpu().double().numpy()
        more, error = {"start": start}, None
        if known is not None:
            own = torch.tensor([_is_of(name, n) for n in known.names])
            error = known.standard_errors[own].numpy().reshape(field.values.shape)
            more["standard_error"] = error
        stem = folder / name
        files += [path.name for path in write_field(stem, field, more)]
        v = field.values
        cells = [name, f"{len(v)} {'nodes' if field.nodal else 'elements'}", text(start.mean())]
        cells += [text(float(value)) for value in (v.min(), v.mean(), v.max())]
        shown.append([*cells, "-" if error is None else text(float(np.median(error)))])
        if figures:
            pictures += draw_field(stem, name, field, error)
    header = ("field", "on", "start", "smallest", "mean", "largest", "median standard error")
    note = f"Every value is in {', '.join(files)} (VTU: with the mesh, for ParaView)."
    return Section("Parameter fields", [Table(header, shown), Text(note), *pictures])
