"""What a run shows on a terminal, in a log and on silent ranks."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from neml2fe.errors import InputError
from neml2fe.io import Progress, StepTable
from neml2fe.io.progress import duration


def run(console: Console | None = None, silent: bool = False) -> None:
    with StepTable(1.0, extra=["reaction"], console=console, silent=silent) as table:
        for step in range(1, 4):
            for i in range(4):
                table.iteration(i, 10.0 ** (-3 * i))
            if step == 2:
                table.event("cutback: dt 0.5 -> 0.25, 12 points of [plate] did not converge")
            table.step(
                step,
                0.25 * step,
                0.25,
                newton=3,
                residuals=[120.0, 1.0, 3e-9],
                linear=17,
                failed=12 if step == 2 else 0,
                extra={"reaction": -1234.5 * step},
            )
        table.finish([("out/plate.pvd", "fields, for ParaView"), ("out/load.csv", "load curve")])


def plain() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=40), stream


def test_log_is_one_aligned_plain_line_a_step() -> None:
    console, stream = plain()
    run(console)
    text = stream.getvalue()
    assert all(c == "\n" or c.isprintable() for c in text)
    lines = text.splitlines()
    assert lines[0].split() == (
        ["step", "time", "dt", "newton", "residual", "linear", "failed", "reaction", "wall", "left"]
    )
    assert lines[1].split()[:9] == ["1", "0.25", "0.25", "3", "1.2e+02", "->", "3.0e-09", "17", "0"]
    assert "-1234" in lines[1]
    assert lines[2].strip() == "cutback: dt 0.5 -> 0.25, 12 points of [plate] did not converge"
    assert lines[3].split()[:9] == ["2", "0.5", "0.25", "3", "1.2e+02", "->", "3.0e-09", "17", "12"]
    assert len({len(line) for line in (lines[0], lines[1], lines[3], lines[4])}) == 1
    assert "3 steps in" in text
    assert "  out/plate.pvd  fields, for ParaView\n  out/load.csv   load curve\n" in text
    assert len(lines) == 10


def test_log_goes_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    out = capsys.readouterr().out
    assert "\x1b" not in out and "out/load.csv" in out


def test_silent_twin_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(silent=True)
    with Progress(3, "tension", silent=True) as progress:
        progress.advance(3)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_terminal_shows_rows_and_a_live_line_within_its_width() -> None:
    stream = io.StringIO()
    run(Console(file=stream, force_terminal=True, width=80, highlight=False))
    text = stream.getvalue()
    assert "\x1b" in text
    assert "Newton iteration" in text
    assert "-1234" in text and "wall" not in text  # columns that do not fit are left out whole
    assert "cutback" in text and "[plate]" in text and "out/plate.pvd" in text


def test_time_left_follows_the_recent_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    console, stream = plain()
    with StepTable(10.0, start_time=4.0, console=console) as table:
        for step in range(1, 3):
            now[0] += 30.0
            table.step(step, 4.0 + step, 1.0, newton=2, residuals=[], linear=2)
    rows = stream.getvalue().splitlines()[1:]
    assert rows[0].endswith(" 30.0 s     2:30")
    assert rows[1].endswith("   1:00     2:00")
    assert rows[0].split()[4] == "-"  # no residual was reported


def test_undeclared_column_is_an_error() -> None:
    console, _ = plain()
    with StepTable(1.0, console=console) as table, pytest.raises(InputError, match="load"):
        table.step(1, 0.5, 0.5, newton=1, residuals=[1.0], linear=1, extra={"load": 1.0})


def test_driver_progress_does_not_flood_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    console, stream = plain()
    with Progress(1000, "tension", console=console) as progress:
        for _ in range(1000):
            now[0] += 0.025
            progress.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("tension: step 400 of 1000") and lines[0].endswith("15.0 s left")
    assert lines[-1] == "tension: 1000 of 1000 steps in 25.0 s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.96, "1:00"), (245, "4:05"), (7445, "2:04:05")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
