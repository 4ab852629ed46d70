"""[Specimens], [Parameters] and [Calibrations] of a deck: what they mean, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from neml2fe.calibration.noise import GaussianNoise, HuberNoise, RelativeNoise, StudentNoise
from neml2fe.calibration.specimens import Specimens
from neml2fe.errors import Error
from neml2fe.input import Input
from neml2fe.input.reader import parse_deck

MODEL = """
[Models]
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
  []
[]
"""
COLUMNS = "variables = 'time strain_11 stress_11'\ncolumns = 't; eps 11; sig 11'\n"
UNITS = "units = 'min % MPa'\n"
PARAMETER = "parameter = elasticity.E\nlower = 1e5\nupper = 3e5\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A test of three rows, and an index that has it twice."""
    rows = ["t,eps 11,sig 11,T", "0,0,0,20", "1,0.1,200,21", "2,0.2,300,22"]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.csv").write_text("\n".join(rows[:3]) + "\n")
    index = ["id,path,T (degC),importance", "one,../a.csv,20,2", "two,b.csv,500,0.5"]
    (tmp_path / "sub/index.csv").write_text("\n".join(index) + "\n")
    (tmp_path / "sub/holes.csv").write_text("name,file\none,b.csv\ntwo,\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def block(section: str, name: str, text: str) -> str:
    return f"[{section}]\n[{name}]\n{text}\n[]\n[]\n"


def specimens(fields: str, kind: str = "CSVSpecimen") -> Specimens:
    """Of the block [Specimens/test] in deck.i; `fields` begin in line 4."""
    text = block("Specimens", "test", f"type = {kind}\n{fields}")
    found: Specimens = Input(parse_deck(text, "deck.i")).get("Specimens", "test")
    return found


def calibration(fields: str, parameter: str = PARAMETER, more: str = "") -> Any:
    """Of a deck whose last block is [Calibrations/fit]; `fields` begin in its third line."""
    text = (
        MODEL + more + block("Specimens", "test", f"type=CSVSpecimen\nfile=a.csv\n{COLUMNS}{UNITS}")
    )
    text += block("Parameters", "modulus", parameter)
    text += block("Calibrations", "fit", f"model = elasticity\nstrain = strain\n{fields}")
    return Input(parse_deck(text, "deck.i")).get("Calibrations", "fit")


# --- [Specimens] -----------------------------------------------------------------------
def test_columns_and_units(folder: Path) -> None:
    found = specimens(f"file = a.csv\n{COLUMNS}{UNITS}")
    assert found.names == ("test",)
    torch.testing.assert_close(found.times[:, 0], torch.tensor([0, 60, 120.0]).double())
    torch.testing.assert_close(found.strain[:, 0, 0], torch.tensor([0, 1e-3, 2e-3]).double())
    assert found.measured["stress"][:, 0, 0].tolist() == [0, 200, 300]
    assert found.control[:, 0].tolist() == [[0, 1, 1, 1, 1, 1]] * 3


def test_units_of_the_model(folder: Path) -> None:
    found = specimens(f"file = a.csv\n{COLUMNS}{UNITS}model_units = 'Pa h'\n")
    torch.testing.assert_close(found.times[2, 0], torch.tensor(2 / 60).double())
    assert float(found.measured["stress"][2, 0, 0]) == pytest.approx(3e8)
    plain = specimens(f"file = a.csv\n{COLUMNS}units = '- % -'\n")
    assert plain.times[2, 0] == 2 and plain.strain[2, 0, 0] == pytest.approx(2e-3)


def test_inputs_of_the_model(folder: Path) -> None:
    constant = (
        "field_names = 'temperature rate'\nfield_values = '20 1e-3'\nfield_units = 'degC -'\n"
    )
    found = specimens(f"file = a.csv\n{COLUMNS}{constant}")
    assert found.fields["temperature"].flatten().tolist() == [pytest.approx(293.15)] * 3
    assert found.fields["rate"].flatten().tolist() == [1e-3] * 3
    columns = "variables = 'time strain_11 temperature'\ncolumns = 't; eps 11; T'\n"
    varying = specimens(f"file = a.csv\n{columns}units = 's % degC'\n")
    assert varying.fields["temperature"][:, 0].tolist() == pytest.approx([293.15, 294.15, 295.15])


def test_weights_and_rows_that_are_left_out(folder: Path) -> None:
    weights = "weight = 3\nweights = '1 1 2'\nsigmas = '- - 10'\nleave_out = 'strain_11 0.15 1'\n"
    found = specimens(f"file = a.csv\n{COLUMNS}{weights}")
    assert found.weights["stress"][:, 0, 0].tolist() == pytest.approx([0, 6 / 100, 0])


def test_an_index(folder: Path) -> None:
    index = "index = sub/index.csv\nname_column = id\nfile_column = path\nweight = importance\n"
    fields = "field_names = temperature\nfield_values = 'T (degC)'\nfield_units = degC\n"
    found = specimens(index + fields + COLUMNS, "CSVSpecimenList")
    assert found.names == ("one", "two") and found.lengths.tolist() == [3, 2]
    assert found.conditions["temperature"].tolist() == pytest.approx([293.15, 773.15])
    assert found.weights["stress"][1, :, 0].tolist() == [2, 0.5]


CALIBRATION = 2 + (  # line of [fit] in the deck of `calibration`
    MODEL
    + block("Specimens", "test", f"type=CSVSpecimen\nfile=a.csv\n{COLUMNS}{UNITS}")
    + block("Parameters", "modulus", PARAMETER)
).count("\n")
ONE = f"file = a.csv\n{COLUMNS}"  # what follows stands in line 7
LIST = "index = sub/index.csv\nfile_column = path\n"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("file = a.csv", ["deck.i:2:", "'variables' is missing"]),
        (f"file = no.csv\n{COLUMNS}", ["deck.i:2: [Specimens/test]", "no.csv"]),
        (f"fil = a.csv\n{COLUMNS}", ["deck.i:4:", "did you mean 'file'"]),
        (f"{ONE}units = 's %'", ["deck.i:7:", "2 entries for the 3"]),
        (f"{ONE}units = 's % s'", ["deck.i:7:", "unit of time"]),
        (f"{ONE}units = 's % mpa'", ["deck.i:7:", "no unit 'mpa'", "MPa"]),
        (f"{ONE}weights = '1 1 x'", ["deck.i:7:", "'x'"]),
        (f"{ONE}leave_out = 'time 3'", ["deck.i:7:", "two numbers"]),
        (f"{ONE}delimiter = blank", ["deck.i:7:", "comma"]),
        (f"{ONE}control = strain_1", ["deck.i:2:", "'strain_11'"]),
        (f"{ONE}field_names = T", ["deck.i:2:", "'field_values'"]),
        (ONE.replace("sig", "sg"), ["deck.i:2:", "a.csv:1:", "'sig 11'"]),
        ("file = a.csv\nvariables = 'time strain_14'", ["deck.i:5:", "strain_14"]),
        (f"{LIST}name_column = label\n{COLUMNS}", ["deck.i:2:", "index.csv:1", "'label'"]),
        (f"{LIST}weight = path\n{COLUMNS}", ["deck.i:2:", "index.csv:2", "'../a.csv'"]),
        (f"index = sub/holes.csv\n{COLUMNS}", ["deck.i:2:", "holes.csv:3", "'file'", "empty"]),
        (f"{LIST}max_rows = 1\n{COLUMNS}", ["deck.i:2:", "index.csv:2", "max_rows"]),
    ],
)
def test_refused_specimens(fields: str, words: list[str], folder: Path) -> None:
    with pytest.raises(Error) as refused:
        specimens(fields, "CSVSpecimenList" if fields.startswith("index") else "CSVSpecimen")
    for word in words:
        assert word in str(refused.value), str(refused.value)
    assert str(refused.value).count("deck.i") == 1


# --- [Parameters] ----------------------------------------------------------------------
def test_parameters(folder: Path) -> None:
    (plain,) = calibration("").fitted
    assert (plain.name, plain.lower, plain.upper) == ("elasticity.E", 1e5, 3e5)
    assert plain.scale == "linear" and plain.initial is None
    (other,) = calibration("", f"{PARAMETER}scale = log\ninitial = 1.5e5").fitted
    assert other.scale == "log" and other.initial == 1.5e5
    above = "parameter = elasticity.E\nlower = 0\nupper = inf\nscale = softplus\n"
    assert calibration("", above).fitted[0].upper == math.inf


@pytest.mark.parametrize(
    ("parameter", "word"),
    [
        ("lower = 1\nupper = 2", "'parameter' is missing"),
        ("parameter = elasticity.E\nlower = 1", "'upper' is missing"),
        ("parameter = elasticity.F\nlower = 1\nupper = 2", "did you mean 'elasticity.E'"),
        ("parameter = elasticity.E\nlower = 3\nupper = 2", "reversed"),
        ("parameter = elasticity.E\nlower = 1\nupper = 2", "outside of its bounds"),
        ("parameter = elasticity.E\nlower = 1\nupper = inf", "finite"),
        (f"{PARAMETER}initial = '1.1e5 1.2e5'", "shape (2,)"),
        (f"{PARAMETER}scale = lin", "did you mean 'linear'"),
    ],
)
def test_refused_parameters(parameter: str, word: str, folder: Path) -> None:
    with pytest.raises(Error, match=r"deck\.i:\d+: \[Parameters/modulus\]") as refused:
        calibration("", parameter)
    assert word in str(refused.value)


# --- [Calibrations] --------------------------------------------------------------------
# A second test: rows of stress that drive, strain that is compared.
CREEP = block("Specimens", "creep", f"type = CSVSpecimen\nfile = a.csv\n{COLUMNS}{UNITS}"
              "control = stress_11")  # fmt: skip
TWO = "noise_variables = 'stress strain'\n"


@pytest.mark.parametrize(
    ("fields", "noise"),
    [
        ("", GaussianNoise()),
        ("sigma = 5", GaussianNoise(5.0)),
        (f"{TWO}sigma = '5 1e-4'", GaussianNoise({"stress": 5.0, "strain": 1e-4})),
        ("noise = relative\nfraction = 0.02\nfloor = 3", RelativeNoise(0.02, 3.0)),
        ("noise = huber\nsigma = 5\nk = 2", HuberNoise(5.0, 2.0)),
        (f"noise = student\n{TWO}sigma = '5 1'", StudentNoise({"stress": 5.0, "strain": 1.0})),
    ],
)
def test_noise(fields: str, noise: object, folder: Path) -> None:
    assert calibration(f"specimens = test\n{fields}", more=CREEP).noise == noise


@pytest.mark.parametrize(
    ("fields", "line", "words"),
    [
        ("", 0, ["strain and stress", "'strain stress'", "sigma = '2e-5 2'", "'sigmas'"]),
        ("sigma = 2", 3, ["strain and stress"]),
        ("noise = huber\nsigma = 2", 4, ["strain and stress"]),
        ("noise = relative\nfraction = 0.1\nfloor = 2", 5, ["floor = '2e-5 2'"]),
        ("noise_variables = stress\nsigma = 2", 3, ["'strain' is compared"]),
        (f"{TWO}", 3, ["give sigma"]),
        ("noise_variables = 'stress stress'\nsigma = '2 2'", 3, ["listed twice"]),
        ("noise_variables = 'stress strian'\nsigma = '2 2'", 3, ["did you mean 'strain'"]),
    ],
)
def test_units_are_not_mixed(fields: str, line: int, words: list[str], folder: Path) -> None:
    with pytest.raises(Error) as refused:
        calibration(fields, more=CREEP)
    at = CALIBRATION + CREEP.count("\n") + line
    assert str(refused.value).startswith(f"deck.i:{at}: [Calibrations/fit]")
    for word in words:
        assert word in str(refused.value), str(refused.value)


def test_columns_with_sigmas_are_not_mixed(folder: Path) -> None:
    def deck(*sigmas: str) -> Any:
        text = MODEL + block("Parameters", "modulus", PARAMETER)
        for name, sigma, control in zip("ab", sigmas, ("strain_11", "stress_11"), strict=True):
            fields = f"type = CSVSpecimen\nfile = a.csv\n{COLUMNS}sigmas = '{sigma}'\n"
            text += block("Specimens", name, f"{fields}control = {control}")
        text += block("Calibrations", "fit", "model = elasticity\nsigma = 1")
        return Input(parse_deck(text, "deck.i")).get("Calibrations", "fit")

    assert deck("- - 2", "- 2e-5 -").noise == GaussianNoise(1.0)
    with pytest.raises(Error, match="different units"):
        deck("- - 2", "- - -")


def test_options_and_units_for_reports(folder: Path) -> None:
    found = calibration(
        "optimiser = Adam\nlearning_rate = 0.1\nstarts = 3\nlevel = 0.9\nsubsteps = 4"
    )
    assert found.substeps == 4 and calibration("").substeps == 1
    assert (found.optimiser, found.learning_rate, found.starts, found.level) == (
        "Adam",
        0.1,
        3,
        0.9,
    )
    assert found.units == {"time": "s", "stress": "MPa"} and found.seed == 0


def test_some_specimens_and_parameters(folder: Path) -> None:
    text = MODEL + "".join(
        block("Specimens", name, f"type = CSVSpecimen\nfile = a.csv\n{COLUMNS}") for name in "abc"
    )
    text += block("Parameters", "E", PARAMETER) + block(
        "Parameters", "nu", "parameter = elasticity.nu\nlower = 0\nupper = 0.4"
    )
    text += block("Calibrations", "all", "model = elasticity\nstrain = strain")
    text += block("Calibrations", "some", "model = elasticity\nspecimens = 'c a'\nparameters = nu")
    source = Input(parse_deck(text))
    every, some = (source.get("Calibrations", name) for name in ("all", "some"))
    assert every.specimens.names == ("a", "b", "c") and some.specimens.names == ("c", "a")
    assert [p.name for p in every.fitted] == ["elasticity.E", "elasticity.nu"]
    assert [p.name for p in some.fitted] == ["elasticity.nu"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("modle = elasticity", ["unknown field 'modle'", "'model'"]),
        ("equation_system = x", ["either a 'model' or an 'equation_system'"]),
        ("specimens = 'test tset'", ["no block [Specimens/tset]", "'test'"]),
        ("noise = gauss", ["'gaussian'"]),
        ("nu = 4", ["gaussian has no 'nu'"]),
        ("noise = huber", ["'sigma' is missing"]),
        ("sigma = '1 2'", ["expected a number"]),
        ("noise_variables = stress\nsigma = '1 2'", ["2 values for the 1"]),
        ("sigma = -1", ["sigma", "positive"]),
        ("stress = sigma", ["sigma", "stress"]),
        ("noise_variables = strain\nsigma = 1", ["no specimen has a measured 'strain'"]),
    ],
)
def test_refused_calibrations(fields: str, words: list[str], folder: Path) -> None:
    with pytest.raises(Error, match=r"deck\.i:\d+: \[Calibrations/fit\]") as refused:
        calibration(fields)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("optimiser = adan", ["'adam'"]),
        ("patience = 0", ["a number at least 1, got 0"]),
        ("seed = -1", ["a number at least 0, got -1"]),
        ("starts = 0", ["a number at least 1, got 0"]),
        ("substeps = 0", ["a number at least 1, got 0"]),
        ("level = 95", ["a number between 0 and 1, got 95"]),
        ("max_iterations = -1", ["a number at least 0"]),
        ("gradient_tolerance = -1", ["a number at least 0"]),
        ("learning_rate = 0", ["a number above 0, got 0"]),
        ("learning_rate = 0.1", ["least_squares has no learning_rate", "adam"]),
        ("parameters = ''", ["[Parameters]"]),
        ("parameters = 'modulus modulus'", ["'modulus' is listed twice"]),
        ("specimens = ''", ["[Specimens]"]),
        ("specimens = 'test test'", ["'test' is listed twice"]),
        ("time = foo", ["time = foo", "no input 'foo'"]),
    ],
)
def test_refused_at_the_line(field: str, words: list[str], folder: Path) -> None:
    with pytest.raises(Error) as refused:
        calibration(field)
    assert str(refused.value).startswith(f"deck.i:{CALIBRATION + 3}: [Calibrations/fit] ")
    for word in words:
        assert word in str(refused.value), str(refused.value)


def test_nothing_to_fit_and_a_parameter_twice(folder: Path) -> None:
    with pytest.raises(Error, match=r"nothing is to be fitted"):
        text = MODEL + block("Specimens", "test", f"type=CSVSpecimen\nfile=a.csv\n{COLUMNS}")
        text += block("Calibrations", "fit", "model = elasticity")
        Input(parse_deck(text, "deck.i")).get("Calibrations", "fit")
    again = block("Parameters", "E", PARAMETER)
    with pytest.raises(Error, match=r"'elasticity.E' is fitted by \[Parameters/E\] already") as e:
        calibration("", more=again)
    assert "[Parameters/modulus] parameter" in str(e.value)
    assert calibration("parameters = E", more=again).fitted[0].name == "elasticity.E"


def test_a_model_whose_time_has_another_name(folder: Path) -> None:
    model = "[Models]\n[law]\ntype = J2Viscoplasticity\nelasticity = 'isotropic(E=2e5, nu=0.3)'\n"
    model += "yield_stress = 100\nflow = 'perzyna(eta = 100, n = 2)'\n[]\n[]\n"
    fields = f"type = CSVSpecimen\nfile = a.csv\n{COLUMNS}"
    parameter = "parameter = yield_surface.sy\nlower = 50\nupper = 200"
    text = model + block("Specimens", "test", fields) + block("Parameters", "sy", parameter)

    def fit(field: str) -> Any:
        deck = text + block("Calibrations", "fit", f"model = law\n{field}")
        return Input(parse_deck(deck, "deck.i")).get("Calibrations", "fit")

    assert fit("").time == "t"
    with pytest.raises(Error, match=r"\[Calibrations/fit\] time.*no input 'foo'.*'?t"):
        fit("time = foo")


def test_unknown_types_and_misspelt_sections_are_refused(folder: Path) -> None:
    for text, word in (
        (block("Specimens", "a", "type = CSVSpecimn"), "CSVSpecimen"),
        (block("Specimens", "a", "type = Excel"), "Excel"),
        (block("Calibration", "a", "model = b"), "Calibrations"),
    ):
        with pytest.raises(Error, match=word):
            Input(parse_deck(text))
