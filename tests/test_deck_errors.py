"""What a wrong deck says: one message with file, line, block and the nearest right spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from ladder import DECKS, close, f64

import neml2fe
from neml2fe.errors import ConvergenceError, Error, InputError, ModelError

PERZYNA = (DECKS / "perzyna_voce.i").read_text()
OBJECTS = {"Models": "model", "EquationSystems": "eq_sys", "Solvers": "newton", "Drivers": "driver"}


def message_of(folder: Path, text: str) -> tuple[str, type[Error]]:
    """The error of loading everything in a deck."""
    path = folder / "deck.i"
    path.write_text(text)
    with pytest.raises(Error) as caught:
        source = neml2fe.load_input(path)
        for section, name in OBJECTS.items():
            source.get(section, name)
    return str(caught.value), caught.type


def line_of(text: str, part: str) -> int:
    return next(k for k, line in enumerate(text.splitlines(), 1) if part in line)


# old text -> new text, the part of the new text on whose line the error is, what it says
CHANGES: dict[str, tuple[str, str, str, str]] = {
    "section": (
        "[Solvers]",
        "[Solver]",
        "[Solver]",
        "unknown section [Solver]; did you mean 'Solvers'?",
    ),
    "type": (
        "VoceIsotropicHardening",
        "VoceHardening",
        "VoceHardening",
        "unknown type 'VoceHardening'; did you mean 'VoceIsotropicHardening'?",
    ),
    "field": (
        "saturation_rate     = 12",
        "sautration_rate = 12",
        "sautration_rate",
        "[Models/isoharden]: unknown field 'sautration_rate'; did you mean 'saturation_rate'?",
    ),
    "type left out": (
        "type             = PerzynaPlasticFlowRate\n",
        "\n",
        "[flow_rate]",
        "the field 'type' is missing",
    ),
    "parameter left out": (
        "saturation_rate     = 12\n",
        "\n",
        "[isoharden]",
        "VoceIsotropicHardening needs the field 'saturation_rate'",
    ),
    "member": (
        "models = 'mandel_stress vonmises",
        "models = 'mandel_stres vonmises",
        "models = 'mandel_stres ",
        "no block [Models/mandel_stres]; did you mean 'mandel_stress'?",
    ),
    "parameter": (
        "yield_stress        = 150",
        "yield_stress = sy",
        "yield_stress = sy",
        "expected a number, got 'sy', which is no block of [Tensors] or [Models] and no variable",
    ),
    "number": (
        "yield_stress        = 150",
        "yield_stress = 15O",
        "yield_stress = 15O",
        "expected a number, got '15O'",
    ),
    "choice": (
        "VONMISES",
        "VONMISSES",
        "[vonmises]",
        "'VONMISSES' is no invariant_type; did you mean 'VONMISES'?",
    ),
    "unknown": (
        "unknowns  = 'stress ",
        "unknowns  = 'stres ",
        "[eq_sys]",
        "unknown 'stres' is no input of 'rates_and_residuals'; did you mean 'stress'?",
    ),
    "square": (
        "unknowns  = 'stress equivalent_plastic_strain'",
        "unknowns  = 'stress'",
        "[eq_sys]",
        "6 unknowns (stress) but 7 residuals",
    ),
    "solver": (
        "linear_solver = lu",
        "linear_solver = dense",
        "linear_solver = dense",
        "no block [Solvers/dense]; known: lu, newton",
    ),
    "solver of another kind": (
        "linear_solver = lu",
        "linear_solver = newton",
        "[newton]",
        "blocks refer to each other in a circle: ",
    ),
    "iterations": (
        "rel_tol       = 1e-10",
        "max_its = many",
        "max_its = many",
        "expected an integer, got 'many'",
    ),
    "prescribed name": (
        "prescribed_SR2_names  = E",
        "prescribed_SR2_names = EE",
        "[driver]",
        "prescribed 'EE' is no input of 'model'",
    ),
    "prescribed values": (
        "prescribed_SR2_values = strains",
        "prescribed_SR2_values = 'strains path'",
        "prescribed_SR2_values = 'strains path'",
        "2 values for the 1 names",
    ),
    "prescribed type": (
        "prescribed_SR2_values = strains",
        "prescribed_SR2_values = path",
        "prescribed_SR2_values = path",
        "'path' is a Scalar, not a SR2",
    ),
    "prescribed steps": (
        "torch.linspace(0.0, 3.0, 31, dtype",
        "torch.linspace(0.0, 3.0, 30, dtype",
        "[driver]",
        "its first dimension must be the number of steps, 30",
    ),
    "driven model": (
        "model                 = model",
        "model = modle",
        "model = modle",
        "no block [Models/modle]; did you mean 'model'?",
    ),
    "circle": (
        "models = 'vonmises yield_surface'",
        "models = 'vonmises flow'",
        "[flow]",
        "blocks refer to each other in a circle: ",
    ),
    "circle of tensors": (
        "expr = 'Scalar(clock.data",
        "expr = 'Scalar(times.data",
        "[times]",
        "blocks refer to each other in a circle",
    ),
}


@pytest.mark.parametrize("case", sorted(CHANGES))
def test_a_wrong_deck_says_where_and_what(case: str, tmp_path: Path) -> None:
    old, new, place, expected = CHANGES[case]
    assert PERZYNA.count(old) == 1, "the deck has changed"
    text = PERZYNA.replace(old, new)
    message, kind = message_of(tmp_path, text)
    assert expected in message
    assert f"deck.i:{line_of(text, place)}: " in message
    assert issubclass(kind, (InputError, ModelError)) and kind.exit_code == 2
    assert "\n" not in message


def test_missing_blocks_are_named() -> None:
    source = neml2fe.load_input(DECKS / "perzyna_voce.i")
    for get, name, expected in (
        (source.get_driver, "diver", "no block [Drivers/diver]; did you mean 'driver'?"),
        (source.get_model, "modell", "no block [Models/modell]; did you mean 'model'?"),
        (source.get_tensor, "strain", "no block [Tensors/strain]; did you mean 'strains'?"),
    ):
        with pytest.raises(InputError) as caught:
            get(name)
        assert expected in str(caught.value) and "perzyna_voce.i" in str(caught.value)
    assert source.drivers == ["driver"]


def test_a_deck_without_drivers(tmp_path: Path) -> None:
    path = tmp_path / "deck.i"
    path.write_text("[Models]\n  [m]\n    type = IsotropicMandelStress\n  []\n[]\n")
    source = neml2fe.load_input(path)
    assert source.drivers == []
    with pytest.raises(InputError, match=r"no block \[Drivers/driver\]; none is defined"):
        source.get_driver("driver")


def test_a_misspelling_anywhere_is_found_when_the_deck_is_loaded(tmp_path: Path) -> None:
    """Also in a block that the wanted object does not need."""
    path = tmp_path / "deck.i"
    path.write_text(PERZYNA + "[Models]\n  [spare]\n    type = YieldFuncton\n  []\n[]\n")
    with pytest.raises(InputError, match="did you mean 'YieldFunction'"):
        neml2fe.load_input(path)


def test_objects_are_built_once_and_shared() -> None:
    source = neml2fe.load_input(DECKS / "perzyna_voce.i")
    model = source.get_model("model")
    assert source.get_driver("driver").driver.model is model
    assert source.get_equation_system("eq_sys") is model.equation_system
    assert source.get_solver("newton") is model.solver and model.solver.rel_tol == 1e-10


def test_overrides() -> None:
    path = DECKS / "perzyna_voce.i"
    model = neml2fe.load_model(path, "isoharden", ["Models/isoharden/saturated_hardening=45"])
    assert model.R.data.item() == 45.0


def test_a_parameter_may_be_a_model_a_tensor_or_a_number() -> None:
    model = neml2fe.load_model(DECKS / "temperature.i", "rates_and_residuals")
    values = dict(model.named_parameters())
    assert values["elasticity.E.offset"].item() == 1.38e5
    assert values["flow_rate.eta"].tolist() == [700.0, 600.0, 500.0]
    assert "T" in model.input_spec
    elasticity = neml2fe.load_model(DECKS / "temperature.i", "elasticity")
    strain = f64([1e-3, 0.0, 0.0, 0.0, 0.0, 0.0])
    stress = elasticity(strain_rate=strain, T=f64(300.0)).data.detach()
    lame = 1.2e5 * 0.32 / (1.32 * 0.36)
    assert close(stress[0], f64(1e-3 * (lame + 1.2e5 / 1.32)), 1e-14)


def test_a_step_that_does_not_converge_names_step_and_specimen(tmp_path: Path) -> None:
    path = tmp_path / "deck.i"
    path.write_text(
        PERZYNA.replace("abs_tol       = 1e-10", "abs_tol = 1e-30").replace(
            "rel_tol       = 1e-10", "rel_tol = 1e-30\n    max_its = 3"
        )
    )
    driver = neml2fe.load_input(path).get_driver("driver").driver
    with pytest.raises(ConvergenceError, match=r"step \d+ of 30: .*specimen 0"):
        driver.run()
