"""NEML2's updates as materials, against neml2fe's own law of the same deck."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("neml2", reason="neml2 is not installed: make bindings-test")

import torch

import neml2fe
from neml2fe import fem
from neml2fe.errors import ConvergenceError, InputError, ModelError
from neml2fe.fem.mesh.generate import rectangle
from neml2fe.implicit import Status
from neml2fe.material import FirstPiolaKirchhoff, LogarithmicStrain, Material, PlaneStress, replaced

sys.path.insert(0, str(Path(__file__).parent))
from neml2fe_neml2 import Neml2Material

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
DECKS = ROOT / "tests" / "decks"
STEEL = HERE / "steel.i"
n = 12
DT = 0.1


def theirs() -> Neml2Material:
    return Neml2Material(STEEL, "viscoplasticity")


def ours() -> Material:
    return Material(neml2fe.load_model(STEEL, "viscoplasticity"))


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


def plastic(material: Neml2Material | Material, size: float = 0.004) -> tuple[torch.Tensor, dict]:
    """A strain, and the state one step before it, of points of which some flow."""
    first, state = size * randn(n, 6), material.initial_state(n)
    state = material.update(first, state, DT, DT).state
    return first + size * randn(n, 6, seed=1), state


def choose(material: Neml2Material | Material, *ends: str) -> dict[str, torch.Tensor]:
    """Only these parameters require a gradient."""
    for name, value in material.parameters.items():
        value.requires_grad_(name.endswith(ends))
        value.grad = None
    return {k: v for k, v in material.parameters.items() if v.requires_grad}


# --- one update -------------------------------------------------------------------------------
def test_roles_of_variables() -> None:
    a, b = theirs(), ours()
    assert (a.strain, a.stress) == (b.strain, b.stress) == ("strain", "stress")
    assert a.state_spec == b.state_spec
    assert a.field_spec == b.field_spec == {}
    assert list(a.parameters) == list(b.parameters)
    assert a.label == "steel.i:viscoplasticity"


def test_the_same_update_as_ours() -> None:
    a, b = theirs(), ours()
    of_a, of_b = a.initial_state(n), b.initial_state(n)
    strain = torch.zeros(n, 6, dtype=torch.float64)
    for k in range(4):
        strain = strain + 0.003 * randn(n, 6, seed=k)
        x = a.update(strain, of_a, DT * (k + 1), DT)
        y = b.update(strain, of_b, DT * (k + 1), DT)
        assert not len(x.failed) and not len(y.failed)
        assert x.tangent is not None and y.tangent is not None
        assert difference(x.stress, y.stress) < 1e-11
        assert difference(x.tangent, y.tangent) < 1e-10
        for name, value in y.state.items():
            assert difference(x.state[name], value) < 1e-10
        of_a, of_b = x.state, y.state
    assert bool((of_a["equivalent_plastic_strain"] > 1e-4).all())
    assert a.update(strain, of_a, 0.5, DT, tangent=False).tangent is None


def test_tangent_against_central_differences() -> None:
    material = theirs()
    strain, state = plastic(material)
    tangent = material.update(strain, state, 2 * DT, DT).tangent
    assert tangent is not None
    h = 1e-6
    for k in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[k] = h
        ahead = material.update(strain + step, state, 2 * DT, DT).stress
        behind = material.update(strain - step, state, 2 * DT, DT).stress
        assert difference((ahead - behind) / (2 * h), tangent[..., k]) < 1e-6


def test_derivatives_of_an_update_are_those_of_ours() -> None:
    a, b = theirs(), ours()
    strain, state = plastic(a)
    mine, known = (choose(m, ".R", ".sy", ".eta", ".C", ".E") for m in (a, b))
    stress_bar = randn(n, 6, seed=2)
    state_bar = {k: randn(*v.shape, seed=3) for k, v in state.items()}
    x = a.vjp(strain, state, 2 * DT, DT, stress_bar, state_bar)
    y = b.vjp(strain, state, 2 * DT, DT, stress_bar, state_bar)
    assert difference(x.strain, y.strain) < 1e-10
    assert list(x.parameters) == list(mine) == list(known)
    for name, value in y.state.items():
        assert difference(x.state[name], value) < 1e-10
    for name, value in y.parameters.items():
        assert difference(x.parameters[name], value) < 1e-10

    state_rate = {k: v.abs().max() * randn(*v.shape, seed=4) for k, v in state.items()}
    rate = {k: v.detach().abs() for k, v in mine.items()}
    for given in (None, rate):
        args = (strain, state, 2 * DT, DT, randn(n, 6, seed=5), state_rate)
        of_stress, of_state = a.jvp(*args, parameter_rate=given)
        expected, next_rates = b.jvp(*args, parameter_rate=given)
        assert difference(of_stress, expected) < 1e-10
        for name, value in next_rates.items():
            assert difference(of_state[name], value) < 1e-10
    assert all(p.requires_grad == (k in mine) for k, p in a.parameters.items())


@pytest.mark.parametrize(
    "deck", ["combined", "perzyna_voce", "solvers_gmres", "viscoelastic_prony"]
)
def test_other_decks(deck: str) -> None:
    """Predictors, complementarity, Krylov solvers, several composed parts."""
    path = DECKS / f"{deck}.i"
    a, b = Neml2Material(path, "model"), Material(neml2fe.load_model(path, "model"))
    assert a.state_spec == b.state_spec
    strain, state = plastic(a, 0.003)
    x, y = a.update(strain, state, 0.2, 0.1), b.update(strain, state, 0.2, 0.1)
    assert not len(x.failed)
    assert x.tangent is not None and y.tangent is not None
    assert difference(x.stress, y.stress) < 1e-9
    assert difference(x.tangent, y.tangent) < 1e-9
    bar = randn(n, 6, seed=6)
    pulled = a.vjp(strain, state, 0.2, 0.1, bar)
    assert difference(pulled.strain, b.vjp(strain, state, 0.2, 0.1, bar).strain) < 1e-9
    for value in pulled.parameters.values():
        assert bool(torch.isfinite(value).all())


def test_fields() -> None:
    path = DECKS / "plasticity_kocks_mecking.i"
    a, b = Neml2Material(path, "model"), Material(neml2fe.load_model(path, "model"))
    assert list(a.field_spec) == ["T"]
    state, strain = a.initial_state(4), 0.002 * randn(4, 6)
    fields = {"T": 500.0 + 20.0 * randn(4)}
    x, y = a.update(strain, state, DT, DT, fields), b.update(strain, state, DT, DT, fields)
    assert not len(x.failed)
    assert difference(x.stress, y.stress) < 1e-9
    bar = randn(4, 6, seed=1)
    of_t = a.vjp(strain, state, DT, DT, bar, fields=fields).fields["T"]
    assert difference(of_t, b.vjp(strain, state, DT, DT, bar, fields=fields).fields["T"]) < 1e-8
    with pytest.raises(ModelError, match="field 'T' must have shape"):
        a.update(strain, state, DT, DT)
    with pytest.raises(ModelError, match=r"no field 'temp'; known: T"):
        a.update(strain, state, DT, DT, {"temp": fields["T"]})


def test_a_deformation_gradient() -> None:
    """A crystal at finite strain: F to Cauchy stress, which finite elements see as PK1."""
    path = DECKS / "crystal_multiplicative.i"
    a = Neml2Material(path, "model", stress="cauchy_stress")
    b = Material(neml2fe.load_model(path, "model"), stress="cauchy_stress")
    one = torch.eye(3, dtype=torch.float64)
    state = {**a.initial_state(4), "Fp": one.expand(4, 3, 3).clone()}
    gradient, fields = one + 0.004 * randn(4, 3, 3), {"orientation": 0.1 * randn(4, 3)}
    x, y = (
        FirstPiolaKirchhoff(m, "CAUCHY").update(gradient, state, DT, DT, fields)  # type: ignore[arg-type]
        for m in (a, b)
    )
    assert not len(x.failed)
    assert x.tangent is not None and y.tangent is not None
    assert x.tangent.shape == (4, 3, 3, 3, 3)
    assert difference(x.stress, y.stress) < 1e-9
    assert difference(x.tangent, y.tangent) < 1e-9


# --- failures -----------------------------------------------------------------------------------
def test_points_that_fail_are_found() -> None:
    """NEML2 has one verdict for all points."""
    material = theirs()
    strain, state = plastic(material)
    good = material.update(strain, state, 2 * DT, DT)
    strain[3], strain[7] = torch.nan, 1e8
    found = material.update(strain, state, 2 * DT, DT)
    assert found.failed.tolist() == [3, 7]
    assert found.status[[3, 7]].tolist() == [Status.NOT_FINITE, Status.ITERATION_LIMIT]
    assert bool(torch.isnan(found.stress[[3, 7]]).all())
    assert found.tangent is not None and good.tangent is not None
    others = found.status == Status.CONVERGED
    assert difference(found.stress[others], good.stress[others]) < 1e-11
    assert difference(found.tangent[others], good.tangent[others]) < 1e-10
    with pytest.raises(ConvergenceError, match="derivatives do not exist"):
        material.vjp(strain, state, 2 * DT, DT, torch.ones_like(strain))


def test_what_neml2_cannot_differentiate_is_an_error() -> None:
    """Zeros would be wrong: its chain rule leaves out moduli that are variables."""
    path = DECKS / "elasticity_crystal_temperature.i"
    material = Neml2Material(path, "model")
    fields = {"T": 300.0 + randn(4).abs(), "orientation": 0.1 * randn(4, 3)}
    strain, state = 0.001 * randn(4, 6), material.initial_state(4)
    bar, rate = randn(4, 6, seed=1), {k: torch.ones_like(v) for k, v in fields.items()}
    with pytest.raises(ModelError, match="leave out a variable in place of a parameter"):
        material.jvp(strain, state, DT, DT, strain, None, fields, rate)
    ours = Material(neml2fe.load_model(path, "model"))
    expected = ours.vjp(strain, state, DT, DT, bar, None, fields).fields["T"]  # reverse is right
    assert (
        difference(material.vjp(strain, state, DT, DT, bar, None, fields).fields["T"], expected)
        < 1e-9
    )

    grouped = Neml2Material(DECKS / "solvers_schur.i", "model")
    strain, state = plastic(grouped)
    assert not len(grouped.update(strain, state, DT, DT).failed)
    with pytest.raises(ModelError, match="several groups of unknowns"):
        grouped.vjp(strain, state, DT, DT, strain)


# --- finite elements ----------------------------------------------------------------------------
def pulled(material: Neml2Material | Material, amplitude: float = 0.01) -> fem.Problem:
    conditions = [
        fem.Dirichlet("left", "x"),
        fem.Dirichlet("left", "y"),
        fem.Dirichlet("right", "x", lambda t: amplitude * t),
    ]
    return fem.Problem(rectangle(2, 1, "quad"), material, conditions, formulation="plane_strain")


def takes_other_materials(material: Neml2Material) -> bool:
    try:
        with replaced.with_parameters(material, {}):
            return True
    except ModelError:
        return False


def marched(problem: fem.Problem, end: float, dt: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Displacements and reactions at the end."""
    fem.simulate(problem, fem.TimeStepping(end=end, dt=dt), quiet=True)
    return torch.as_tensor(problem.u), torch.tensor(list(problem.load_row().values()))


def test_a_perforated_plate_with_both() -> None:
    mesh = fem.Mesh.read(ROOT / "meshes" / "perforated_plate.msh")
    found = []
    for material in (theirs(), ours()):
        choose(material, "nothing")
        conditions = [
            fem.Dirichlet("bottom", "y"),
            fem.Dirichlet("corner", "x"),
            fem.Dirichlet("top", "y", lambda t: 0.2 * t),
        ]
        problem = fem.Problem(mesh, material, conditions, formulation="plane_strain")
        found.append(marched(problem, end=1.0, dt=1.0))
        assert bool((problem.point_fields()[0]["equivalent_plastic_strain"] > 1e-3).any())
    for mine, known in zip(*found, strict=True):
        assert difference(mine, known) < 1e-9


def test_a_step_that_fails_is_cut() -> None:
    """Newton's method of NEML2 gives up at large strains in one step."""
    material = theirs()
    choose(material, "nothing")
    whole, halves = (pulled(material, amplitude=0.06) for _ in range(2))
    ends = [marched(whole, end=1.0, dt=1.0), marched(halves, end=1.0, dt=0.5)]
    assert whole.steps == halves.steps == 2
    for one, other in zip(*ends, strict=True):
        assert difference(one, other) < 1e-9


def loss_of(problem: fem.Problem) -> torch.Tensor:
    what = {"force": fem.Reaction("right_x"), "points": fem.NodalDisplacements()}
    found = problem.solve(fem.TimeStepping(end=1.0, dt=0.5), what)
    return 1e-4 * found["force"].square().sum() + 1e3 * found["points"].square().sum()


def test_adjoint_of_a_problem() -> None:
    material = theirs()
    chosen = choose(material, ".R", ".sy", ".eta", ".C", ".E")
    problem = pulled(material)
    if not takes_other_materials(material):
        pytest.skip("problem.solve takes no materials but neml2fe's own")
    loss_of(problem).backward()
    slope, sides = 0.0, []
    for value in chosen.values():
        assert value.grad is not None
        slope += float(value.grad * value.detach())  # all of them grow in proportion
    for factor in (1.0 + 1e-5, (1.0 - 1e-5) / (1.0 + 1e-5)):
        with torch.no_grad():
            for value in chosen.values():
                value.mul_(factor)
            sides.append(float(loss_of(problem)))
    assert slope == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("adapter", [LogarithmicStrain, PlaneStress])
def test_adapters(adapter: Callable[..., object]) -> None:
    """Finite strain and plane stress come from neml2fe."""
    a, b = adapter(theirs()), adapter(ours())
    if adapter is PlaneStress:
        strain = 0.004 * randn(n, 6)
        strain[:, 2:5] = 0.0
    else:
        strain = torch.eye(3, dtype=torch.float64) + 0.004 * randn(n, 3, 3)
    x = a.update(strain, a.initial_state(n), DT, DT)  # type: ignore[attr-defined]
    y = b.update(strain, b.initial_state(n), DT, DT)  # type: ignore[attr-defined]
    assert not len(x.failed)
    assert difference(x.stress, y.stress) < 1e-9
    assert difference(x.tangent, y.tangent) < 1e-9


def test_other_number_types() -> None:
    deck = DECKS / "elasticity.i"
    material = Neml2Material(deck, "model").to(torch.float32)
    strain = 0.001 * randn(n, 6).float()
    found = material.update(strain, material.initial_state(n, torch.float32), DT, DT)
    own = Material(neml2fe.load_model(deck, "model"))
    expected = own.update(strain.double(), own.initial_state(n), DT, DT)
    assert found.stress.dtype == torch.float32
    assert found.tangent is not None and found.tangent.dtype == torch.float32
    assert difference(found.stress.double(), expected.stress) < 1e-6


# --- mistakes -----------------------------------------------------------------------------------
def test_mistakes_in_the_deck(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no input file '.*nowhere\.i'"):
        Neml2Material(tmp_path / "nowhere.i", "model")
    with pytest.raises(InputError, match=r"model 'viscosity' of .*: No \[Models/viscosity\] found"):
        Neml2Material(STEEL, "viscosity")
    with pytest.raises(InputError, match=r"Type 'Foo' is not registered"):
        (tmp_path / "foo.i").write_text("[Models]\n  [a]\n    type = Foo\n  []\n[]\n")
        Neml2Material(tmp_path / "foo.i", "a")
    with pytest.raises(InputError, match="cannot load the model 'a'"):
        (tmp_path / "broken.i").write_text("[Models]\n  [a\n    type = Foo\n")
        Neml2Material(tmp_path / "broken.i", "a")


def test_mistakes_in_names_and_shapes() -> None:
    with pytest.raises(ModelError, match=r"cannot tell the strain of 'steel\.i:flow_rate'"):
        Neml2Material(STEEL, "flow_rate")
    with pytest.raises(ModelError, match="no strain input 'strains'; did you mean 'strain'"):
        Neml2Material(STEEL, "viscoplasticity", strain="strains")
    with pytest.raises(ModelError, match="no stress output 'sigma'"):
        Neml2Material(STEEL, "viscoplasticity", stress="sigma")
    with pytest.raises(ModelError, match="has a sub-batch"):
        Neml2Material(DECKS / "crystal_taylor.i", "model")
    with pytest.raises(ModelError, match="has a batch"):
        Neml2Material(DECKS / "temperature.i", "model")
    material = theirs()
    strain, state = plastic(material)
    with pytest.raises(ModelError, match=r"strain 'strain' must have shape \(n, 6\)"):
        material.update(strain[:, :5], state, DT, DT)
    with pytest.raises(
        ModelError, match=r"state 'stress' must have shape \(12, 6\), got \(11, 6\)"
    ):
        material.update(strain, {**state, "stress": state["stress"][1:]}, DT, DT)
    with pytest.raises(ModelError, match="no state 'damage' to have a cotangent"):
        material.vjp(strain, state, DT, DT, strain, {"damage": strain})
    with pytest.raises(ModelError, match="no parameter 'E' to have a rate"):
        rate = {"E": torch.tensor(1.0)}
        material.jvp(strain, state, DT, DT, strain, parameter_rate=rate)
