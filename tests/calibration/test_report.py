"""The report of a fit: that it holds every number, names what is doubtful, and draws figures."""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neml2fe.calibration import curves, diagnostics
from neml2fe.calibration.channels import channels, drives_and_compared, unpredicted, with_rates
from neml2fe.calibration.curves import plot_bands
from neml2fe.calibration.diagnostics import plot_correlation, plot_posterior
from neml2fe.calibration.display import FitDisplay
from neml2fe.calibration.fit import FitResult, Iteration
from neml2fe.calibration.fit import fit as run_fit
from neml2fe.calibration.noise import GaussianNoise
from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.report import write_report
from neml2fe.calibration.specimens import Specimens
from neml2fe.calibration.uncertainty import Uncertainty
from neml2fe.errors import InputError
from neml2fe.io.canvas import figure

UNITS = {"stress": "MPa", "temperature": "K", "strain_rate": "1/s", "time": "s"}
TRUE = {"sy": 120.0, "Q": 180.0, "m": 0.06, "b": 25.0}


class Law(torch.nn.Module):
    def __init__(self, values: dict[str, float]) -> None:
        super().__init__()
        for name, value in values.items():
            owner, _, own = name.rpartition(".")
            if owner and not hasattr(self, owner):
                self.add_module(owner, torch.nn.Module())
            parameter = torch.nn.Parameter(torch.tensor(value, dtype=torch.float64))
            self.get_submodule(owner).register_parameter(own, parameter)


def curve(p: dict[str, float], rate: float, kelvin: float, strain: torch.Tensor) -> torch.Tensor:
    """A viscoplastic stress-strain curve, elastic at first, softer when hot or slow."""
    flow = (p["sy"] + p["Q"] * (1 - torch.exp(-p["b"] * strain))) * (1.25 - kelvin / 2000)
    flow = flow * (rate / 1e-3) ** (p["m"] * kelvin / 1000)
    return flow * torch.tanh(2e5 * strain / flow)


def specimens_at(
    rates: list[float], kelvins: list[float], p: dict[str, float], rows: int = 101, noise: float = 4
) -> tuple[Specimens, torch.Tensor]:
    """Tension tests at every rate and temperature, and the curves without noise (N, S)."""
    pairs = [(r, k) for k in kelvins for r in rates]
    strain = torch.linspace(0, 0.25, rows, dtype=torch.float64)[:, None].expand(-1, len(pairs))
    times = strain / torch.tensor([r for r, _ in pairs], dtype=torch.float64)
    exact = torch.stack([curve(p, r, k, strain[:, 0]) for r, k in pairs], dim=1)
    measured = exact + noise * torch.randn(exact.shape, dtype=torch.float64)
    kelvin = torch.tensor([k for _, k in pairs], dtype=torch.float64)
    names = [f"T{k:g}-r{r:g}" for r, k in pairs]
    return Specimens.uniaxial(times, strain, measured, kelvin, names=names), exact


def tensor(axial: torch.Tensor) -> torch.Tensor:
    return axial[..., None] * torch.eye(6, dtype=torch.float64)[0]


def parameter_set(values: dict[str, float]) -> ParameterSet:
    wide = [FitParameter(n, 0.1 * v, 10 * v, "log", 0.8 * v) for n, v in values.items()]
    return ParameterSet.of(Law(values), wide)


def fit_result(values: dict[str, float], parameters: ParameterSet, steps: int = 12) -> FitResult:
    """A made-up fit that found `values`; the last parameter is not identifiable."""
    x = parameters.scaled(torch.tensor(list(values.values()), dtype=torch.float64))
    n = len(values)
    start = parameters.natural(parameters.x0).tolist()
    history = [
        Iteration(
            k, 0, 1234.5 + 9e5 * math.exp(-k), 10.0 ** (3 - k),
            {m: v + (s - v) * math.exp(-k) for (m, v), s in zip(values.items(), start)},  # noqa: B905
            0.25 * k,
        )
        for k in range(steps)
    ]  # fmt: skip
    natural = torch.tensor(list(values.values()), dtype=torch.float64)
    errors = 0.013 * natural
    errors[-1] = math.inf
    factor = torch.linspace(-1, 1, n * n, dtype=torch.float64).reshape(n, n).sin() + torch.eye(n)
    covariance = factor @ factor.T
    scale = covariance.diagonal().rsqrt()
    correlation = covariance * scale * scale[:, None]
    correlation[-1, :-1] = correlation[:-1, -1] = 0.0
    intervals = torch.stack([natural - 1.97 * errors, natural + 1.97 * errors], dim=-1)
    intervals[-1] = torch.stack([parameters.lower[-1], parameters.upper[-1]])
    known = Uncertainty(
        names=list(values),
        values=natural,
        standard_errors=errors,
        intervals=intervals,
        level=0.95,
        correlation=correlation,
        not_identifiable={list(values)[-1]: "no residual changes with it"},
        singular_values=torch.linspace(n, 0, n, dtype=torch.float64),
    )
    best = FitResult(dict(values), x, 1234.5, True, "the gradient vanished", history, known)
    worse = replace(best, loss=1500.25, converged=False, reason="ran out of iterations",
                    uncertainty=None)  # fmt: skip
    return replace(best, starts=[best, worse, replace(best, loss=1234.6, uncertainty=None)])


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if matplotlib were not installed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.fixture
def fit() -> tuple[FitResult, Specimens, torch.Tensor, ParameterSet]:
    parameters = parameter_set(TRUE)
    specimens, exact = specimens_at([1e-3, 1e-2], [300.0, 600.0], TRUE, rows=21)
    return fit_result(TRUE, parameters), specimens, exact, parameters


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_report_has_every_number(tmp_path: Path, fit, no_figures) -> None:
    result, specimens, exact, parameters = fit
    path = write_report(
        tmp_path / "new", "Copper", result, specimens, {"stress": tensor(exact)}, parameters,
        noise=GaussianNoise(4.0), units=UNITS,
    )  # fmt: skip
    text = path.read_text()
    assert path == tmp_path / "new" / "report.md" and text.startswith("# Copper\n")
    for cells in (
        "| Outcome | converged: the gradient vanished |",
        "| Loss | 1234.5 |",
        "| Iterations of the best start | 11 |",
        "| Specimens | 4 of 4 |",
        "| Data | 80 values of stress_11 |",
        "| sy | 96 | 120 | 1.56 | 116.927 to 123.073 | 12 to 1200 |  |",
        "| Q | 144 | 180 | 2.34 | 175.39 to 184.61 | 18 to 1800 |  |",
        "| m | 0.048 | 0.06 | 0.00078 | 0.0584634 to 0.0615366 | 0.006 to 0.6 |  |",
        "| b | 20 | 25 | inf | 2.5 to 250 | 2.5 to 250 | not identifiable |",
        "| 2 | 1500.25 | 12 | not converged: ran out of iterations |",
        "| 3 | 1234.6 | 12 | converged: the gradient vanished |",
        "95 % interval",
    ):
        assert cells in text, cells
    assert result.uncertainty is not None
    for row in result.uncertainty.correlation[:-1, :-1].tolist():
        assert all(f"{r:.3f}" in text for r in row)
    residual = (exact - specimens.measured["stress"][..., 0])[1:]
    spread = float((residual.square().sum() / (80 - 4)).sqrt())
    assert f"standard deviation {spread:.6g} MPa" in text
    assert f"the residuals are {spread / 4:.4g} standard deviations" in text
    for s, name in enumerate(specimens.names):
        size = specimens.measured["stress"][1:, s, 0].square().mean().sqrt()
        rms = residual[:, s].square().mean().sqrt()
        line = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        assert line.endswith(f"| 20 | {rms:.6g} | {100 * rms / size:.3g} % |")
    worst = re.search(r"It is largest, (\S+) %, for (\S+)\.", text)
    assert worst and f"{worst[1]} %" in text.split(f"| {worst[2]} |")[1].splitlines()[0]


def test_figures_are_written_and_named_in_the_report(tmp_path: Path, fit) -> None:
    image = pytest.importorskip("matplotlib.image")
    result, specimens, exact, parameters = fit
    path = write_report(
        tmp_path, "Copper", result, specimens, {"stress": tensor(exact)}, parameters
    )
    named = re.findall(r"\]\((\S+\.png)\)", path.read_text())
    assert named == [
        "curves_stress_11.png", "residuals_stress_11.png", "correlation.png", "loss.png"
    ]  # fmt: skip
    assert {p.name for p in tmp_path.iterdir()} == {
        *named, "report.md", "parameters.csv", "fitted.csv"
    }  # fmt: skip
    for name in named:
        drawn = image.imread(tmp_path / name)
        assert drawn.shape[1] > 500 and len(np.unique(drawn[..., 0])) > 9


def test_report_without_matplotlib_says_so(tmp_path: Path, fit, no_figures) -> None:
    result, specimens, exact, parameters = fit
    path = write_report(
        tmp_path, "Copper", result, specimens, {"stress": tensor(exact)}, parameters
    )
    assert "pip install 'neml2fe[figures]'" in path.read_text()
    assert "![" not in path.read_text() and not list(tmp_path.glob("*.png"))
    assert len(read(tmp_path / "parameters.csv")) == 4


def test_csv_files_have_all_digits(tmp_path: Path, fit, no_figures) -> None:
    result, specimens, exact, parameters = fit
    weights = {"stress": specimens.weights["stress"].clone()}
    weights["stress"][5, 1] = 0.0
    weights["stress"][6, 1] *= 0.25
    specimens = replace(specimens, weights=weights)
    write_report(tmp_path, "Copper", result, specimens, {"stress": tensor(exact)}, parameters)
    rows = read(tmp_path / "fitted.csv")
    assert len(rows) == 79 and {row["component"] for row in rows} == {"11"}
    for row in rows:
        s, k = specimens.names.index(row["specimen"]), int(row["row"])
        assert float(row["measured"]) == specimens.measured["stress"][k, s, 0]
        assert float(row["fitted"]) == exact[k, s]
        assert float(row["residual"]) == exact[k, s] - specimens.measured["stress"][k, s, 0]
        assert float(row["time"]) == specimens.times[k, s]
        assert float(row["weight"]) == weights["stress"][k, s, 0]
    values = {row["parameter"]: row for row in read(tmp_path / "parameters.csv")}
    assert result.uncertainty is not None
    assert {n: float(row["fitted"]) for n, row in values.items()} == result.values
    assert [float(r["standard_error"]) for r in values.values()] == (
        result.uncertainty.standard_errors.tolist()
    )
    assert values["b"]["flag"] == "not identifiable" and values["sy"]["flag"] == ""


def test_warnings_name_what_is_doubtful(tmp_path: Path, fit, no_figures) -> None:
    result, specimens, exact, parameters = fit
    assert result.uncertainty is not None
    remark = "sy and Q are nearly interchangeable"
    doubtful = replace(
        result,
        converged=False,
        reason="stopped at the limit of 200 iterations",
        values={**result.values, "sy": 1200.0, "m": 0.006},
        uncertainty=replace(result.uncertainty, remarks=[remark]),
    )
    predicted = tensor(exact).clone()
    predicted[7:, 2] = torch.nan
    flagged = {specimens.names[0]: "no equilibrium at row 9"}
    path = write_report(
        tmp_path, "Doubtful", doubtful, specimens, {"stress": predicted}, parameters, flagged
    )
    text = path.read_text()
    warnings = text.partition("## Warnings")[2].partition("## ")[0]
    for part in (
        "did not converge**: stopped at the limit of 200 iterations.",
        "**b is not identified**: no residual changes with it.",
        "sy and Q are nearly interchangeable.",
        f"Specimen {specimens.names[0]} is left out**: no equilibrium at row 9.",
        f"Specimen {specimens.names[2]} is left out**: the fitted model gives no finite stress",
    ):
        assert part in warnings, part
    assert warnings.count("\n- ") == 5
    assert "| sy | 96 | 1200 |" in text and "| at upper bound |" in text
    assert "| at lower bound |" in text
    assert "| Specimens | 2 of 4 |" in text and "| Data | 40 values of stress_11 |" in text
    assert "nan" not in text
    fitted = {row["specimen"] for row in read(tmp_path / "fitted.csv")}
    assert fitted == {specimens.names[1], specimens.names[3]}


def test_a_sound_fit_has_no_warnings(tmp_path: Path, fit, no_figures) -> None:
    result, specimens, exact, parameters = fit
    path = write_report(
        tmp_path, "Plain", replace(result, uncertainty=None, starts=[]), specimens,
        {"stress": tensor(exact)}, parameters,
    )  # fmt: skip
    text = path.read_text()
    assert "## Warnings\n\nNone.\n" in text and "No uncertainty was computed." in text
    assert "## Starts" not in text and "## Correlation" not in text
    assert "| sy | 96 | 120 | 12 to 1200 |  |" in text


def test_bounds_are_named_without_an_uncertainty_too(tmp_path: Path, fit, no_figures) -> None:
    result, specimens, exact, parameters = fit
    bounded = replace(result, values={**result.values, "Q": 18.0}, uncertainty=None)
    path = write_report(tmp_path, "x", bounded, specimens, {"stress": tensor(exact)}, parameters)
    assert "- Q stands at its lower bound 18.\n" in path.read_text()


def test_wrong_predictions_are_refused(tmp_path: Path, fit, no_figures) -> None:
    result, specimens, exact, parameters = fit
    with pytest.raises(InputError, match="'stress' was measured but not predicted"):
        write_report(tmp_path, "x", result, specimens, {"strain": tensor(exact)}, parameters)
    with pytest.raises(InputError, match=r"'stress' has shape \(20, 4, 6\).*\(21, 4, 6\)"):
        write_report(tmp_path, "x", result, specimens, {"stress": tensor(exact[1:])}, parameters)
    everyone = dict.fromkeys(specimens.names, "no data")
    with pytest.raises(InputError, match="no specimen has a measurement"):
        write_report(
            tmp_path, "x", result, specimens, {"stress": tensor(exact)}, parameters, everyone
        )
    assert not list(tmp_path.iterdir())


def test_abscissa_is_the_strain_that_drives_and_time_elsewhere() -> None:
    specimens, exact = specimens_at([1e-3], [300.0], TRUE, rows=21)
    (driven,) = channels(specimens, {"stress": tensor(exact)})
    name, x = driven.abscissa
    assert name == "strain_11" and np.array_equal(x, specimens.strain[..., 0].numpy())
    held = specimens.strain.clone()
    held[5:] = held[5]
    (relaxing,) = channels(replace(specimens, strain=held), {"stress": tensor(exact)})
    assert relaxing.abscissa[0] == "time"
    creep = Specimens.uniaxial(specimens.times, 1e-4 * exact, exact, driven_by="stress")
    (creeping,) = channels(creep, {"strain": tensor(exact)})
    assert creeping.label == "strain_11" and creeping.abscissa[0] == "time"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn, to look at what is in them."""
    pytest.importorskip("matplotlib")
    drawn: list[Any] = []

    @contextmanager
    def kept(path: Path, size: tuple[float, float]) -> Iterator[Any]:
        with figure(path, size) as page:
            drawn.append(page)
            yield page

    monkeypatch.setattr(curves, "figure", kept)
    monkeypatch.setattr(diagnostics, "figure", kept)
    return drawn


def test_many_specimens_share_panels_by_temperature_and_colours_by_rate(
    tmp_path: Path, pages: list[Any]
) -> None:
    rates, kelvins = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], [300.0, 500.0, 700.0, 900.0, 1100.0]
    specimens, exact = specimens_at(rates, kelvins, TRUE, rows=61)
    (channel,) = channels(specimens, {"stress": tensor(exact)})
    curves.plot_curves(tmp_path / "c.png", with_rates(specimens), channel, UNITS)
    panels = [axes for axes in pages[0].axes if axes.lines]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"temperature {k:g} K" for k in kelvins
    ]
    for p, axes in enumerate(panels):
        points, lines = axes.lines[::2], axes.lines[1::2]
        assert all(len(line.get_xdata()) == 30 for line in points)
        for r, line in enumerate(lines):
            assert np.array_equal(line.get_ydata(), exact[:, 5 * p + r].numpy())
        colours = [line.get_color() for line in lines]
        assert len({tuple(c) for c in colours}) == 5
        assert np.array_equal(colours, [line.get_color() for line in panels[0].lines[1::2]])
    legend = [text.get_text() for axes in pages[0].axes if axes.legend_ is not None
              for text in axes.legend_.texts]  # fmt: skip
    assert legend == ["measured", "fitted", "strain rate (1/s)", "1e-05", "0.0001", "0.001", "0.01",
                      "0.1"]  # fmt: skip


def test_padded_rows_are_not_drawn(tmp_path: Path, pages: list[Any]) -> None:
    short, exact_short = specimens_at([1e-3], [300.0], TRUE, rows=11)
    long, exact_long = specimens_at([1e-2], [400.0], TRUE, rows=31)
    both = Specimens.stack([short, long])
    padded = torch.cat([exact_short, torch.full((20, 1), torch.nan)])
    predicted = {"stress": tensor(torch.cat([padded, exact_long], dim=1))}
    predicted["stress"][..., 1:] = 0.0
    assert not unpredicted(both, predicted)
    (channel,) = channels(both, predicted)
    curves.plot_curves(tmp_path / "c.png", both, channel)
    lengths = [len(line.get_xdata()) for line in pages[0].axes[0].lines]
    assert lengths[:4] == [10, 11, 30, 31]


def test_bands_are_the_quantiles_of_the_samples(tmp_path: Path, pages: list[Any]) -> None:
    specimens, exact = specimens_at([1e-3], [300.0], TRUE, rows=21)
    shifts = torch.linspace(-50, 50, 101, dtype=torch.float64)
    samples = {"stress": tensor(exact + shifts[:, None, None])}
    (path,) = plot_bands(tmp_path, specimens, samples, level=0.9)
    assert path.name == "bands_stress_11.png" and path.stat().st_size > 10_000
    (axes,) = pages[0].axes
    band = axes.collections[0].get_paths()[0].vertices
    at_end = band[np.isclose(band[:, 0], 0.25), 1]
    np.testing.assert_allclose([at_end.min(), at_end.max()], exact[-1, 0] + torch.tensor([-45, 45]))
    np.testing.assert_allclose(axes.lines[1].get_ydata(), exact[:, 0])
    samples["stress"][3, 4, 0, 0] = torch.inf
    with pytest.raises(InputError, match=f"'{specimens.names[0]}'.*no finite stress at row 4"):
        plot_bands(tmp_path, specimens, samples)
    with pytest.raises(InputError, match="between 0 and 1, got 95"):
        plot_bands(tmp_path, specimens, samples, level=95)


def test_posterior_shows_interval_and_true_value(tmp_path: Path, pages: list[Any]) -> None:
    samples = {"sy": torch.linspace(100, 140, 401), "Q": torch.linspace(170, 180, 401)}
    plot_posterior(tmp_path / "p.png", samples, {"sy": 118.0}, level=0.9)
    first, second = pages[0].axes
    assert first.lines[0].get_xdata()[0] == 118.0 and not second.lines
    shaded = first.patches[0].get_extents().transformed(first.transData.inverted())
    np.testing.assert_allclose([shaded.x0, shaded.x1], [102.0, 138.0])
    for wrong in (torch.ones(0), torch.ones(2, 2), torch.tensor([1.0, torch.nan])):
        with pytest.raises(InputError, match="samples of 'x' must be finite"):
            plot_posterior(tmp_path / "p.png", {"x": wrong})


def test_correlation_fields_have_numbers_and_gaps_stay_grey(
    tmp_path: Path, pages: list[Any]
) -> None:
    correlation = torch.tensor([[1.0, -0.5, torch.nan], [-0.5, 1.0, torch.nan], [torch.nan] * 3])
    plot_correlation(tmp_path / "c.png", ["a", "b", "c"], correlation)
    axes = pages[0].axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["-0.50", "-0.50", "1.00", "1.00"]
    assert axes.images[0].get_array().mask.sum() == 5
    with pytest.raises(InputError, match=r"2 names need a correlation matrix \(2, 2\)"):
        plot_correlation(tmp_path / "c.png", ["a", "b"], correlation)


def test_quantiles_of_normal_residuals_lie_on_the_diagonal(
    tmp_path: Path, pages: list[Any]
) -> None:
    specimens, exact = specimens_at([1e-3], [300.0], TRUE, rows=2001)
    (channel,) = channels(specimens, {"stress": tensor(exact)})
    whitened = channel.whitened(GaussianNoise(4.0))
    diagnostics.plot_residuals(tmp_path / "r.png", specimens, channel, whitened)
    points = pages[0].axes[1].lines[1]
    x, y = points.get_xdata(), points.get_ydata()
    inner = np.abs(x) < 1.5
    assert len(x) == 2000 and np.abs(y - x)[inner].max() < 0.12


class CurveFit:
    """The curves above fitted to tests: a problem without a simulation."""

    noise_is_known = False

    def __init__(self, specimens: Specimens, parameters: ParameterSet) -> None:
        self.specimens, self.parameters = specimens, parameters

    def predict(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        p = dict(zip(self.parameters.names, self.parameters.natural(x), strict=True))
        rates = with_rates(self.specimens).conditions["strain_rate"].tolist()
        kelvins = self.specimens.conditions["temperature"].tolist()
        strain = self.specimens.strain[:, 0, 0]
        pairs = zip(rates, kelvins, strict=True)
        return {"stress": tensor(torch.stack([curve(p, r, k, strain) for r, k in pairs], dim=1))}

    def residuals(self, x: torch.Tensor) -> torch.Tensor:
        own = self.specimens
        return GaussianNoise().residuals(self.predict(x), own.measured, own.weights)

    def linearised(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        jacobian: Any = torch.autograd.functional.jacobian(self.residuals, x)
        return self.residuals(x).detach(), jacobian

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return 0.5 * self.residuals(x).square().sum()


def test_a_real_fit_is_shown_and_reported(
    tmp_path: Path, no_figures, capsys: pytest.CaptureFixture[str]
) -> None:
    specimens, _ = specimens_at([1e-4, 1e-2], [300.0, 900.0], TRUE, rows=31)
    parameters = parameter_set(TRUE)
    problem = CurveFit(specimens, parameters)
    with FitDisplay(parameters, maximum=50, starts=2) as shown:
        result = run_fit(problem, starts=2, max_iterations=50, on_iteration=shown)
    path = write_report(
        tmp_path, "Curves", result, specimens, problem.predict(result.x), parameters,
        noise=GaussianNoise(), units=UNITS,
    )  # fmt: skip
    text = path.read_text()
    assert result.converged and "| Outcome | converged: " in text
    spread = re.search(r"stress_11: estimated standard deviation (\S+) MPa", text)
    assert spread and float(spread[1]) == pytest.approx(math.sqrt(2 * result.loss / (120 - 4)))
    rows = {row["parameter"]: row for row in read(tmp_path / "parameters.csv")}
    for name, value in result.values.items():
        assert float(rows[name]["lower_limit"]) < value < float(rows[name]["upper_limit"])
        assert f"| {name} | {0.8 * TRUE[name]:.6g} | {value:.6g} |" in text
    log = capsys.readouterr().out
    assert f"loss {result.loss:.6g}" in log and "start 2 of 2" in log
    assert re.search(rf"sy +\S+ +\S+ +{0.1 * TRUE['sy']:g} +{10 * TRUE['sy']:g}", log)


def test_a_rate_of_stress_is_not_shown_as_one_of_strain() -> None:
    """Tension beside creep, both of which the words for the start of a fit tell apart."""
    times = torch.arange(3.0, dtype=torch.float64)[:, None]
    tension = Specimens.uniaxial(times, 1e-3 * times, 100 * times, names=["tension"])
    creep = Specimens.uniaxial(times, times, 100 * times, driven_by="stress", names=["creep"])
    both = Specimens.stack([tension, creep])
    rates = with_rates(both).conditions["strain_rate"].tolist()
    assert rates[0] == 1e-3 and math.isnan(rates[1])
    assert drives_and_compared(both) == {
        "strain_11 drives, other stresses are zero; stress_11 is compared": ["tension"],
        "stress_11 drives, other stresses are zero; strain_11 is compared": ["creep"],
    }
