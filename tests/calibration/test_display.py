"""What a running fit shows in a log and on a terminal, and that an interrupt leaves it clean."""

from __future__ import annotations

import io
import math

import pytest
import torch
from rich.console import Console

from neml2fe.calibration import display
from neml2fe.calibration.display import FitDisplay, at_bounds, spark_line
from neml2fe.calibration.fit import Iteration
from neml2fe.calibration.parameters import FitParameter, ParameterSet


class Law(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sy = torch.nn.Parameter(torch.tensor(100.0, dtype=torch.float64))
        self.n = torch.nn.Parameter(torch.tensor(1e-3, dtype=torch.float64))


@pytest.fixture
def parameters() -> ParameterSet:
    return ParameterSet.of(
        Law(), [FitParameter("sy", 50.0, 400.0), FitParameter("n", 1e-6, 1e3, "log")]
    )


def iteration(number: int, start: int = 0, sy: float = 0.0, loss: float = 0.0) -> Iteration:
    values = {"sy": sy or 100.0 + number, "n": 5e-4}
    return Iteration(number, start, loss or 1e6 * 0.9**number, 0.5**number, values, 0.1 * number)


def log(parameters: ParameterSet, iterations: int, maximum: int, starts: int = 1) -> list[str]:
    stream = io.StringIO()
    with FitDisplay(parameters, maximum, starts, console=Console(file=stream, width=40)) as show:
        for start in range(starts):
            for number in range(iterations):
                show(iteration(number, start))
    text = stream.getvalue()
    assert all(c == "\n" or c.isprintable() for c in text)
    return text.splitlines()


@pytest.mark.parametrize("maximum, starts", [(1, 1), (10, 1), (200, 1), (2000, 1), (50, 8)])
def test_log_has_about_twenty_lines_whatever_the_length(
    parameters: ParameterSet, maximum: int, starts: int
) -> None:
    lines = log(parameters, maximum + 1, maximum, starts)
    shown = [line for line in lines if "iteration" in line]
    assert min(maximum + 1, 8) <= len(shown) <= 22
    assert f"iteration 0 of {maximum}" in shown[0] and f"start 1 of {starts}" in shown[0]
    assert f"iteration {maximum} of {maximum}" in shown[-1]
    assert f"start {starts} of {starts}" in shown[-1]
    assert len(lines) == len(shown) + 4


def test_log_shows_an_early_end_and_the_parameters(parameters: ParameterSet) -> None:
    lines = log(parameters, 6, 2000)
    shown = [line for line in lines if "iteration" in line]
    assert [line.split("iteration ")[1].split()[0] for line in shown] == ["0", "1", "3", "5"]
    assert "loss 590490," in lines[3] and "gradient 3.12e-02" in lines[3]
    assert lines[4].split() == ["parameter", "start", "value", "lower", "upper"]
    assert lines[6].split() == ["sy", "100", "105", "50", "400"]
    assert lines[7].split() == ["n", "0.0005", "0.0005", "1e-06", "1000"]


def test_time_left_counts_the_iterations_and_starts_to_come(
    parameters: ParameterSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(display.time, "perf_counter", lambda: clock[0])
    stream = io.StringIO()
    with FitDisplay(parameters, 20, 3, console=Console(file=stream)) as show:
        for number in range(4):
            clock[0] += 6.0
            show(iteration(number))
    line = stream.getvalue().splitlines()[2]  # after 4 points, 24 s; 17 + 2 * 20 to come
    assert "elapsed 24.0 s, left at most 5:42" in line


def test_bounds_are_marked_on_the_scale_of_the_parameter(parameters: ParameterSet) -> None:
    assert at_bounds(parameters, {"sy": 50.0, "n": 1e-4}) == {"sy": "lower"}
    assert at_bounds(parameters, {"sy": 51.0, "n": 1e3}) == {"n": "upper"}
    stream = io.StringIO()
    with FitDisplay(parameters, 1, console=Console(file=stream)) as show:
        show(iteration(0))
        show(iteration(1, sy=400.0))
    lines = stream.getvalue().splitlines()
    assert "at a bound" not in lines[0] and lines[1].endswith("at a bound: sy")
    assert lines[4].endswith("at upper bound") and "bound" not in lines[5]


def test_the_end_shows_the_best_point_and_where_its_start_began(parameters: ParameterSet) -> None:
    stream = io.StringIO()
    with FitDisplay(parameters, 5, 3, console=Console(file=stream)) as show:
        show(iteration(0, 0, sy=80.0, loss=9.0))
        show(iteration(0, 1, sy=300.0, loss=7.0))
        show(iteration(1, 1, sy=310.0, loss=3.0))
        show(iteration(0, 2, sy=90.0, loss=6.0))
    lines = stream.getvalue().splitlines()
    assert lines[2].startswith("start 3 of 3, iteration 0 of 5, loss 6, best 3,")
    assert lines[5].split() == ["sy", "300", "310", "50", "400"]


def test_spark_line_is_logarithmic_thinned_and_marks_what_is_not_finite() -> None:
    assert spark_line([1e7, 1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1.0]) == "█▇▆▅▄▃▂▁"
    assert spark_line([3.0, 2.0, -4.0], levels="01234567") == "760"  # linear: one is negative
    assert spark_line([5.0, math.inf, math.nan, 5.0]) == "▁!!▁"
    assert spark_line([]) == "" and spark_line([math.nan]) == "!"
    many = spark_line([10.0**-k for k in range(201)], width=32)
    assert len(many) == 32 and many[0] == "█" and many[-1] == "▁"


def test_terminal_shows_a_table_that_fits_and_ends_with_the_last_state(
    parameters: ParameterSet,
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=60, height=20, highlight=False)
    with FitDisplay(parameters, 50, console=console) as show:
        for number in range(5):
            show(iteration(number))
    text = stream.getvalue()
    final = text[text.rindex("parameter") :]
    assert "104" in final and "iteration 4 of 50" in final and "loss 656100" in final
    assert "█" in final and text.rstrip().endswith("\x1b[?25h")


def test_interrupt_gives_the_cursor_back_and_keeps_the_last_state(
    parameters: ParameterSet,
) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=20)
    with (
        pytest.raises(KeyboardInterrupt),
        FitDisplay(parameters, 50, console=console) as show,
    ):
        show(iteration(0))
        show(iteration(7))
        raise KeyboardInterrupt
    text = stream.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert "iteration 7 of 50" in text


def test_more_parameters_than_lines_are_counted() -> None:
    class Table(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.v = torch.nn.Parameter(torch.full((30,), 2.0, dtype=torch.float64))

    parameters = ParameterSet.of(Table(), [FitParameter("v", 1.0, 5.0)])
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, height=16, highlight=False)
    with FitDisplay(parameters, 50, console=console) as show:
        show(Iteration(0, 0, 1.0, 1.0, dict.fromkeys(parameters.names, 2.0), 0.0))
    text = stream.getvalue()
    assert "v[9]" in text and "v[10]" not in text and "and 20 more" in text


def test_silent_and_unused_displays_show_nothing(
    parameters: ParameterSet, capsys: pytest.CaptureFixture[str]
) -> None:
    with FitDisplay(parameters, 10, silent=True) as show:
        show(iteration(0))
    with FitDisplay(parameters, 10):
        pass
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_resumed_fit_counts_on(parameters: ParameterSet) -> None:
    stream = io.StringIO()
    with FitDisplay(parameters, 50, console=Console(file=stream, width=80)) as show:
        show(iteration(24))
        show(iteration(25))
    assert "iteration 25 of 74" in stream.getvalue()
