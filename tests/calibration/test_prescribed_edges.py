"""Displacements that a camera measured and a simulation prescribes are no data of a fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulations_box import GRID, STEPPING, SY, R, law, mesh_of, parameters

from neml2fe.calibration.fit import fit
from neml2fe.calibration.fullfield import FullField, StrainGauge
from neml2fe.calibration.fullfield.edge import edge_motion, is_measured, prescribed_by
from neml2fe.calibration.simulations import FieldMeasurement, SimulationProblem, outcome
from neml2fe.calibration.simulations.report import write_report
from neml2fe.calibration.simulations.timed import Renamed, TimedProblem
from neml2fe.errors import InputError
from neml2fe.fem import Dirichlet, Problem

EDGE = np.stack([np.ones(5), np.linspace(0.0, 1.0, 5)], axis=1)
POINTS = np.concatenate([GRID, EDGE])
ON_EDGE = np.arange(len(POINTS)) >= len(GRID)


def seen() -> FullField:
    """A stretch with noise, in two images."""
    x, y = POINTS.T
    u = np.stack([0.02 * x * (1 + 0.1 * y), -0.008 * y * x], axis=1)
    u = np.array([0.5, 1.0])[:, None, None] * u
    return FullField(POINTS, [0.5, 1.0], u + 1e-4 * np.random.default_rng(1).normal(size=u.shape),
                     1e-4)  # fmt: skip


def pulled_by(field: FullField, components: str = "xy") -> Problem:
    edge = field.at_points(ON_EDGE)
    sides = [Dirichlet("left", c) for c in "xy"]
    sides += [Dirichlet("right", c, edge_motion(edge, c), label=f"grip_{c}") for c in components]
    return Problem(mesh_of(3, None), law(), sides)


def compared(field: FieldMeasurement, components: str = "xy") -> SimulationProblem:
    problem = pulled_by(field.data, components)
    return SimulationProblem(problem, STEPPING, {"camera": field}, parameters(SY, R))


def test_which_displacements_are_prescribed() -> None:
    field = seen()
    conditions = pulled_by(field, "x").conditions
    values = [c.value for c in conditions]  # type: ignore[union-attr]
    assert [is_measured(v) for v in values] == [False, False, True]
    mask = prescribed_by(values, POINTS, 2)
    assert mask[:, 0].tolist() == ON_EDGE.tolist() and not mask[:, 1].any()
    assert not prescribed_by(values, POINTS + 1e-3, 2).any()  # other points
    assert not prescribed_by([0.0, np.sin], POINTS, 2).any()


@pytest.mark.parametrize(("components", "left_out"), [("x", 10), ("xy", 20)])
def test_they_are_no_data(components: str, left_out: int) -> None:
    """They say nothing of the parameters: all other residuals and derivatives stay."""
    field = FieldMeasurement(seen())
    fitted = compared(field, components)
    whole = compared(replace(field, compare_prescribed=True), components)
    x = fitted.parameters.x0
    (r, jacobian), (all_r, all_rows) = fitted.linearised(x), whole.linearised(x)
    assert len(all_r) - len(r) == left_out
    mask = np.zeros((2, len(POINTS), 2), dtype=bool)
    mask[:, ON_EDGE, : len(components)] = True
    there = ~mask.reshape(-1)
    np.testing.assert_allclose(all_r[there], r, rtol=1e-12)
    np.testing.assert_allclose(all_rows[there], jacobian, rtol=1e-12)
    assert all_rows[~there].abs().max() <= 1e-9 * jacobian.abs().max()
    camera = fitted.measurements["camera"]
    assert isinstance(camera, FieldMeasurement) and camera.prescribed_points == 5
    assert field.prescribed_points == 0 and np.isfinite(field.data.displacements).all()


def test_nor_are_they_in_windows_of_strain() -> None:
    field = FieldMeasurement(seen(), strain=StrainGauge(radius=0.4))
    fitted = compared(field, "x")
    camera = fitted.measurements["camera"]
    assert isinstance(camera, FieldMeasurement) and camera.windows is not None
    assert camera.windows.centres.max() < len(GRID)
    assert len(fitted.residuals(fitted.parameters.x0)) > 0


def test_a_camera_that_sees_nothing_else() -> None:
    field = seen().at_points(ON_EDGE)
    conditions = pulled_by(seen()).conditions
    with pytest.raises(InputError, match="nothing is left to compare: take it out"):
        FieldMeasurement(field).under(conditions)
    assert FieldMeasurement(field).under(pulled_by(seen(), "x").conditions).data.valid.sum() == 10


def test_the_report_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neml2fe.calibration.simulations.report.find_spec", lambda name: None)
    known = parameters(SY, R)
    fitted = TimedProblem({"grips": Renamed(compared(FieldMeasurement(seen())), known)})
    tests = outcome.tested(fitted)
    assert "5 points left out as the simulation prescribes them" in tests["grips"].words[0]
    result = fit(fitted, max_iterations=2)
    compared_with = {name: test.compared for name, test in tests.items()}
    write_report(tmp_path, "Grips", result, fitted, compared_with)
    report = (tmp_path / "report.md").read_text()
    assert "| prescribed points left out | 5 |" in report
    warnings = report.split("## Warnings")[1].split("## Parameters")[0]
    assert "grip_x, grip_y: displacements are prescribed as they were measured" in warnings
    assert "do not know of their noise" in warnings and ".png" not in report
