"""Mixed control of strain-driven models against closed forms and other ways to the same answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from neml2fe.drivers import History, MixedControlDriver, TransientDriver, result
from neml2fe.errors import ConvergenceError, Error, InputError
from neml2fe.input import load_input
from neml2fe.io import figures, read_table
from neml2fe.models import LinearIsotropicHardening, Model
from neml2fe.types import R2, SR2, Scalar

HERE = Path(__file__).parent
PERZYNA, J2 = HERE / "perzyna.i", HERE / "j2_linear.i"
UNIAXIAL = ("strain", *["stress"] * 5)
STRESS = ("stress",) * 6
E, NU, SY, K = 2e5, 0.3, 200.0, 2000.0  # of j2_linear.i at temperature 0
G = E / (2.0 * (1.0 + NU))


@pytest.fixture(scope="module")
def j2() -> Model:
    return load_input(J2).get_model("model")


@pytest.fixture(scope="module")
def perzyna() -> Model:
    return load_input(PERZYNA).get_model("material")


def tensor(values: object) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


def in_component(values: torch.Tensor, component: int) -> SR2:
    """Histories `(n_steps, n)` of one Mandel component, the others zero."""
    full = torch.zeros(*values.shape, 6, dtype=torch.float64)
    full[..., component] = values
    return SR2(full)


def drive_j2(
    model: Model,
    control: Sequence[str],
    path: torch.Tensor,
    component: int,
    temperature: Sequence[float] = (0.0,),
) -> History:
    """One component follows `path` `(n_steps, n)`; stresses without history are zero."""
    times = Scalar(torch.arange(len(path), dtype=torch.float64).unsqueeze(-1))
    history = in_component(path, component)
    strained = control[component] == "strain"
    return MixedControlDriver(
        model,
        times,
        control,
        prescribed_strain=history if strained else None,
        prescribed_stress=None if strained else history,
        prescribed={"temperature": Scalar(tensor(temperature).expand(len(path), -1))},
    ).run()


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    error = (found - expected).abs().max() / expected.abs().max()
    assert error <= tolerance, f"relative difference {error:.2e}"


def uniaxial_j2(strains: np.ndarray, sy: float) -> tuple[list[float], list[float], list[float]]:
    """Stress, plastic strain and lateral strain of a bar, by the exact return in one dimension."""
    plastic, hardening = 0.0, 0.0
    found: tuple[list[float], list[float], list[float]] = ([], [], [])
    for strain in strains:
        trial = E * (strain - plastic)
        excess = abs(trial) - sy - K * hardening
        if excess > 0.0:
            hardening += excess / (E + K)
            plastic += math.copysign(excess / (E + K), trial)
        stress = E * (strain - plastic)
        for series, value in zip(
            found, (stress, plastic, -NU * stress / E - 0.5 * plastic), strict=True
        ):
            series.append(value)
    return found


def test_uniaxial_stress_has_the_closed_form_of_linear_hardening(j2: Model) -> None:
    """Of two specimens, one of which is hot."""
    path = np.concatenate([np.linspace(0, 0.01, 6), np.linspace(0.007, -0.008, 6)])
    hot = (0.0, 300.0)
    history = drive_j2(j2, UNIAXIAL, tensor(path).unsqueeze(-1).expand(-1, 2), 0, hot)
    for k, temperature in enumerate(hot):
        expected = uniaxial_j2(path, SY - 0.1 * temperature)
        stress, plastic, lateral = (tensor(v[1:]) for v in expected)
        close(history.series("stress")[:, k, 0], stress, 1e-10)
        close(history.series("plastic_strain")[:, k, 0], plastic, 1e-10)
        close(history.series("E")[:, k, 1], lateral, 1e-10)
        close(history.series("E")[:, k, 2], lateral, 1e-10)
        others = history.series("stress")[:, k, 1:].abs().max()
        assert others <= 1e-10 * stress.abs().max()


def test_stress_control_gives_back_the_strain_of_strain_control(j2: Model) -> None:
    path = np.array([0.0, 0.0005, 0.002, 0.006, 0.004, -0.003, -0.009])
    stress = tensor(uniaxial_j2(path, SY)[0]).unsqueeze(-1)
    history = drive_j2(j2, STRESS, stress, 0)
    close(history.series("E")[:, 0, 0], tensor(path[1:]), 1e-10)


def test_shear_under_mixed_control_has_its_closed_form(j2: Model) -> None:
    control = (*["stress"] * 5, "strain")
    path = torch.linspace(0.0, 0.01, 6, dtype=torch.float64)
    history = drive_j2(j2, control, path.unsqueeze(-1), 5)
    # Mandel: s = 2 G (e - sqrt(3/2) p) and sqrt(3/2) s = sy + K p on the yield surface.
    yielded = path > math.sqrt(2 / 3) * SY / (2 * G)
    p = (2 * G * path - math.sqrt(2 / 3) * SY) / (math.sqrt(2 / 3) * K + 2 * G * math.sqrt(1.5))
    p = torch.where(yielded, p, 0.0)
    close(history.series("equivalent_plastic_strain")[:, 0], p[1:], 1e-10)
    close(history.series("stress")[:, 0, 5], 2 * G * (path - math.sqrt(1.5) * p)[1:], 1e-10)
    assert history.series("E")[:, 0, :5].abs().max() <= 1e-12


def test_perzyna_creeps_at_its_constant_rate() -> None:
    deck = load_input(PERZYNA, ["Models/isoharden/saturated_hardening=0"])
    load = tensor([[0.0, 0.0, 0.0], *[[100.0, 180.0, -250.0]] * 5])
    times = tensor([0.0, 0.5, 1.0, 3.0, 10.0, 11.0])
    history = MixedControlDriver(
        deck.get_model("material"),
        Scalar(times.unsqueeze(-1)),
        STRESS,
        prescribed_stress=in_component(load, 0),
    ).run()
    s = load[1]
    over = (math.sqrt(2 / 3) * (s.abs() - 120.0) / 500.0).clamp(min=0.0)
    rate = math.sqrt(2 / 3) * over**3 * s.sign()
    creep = rate * times[1:, None]  # backward Euler is exact: the load is on from the first step
    close(history.series("E")[..., 0], s / 1e5 + creep, 1e-10)
    close(history.series("E")[..., 1], -0.3 * s / 1e5 - 0.5 * creep, 1e-10)


def test_cyclic_specimens_agree_with_a_local_system_of_mixed_unknowns() -> None:
    deck = load_input(PERZYNA)
    found, expected = deck.get_driver("mixed").driver.run(), deck.get_driver("setup").driver.run()
    for name in ("E", "stress", "equivalent_plastic_strain"):
        close(found.series(name), expected.series(name), 1e-9)
    assert (found.series("stress")[4, :, 0].diff() > 20.0).all()  # the rates matter


@pytest.mark.parametrize("control", [("strain",) * 6, "tensor"])
def test_strain_control_is_the_transient_driver(perzyna: Model, control: object) -> None:
    deck = load_input(PERZYNA)
    expected = deck.get_driver("strained").driver.run()
    words = SR2(torch.zeros(16, 3, 6)) if control == "tensor" else control
    found = MixedControlDriver(
        perzyna,
        Scalar(deck.get_tensor("times")),
        words,  # type: ignore[arg-type]
        SR2(deck.get_tensor("strains")),
    ).run()
    for k in range(1, 16):
        assert set(found.outputs[k]) == set(expected.outputs[k])
        for name, value in expected.outputs[k].items():
            torch.testing.assert_close(found.outputs[k][name], value, rtol=1e-12, atol=1e-12)


def test_control_may_differ_by_specimen_and_change_in_time(j2: Model) -> None:
    strains = in_component(tensor([[0.0, 0.0], [1e-3, 4e-3], [5e-4, 2e-3]]), 0)
    stress = in_component(tensor([[0.0, 0.0], [0.0, 0.0], [50.0, 0.0]]), 0)
    control = torch.ones(3, 2, 6, dtype=torch.float64)
    control[1, :, 0] = 0.0  # both pulled, then the first is brought to a stress
    control[2, 1, 0] = 0.0
    history = MixedControlDriver(
        j2,
        Scalar(tensor([[0.0], [1.0], [2.0]])),
        SR2(control),
        strains,
        stress,
        {"temperature": Scalar(torch.zeros(3, 1, dtype=torch.float64))},
    ).run()
    assert history.series("stress")[1, 0, 0].item() == pytest.approx(50.0, rel=1e-10)
    assert history.series("E")[1, 0, 0].item() == pytest.approx(50.0 / E, rel=1e-10)
    assert history.series("E")[1, 1, 0].item() == 2e-3
    expected = uniaxial_j2(np.array([4e-3, 2e-3]), SY)[0]
    close(history.series("stress")[:, 1, 0], tensor(expected), 1e-10)


def test_history_replays_through_the_model(j2: Model) -> None:
    history = drive_j2(j2, UNIAXIAL, tensor([[0.0], [1e-3], [3e-3]]), 0)
    for k in (1, 2):
        given = {n: history.inputs[k][n] for n in j2.input_spec}
        for name, value in j2.evaluate(given).items():
            torch.testing.assert_close(history.outputs[k][name], value.data, rtol=1e-12, atol=0.0)
    assert {"input.2.E", "input.2.plastic_strain~1", "output.2.stress"} <= set(history.flat())


def creep(model: Model, loads: list[float], **options: int) -> tuple[MixedControlDriver, History]:
    times = Scalar(tensor([0.0, 1.0, 2.0]).unsqueeze(-1))
    stress = in_component(tensor([[0.0] * len(loads), loads, loads]), 0)
    driver = MixedControlDriver(model, times, STRESS, prescribed_stress=stress, **options)
    return driver, driver.run()


def test_a_specimen_that_fails_takes_smaller_steps_alone(perzyna: Model) -> None:
    _, plain = creep(perzyna, [100.0, 300.0, 130.0])
    _, cut = creep(perzyna, [100.0, 300.0, 130.0], max_its=5)
    target = cut.series("stress")[:, :, 0]
    close(target, tensor([[100.0, 300.0, 130.0]] * 2), 1e-10)
    for name in ("E", "stress"):
        assert torch.equal(cut.series(name)[:, 0], plain.series(name)[:, 0])
        close(cut.series(name)[:, 2], plain.series(name)[:, 2], 1e-12)
    # Substeps of the ramp give another, but near, backward-Euler answer.
    change = (cut.series("E") - plain.series("E"))[0, 1, 0] / plain.series("E")[0, 1, 0]
    assert 1e-4 < change.abs() < 0.9
    shown = cut.inputs[1]["t~1"].tolist()
    assert shown[0] == shown[2] == 0.0 < shown[1]  # the last substep of the one that was cut
    with pytest.raises(ConvergenceError, match=r"step 1 of 2.*1 of 3 specimens \(specimen 1\)"):
        creep(perzyna, [100.0, 300.0, 130.0], max_its=5, max_bisections=0)


def test_a_stress_beyond_the_limit_of_perfect_plasticity_is_an_error() -> None:
    model = load_input(J2, ["K=0"]).get_model("model")
    path = torch.linspace(0.0, 1.0, 6, dtype=torch.float64).unsqueeze(-1) * tensor([250.0, 150.0])
    with pytest.raises(ConvergenceError, match="more than the material can carry") as caught:
        drive_j2(model, STRESS, path, 0)
    assert "step 5 of 5" in str(caught.value) and "(specimen 0)" in str(caught.value)
    history = caught.value.history  # type: ignore[attr-defined]
    close(history.series("E")[:, 1, 0], path[1:5, 1] / E, 1e-10)


def test_zero_and_initial_stress(perzyna: Model) -> None:
    times = Scalar(tensor([0.0, 1.0, 2.0]))
    rest = MixedControlDriver(perzyna, times, STRESS).run()
    assert rest.specimens() == () and not rest.series("E").any()
    start = in_component(tensor([90.0]), 0)[0]
    released = MixedControlDriver(perzyna, times, STRESS, initial={"stress": start}).run()
    close(released.series("E")[0, 0, :3], tensor([-90.0, 27.0, 27.0]) / 1e5, 1e-10)


# --- tables and figures ------------------------------------------------------------------
@pytest.mark.parametrize("driver", ["mixed", "setup", "strained"])
def test_report_of_both_drivers(driver: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    deck = load_input(PERZYNA)
    history = deck.get_driver(driver).driver.run()
    (table, _), (picture, about) = history.report(tmp_path / "new", driver)
    assert table == tmp_path / "new" / f"{driver}.csv"
    assert picture.name == f"{driver}.png" and about == "stress over E"
    assert picture.read_bytes().startswith(b"\x89PNG")
    columns = read_table(table)
    assert len(columns["time"]) == 15 * 3
    assert columns["specimen"][:4].tolist() == [0, 1, 2, 0]
    times = deck.get_tensor("times").data[1:]  # type: ignore[union-attr]
    np.testing.assert_array_equal(columns["time"], times.reshape(-1).numpy())
    for k, name in enumerate(("11", "22", "33", "23", "13", "12")):
        for variable in ("E", "stress"):
            expected = history.series(variable)[..., k].reshape(-1).numpy()
            np.testing.assert_array_equal(columns[f"{variable}_{name}"], expected)


def test_figure_shows_the_loaded_component_from_the_start(
    j2: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[object, ...]] = []
    monkeypatch.setattr(figures, "stress_strain", lambda *given: drawn.append(given))
    path = torch.linspace(0.0, 2e-3, 4, dtype=torch.float64).unsqueeze(-1)
    history = drive_j2(j2, (*["stress"] * 5, "strain"), path, 5)
    history.figure(tmp_path / "a.png", "E", "stress")
    ((_, [(_, x, y)], *labels),) = drawn  # type: ignore[misc]
    assert labels == ["E_12", "stress_12"]
    np.testing.assert_array_equal(x, path[:, 0].numpy())
    assert y[0] == 0.0 and y[1] == pytest.approx(2 * G * x[1], rel=1e-10)
    with pytest.raises(InputError, match="no variable 'stres' to draw; did you mean 'stress'"):
        history.figure(tmp_path / "a.png", "E", "stres")
    with pytest.raises(InputError, match="components differ"):
        history.figure(tmp_path / "a.png", "E", "flow_rate")


def test_report_without_strain_or_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    law = LinearIsotropicHardening(hardening_modulus=100.0)
    strain = Scalar(tensor([0.0, 0.1, 0.2]))
    history = TransientDriver(law, Scalar(strain.data), {"equivalent_plastic_strain": strain}).run()
    assert history.axes() == ("t", "isotropic_hardening")
    assert [f.suffix for f, _ in history.report(tmp_path, "law")] == [".csv", ".png"]
    monkeypatch.setattr(result, "find_spec", lambda name: None)
    ((table, about),) = history.report(tmp_path / "without", "law")
    assert read_table(table)["isotropic_hardening"].tolist() == [10.0, 20.0]
    assert "no figure" in about and "neml2fe[figures]" in about


# --- what is refused --------------------------------------------------------------------
WRONG = {
    "control='strain stress stres stress stress stress'": r"\] control: .*six words.*got 'stres'",
    "control='strain stress'": r"\] control: .*six words.*got 2",
    "control=contro": r"\] control: no block \[Tensors/contro\]; did you mean 'control'",
    "control=halves": r"must be 0 \(strain\) or 1 \(stress\)",
    "control=four_specimens": r"batch shape \(16, 4\); it must be \(\), \(3,\) \(specimens\)",
    "control=times": "'times' is a Scalar, not a SR2",
    "prescribed_strain=with_nan": "prescribed 'E' is not finite at step 0",
    "prescribed_strain=too_short": r"'E' has batch shape \(5, 3\).* number of steps, 16",
    "prescribed_stress=four_specimens": "different specimens",
    "prescribed_stress=times": "'times' is a Scalar, not a SR2",
    "prescribed_time=standing": "time does not grow from step 0 to 1",
    "strain=EE": "no strain input 'EE'",
    "stress=sress": "no stress output 'sress'; did you mean 'stress'",
    "rel_tol=0": "rel_tol must lie between 0 and 1",
    "max_its=0": "max_its must be at least 1",
    "model=materia": r"no block \[Models/materia\]; did you mean 'material'",
}


@pytest.mark.parametrize("change", WRONG)
def test_wrong_decks_are_refused_with_their_place(change: str) -> None:
    deck = load_input(PERZYNA, [f"Drivers/mixed/{change}"])
    with pytest.raises(Error) as caught:
        deck.get_driver("mixed")
    assert "Drivers/mixed]" in str(caught.value)
    caught.match(WRONG[change])


def test_missing_histories_are_refused(tmp_path: Path, j2: Model) -> None:
    text = PERZYNA.read_text()
    for line, message in (
        ("    prescribed_strain = 'strains'\n", "component 11 is under strain control at step 1"),
        ("    control = 'strain stress stress stress stress stress'\n", "'control' is missing"),
    ):
        deck = tmp_path / "deck.i"
        deck.write_text(text.replace(line, ""))
        with pytest.raises(InputError, match=rf"deck\.i:\d+: \[Drivers/mixed\].*{message}"):
            load_input(deck).get_driver("mixed")
    with pytest.raises(InputError, match="needs 'temperature'"):
        MixedControlDriver(j2, Scalar(tensor([0.0, 1.0])), STRESS)
    temperature = {"temperature": Scalar(tensor([0.0, 0.0]))}
    with pytest.raises(InputError, match="'E' as prescribed_strain"):
        strain = {"E": SR2(torch.zeros(2, 6)), **temperature}
        MixedControlDriver(j2, Scalar(tensor([0.0, 1.0])), STRESS, prescribed=strain)
    with pytest.raises(InputError, match="not an SR2"):
        MixedControlDriver(
            j2,
            Scalar(tensor([0.0, 1.0])),
            STRESS,
            R2(torch.zeros(2, 3, 3)),  # type: ignore[arg-type]
            prescribed=temperature,
        )
