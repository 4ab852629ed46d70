"""`neml2fe inspect`: what it says of models, and of decks with mistakes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_runs import Ended

import neml2fe as package
from neml2fe.inspection.dimensions import parameter_dimensions, variable_dimensions
from neml2fe.inspection.graph import graph_of, wiring
from neml2fe.models import ComposedModel, Model

DECKS = Path(__file__).parents[1] / "decks"
PERZYNA = DECKS / "perzyna_voce.i"
Call = Callable[..., Ended]


def sections(out: str) -> dict[str, list[list[str]]]:
    """The words of each line, by the title of the section."""
    found: dict[str, list[list[str]]] = {}
    for block in out.split("\n\n"):
        title, *lines = block.splitlines()
        found[title] = [re.split(r"  +", line.strip()) for line in lines]
    return found


def test_a_viscoplastic_model(neml2fe: Call) -> None:
    ended = neml2fe("inspect", PERZYNA)
    assert ended.code == 0 and not ended.err
    assert ended.out.startswith("model (ImplicitUpdate)\n")
    said = sections(ended.out)
    members = dict(re.findall(r"[├└]─ (\w+) +(\w+)", ended.out))
    assert members["rates_and_residuals"] == "ComposedModel"
    assert members["isoharden"] == "VoceIsotropicHardening"
    assert members["predictor"] == "ConstantExtrapolationPredictor"
    assert ["E", "SR2", "1"] in said["Inputs"] and ["t", "Scalar", "time"] in said["Inputs"]
    assert said["Outputs"][2:] == [
        ["stress", "SR2", "stress"],
        ["equivalent_plastic_strain", "Scalar", "1"],
    ]
    assert ["stress", "SR2", "stress", "stress_residual"] in said["Solved by model"]
    state = {line[0]: line[2] for line in said["State"]}
    assert state == {
        "stress~1": "stress, computed",
        "equivalent_plastic_strain~1": "equivalent_plastic_strain, computed",
        "E~1": "E, given",
        "t~1": "t, given",
    }
    values = {line[0]: line[1:] for line in said["Parameters"]}
    assert values["rates_and_residuals.isoharden.R"] == ["90", "scalar", "stress"]
    assert values["rates_and_residuals.isoharden.d"] == ["12", "scalar", "1"]
    assert values["rates_and_residuals.elasticity.E"] == ["120000", "scalar", "stress"]
    assert values["rates_and_residuals.elasticity.nu"] == ["0.32", "scalar", "1"]
    wires = said["Wiring of rates_and_residuals"]
    assert ["isotropic_hardening", "isoharden", "normality, yield_surface"] in wires
    assert ["stress_residual", "integrate_stress", "(output)"] in wires
    assert ["E", "(input)", "Erate"] in wires


def test_dimensions_follow_from_rates_and_derivatives() -> None:
    model = package.load_model(PERZYNA, "model")
    found = variable_dimensions(model)
    assert found["flow_rate"] == found["E_rate"] == found["strain_rate"] == "1/time"
    assert found["stress_rate"] == "stress/time" and found["stress_residual"] == "stress"
    assert found["flow_direction"] == "1" and found["E"] == "1" and found["t"] == "time"
    assert set(parameter_dimensions(model)) == set(dict(model.named_parameters()))


@pytest.mark.parametrize("deck", sorted(DECKS.glob("*.i")), ids=lambda path: path.stem)
def test_every_deck(deck: Path, neml2fe: Call) -> None:
    """Members agree on dimensions, but for a porous material, whose yield function has none
    while a viscous law takes it for a stress; every variable is in the graph."""
    assert neml2fe("inspect", deck).code == 0
    model = package.load_model(deck, "model")
    dimensions = variable_dimensions(model)
    assert {n for n, d in dimensions.items() if " or " in d} <= {"yield_function"}
    graph = graph_of(model)
    labels = [(node.kind, node.label) for node in graph.nodes]
    assert [n for kind, n in labels if kind == "input"] == list(model.input_spec)
    assert [n for kind, n in labels if kind == "output"] == list(model.output_spec)
    taken = {s for s, _ in graph.edges}
    for k, node in enumerate(graph.nodes):
        assert k in taken or node.kind == "output", f"{node.label} gives nothing to anyone"
    for (source, target), names in graph.edges.items():
        assert names and (source < target or graph.nodes[target].kind == "solve")


def test_the_wiring_names_givers_and_takers() -> None:
    model = package.load_model(PERZYNA, "rates_and_residuals")
    assert isinstance(model, ComposedModel)
    table = {name: (giver, takers) for name, giver, takers in wiring(model)}
    assert set(table) == {v for m in model.models for v in (*m.input_spec, *m.output_spec)}
    assert table["yield_function"] == ("yield_surface", "flow_rate")
    assert table["flow_rate"] == ("flow_rate", "eprate, Eprate")


def test_a_parameter_that_is_a_model(neml2fe: Call, tmp_path: Path) -> None:
    """Its model is a member, and gives its output to the one that it is a parameter of."""
    deck = tmp_path / "deck.i"
    deck.write_text("""
[Models]
  [modulus]
    type = ScalarLinearCombination
    from = temperature
    to = hardening_modulus
    weights = -2
    offset = 2000
  []
  [hardening]
    type = LinearIsotropicHardening
    hardening_modulus = modulus
  []
[]
""")
    said = sections(neml2fe("inspect", deck).out)
    assert "hardening (LinearIsotropicHardening)" in said
    assert ["temperature", "Scalar"] in said["Inputs"]
    graph = graph_of(package.load_model(deck, "hardening"))
    at = {node.label: k for k, node in enumerate(graph.nodes)}
    assert graph.edges[at["modulus"], at["hardening"]] == ["hardening_modulus"]
    assert graph.edges[at["temperature"], at["modulus"]] == ["temperature"]
    assert (at["temperature"], at["hardening"]) not in graph.edges


def test_models_inside_of_others_are_shown() -> None:
    """Whatever holds one model with its own outputs stands for it."""

    class Short(Model, abstract=True):
        def setup(self) -> None:
            self.adopt("inner", package.load_model(PERZYNA, "model"))

        @property
        def input_spec(self):  # type: ignore[no-untyped-def, override]
            return self._modules["inner"].input_spec  # type: ignore[union-attr]

        @property
        def output_spec(self):  # type: ignore[no-untyped-def, override]
            return self._modules["inner"].output_spec  # type: ignore[union-attr]

    short, inner = graph_of(Short()), graph_of(package.load_model(PERZYNA, "model"))
    assert short == inner


def test_dot(neml2fe: Call) -> None:
    out = neml2fe("inspect", PERZYNA, "--dot").out
    assert out.startswith('digraph "model" {') and out.endswith("}\n")
    nodes = dict(re.findall(r'  (n\d+) \[label="([^"]*)"', out))
    edges = re.findall(r"  (n\d+) -> (n\d+) ", out)
    assert set(nodes) == {node for edge in edges for node in edge}
    names = {(nodes[a].split("\\n")[0], nodes[b].split("\\n")[0]) for a, b in edges}
    assert ("isoharden", "normality") in names and ("integrate_stress", "model") in names


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_figure(suffix: str, neml2fe: Call, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"graph.{suffix}"
    assert neml2fe("inspect", PERZYNA, "--figure", path).code == 0
    assert path.stat().st_size > 10_000


def test_blocks_that_are_not_used(neml2fe: Call, tmp_path: Path) -> None:
    deck = tmp_path / "deck.i"
    extra = "[Models]\n[spare]\ntype = IsotropicMandelStress\n[]\n[]\n"
    deck.write_text(PERZYNA.read_text() + extra)
    assert "warning: [Models/spare] is not used\n" in neml2fe("inspect", deck).out
    assert "is not used" not in neml2fe("inspect", PERZYNA).out
    assert neml2fe("inspect", deck, "spare").out.startswith("spare (IsotropicMandelStress)")


def test_without_drivers_the_outermost_models_are_shown(neml2fe: Call, tmp_path: Path) -> None:
    deck = tmp_path / "deck.i"
    text = PERZYNA.read_text()
    start, end = text.index("[Drivers]"), text.index("[Models]")
    deck.write_text(text[:start] + text[end:])
    out = neml2fe("inspect", deck).out
    assert out.startswith("model (ImplicitUpdate)\n") and "eprate (" not in out


def test_an_override(neml2fe: Call) -> None:
    out = neml2fe("inspect", PERZYNA, "--set", "Models/isoharden/saturation_rate=13").out
    assert re.search(r"isoharden\.d +13 ", out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modell"], "no model 'modell'; did you mean 'model'?"),
        (["--set", "Models/isoharden/saturation_rate=fast"], "expected a number, got 'fast'"),
        (
            ["--set", "Models/isoharden/saturation_rate=VONMISES"],
            "got 'VONMISES', which is no block",
        ),
        (["--set", "Drivers/driver/model=modell"], "no block [Models/modell]"),
        (["--set", "Drivers/driver/prescribed_time=strains"], "is a SR2, not a Scalar"),
        (["--figure", "graph.txt"], "a figure is a .png, .pdf or .svg file"),
    ],
)
def test_mistakes(words: list[str], message: str, neml2fe: Call) -> None:
    neml2fe("inspect", PERZYNA, *words).refused(message)


def test_a_deck_that_is_not_there(neml2fe: Call, tmp_path: Path) -> None:
    neml2fe("inspect", tmp_path / "none.i").refused("there is no file")
