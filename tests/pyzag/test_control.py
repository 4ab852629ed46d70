"""One nonlinear system per step under mixed control, against the driver's outer Newton loop."""

from __future__ import annotations

import copy
import warnings
from functools import cache
from pathlib import Path

import pytest
import torch

from neml2fe.drivers import MixedControlDriver
from neml2fe.errors import Error, ModelError
from neml2fe.implicit import ImplicitUpdate, Newton, NonlinearSystem
from neml2fe.input import load_input
from neml2fe.kernels.kernel import recorded_kernels
from neml2fe.models import (
    ComposedModel,
    ConstantExtrapolationPredictor,
    Input,
    Model,
    Output,
    Parameter,
)
from neml2fe.models import ScalarLinearCombination as Sum
from neml2fe.models import SR2LinearCombination as TensorSum
from neml2fe.models.functional import parameter_base_ndims
from neml2fe.pyzag.control import controlled_system, initial_state
from neml2fe.types import R2, SR2, Scalar

Raw = dict[str, torch.Tensor]
TESTS = Path(__file__).parent.parent
MODELS = {  # deck: name of the model, and of its Scalar field
    "decks/elasticity": ("model", None),  # explicit
    "decks/perzyna_voce": ("model", None),
    "decks/chaboche": ("model", None),
    "decks/plasticity_radial_return_voce": ("model", None),  # algebra around one scalar unknown
    "drivers/j2_linear": ("model", "temperature"),  # complementarity; stress from elastic strain
    "decks/temperature": ("model", "T"),  # a parameter that varies by specimen as well
    "decks/viscoelastic_zener": ("model", None),  # so here
}
STEPS = 4


def tensor(values: object) -> torch.Tensor:
    return torch.as_tensor(values, dtype=torch.float64)


@cache
def model_of(deck: str) -> Model:
    return load_input(TESTS / f"{deck}.i").get_model(MODELS[deck][0])


@cache
def loading() -> tuple[torch.Tensor, Raw]:
    """Times and forces of three specimens: uniaxial tension with reversal; shear strain with a
    tensile stress; a stress until the strain is prescribed in its stead, beside another strain."""
    half = STEPS // 2
    path = torch.cat([torch.linspace(0, 1, half + 1), torch.linspace(1, -0.5, half + 1)[1:]])
    path = tensor(path)
    control = torch.ones(STEPS + 1, 3, 6, dtype=torch.float64)
    strain, stress = torch.zeros_like(control), torch.zeros_like(control)
    control[:, 0, 0], strain[:, 0, 0] = 0.0, 0.008 * path
    control[:, 1, 5], strain[:, 1, 5], stress[:, 1, 0] = 0.0, 0.006 * path, 50.0 * path
    stress[: half + 1, 2, 0], strain[:, 2, 1] = 60.0 * path[: half + 1], -0.0005 * path
    control[:, 2, 1] = control[half + 1 :, 2, 0] = 0.0
    strain[half + 1 :, 2, 0] = 0.0005 + 0.001 * torch.arange(1, half + 1)
    times = torch.linspace(0.0, 2.0, STEPS + 1, dtype=torch.float64)[:, None] * tensor([1, 3, 0.1])
    temperature = 300.0 + 50.0 * times
    return times, {
        "control": control,
        "strain": torch.where(control > 0.5, 0.0, strain),
        "stress": torch.where(control > 0.5, stress, 0.0),
        "temperature": temperature,
    }


def by_driver(model: Model, field: str | None = None) -> Raw:
    """Histories of strain and stress `(STEPS, 3, 6)`, under the names `strain` and `stress`.

    The driver takes no parameters that vary by specimen: one specimen at a time then.
    """
    ndim = parameter_base_ndims(model)
    varying = [n for n, p in model.named_parameters() if p.ndim > ndim[n]]
    times, forces = loading()
    runs = []
    for specimens in ([0], [1], [2]) if varying else ([0, 1, 2],):
        mine = copy.deepcopy(model)
        for name in varying:
            parameter = mine.get_parameter(name)
            parameter.data = parameter.data[specimens[0]]
        histories = {n: v[:, specimens] for n, v in forces.items()}
        history = MixedControlDriver(
            mine,
            Scalar(times[:, specimens]),
            *(SR2(histories[n]) for n in ("control", "strain", "stress")),
            {field: Scalar(histories["temperature"])} if field else None,
            rel_tol=1e-13,
        ).run()
        assert history.strain is not None
        runs.append([history.series(name) for name in (history.strain, "stress")])
    strain, stress = (torch.cat(series, dim=1) for series in zip(*runs, strict=True))
    return {"strain": strain, "stress": stress}


def stepping(system: NonlinearSystem, backend: str) -> ImplicitUpdate:
    """Steps from the state before as a guess."""
    names = {kind: [n for n, k in system.unknowns.items() if k is kind] for kind in (Scalar, SR2)}
    return ImplicitUpdate(
        equation_system=system,
        solver=Newton(rel_tol=1e-12),
        predictor=ConstantExtrapolationPredictor(
            unknowns_Scalar=names[Scalar], unknowns_SR2=names[SR2]
        ),
        backend=backend,
        label="step",
    )


def step(update: ImplicitUpdate, state: Raw, k: int, field: str | None) -> Raw:
    """The unknowns at step k from those one step before."""
    times, forces = loading()
    driven = {
        "t": times,
        "control": forces["control"],
        "prescribed": forces["strain"] + forces["stress"],
        field: forces["temperature"],
    }
    inputs = {}
    for name, kind in update.input_spec.items():
        base, _, old = name.partition("~")
        value = state[base] if base in state else driven[base][k - 1 if old else k]
        inputs[name] = kind(value, value.ndim - 1 - kind.base_ndim())
    return {n: v.data for n, v in update.evaluate(inputs).items()}


def marched(system: NonlinearSystem, field: str | None = None, backend: str = "eager") -> Raw:
    """Histories of all unknowns `(STEPS, 3, *base)`."""
    update = stepping(system, backend)
    states = [initial_state(system, 3)]
    with torch.no_grad():
        for k in range(1, STEPS + 1):
            states.append(step(update, states[-1], k, field))
    return {n: torch.stack([s[n] for s in states[1:]]) for n in states[0]}


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-9) -> None:
    error = float(((found - expected).abs().max() / expected.abs().max()).detach())
    assert error <= tolerance, f"relative difference {error:.2e}"


@pytest.mark.parametrize("deck", MODELS)
def test_the_system_marches_as_the_driver_does(deck: str) -> None:
    model, field = model_of(deck), MODELS[deck][1]
    system = controlled_system(model)
    *_, strain = system.unknowns
    found, expected = marched(system, field), by_driver(model, field)
    close(found[strain], expected["strain"])
    close(found["stress"], expected["stress"])
    for name in system.given:
        assert name.partition("~")[0] in {*system.unknowns, *system.given}


@pytest.mark.parametrize(
    "deck", ["decks/perzyna_voce", "decks/plasticity_radial_return_voce", "drivers/j2_linear"]
)
def test_the_compiled_kernel_solves_the_same_system(deck: str) -> None:
    field = MODELS[deck][1]
    system = controlled_system(model_of(deck))
    with recorded_kernels() as kernels:
        found = marched(system, field, "kernel")
    assert kernels
    for name, expected in marched(system, field).items():
        close(found[name], expected)


@pytest.mark.parametrize("backend", ["eager", "kernel"])
@pytest.mark.parametrize(
    ("deck", "parameter"),
    [
        ("decks/perzyna_voce", "yield_surface.sy"),
        ("decks/plasticity_radial_return_voce", "isoharden.R"),
    ],
)
def test_gradients_of_a_step_are_those_of_differences(
    deck: str, parameter: str, backend: str
) -> None:
    system = controlled_system(model_of(deck))
    update = stepping(system, backend)
    before = {n: v[0] for n, v in marched(system).items()}  # two flow in the second step
    value = system.model.get_parameter(parameter)
    weights = torch.linspace(1.0, 2.0, 18, dtype=torch.float64).reshape(3, 6)

    def loss() -> torch.Tensor:
        return (weights * step(update, before, 2, None)["stress"]).sum()

    (exact,) = torch.autograd.grad(loss(), value)
    start, h = value.detach().clone(), 1e-4 * value.item()
    with torch.no_grad():
        ends = []
        for sign in (1.0, -1.0):
            value.copy_(start + sign * h)
            ends.append(loss())
        value.copy_(start)
    close(exact, (ends[0] - ends[1]) / (2.0 * h), 1e-7)
    assert float(exact.abs()) > 1e-2


def test_what_is_computed_adds_unknowns_that_nothing_depends_on() -> None:
    system = controlled_system(model_of("decks/plasticity_radial_return_voce"))
    given = {n: torch.ones(1, *k.BASE_SHAPE).double() for n, k in system.given.items()}
    given["control"][..., 3:] = 0.0
    parameters = dict(system.model.named_parameters())
    u = torch.linspace(1e-3, 2e-3, 19, dtype=torch.float64).unsqueeze(0)
    _, jacobian = system.linearise(u, given, parameters)
    assert list(system.unknowns) == [
        "equivalent_plastic_strain",
        "stress",
        "plastic_strain",
        "E",
    ]
    assert torch.equal(jacobian[0, :, 1:13], torch.eye(19, dtype=torch.float64)[:, 1:13])
    assert bool(jacobian[0, 13:16, 13:].all()) and bool(jacobian[0, 1:7, 0].all())


# --- names ----------------------------------------------------------------------------
def test_parameters_are_the_models_own_under_the_names_of_their_blocks() -> None:
    model = model_of("decks/temperature")
    mine = dict(controlled_system(model).model.named_parameters())
    original = dict(model.named_parameters())
    assert len(mine) == len(original)
    assert {id(p) for p in mine.values()} == {id(p) for p in original.values()}
    assert {"isoharden.R", "flow_rate.eta", "youngs.weight_0", "yield_stress.offset"} <= {*mine}
    assert all(name.count(".") == 1 for name in mine)


def test_two_blocks_of_one_label_are_numbered() -> None:
    halves = [TensorSum(from_=["E"], to_="half", weights=[0.5], label="scale")]
    halves.append(TensorSum(from_=["half"], to_="stress", weights=[4.0], label="scale"))
    names = dict(controlled_system(ComposedModel(models=halves)).model.named_parameters())
    assert names["scale.weight_0"].item() == 0.5 and names["scale_2.weight_0"].item() == 4.0


def test_unknowns_are_those_of_the_updates_then_what_is_observed_then_the_strain() -> None:
    model = model_of("drivers/j2_linear")
    outer = ComposedModel(
        models=[model, Sum(from_=["temperature"], to_="warmth", weights=[2.0], label="warm")],
    )
    observed = ["warmth", "flow_rate", "temperature"]
    system = controlled_system(outer, observed=observed, control="c", prescribed="p")
    assert list(system.unknowns)[-3:] == ["stress", "warmth", "E"]
    assert {"plastic_strain", "equivalent_plastic_strain", "flow_rate"} == {
        *list(system.unknowns)[:-3]
    }
    assert system.given["c"] is SR2 and system.given["p"] is SR2


def test_inner_variables_of_compositions_stay_inside() -> None:
    """The nested model has an 'elastic_strain' of its own, which is another variable."""
    model = model_of("drivers/j2_linear")
    twice = TensorSum(from_=["E"], to_="elastic_strain", weights=[2.0], label="twice")
    system = controlled_system(
        ComposedModel(models=[twice, model]), observed=["elastic_strain"], strain="E"
    )
    found, alone = marched(system, "temperature"), marched(controlled_system(model), "temperature")
    close(found["stress"], alone["stress"], 1e-12)
    close(found["elastic_strain"], 2.0 * alone["E"], 1e-12)


# --- several updates ------------------------------------------------------------------
class Damage(Model, abstract=True):
    r"""$u + u^3 = u_{n} + q\,\varepsilon:\varepsilon$."""

    strain = Input(SR2, default="E")
    u = Input(Scalar)
    old = Input(Scalar, default="u~1")
    residual = Output(Scalar, default="r")
    q = Parameter(Scalar, "q", default=5e3)

    def forward(self, strain: SR2, u: Scalar, old: Scalar) -> Scalar:
        return u + u * u * u - old - self.q * Scalar((strain.data**2).sum(-1))


class Weakened(Model, abstract=True):
    r"""$(1 + u)\,\sigma = 2 \mu\,\varepsilon$."""

    strain = Input(SR2, default="E")
    stress = Input(SR2)
    u = Input(Scalar)
    residual = Output(SR2, default="r")

    def forward(self, strain: SR2, stress: SR2, u: Scalar) -> SR2:
        return stress * (1.0 + u) - 1e5 * strain


class Guess(Model, abstract=True):
    start = Input(Scalar)
    u = Output(Scalar)

    def forward(self, start: Scalar) -> Scalar:
        return start


def damage(predictor: Model | None = None, level: int = 0) -> ImplicitUpdate:
    return ImplicitUpdate(
        equation_system=NonlinearSystem(Damage(label="damage"), ["u"], ["r"]),
        solver=Newton(),
        predictor=predictor,
        max_substepping_level=level,
        label="first",
    )


def weakened(model: Model) -> ImplicitUpdate:
    system = NonlinearSystem(model, ["stress"], ["r"])
    return ImplicitUpdate(equation_system=system, solver=Newton(), label="second")


def test_updates_in_a_row_become_one_system() -> None:
    """Residuals of one name, and a member for the predictor alone, which is left out."""
    start = Sum(from_=["u~1"], to_="start", weights=[0.5], label="start")
    model = ComposedModel(
        models=[start, damage(Guess()), weakened(Weakened(label="weakened"))],
        additional_outputs=["u"],
    )
    system = controlled_system(model)
    assert list(system.unknowns) == ["u", "stress", "E"]
    assert [n for n, _ in system.model.named_parameters()] == ["damage.q"]
    found, expected = marched(system), by_driver(model)
    close(found["E"], expected["strain"])
    close(found["stress"], expected["stress"])


def test_an_inner_unknown_must_not_be_called_like_another_variable() -> None:
    inner = ComposedModel(models=[damage(), weakened(Weakened())], label="inner")
    outer = Sum(from_=["u"], to_="v", label="outer")  # not the u that the other one hides
    with pytest.raises(ModelError, match=r"'u' is an unknown .* also .* the model takes"):
        controlled_system(ComposedModel(models=[inner, outer]))


def test_an_update_inside_of_a_residual_is_opened_too() -> None:
    both = ComposedModel(
        models=[damage(), Weakened(label="weakened")], additional_outputs=["u"], label="both"
    )
    model = ComposedModel(models=[weakened(both), damage()], additional_outputs=["u"])
    with pytest.raises(ModelError, match="residual:u"):  # u twice: which one?
        controlled_system(model)
    alone = ComposedModel(
        models=[weakened(both), Sum(from_=["u~1"], to_="u", label="kept")],
        additional_outputs=["u"],
    )
    with pytest.raises(ModelError, match=r"'u' is an unknown .* also .* computes afterwards"):
        controlled_system(alone)
    past = Sum(from_=["t"], to_="u~1", weights=[0.1], label="past")
    system = controlled_system(ComposedModel(models=[weakened(both), past]))
    assert {*system.unknowns} == {"u", "stress", "E"}
    in_a_row = ComposedModel(models=[past, damage(), weakened(Weakened(label="weakened"))])
    close(marched(system)["stress"], by_driver(in_a_row)["stress"])


def test_substeps_are_left_out_with_a_warning() -> None:
    model = ComposedModel(models=[damage(level=2), weakened(Weakened())], additional_outputs=["u"])
    with pytest.warns(UserWarning, match="'first' may halve failing steps"):
        controlled_system(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        controlled_system(model_of("decks/perzyna_voce"))


# --- states and mistakes --------------------------------------------------------------
def test_initial_states_have_the_sub_batch_of_their_unknowns() -> None:
    model = load_input(TESTS / "decks/crystal_descent.i").get_model("model")
    system = controlled_system(model, "deformation_rate", "cauchy_stress")
    state = initial_state(system, 4)
    assert state["slip_hardening"].shape == (4,)
    assert state["elastic_strain"].shape == (4, 6)
    grains = initial_state(system, 4, {"orientation": torch.zeros(1, 5, 3, dtype=torch.float64)})
    assert grains["slip_hardening"].shape == (4, 5)
    assert grains["cauchy_stress"].shape == (4, 5, 6)
    assert not any(bool(v.any()) for v in grains.values())


class FromGradient(Model, abstract=True):
    F = Input(R2)
    stress = Output(SR2)

    def forward(self, F: R2) -> SR2:
        return SR2(torch.zeros(*F.data.shape[:-2], 6, dtype=F.dtype))


def scaled(**names: object) -> Model:
    return TensorSum(**{"from_": ["E"], "to_": "stress", "label": "law", **names})  # type: ignore[arg-type]


def test_mistakes_end_with_one_clear_message() -> None:
    cases: list[tuple[Model, dict[str, object], str]] = [
        (FromGradient(label="law"), {"strain": "F"}, "'F' of 'law' is a R2"),
        (scaled(), {"observed": ["plastic"]}, "'law' does not compute 'plastic'"),
        (scaled(), {"stress": "S"}, "'law' has no stress output 'S'"),
        (scaled(), {"control": "p", "prescribed": "p"}, "'law' has a variable 'p' of its own"),
        (scaled(), {"control": "E"}, "'law' has a variable 'E' of its own"),
        (scaled(from_=["E", "E~2"]), {}, "'law' needs 'E~2', but a step .* one step back"),
        (scaled(from_=["E", "X"]), {}, "cannot tell the strain"),
        (scaled(from_=["E", "X~1"]), {}, "nothing computes 'X'"),
    ]
    for model, options, message in cases:
        with pytest.raises(ModelError, match=message):
            controlled_system(model, **options)  # type: ignore[arg-type]


def test_a_deck_that_has_the_control_already_is_refused() -> None:
    model = load_input(TESTS / "drivers/perzyna.i").get_model("mixed_system")
    with pytest.raises(Error, match="strain"):
        controlled_system(model)
