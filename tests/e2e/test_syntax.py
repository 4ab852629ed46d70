"""`neml2fe syntax` and the catalog: everything described, every example builds, pages renewed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from e2e_runs import Ended

from neml2fe.input import Input
from neml2fe.input.factory import SECTIONS
from neml2fe.input.reader import parse_deck
from neml2fe.inspection import pages
from neml2fe.inspection.example_decks import DECKS
from neml2fe.inspection.example_values import VALUES
from neml2fe.inspection.examples import block_name, example
from neml2fe.inspection.types import TypeInfo, catalog
from neml2fe.models import REGISTRY
from neml2fe.models.solid_mechanics.surrogate import Perceptron

CATALOG = Path(__file__).parents[2] / "docs" / "catalog"
TYPES = catalog()
each = pytest.mark.parametrize("info", TYPES, ids=lambda info: f"{info.section}-{info.type}")


def test_all_types_are_there() -> None:
    known = {(info.section, info.type) for info in TYPES}
    assert len(known) == len(TYPES)
    for section, content in SECTIONS.items():
        own = {
            kind
            for kind in content.fields()
            if section != "Models" or REGISTRY[kind].__module__.startswith("neml2fe.")
        }
        assert own == {kind for s, kind in known if s == section}


@each
def test_every_type_and_field_is_described(info: TypeInfo) -> None:
    """A type outside of [Models] is described in `inspection/documents.py`."""
    assert info.doc
    assert all(field.doc for field in info.fields), [f.name for f in info.fields if not f.doc]
    assert len({field.name for field in info.fields}) == len(info.fields)


@each
def test_every_example_builds(
    info: TypeInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where values by type and dimension make no sense, `inspection/example_values.py` helps."""
    names = ["time", *(f"traction_{c}" for c in "xyz"), "spin_zy", "spin_xz", "spin_yx"]
    names += [f"stress_{c}" for c in ("xx", "yy", "zz", "yz", "xz", "xy")]
    rows = [",".join(names), *(",".join([str(k)] * len(names)) for k in range(2))]
    (tmp_path / "history.csv").write_text("\n".join(rows) + "\n")
    table = ["Time [s],Strain [%],Stress [MPa]", "0,0,0", "1,0.1,200", "2,0.2,300"]
    (tmp_path / "tension.csv").write_text("\n".join(table) + "\n")
    (tmp_path / "tests.csv").write_text("name,file,Temperature [degC]\nhot,tension.csv,700\n")
    (tmp_path / "temperature.csv").write_text("x,y,T\n0,0,300\n1,0,400\n")
    images = [f"{x},{y},{1e-3 * k * x},0,{k}" for k in (1, 2) for x in (0, 1, 2) for y in (0, 1)]
    (tmp_path / "camera.csv").write_text("\n".join(["x,y,u,v,image", *images]) + "\n")
    points = np.eye(3)
    heat = meshio.Mesh(points, [("triangle", [[0, 1, 2]])], {"temperature": points[:, 0]})
    heat.write(tmp_path / "heat.vtu")
    monkeypatch.chdir(tmp_path)
    inputs = 2  # of networks
    torch.save(Perceptron([inputs, 16, 16, 1]).state_dict(), "weights.pt")
    text = example(info)
    source = Input(parse_deck(text, "example.i"))
    assert source.get(info.section, block_name(info)) is not None
    required = {field.name for field in info.fields if field.required}
    given = source.deck.block(info.section, block_name(info)).fields
    assert required <= set(given) and len(text.splitlines()) <= 45


BOUNDS = {
    "poissons_ratio": (-1.0, 0.499),
    "friction_angle": (0.0, 89.0),
    "dilatancy_angle": (0.0, 89.0),
    "youngs_modulus": (1e3, 1e6),
    "q1": (1.0, 2.0),
    "mode_mixity": (0.0, 1.0),
    "phase_fraction": (0.0, 1.0),
    "initial_strain": (0.0, 0.1),
}
EXPONENTS = {"HosfordStress": (6, 8), "Yld2000Stress": (6, 8), "SwiftIsotropicHardening": (0, 1)}


def test_examples_are_physical() -> None:
    seen = set()
    for info in TYPES:
        bounds = BOUNDS | {"exponent": EXPONENTS.get(info.type, (0, 100))}
        for name, text in re.findall(r"^ +(\w+) = (\S+)$", example(info), re.MULTILINE):
            if name in bounds and info.group != "Presets":
                low, high = bounds[name]
                assert low <= float(text) <= high, (info.type, name)
                seen.add(name)
    assert seen >= BOUNDS.keys()


def test_no_example_is_left_over() -> None:
    names = {info.type for info in TYPES}
    assert set(VALUES) <= names
    assert set(DECKS) <= {f"{info.section}/{info.type}" for info in TYPES}
    for info in TYPES:
        assert set(VALUES.get(info.type, ())) <= {field.name for field in info.fields}


def test_the_pages_are_renewed() -> None:
    wanted = pages.pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in CATALOG.glob("*.md")}
    stale = sorted(n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n))
    assert not stale, f"run make catalog: {', '.join(stale)}"


def test_pages_hold_every_type_once() -> None:
    headings = [
        name
        for page in pages.pages().values()
        for line in page.splitlines()
        if line.startswith("## ")
        for name in line[3:].split(", ")
    ]
    assert sorted(headings) == sorted(info.type for info in TYPES)


def test_pages_are_written_and_old_ones_removed(tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text("a group that is no more")
    written = pages.write(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert (tmp_path / "plasticity_and_viscoplasticity.md").read_text().count("## YieldFunction\n")


# -- the command ----------------------------------------------------------------------------


def test_the_list(neml2fe: Callable[..., Ended]) -> None:
    ended = neml2fe("syntax")
    assert ended.code == 0
    lines = ended.out.splitlines()
    for info in TYPES:
        assert sum(line.split()[:1] == [info.type] for line in lines) == 1
    for section in SECTIONS:
        assert any(line.startswith(f"[{section}]") for line in lines)


def test_one_type(neml2fe: Callable[..., Ended]) -> None:
    out = neml2fe("syntax", "PerzynaPlasticFlowRate").out
    lines = [line.split(maxsplit=5) for line in out.splitlines()]
    assert r"$\dot\gamma = \langle f/\eta \rangle^n$ (Perzyna 1966)" in out
    assert "neml2fe/models/solid_mechanics/plasticity.py" in out
    assert [
        "reference_stress", "parameter", "Scalar", "required", "stress", "Reference stress",
    ] in lines  # fmt: skip
    assert ["flow_rate", "output", "Scalar", "flow_rate", "1/time", "Flow rate"] in lines
    assert "type = PerzynaPlasticFlowRate" in out and "reference_stress = 100" in out


def test_the_page_says_what_the_command_says(neml2fe: Callable[..., Ended]) -> None:
    page = (CATALOG / "plasticity_and_viscoplasticity.md").read_text()
    out = neml2fe("syntax", "YieldFunction").out
    (info,) = pages.find("YieldFunction")
    for text in (info.doc, *(field.doc for field in info.fields)):
        assert text in page and text in out
    assert example(info) in page


def test_choices_and_defaults_are_shown(neml2fe: Callable[..., Ended]) -> None:
    out = neml2fe("syntax", "SR2Invariant").out
    assert "VONMISES, EFFECTIVE_STRAIN, I1, I2, J2" in out
    rate = neml2fe("syntax", "SR2VariableRate").out
    assert "{variable}_rate" in rate
    newton = neml2fe("syntax", "Newton").out
    assert "1e-10" in newton and "25" in newton
    driver = neml2fe("syntax", "TransientDriver").out
    assert driver.count("prescribed_TYPE_names") == 1 and "ic_SR2_names" not in driver


def test_json(neml2fe: Callable[..., Ended]) -> None:
    everything = json.loads(neml2fe("syntax", "--json").out)
    assert [entry["type"] for entry in everything] == [info.type for info in TYPES]
    (one,) = json.loads(neml2fe("syntax", "VoceIsotropicHardening", "--json").out)
    assert one["section"] == "Models" and "[Models]" in one["example"]
    field = next(f for f in one["fields"] if f["name"] == "saturated_hardening")
    assert field == {
        "name": "saturated_hardening",
        "kind": "parameter",
        "type": "Scalar",
        "default": None,
        "dimension": "stress",
        "doc": "Hardening at saturation",
        "choices": [],
        "required": True,
    }


def test_a_type_that_is_not_there(neml2fe: Callable[..., Ended]) -> None:
    ended = neml2fe("syntax", "VoceHardening")
    ended.refused("no type 'VoceHardening'; did you mean 'VoceIsotropicHardening'?")
    neml2fe("syntax", "Chabochee").refused("known: ChabochePlasticHardening,")
