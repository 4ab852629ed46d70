"""What a run says, and when it ends, where its input cannot be right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neml2fe
from neml2fe.errors import ConvergenceError, InputError, ModelError
from neml2fe.fem.algebra import DofLayout, make_algebra, petsc_available
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import Dirichlet, Traction
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.fem.results.recorder import Recorder
from neml2fe.fem.simulation import simulate
from neml2fe.fem.stepping import TimeStepping
from neml2fe.io import read_table
from neml2fe.material import Material

HERE = Path(__file__).parent
HELD = [Dirichlet("left", "x"), Dirichlet("bottom", "y"), Dirichlet("right", "x", 0.001)]


def material(name: str = "elastic") -> Material:
    return Material(neml2fe.load_model(HERE / f"{name}.i", "model"))


def problem(**options: object) -> Problem:
    return Problem(rectangle(4, 2, "quad"), material(), HELD, backend="scipy", **options)


def halves() -> Mesh:
    mesh = rectangle(4, 2, "quad")
    quads = mesh.cells[0].connectivity
    right = mesh.points[quads].mean(axis=1)[:, 0] > 0.5
    regions = {"left": (np.flatnonzero(~right),), "right": (np.flatnonzero(right),)}
    return replace(mesh, regions=regions)


class Softened(Material):
    """Without any stiffness from a time on."""

    def update(self, strain, old, time, dt, fields=None, *, tangent=True):  # type: ignore[no-untyped-def]
        result = super().update(strain, old, time, dt, fields, tangent=tangent)
        if time <= 0.5:
            return result
        return replace(result, tangent=None if result.tangent is None else 0.0 * result.tangent)


@pytest.mark.parametrize("backend", ["scipy", "petsc"])
def test_a_free_body_ends_the_run_at_once(backend: str, tmp_path: Path) -> None:
    if backend == "petsc":
        pytest.importorskip("petsc4py", reason="petsc4py is not installed")
    free = Problem(
        rectangle(4, 2, "quad"), material(), [Traction("right", [1.0, 0.0])], backend=backend
    )
    attempts = []
    advance = free.advance
    free.advance = lambda *given: attempts.append(given) or advance(*given)  # type: ignore
    recorder = Recorder(free, tmp_path, "free")
    with pytest.raises(ConvergenceError, match="rigid-body motion constrained") as caught:
        simulate(free, TimeStepping(end=1.0, dt=0.5), recorder, quiet=True)
    assert len(attempts) == 1 and "smallest step" not in str(caught.value)
    assert read_table(tmp_path / "free.csv")["time"].tolist() == [0.0]


def test_a_singular_matrix_later_on_cuts_the_step() -> None:
    soft = Softened(neml2fe.load_model(HERE / "elastic.i", "model"))
    broken = Problem(rectangle(4, 2, "quad"), soft, HELD, backend="scipy")
    with pytest.raises(ConvergenceError, match="smallest step") as caught:
        simulate(broken, TimeStepping(end=1.0, dt=0.5, dt_min=0.1), quiet=True)
    assert "singular" in str(caught.value) and broken.time == 0.5


@pytest.mark.parametrize("start", [1.0, 3.0])
def test_a_run_ends_after_it_starts(start: float) -> None:
    with pytest.raises(InputError, match=f"start_time = {start:g}, end_time = 1"):
        simulate(problem(start_time=start), TimeStepping(end=1.0, dt=0.5), quiet=True)


def test_a_run_that_is_at_its_end_may_be_resumed(tmp_path: Path) -> None:
    steps = TimeStepping(end=1.0, dt=0.5)
    one = problem()
    simulate(one, steps, Recorder(one, tmp_path, "run"), quiet=True)
    assert simulate(one, steps, quiet=True).steps == []
    again = problem()
    recorder = Recorder(again, tmp_path, "run")
    run = simulate(again, steps, recorder, resume=tmp_path / "run.checkpoint", quiet=True)
    assert run.steps == [] and again.time == 1.0


def test_output_times_outside_of_the_run_are_refused(tmp_path: Path) -> None:
    one = problem(start_time=0.25)
    recorder = Recorder(one, tmp_path, "run", output_times=[0.3, 5.0, 0.1, 1.0])
    with pytest.raises(InputError, match=r"output times 0\.1, 5 are outside .* after 0\.25 .* 1$"):
        simulate(one, TimeStepping(end=1.0, dt=0.5), recorder, quiet=True)
    assert not list(tmp_path.iterdir())


def test_bodies_that_overlap_or_leave_elements_out_are_named() -> None:
    def refused(*bodies: Body) -> str:
        with pytest.raises(InputError) as caught:
            Problem(halves(), bodies, HELD, backend="scipy")
        return str(caught.value)

    a, b, c = (
        Body(material(), regions, label=name)
        for name, regions in (("a", ["left"]), ("b", ["right"]), ("c", ["right"]))
    )
    everything = Body(material(), label="all")
    message = refused(a, b, c)
    assert "body 'b' and body 'c' overlap: 4 quad elements (the first: 4)" in message
    assert "body 'a' and body 'all' overlap: 4 quad elements (the first: 0)" in refused(
        a, everything
    )
    message = refused(b, Body(material(), ["right"], label="d"))
    assert "none of the bodies 'b', 'd'" in message and "4 quad elements" in message
    assert "left, right" in message


def test_missing_fields_name_body_and_material() -> None:
    from test_fields import thermal

    hot = thermal()
    with pytest.raises(ModelError) as caught:
        Problem(rectangle(2, 2, "quad"), Body(hot, label="disc"), HELD, backend="scipy")
    for word in ("body 'disc'", f"'{hot.label}'", "temperature", "field_names", "field_values"):
        assert word in str(caught.value)


def test_scipy_on_ranks_says_what_to_do() -> None:
    class TwoRanks:
        def Get_size(self) -> int:
            return 2

    layout = DofLayout(TwoRanks(), 1, 1, np.arange(1), np.zeros((1, 1)))
    with pytest.raises(InputError, match="one rank") as caught:
        make_algebra(layout, "scipy")
    wanted = "leave out the backend" if petsc_available() else "install petsc4py"
    assert wanted in str(caught.value)
