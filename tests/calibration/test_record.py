"""A fit's record: complete after a kill at any byte, and a start for the next fit."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from analytic import CurveFit, double, parameter_set

from neml2fe.calibration import record
from neml2fe.calibration.fit import fit
from neml2fe.errors import InputError, OutputError

T = torch.linspace(0.0, 4.0, 40, dtype=torch.float64)
Y = 2.0 * torch.exp(-0.7 * T) + 0.02 * torch.cos(31.0 * T)
BOX = [(0.1, 10.0, "log"), (0.01, 5.0)]


def problem(b1: float = 0.5) -> CurveFit:
    return CurveFit(lambda b: b[0] * torch.exp(-b[1] * T), Y, [b1, 3.0], BOX)


def test_every_iteration_is_on_disk_before_it_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "results" / "fit.jsonl"
    lengths: list[int] = []
    result = fit(
        problem(),
        record=path,
        seed=7,
        on_iteration=lambda i: lengths.append(len(record.read(path).iterations)),
    )
    assert lengths == list(range(1, len(result.history) + 1))
    recorded = record.read(path)
    assert recorded.header["parameters"] == ["b1", "b2"]
    assert recorded.header["seed"] == 7
    assert recorded.header["lower"] == [0.1, 0.01]
    assert [row["loss"] for row in recorded.iterations] == [i.loss for i in result.history]
    assert recorded.iterations[-1]["values"] == result.values


def test_a_record_cut_at_any_byte_is_readable(tmp_path: Path) -> None:
    path, cut = tmp_path / "fit.jsonl", tmp_path / "cut.jsonl"
    fit(problem(), record=path, max_iterations=3)
    content = path.read_bytes()
    parameters = problem().parameters
    counts = []
    for size in range(len(content) + 1):
        cut.write_bytes(content[:size])
        counts.append(len(record.read(cut).iterations))
        found = record.best(cut, parameters)
        assert (found is None) == (counts[-1] == 0)
    assert counts == sorted(counts)
    assert counts[-1] == 4


def test_a_killed_fit_goes_on_from_its_best(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    script = (
        "import os, signal, sys\n"
        "from test_record import problem\n"
        "from neml2fe.calibration.fit import fit\n"
        "def kill(i):\n"
        "    if i.number == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "fit(problem(), record=sys.argv[1], on_iteration=kill)\n"
    )
    here = os.fspath(Path(__file__).parent)
    search = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [sys.executable, "-c", script, os.fspath(path)],
        env={**os.environ, "PYTHONPATH": search},
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    before = record.read(path).iterations
    assert len(before) == 4
    with path.open("ab") as file:
        file.write(b'{"number": 4, "sta')  # the line in which the next kill comes
    result = fit(problem(), record=path, resume=True)
    assert result.resumed_from == 3
    assert result.reason.endswith("; resumed from iteration 3")
    assert [i.number for i in result.history] == list(range(len(result.history)))
    assert [i.loss for i in result.history[:3]] == [row["loss"] for row in before[:3]]
    assert result.history[3].loss == pytest.approx(before[3]["loss"], rel=1e-12)
    assert result.history[3].seconds >= before[3]["seconds"]
    assert result.history[0].values == pytest.approx({"b1": 0.5, "b2": 3.0})
    whole = fit(problem())
    assert result.values == pytest.approx(whole.values, rel=1e-7)
    rows = record.read(path).iterations
    assert [row["number"] for row in rows[4:]] == [i.number for i in result.history[3:]]
    assert [row["run"] for row in rows] == [0] * 4 + [1] * (len(rows) - 4)


def test_resume_takes_the_best_of_all_starts(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    first = fit(problem(), record=path, starts=4, max_iterations=4)
    found = record.best(path, problem(1.5).parameters)
    assert found is not None
    torch.testing.assert_close(found, first.x, rtol=0, atol=1e-12)


def test_a_fit_that_is_resumed_twice_is_one_history(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    whole = fit(problem())
    first = fit(problem(), record=path, max_iterations=2)
    second = fit(problem(), record=path, max_iterations=2, resume=True)
    assert second.reason == "stopped at the limit of 2 iterations; resumed from iteration 2"
    third = fit(problem(), record=path, resume=True)
    assert third.resumed_from == 4
    assert third.history[:2] == first.history[:2]
    assert third.history[2:4] == second.history[2:4]
    assert [i.number for i in third.history] == list(range(len(third.history)))
    seconds = [i.seconds for i in third.history]
    assert seconds == sorted(seconds)
    assert third.values == pytest.approx(whole.values, rel=1e-6)


def test_the_trail_of_a_start_is_its_own(tmp_path: Path) -> None:
    """Of four starts that reach different points, the best goes on in its own history."""
    path = tmp_path / "fit.jsonl"
    # Far from the minimum the first start is the worst.
    first = fit(problem(), record=path, starts=4, max_iterations=1)
    assert first.history[0].start > 0
    resumed = fit(problem(), record=path, resume=True)
    assert resumed.history[: len(first.history) - 1] == first.history[:-1]
    assert [i.number for i in resumed.history] == list(range(len(resumed.history)))
    again = fit(problem(), record=path, resume=True, starts=2)
    assert again.starts[1].history[0].number == 0
    assert again.starts[0].history[: len(resumed.history) - 1] == resumed.history[:-1]


def test_a_record_of_an_earlier_version_of_the_program(tmp_path: Path) -> None:
    """Rows without a run."""
    path = tmp_path / "fit.jsonl"
    first = fit(problem(), record=path, max_iterations=2)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[1:]:
        del row["run"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert fit(problem(), record=path, resume=True).history[:2] == first.history[:2]
    assert record.read(path).iterations[-1]["run"] == 1


@pytest.mark.parametrize("optimiser", ["least_squares", "lbfgs"])
def test_a_fit_that_has_converged_is_so_when_it_is_resumed(tmp_path: Path, optimiser: str) -> None:
    path = tmp_path / "progress.jsonl"
    first = fit(problem(), optimiser, record=path, max_iterations=400)
    assert first.converged, first.reason
    again = fit(problem(), optimiser, record=path, resume=True)
    assert again.converged, again.reason
    assert len(again.history) <= len(first.history) + 1


def test_without_resume_a_record_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    fit(problem(), record=path)
    result = fit(problem(), record=path, max_iterations=1)
    assert len(record.read(path).iterations) == len(result.history) == 2


def test_an_infinite_bound_fits_into_the_header(tmp_path: Path) -> None:
    parameters = parameter_set([1.0], [(0.0, math.inf, "softplus")])
    with record.Record(tmp_path / "r", parameters, seed=0, optimiser="adam"):
        pass
    assert record.read(tmp_path / "r").header["upper"] == [None]


def test_a_record_of_another_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.jsonl"
    fit(problem(), record=path)
    content = path.read_bytes()
    three = CurveFit(
        lambda b: b[0] * torch.exp(-b[1] * T) + b[2], Y, [1.0, 1.0, 0.0], [*BOX, (-1, 1)]
    )
    with pytest.raises(InputError, match=r"other parameters.* lacks b3; it has besides none"):
        fit(three, record=path, resume=True)
    narrow = CurveFit(lambda b: b[0] * torch.exp(-b[1] * T), Y, [5.0, 1.0], [(3, 10), BOX[1]])
    with pytest.raises(InputError, match=r"b1 = 2.* at its best, outside of the bounds 3 to 10"):
        fit(narrow, record=path, resume=True)
    assert path.read_bytes() == content


def test_files_that_are_no_records(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("time,strain,stress\n0,0,0\n")
    for resume in (False, True):
        with pytest.raises(OutputError, match="not the record of a fit"):
            fit(problem(), record=data, resume=resume)
    assert data.read_text().startswith("time")
    with pytest.raises(OutputError, match="cannot read the record"):
        fit(problem(), record=tmp_path / "absent.jsonl", resume=True)
    with pytest.raises(OutputError, match=r"cannot write the record|cannot read the record"):
        fit(problem(), record=tmp_path)

    path = tmp_path / "fit.jsonl"
    fit(problem(), record=path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[2:]]))
    with pytest.raises(OutputError, match=r"fit.jsonl:3: a damaged line"):
        record.read(path)
    path.write_text(json.dumps({"format": "neml2fe fit", "version": 9}) + "\n")
    with pytest.raises(OutputError, match="version 9; this one reads 1"):
        record.read(path)


def test_values_come_back_exactly(tmp_path: Path) -> None:
    parameters = parameter_set([1.0 / 3.0, 0.1], BOX)
    x = double([0.123456789012345, 0.987654321098765])
    values = parameters.values(x)
    with record.Record(tmp_path / "r", parameters, seed=0, optimiser="adam") as file:
        file._write(
            dict(number=0, start=0, loss=1.0, gradient_norm=0.0, values=values, seconds=0.0)
        )
    found = record.best(tmp_path / "r", parameters)
    assert found is not None
    torch.testing.assert_close(found, x, rtol=0, atol=1e-15)
