"""Drivers that compare a run with what is expected of it."""

from __future__ import annotations

import re
import warnings
from functools import cache
from pathlib import Path

import pytest
import torch
from ladder import DECKS, f64

import neml2fe
from neml2fe.cli.main import main
from neml2fe.drivers import History
from neml2fe.drivers.comparison import Comparison, MismatchError
from neml2fe.drivers.regression import TransientRegression, read_reference
from neml2fe.drivers.verification import Verification
from neml2fe.errors import Error, InputError
from neml2fe.types import SR2, Scalar

DECK = DECKS / "perzyna_voce.i"  # 31 times, 3 specimens
SR2_COMPONENTS = ("11", "22", "33", "23", "13", "12")


@cache
def history() -> History:
    found: History = neml2fe.load_input(DECK).get_driver("driver").driver.run()
    return found


def saved(path: Path, **changes: torch.Tensor | None) -> Path:
    """The history as a reference file, with some entries changed or (None) left out."""
    values = history().flat() | {k.replace("__", "."): v for k, v in changes.items()}
    torch.save({k: v for k, v in values.items() if v is not None}, path)
    return path


def failure(path: Path, **options: float) -> MismatchError:
    with pytest.raises(MismatchError) as caught:
        TransientRegression(path, **options).compare(history()).require(path.name)
    assert caught.value.exit_code == 1
    return caught.value


# -- TransientRegression --------------------------------------------------------------------


def test_a_history_agrees_with_itself(tmp_path: Path) -> None:
    found = TransientRegression(saved(tmp_path / "a.pt"), 0.0, 0.0).compare(history())
    found.require("a.pt")
    assert found.agrees and found.largest == 0.0 and not found.extra
    assert found.tensors == len(history().flat())
    assert found.values == sum(v.numel() for v in history().flat().values())


@pytest.mark.parametrize("component", range(6))
def test_one_changed_value_is_named(component: int, tmp_path: Path) -> None:
    """Variable, step, specimen and component, expected and got, difference and tolerance."""
    stress = history().outputs[7]["stress"].detach().clone()
    got = float(stress[2, component])
    stress[2, component] += 1.0
    error = failure(saved(tmp_path / "a.pt", output__7__stress=stress), rtol=1e-3, atol=0.25)
    header, _, line = error.table.splitlines()
    assert header.split()[:4] == ["variable", "step", "specimen", "component"]
    words = line.split()
    assert words[:4] == ["output.stress", "7", "2", SR2_COMPONENTS[component]]
    expected, found, difference, tolerance = map(float, words[4:])
    assert abs(expected - got - 1.0) < 1e-6 * abs(expected) and abs(found - got) <= 1e-6 * abs(got)
    assert abs(difference - 1.0) < 1e-2
    assert abs(tolerance - (0.25 + 1e-3 * abs(expected))) < 1e-2 * tolerance
    assert "1 of 2520 values are off: output.stress (1)" in str(error)
    assert f"component {SR2_COMPONENTS[component]}, specimen 2, step 7" in str(error)


def test_the_tolerance_is_atol_plus_rtol_times_the_expected_value(tmp_path: Path) -> None:
    stress = history().outputs[7]["stress"].detach().clone()
    stress[0, 0] += 1e-3
    path = saved(tmp_path / "a.pt", output__7__stress=stress)
    size = abs(float(stress[0, 0]))
    for rtol, atol in ((0.0, 1e-3), (1e-3 / size, 0.0), (0.5e-3 / size, 0.5e-3)):
        agreed = TransientRegression(path, 1.001 * rtol, 1.001 * atol).compare(history())
        agreed.require("a.pt")
        assert abs(agreed.largest - 1e-3) < 1e-9
        failure(path, rtol=0.999 * rtol, atol=0.999 * atol)


def test_the_worst_come_first_and_old_values_last(tmp_path: Path) -> None:
    stress, ep = (history().outputs[9][n].clone() for n in ("stress", "equivalent_plastic_strain"))
    old = history().inputs[4]["stress~1"].clone()
    stress[0, 1] *= 1.0 + 1e-3
    ep[1] *= 1.01
    old[0, 0] *= 2.0
    changes = {"output__9__stress": stress, "output__9__equivalent_plastic_strain": ep}
    path = saved(tmp_path / "a.pt", **changes, **{"input__4__stress~1": old})
    lines = failure(path, atol=0.0).table.splitlines()[2:]
    assert [line.split()[0] for line in lines] == [
        "output.equivalent_plastic_strain",
        "output.stress",
        "input.stress~1",
    ]


def test_many_deviations_are_counted_and_the_table_stays_short(tmp_path: Path) -> None:
    changes = {f"output__{k}__stress": 2.0 * history().outputs[k]["stress"] for k in range(1, 31)}
    error = failure(saved(tmp_path / "a.pt", **changes))
    assert len(error.table.splitlines()) < 20
    (rest,) = re.findall(r"and (\d+) more values", error.table)
    (count,) = re.findall(r"output\.stress \((\d+)\)", str(error))
    assert int(rest) + 12 == int(count) > 400


def test_missing_and_extra_keys_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pt", output__31__stress=f64([0.0] * 6), output__3__stress=None)
    error = failure(path)
    assert "not computed: output.31.stress" in error.table
    assert "not compared: output.3.stress" in error.table
    fewer = saved(tmp_path / "b.pt", output__3__stress=None)
    found = TransientRegression(fewer).compare(history())
    found.require("b.pt")
    assert "not compared: output.3.stress" in found.summary("b.pt")


def test_other_shapes_fail_and_values_stored_once_pass(tmp_path: Path) -> None:
    stress = history().outputs[5]["stress"]
    short = saved(tmp_path / "a.pt", output__5__stress=stress[:2])
    assert "output.stress at step 5 has shape (3, 6), expected (2, 6)" in failure(short).table
    scalars = saved(tmp_path / "b.pt", output__5__stress=stress[:, 0])
    assert "expected (3,)" in failure(scalars).table
    once = Comparison(1e-5, 1e-8)
    once.add("output.x", 1, (6,), stress[0].expand(3, 6), stress[0])
    assert once.agrees and once.values == 18


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_never_agree(bad: float, tmp_path: Path) -> None:
    stress = history().outputs[7]["stress"].detach().clone()
    stress[0, 0] = bad
    error = failure(saved(tmp_path / "a.pt", output__7__stress=stress), rtol=1.0, atol=1e300)
    assert "output.stress" in error.table
    both = Comparison(1e-5, 1e-8)
    both.add("output.x", 1, (), f64(float("nan")), f64(float("nan")))
    assert not both.agrees


def test_an_old_file_of_buffers_is_refused(tmp_path: Path) -> None:
    class Step(torch.nn.Module):
        pass

    root, group, step = Step(), Step(), Step()
    step.register_buffer("stress", history().outputs[7]["stress"])
    group.add_module("7", step)
    root.add_module("output", group)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(root).save(str(tmp_path / "a.pt"))
    with pytest.raises(InputError, match=r"no file of saved tensors: .*TorchScript"):
        read_reference(tmp_path / "a.pt")


def test_files_that_are_no_reference(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    with pytest.raises(InputError, match="there is no reference file"):
        read_reference(path)
    path.write_text("time,stress\n")
    with pytest.raises(InputError, match="no file of saved tensors"):
        read_reference(path)
    torch.save([f64(1.0)], path)
    with pytest.raises(InputError, match="no dictionary"):
        read_reference(path)
    torch.save({"output.1.stress": "large"}, path)
    with pytest.raises(InputError, match=r"'output\.1\.stress' is a str"):
        read_reference(path)


# -- Verification ---------------------------------------------------------------------------


def stresses(steps: range | list[int]) -> SR2:
    return SR2(torch.stack([history().outputs[k]["stress"] for k in steps]))


def test_references_by_step() -> None:
    whole = torch.cat([torch.zeros(1, 3, 6).double(), stresses(range(1, 31)).data])
    check = Verification({"output.stress": SR2(whole)}, rtol=0.0, atol=0.0)
    found = check.compare(history())
    assert found.agrees and found.values == 30 * 18
    whole[12, 1, 3] += 1.0
    (worst,) = check.compare(history()).worst
    assert (worst.step, worst.specimen, worst.component) == (12, "1", "23")


def test_chosen_steps_and_a_snapshot() -> None:
    some = Verification({"output.stress": stresses([3, 20])}, [20, 3], 0.0, 0.0)
    assert some.compare(history()).values == 36
    one = Verification({"output.stress": SR2(stresses([9]).data[0])}, [9], 0.0, 0.0)
    assert one.compare(history()).values == 18
    wrong = Verification({"output.stress": SR2(stresses([9]).data[0])}, [10])
    assert not wrong.compare(history()).agrees


def test_a_reference_of_what_the_first_step_lacks_must_be_zero() -> None:
    whole = torch.cat([torch.ones(1, 3, 6).double(), stresses(range(1, 31)).data])
    found = Verification({"output.stress": SR2(whole)}).compare(history())
    assert found.missing == ["output.0.stress"] and not found.agrees


def test_references_that_do_not_fit() -> None:
    cases: dict[str, Verification] = {
        "has no output 'stres'; did you mean 'stress'": Verification(
            {"output.stres": stresses(range(1, 31))}
        ),
        "is a SR2, but its reference a Scalar": Verification({"output.stress": Scalar(f64([0.0]))}),
        "must be the 31 steps": Verification({"output.stress": stresses(range(1, 20))}),
        "has the steps 0 to 30, not": Verification({"output.stress": stresses([1])}, [499]),
    }
    for message, check in cases.items():
        with pytest.raises(InputError, match=re.escape(message)):
            check.compare(history())
    with pytest.raises(InputError, match="nothing to compare"):
        Verification({})
    with pytest.raises(InputError, match="'stress' is no result"):
        Verification({"stress": stresses([1])})
    with pytest.raises(InputError, match="rtol must be a number of at least 0"):
        Verification({"output.stress": stresses([1])}, rtol=-1.0).compare(history())


# -- decks ----------------------------------------------------------------------------------

ELASTIC = """
[Tensors]
  [times]
    type = Python
    expr = 'Scalar(torch.linspace(0.0, 1.0, 3, dtype=torch.float64))'
  []
  [strains]
    type = Python
    expr = 'SR2(torch.linspace(0.0, 0.01, 3, dtype=torch.float64).reshape(3, 1) * torch.eye(6, dtype=torch.float64)[0])'
  []
  [expected]
    type = CSVSR2
    csv_file = expected.csv
    column_names = 'xx yy zz yz xz xy'
  []
[]
[Models]
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '100 0.25'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
[Drivers]
  [run]
    type = TransientDriver
    model = elasticity
    prescribed_time = times
    prescribed_SR2_names = strain
    prescribed_SR2_values = strains
    save_as = '{folder}/result.pt'
  []
  [regression]
    type = TransientRegression
    driver = run
    reference = 'gold.pt'
    rtol = 1e-9
  []
  [verification]
    type = Verification
    driver = run
    SR2_names = output.stress
    SR2_values = expected
  []
[]
"""  # noqa: E501


@pytest.fixture
def deck(tmp_path: Path) -> Path:
    """E = 100, nu = 1/4: uniaxial strain e gives the stress 120 e, and 40 e across."""
    path = tmp_path / "deck.i"
    path.write_text(ELASTIC.replace("{folder}", str(tmp_path)))
    rows = [f"{120 * e},{40 * e},{40 * e},0,0,0" for e in (0.0, 0.005, 0.01)]
    (tmp_path / "expected.csv").write_text("\n".join(["xx,yy,zz,yz,xz,xy", *rows]) + "\n")
    return path


def run(*words: object) -> int:
    return main(["run", *map(str, words)])


def test_decks_that_agree(deck: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(deck, "verification") == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1 and "verification: agrees with the reference tensors" in out
    (deck.parent / "result.pt").rename(deck.parent / "gold.pt")
    assert run(deck, "regression") == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and "regression: agrees with" in out and not err
    assert run("--quiet", deck, "regression") == 0 and not capsys.readouterr().out


def test_decks_that_disagree(deck: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(deck, "run", "-o", deck.parent) == 0
    (deck.parent / "result.pt").rename(deck.parent / "gold.pt")
    other = ["--set", "Models/elasticity/coefficients='101 0.25'"]
    for driver in ("regression", "verification"):
        capsys.readouterr()
        assert run(deck, driver, *other) == 1
        out, err = capsys.readouterr()
        assert out.splitlines()[2].split()[:3] == ["output.stress", "2", "11"]
        assert err.count("\n") == 1 and err.startswith("neml2fe: error: disagrees with")


@pytest.mark.parametrize(
    ("driver", "change", "message"),
    [
        ("regression", "driver=runn", "no block [Drivers/runn]; did you mean 'run'?"),
        ("regression", "driver=verification", "'verification' is no driver of a material point"),
        ("regression", "rtol=small", "expected a number, got 'small'"),
        ("regression", "rtol=-1", "rtol must be a number of at least 0"),
        ("regression", "reference=result.pt", "compare them with themselves"),
        ("regression", "reference=", "there is no reference file"),
        ("verification", "SR2_values=times", "'times' is a Scalar, not a SR2"),
        ("verification", "SR2_values='expected strains'", "2 values for the 1 names of SR2_names"),
        ("verification", "SR2_names=stress", "write input.NAME or output.NAME"),
        ("verification", "time_steps=499", "has the steps 0 to 2"),
    ],
)
def test_mistakes(driver: str, change: str, message: str, deck: Path) -> None:
    text = deck.read_text().replace("'gold.pt'", "gold.pt")
    deck.write_text(text)
    with pytest.raises(Error) as caught:
        source = neml2fe.load_input(deck, [f"Drivers/{driver}/{change}"])
        if change == "reference=result.pt":  # as a deck says it, beside the deck
            deck.write_text(text.replace("gold.pt", "result.pt"))
            source = neml2fe.load_input(deck)
        check = source.get_driver(driver)
        check.check.compare(check.run.driver.run()).require(check.reference)
    assert message in str(caught.value) and caught.value.exit_code == 2
