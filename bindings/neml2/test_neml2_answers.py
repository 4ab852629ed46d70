"""Failures and mistakes, and what NEML2 cannot do: what is said of them."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("neml2", reason="neml2 is not installed: make bindings-test")

import torch

import neml2fe
from neml2fe.errors import ConvergenceError, InputError, ModelError
from neml2fe.implicit import Status
from neml2fe.material import Material

sys.path.insert(0, str(Path(__file__).parent))
from neml2_cases import DECKS, DT, HERE, PERZYNA, STEEL, difference, n, plastic, randn, theirs
from neml2fe_neml2 import Neml2Material

RESISTANCE = """  [resistance]
    type = ScalarLinearCombination
    from = 'slip_hardening'
    to = 'resistance'
    weights = '3.0'
    offset = 25.0
  []
"""


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


def test_a_law_without_derivatives(tmp_path: Path) -> None:
    import my_laws
    import neml2

    class BareFlowRate(my_laws.FlowRate):
        def forward(self, yield_function: object) -> object:
            return self.law(yield_function)[0]  # type: ignore[arg-type]

    neml2.register_neml2_object("BareFlowRate")(BareFlowRate)
    own = "type = BareFlowRate\n    reference_rate = 0.02\n    drag_stress = 120"
    (tmp_path / "bare.i").write_text(STEEL.read_text().replace(PERZYNA, own))
    material = Neml2Material(tmp_path / "bare.i", "viscoplasticity")
    with pytest.raises(ModelError, match=r"NEML2 cannot evaluate .*unexpected keyword argument"):
        material.update(0.002 * randn(n, 6), material.initial_state(n), DT, DT)


def test_no_points() -> None:
    """A rank may have none."""
    material = theirs()
    args = (randn(0, 6), material.initial_state(0), DT, DT)
    found = material.update(*args)
    assert found.tangent is not None
    assert found.tangent.shape == (0, 6, 6) and found.status.shape == (0,)
    pulled = material.vjp(*args, randn(0, 6))
    assert all(float(value) == 0.0 for value in pulled.parameters.values())
    rates = {name: torch.ones_like(value) for name, value in material.parameters.items()}
    assert material.jvp(*args, randn(0, 6), parameter_rate=rates)[0].shape == (0, 6)


def test_calls_from_several_threads() -> None:
    """NEML2 keeps the point at which it solves a system: these wait for each other."""
    material, numbers = theirs(), range(3, 7)
    cases = [(0.004 * randn(k, 6, seed=k), material.initial_state(k), DT, DT) for k in numbers]
    expected = [material.update(*args).tangent for args in cases]
    with ThreadPoolExecutor(len(cases)) as pool:
        found = list(pool.map(lambda k: material.update(*cases[k % 4]).tangent, range(12)))
    for k, tangent in enumerate(found):
        assert tangent is not None
        assert torch.equal(tangent, expected[k % 4])  # type: ignore[arg-type]


def test_a_tangent_with_a_gap_is_announced(tmp_path: Path) -> None:
    """The strength of a crystal as a variable of its state: NEML2 takes it for a constant."""
    deck = (HERE / "decks" / "crystal.i").read_text()
    for old, new in (
        ("constant_strength = 25.0", "constant_strength = 'resistance'"),
        ("resolved strength slip", "resolved resistance strength slip"),
        ("  [slip]\n", f"{RESISTANCE}  [slip]\n"),
    ):
        assert old in deck
        deck = deck.replace(old, new)
    (tmp_path / "gap.i").write_text(deck)
    with pytest.warns(UserWarning, match=r"\(strength: resistance\), .* its tangent lacks it"):
        material = Neml2Material(tmp_path / "gap.i", "model")
    own = Material(neml2fe.load_model(tmp_path / "gap.i", "model"))
    fields = {"orientation": 0.2 * randn(n, 3), "vorticity": 0.01 * randn(n, 3, seed=7)}
    args = (*plastic(material, 0.002, fields), 2 * DT, DT)
    found, known = (m.update(*args, fields) for m in (material, own))
    assert difference(found.stress, known.stress) < 1e-10  # the solution is right
    assert found.tangent is not None and known.tangent is not None
    assert difference(found.tangent, known.tangent) > 1e-3  # so the warning is needed
    with pytest.raises(ModelError, match="no derivative is given rather than a wrong one"):
        material.vjp(*args, found.stress, None, fields)
    with pytest.raises(ModelError, match="no derivative is given rather than a wrong one"):
        material.jvp(*args, args[0], None, fields)


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
    with pytest.raises(ModelError, match="SR2IntermediateMean joins points or a sub-batch"):
        Neml2Material(DECKS / "crystal_taylor_block.i", "model")
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
