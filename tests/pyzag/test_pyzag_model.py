"""Nonlinear systems of decks as recursions: names, packing, and the steps of drivers."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from ladder import DECKS, f64, randn
from recursions import cycled, deck_case, loss, worst

import neml2fe
import neml2fe.implicit
from neml2fe.errors import Error, InputError, ModelError
from neml2fe.pyzag import NEML2PyzagModel, nonlinear

PERZYNA = "perzyna_voce"
PLAIN = ["yield_surface_sy", "flow_rate_eta", "flow_rate_n", "isoharden_R", "elasticity_E"]


def system_of(deck: str = PERZYNA) -> neml2fe.implicit.NonlinearSystem:
    return neml2fe.load_nonlinear_system(DECKS / f"{deck}.i", "eq_sys")


def solver_of(model: NEML2PyzagModel, block: int = 6) -> nonlinear.RecursiveNonlinearEquationSolver:
    return nonlinear.RecursiveNonlinearEquationSolver(
        model, nonlinear.StepGenerator(block), backend="chunk"
    )


# --- parameters -----------------------------------------------------------------------------------
def test_parameters_are_named_by_block_and_symbol() -> None:
    system = system_of()
    model = NEML2PyzagModel(system)
    assert set(PLAIN) < set(model.parameter_names)
    assert [n for n, _ in model.named_parameters()] == model.parameter_names
    assert all(p.requires_grad for p in model.parameters())
    assert len(model.parameter_names) == len(list(system.model.parameters()))


def test_parameters_are_those_of_the_system() -> None:
    """The same objects: what an optimiser changes here changes there, and conversely."""
    system = system_of()
    model = NEML2PyzagModel(system)
    own = dict(system.model.named_parameters())
    assert model.yield_surface_sy is own["normality.flow.yield_surface.sy"]
    assert model.elasticity_E is own["elasticity.E"]


def test_parameters_are_included_or_excluded() -> None:
    system = system_of()
    everything = NEML2PyzagModel(system).parameter_names
    some = NEML2PyzagModel(system, include_parameters=PLAIN[:2])
    assert set(some.parameter_names) == set(PLAIN[:2]) == {n for n, _ in some.named_parameters()}
    others = NEML2PyzagModel(system, exclude_parameters=PLAIN[:2])
    assert set(others.parameter_names) == set(everything) - set(PLAIN[:2])
    assert NEML2PyzagModel(system, include_parameters=[]).parameter_names == []


def test_an_excluded_parameter_is_constant() -> None:
    case = cycled(PERZYNA, 8, 2, include_parameters=["yield_surface_sy"])
    y = nonlinear.solve_adjoint(solver_of(case.model), case.y0, 8, case.forces)
    loss(y / 100.0).backward()
    other = dict(case.model.system.model.named_parameters())["elasticity.E"]
    assert other.grad is None and bool(case.model.yield_surface_sy.grad)


@pytest.mark.parametrize("choice", ["include_parameters", "exclude_parameters"])
def test_unknown_parameters_are_errors_with_a_suggestion(choice: str) -> None:
    with pytest.raises(ModelError, match="did you mean 'yield_surface_sy'"):
        NEML2PyzagModel(system_of(), **{choice: ["yield_surfce_sy"]})


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(ModelError, match="not both"):
        NEML2PyzagModel(system_of(), include_parameters=[], exclude_parameters=[])
    with pytest.raises(ModelError, match="load_nonlinear_system"):
        NEML2PyzagModel(system_of().model)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="kernels"):
        NEML2PyzagModel(system_of(), backend="kernels")
    with pytest.raises(InputError, match="eq_sys"):
        neml2fe.load_nonlinear_system(DECKS / f"{PERZYNA}.i", "eq_sis")


# --- packing --------------------------------------------------------------------------------------
def test_states_and_forces_are_packed_by_name() -> None:
    model = NEML2PyzagModel(system_of())
    assert (model.svars, model.fvars) == (["stress", "equivalent_plastic_strain"], ["E", "t"])
    assert (model.nstate, model.nforce) == (7, 7)
    values = {"equivalent_plastic_strain": randn(3), "stress": randn(3, 6)}
    y = model.assemble_state(values)
    assert torch.equal(
        y, torch.cat([values["stress"], values["equivalent_plastic_strain"][:, None]], -1)
    )
    given = {"t": randn(5, 3), "E": randn(5, 3, 6)}
    f = model.assemble_forces(given)
    assert f.shape == (5, 3, 7)
    for found, expected in ((model.split_state(y), values), (model.split_forces(f), given)):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[n], expected[n]) for n in expected)
    history = model.split_state(y.expand(4, 3, 7))
    assert history["stress"].shape == (4, 3, 6)
    assert history["equivalent_plastic_strain"].shape == (4, 3)


def test_states_that_are_not_given_are_zero_and_forces_of_one_specimen_hold_for_all() -> None:
    model = NEML2PyzagModel(system_of())
    y = model.assemble_state({"stress": randn(3, 6)})
    assert y.shape == (3, 7) and not y[:, 6].any()
    f = model.assemble_forces({"t": randn(5, 1), "E": randn(5, 3, 6)})
    assert f.shape == (5, 3, 7) and bool((f[:, :, 6] == f[:, :1, 6]).all())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "missing"),
        ({"strss": randn(3, 6)}, "did you mean 'stress'"),
        ({"stress": randn(3, 5)}, r"'stress' must have shape \(S, 6\)"),
        ({"stress": randn(6)}, r"'stress' must have shape \(S, 6\)"),
        ({"stress": randn(3, 6), "equivalent_plastic_strain": randn(4)}, "specimens"),
    ],
)
def test_wrong_states_are_clear_errors(values: dict[str, torch.Tensor], says: str) -> None:
    with pytest.raises(Error, match=says):
        NEML2PyzagModel(system_of()).assemble_state(values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"t": randn(5, 3)}, "'E' is missing"),
        ({"t": randn(5, 3), "E": randn(5, 3, 6), "T": randn(5, 3)}, "there is no force 'T'"),
        ({"t": randn(5, 3), "E": randn(5, 3, 3)}, r"'E' must have shape \(N, S, 6\)"),
        ({"t": randn(5), "E": randn(5, 3, 6)}, r"'t' must have shape \(N, S\)"),
        ({"t": randn(4, 3), "E": randn(5, 3, 6)}, "steps"),
        ({"t": randn(5, 2), "E": randn(5, 3, 6)}, "specimens"),
    ],
)
def test_wrong_forces_are_clear_errors(values: dict[str, torch.Tensor], says: str) -> None:
    with pytest.raises(Error, match=says):
        NEML2PyzagModel(system_of()).assemble_forces(values)


@pytest.mark.parametrize("size", [6, 8])
@pytest.mark.parametrize("backend", ["auto", "chunk"])
def test_rows_of_a_wrong_length_are_clear_errors(size: int, backend: str) -> None:
    case = cycled(PERZYNA, 5, 2)
    solver = nonlinear.RecursiveNonlinearEquationSolver(case.model, backend=backend)
    wrong = torch.zeros(2, size, dtype=torch.float64)
    with pytest.raises(Error, match="7"):
        nonlinear.solve(solver, wrong, 5, case.forces)
    with pytest.raises(Error, match="7"):
        nonlinear.solve(solver, case.y0, 5, torch.zeros(5, 2, size, dtype=torch.float64))


# --- the same steps as drivers take ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("deck", "n"),
    [
        (PERZYNA, 12),
        ("chaboche", 6),
        ("temperature", 12),  # parameters that are models, and one that differs by specimen
        ("plasticity_kocks_mecking", 6),
        ("frederick_armstrong", 10),  # rate-independent
        ("uniaxial_perzyna", 8),  # mixed control
        ("uniaxial_linear", 10),
        ("viscoelastic_zener", 12),
        ("crystal_coupled", 6),
        ("crystal_taylor", 3),  # a sub-batch of grains
        ("crystal_taylor_block", 3),
    ],
)
def test_steps_are_those_of_a_driver(deck: str, n: int) -> None:
    case = deck_case(deck, n)
    y = nonlinear.solve(solver_of(case.model, 3), case.y0, n, case.forces)
    found = case.model.split_state(y[1:])
    for name, expected in case.known.items():
        error = worst([found[name]], [expected])
        assert error < 1e-10, f"{name}: {error:.1e}"


def test_a_sub_batch_has_gradients() -> None:
    """Of the exponent of slip, against differences."""
    n = 3
    case = deck_case("crystal_taylor", n, include_parameters=["slip_n"])
    p, solver = case.model.slip_n, solver_of(case.model, 2)
    y = nonlinear.solve_adjoint(solver, case.y0, n, case.forces)
    bar = randn(*y.shape) / y.detach().abs().amax((0, 1)).clamp(min=1e-6)
    (found,) = torch.autograd.grad(y, p, bar)
    values, h = [], 1e-4
    for sign in (1.0, -2.0):
        p.data += sign * h
        values.append(nonlinear.solve(solver, case.y0, n, case.forces))
    slope = (bar * (values[0] - values[1])).sum() / (2.0 * h)
    assert float((found - slope).abs() / slope.abs()) < 1e-6


@pytest.mark.parametrize("block", [1, 3, 7])
def test_gradients_are_those_of_the_loop(block: int) -> None:
    n, s = 8, 3
    case = cycled(PERZYNA, n, s, include_parameters=PLAIN)
    scale = torch.cat([100.0 * torch.ones(6), torch.ones(1)]).double()
    y0, f = case.y0.clone().requires_grad_(), case.forces.clone().requires_grad_()
    z = [y0, f, *case.model.parameters()]
    y = nonlinear.solve_adjoint(solver_of(case.model, block), y0, n, f)
    found = torch.autograd.grad(loss(y / scale), z)
    known = [y0]
    for k in range(1, n):  # one more Newton step at the solution carries the derivative
        at, x = f[k - 1 : k + 1], y[k].detach()
        residual, jacobian = case.model.evaluate_raw(torch.stack([known[-1], x]), [at])
        known.append(x - torch.linalg.solve(jacobian.diag[0].detach(), residual[0]))
    expected = torch.autograd.grad(loss(torch.stack(known) / scale), z)
    assert worst(found, expected) < 1e-9


def test_parameters_per_specimen_are_those_of_single_specimens() -> None:
    n, s = 8, 3
    case = cycled(PERZYNA, n, s, include_parameters=["yield_surface_sy", "flow_rate_n"])
    values = f64([120.0, 150.0, 180.0])
    parts = []
    for k in [slice(None), *(slice(k, k + 1) for k in range(s))]:
        case.model.yield_surface_sy = torch.nn.Parameter(
            values[k] if k.stop is None else values[k][0]
        )
        y = nonlinear.solve_adjoint(solver_of(case.model), case.y0[k], n, case.forces[:, k])
        bar = torch.linspace(0.5, 1.5, s, dtype=y.dtype)[k].unsqueeze(-1) * y.detach()
        parts.append([y, *torch.autograd.grad(y, list(case.model.parameters()), bar)])
    whole, (y, sy, exponent) = parts[0], zip(*parts[1:], strict=True)
    assert whole[1].shape == (s,)
    expected = [torch.cat(y, 1), torch.stack(sy), torch.stack(exponent).sum(0)]
    assert worst(whole, expected) < 1e-9


def test_a_parameter_of_another_number_of_specimens_is_a_clear_error() -> None:
    case = cycled(PERZYNA, 5, 3)
    case.model.yield_surface_sy.data = f64([120.0, 150.0])
    with pytest.raises(Error, match=r"yield_surface.sy"):
        nonlinear.solve(solver_of(case.model), case.y0, 5, case.forces)


def test_two_forces_are_one_in_parts() -> None:
    case = cycled(PERZYNA, 6, 2)
    y = nonlinear.solve(solver_of(case.model), case.y0, 6, case.forces)
    parts = case.forces[..., :6], case.forces[..., 6:]
    assert torch.equal(nonlinear.solve(solver_of(case.model), case.y0, 6, *parts), y)


def test_hessian_vector_products() -> None:
    n = 6
    case = cycled(PERZYNA, n, 2, include_parameters=["yield_surface_sy", "isoharden_R"])
    z = list(case.model.parameters())

    def gradient(y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad((y**2).sum() / 1e4, z, create_graph=True)

    y = nonlinear.solve_adjoint(solver_of(case.model), case.y0, n, case.forces)
    g = gradient(y)
    found = torch.autograd.grad(g[0] + 2.0 * g[1], z)
    p, h = z[0], 1e-3
    slopes = []
    for sign in (1.0, -2.0):
        p.data += sign * h
        y = nonlinear.solve_adjoint(solver_of(case.model), case.y0, n, case.forces)
        slopes.append(sum(w * v.detach() for w, v in zip((1.0, 2.0), gradient(y), strict=True)))
    p.data += h
    slope = (slopes[0] - slopes[1]) / (2.0 * h)
    assert float((found[0] - slope).abs() / slope.abs()) < 1e-6


# --- copies ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_a_copy_is_independent_and_gives_the_same(how, backend: str) -> None:
    case = cycled(PERZYNA, 5, 2, backend)
    y = nonlinear.solve(solver_of(case.model), case.y0, 5, case.forces)
    twin = how(case.model)
    assert torch.equal(nonlinear.solve(solver_of(twin), case.y0, 5, case.forces), y)
    assert twin.yield_surface_sy is not case.model.yield_surface_sy
    names = dict(twin.system.model.named_parameters())
    assert twin.yield_surface_sy is names["normality.flow.yield_surface.sy"]
    twin.yield_surface_sy.data *= 0.5
    assert torch.equal(nonlinear.solve(solver_of(case.model), case.y0, 5, case.forces), y)
    assert not torch.equal(nonlinear.solve(solver_of(twin), case.y0, 5, case.forces), y)


def test_its_state_dict_is_that_of_any_module() -> None:
    first, second = NEML2PyzagModel(system_of()), NEML2PyzagModel(system_of())
    first.yield_surface_sy.data *= 0.7
    second.load_state_dict(first.state_dict())
    assert float(second.yield_surface_sy.detach()) == float(first.yield_surface_sy.detach())
    assert list(first.state_dict()) == first.parameter_names
