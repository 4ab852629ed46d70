"""Finite-element decks say what Python says: the same objects, and one clear error otherwise."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest

from neml2fe import fem
from neml2fe.errors import Error
from neml2fe.fem.conditions import conditions
from neml2fe.fem.conditions.functions import SpaceFunction
from neml2fe.fem.mesh.polycrystal import random_orientations
from neml2fe.fem.results.probes import Probe
from neml2fe.input import Input, finite_element, load_input, simulation
from neml2fe.input.reader import parse_deck
from neml2fe.inspection.types import TypeInfo, catalog
from neml2fe.material import FirstPiolaKirchhoff, Material

LAWS = """
[Models]
  [elasticity]
    type = LinearIsotropicElasticity
    coefficients = '2e5 0.3'
    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'
    strain = 'strain'
  []
  [rubber]
    type = ComposedModel
    models = 'energy pk1'
  []
  [energy]
    type = NeoHookeanEnergy
    bulk_modulus = 100
    shear_modulus = 50
  []
  [pk1]
    type = HyperelasticStress
    model = energy
  []
[]
[Materials]
  [steel]
    model = 'elasticity'
  []
[]
[Functions]
  [ramp]
    type = PiecewiseLinear
    times = '0 1'
    values = '0 2'
  []
  [bump]
    type = Expression
    expr = 't * torch.sin(x) + y'
  []
[]
"""
MESH = """
[Meshes]
  [square]
    type = Rectangle
    divisions = '2 2'
    lengths = '1 1'
    cell_type = 'quad'
  []
[]
"""
DRIVER = """
[Drivers]
  [run]
    type = FiniteElementDriver
    end_time = 1
    dt = 0.5
  []
[]
"""


def block(section: str, name: str, text: str) -> str:
    lines = "".join(f"    {line}\n" for line in text.strip().split("\n"))
    return f"[{section}]\n  [{name}]\n{lines}  []\n[]\n"


def read(text: str) -> Input:
    return Input(parse_deck(text, "deck.i"))


def built(section: str, text: str) -> Any:
    return read(LAWS + block(section, "it", text)).get(section, "it")


def refusal(text: str, section: str = "Drivers", name: str = "run") -> str:
    with pytest.raises(Error) as caught:
        read(text).get(section, name)
    return str(caught.value)


# --- conditions, bodies, probes -----------------------------------------------------------
SAME: list[tuple[str, Any]] = [
    (
        "type = Dirichlet\nboundary = left\ncomponent = normal\nvalue = 1e-3",
        fem.Dirichlet("left", "normal", 1e-3, "it"),
    ),
    (
        "type = Dirichlet\nboundary = left\ncomponent = x\nframe = '0.6 0.8; -0.8 0.6'",
        fem.Dirichlet("left", "x", 0.0, "it", [[0.6, 0.8], [-0.8, 0.6]]),
    ),
    ("type = Traction\nboundary = top\nvalue = '0 -5'", fem.Traction("top", [0.0, -5.0], "it")),
    (
        "type = Pressure\nboundary = top\nvalue = 3\nfollower = true",
        fem.Pressure("top", 3.0, "it", follower=True),
    ),
    (
        "type = BodyForce\nvalue = '1 2 3'\nregions = 'a b'",
        fem.BodyForce([1.0, 2.0, 3.0], ["a", "b"], "it"),
    ),
    ("type = Gravity\nacceleration = '0 -9.81'", conditions.Gravity([0.0, -9.81], label="it")),
    (
        "type = Centrifugal\nangular_velocity = 10\npoint = '0 0 1'\ndirection = '0 0 1'",
        conditions.Centrifugal(10.0, [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], label="it"),
    ),
    (
        "type = NodalForce\nnodes = tip\nvalue = '0 -1'",
        conditions.NodalForce("tip", [0.0, -1.0], "it"),
    ),
    (
        "type = Springs\nboundary = base\nstiffness = '10 20'\nper = node",
        conditions.Springs("base", [10.0, 20.0], "node", "it"),
    ),
    (
        "type = Springs\nboundary = base\nstiffness_names = 'normal tangential'\n"
        "stiffness_values = '10 1'",
        conditions.Springs("base", {"normal": 10.0, "tangential": 1.0}, label="it"),
    ),
    (
        "type = RigidBody\nboundary = top\npoint = '0.5 1'",
        conditions.RigidBody("top", [0.5, 1.0], "it"),
    ),
    (
        "type = ControlDisplacement\nbody = punch\ncomponent = rz\nvalue = 0.1",
        conditions.ControlDisplacement("punch", "rz", 0.1, "it"),
    ),
    (
        "type = ControlForce\nbody = punch\ncomponent = y\nvalue = -8",
        conditions.ControlForce("punch", "y", -8.0, "it"),
    ),
    (
        "type = PeriodicCell\nstrain_names = 'xx xy'\nstrain_values = '0.01 0'\n"
        "stress_names = yy\nstress_values = 5\npairs = 'left right; bottom top'",
        conditions.PeriodicCell(
            {"xx": 0.01, "xy": 0.0}, {"yy": 5.0}, [("left", "right"), ("bottom", "top")], "it"
        ),
    ),
    ("type = PeriodicCell", conditions.PeriodicCell(label="it")),
]


@pytest.mark.parametrize(("text", "wanted"), SAME, ids=lambda v: type(v).__name__)
def test_a_condition_is_the_one_that_python_makes(text: str, wanted: Any) -> None:
    assert built("BoundaryConditions", text) == wanted


def test_every_condition_is_compared_here() -> None:
    compared = {type(wanted).__name__ for _, wanted in SAME} | {"CohesiveInterface"}
    assert compared == set(finite_element.CALLS["BoundaryConditions"])


def test_values_are_functions_by_name() -> None:
    source = read(
        LAWS
        + block("BoundaryConditions", "a", "type = Traction\nboundary = b\nvalue = 'ramp bump 3'")
        + block("BoundaryConditions", "b", "type = PeriodicCell\nstrain_names = xx\n"
                "strain_values = ramp")
    )  # fmt: skip
    ramp, bump, number = source.get("BoundaryConditions", "a").value
    assert ramp is source.get("Functions", "ramp") and ramp(0.5) == 1.0 and number == 3.0
    assert source.get("BoundaryConditions", "b").strain == {"xx": ramp}
    x = np.array([[0.0, 1.0], [1.0, -2.0]])
    assert isinstance(bump, SpaceFunction)
    assert bump(2.0, x) == pytest.approx(2.0 * np.sin(x[:, 0]) + x[:, 1])


def test_a_body() -> None:
    body = built(
        "Bodies",
        "material = steel\nregions = 'a b'\nfield_names = 'temperature dose'\n"
        "field_values = '300 ramp'\ninitial_state_names = ep\ninitial_state_values = 0.1\n"
        "volumetric_locking_correction = true\nquadrature_degree = 3\ndensity = 7.8e-9",
    )
    assert type(body) is fem.Body and body.name == "it"
    assert isinstance(body.material, Material) and list(body.regions) == ["a", "b"]
    dose: Any = body.fields["dose"]
    assert body.fields["temperature"] == 300.0 and dose(0.25) == 0.5
    assert body.initial_state == {"ep": 0.1} and body.density == 7.8e-9
    assert body.volumetric_locking_correction and body.quadrature_degree == 3


def test_a_parameter_is_a_field_of_a_body() -> None:
    """What a law names instead of a number is a variable, since a body gives its values."""
    law = "[Models]\n  [law]\n    type = LinearIsotropicElasticity\n    coefficients = 'E 0.3'\n"
    law += (
        "    coefficient_types = 'YOUNGS_MODULUS POISSONS_RATIO'\n    strain = strain\n  []\n[]\n"
    )
    text = law + block("Materials", "m", "model = law")
    given = block("Bodies", "it", "material = m\nfield_names = E\nfield_values = 2e5")
    assert list(read(text + given).get("Bodies", "it").material.field_spec) == ["E"]
    assert "got 'E', which is no block" in refusal(text, "Materials", "m")


def test_probes() -> None:
    at = built("Probes", "variable = stress_xx\npoint = '0.5 0.5'")
    assert at == Probe("it", "stress_xx", point=[0.5, 0.5])
    over = built("Probes", "variable = reaction_y\non = top\nstatistic = sum")
    assert over == Probe("it", "reaction_y", on="top", statistic="sum")


def test_an_interface() -> None:
    bond = built("BoundaryConditions", "type = CohesiveInterface\ninterface = i\nmaterial = steel")
    assert bond.interface == "i" and bond.material.label == "elasticity" and bond.name == "it"


# --- fields ---------------------------------------------------------------------------------
TENSORS = """
[Tensors]
  [turned]
    type = Python
    expr = 'MRP(torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.2, 0.0]]))'
  []
[]
"""


def field(text: str) -> Any:
    return read(LAWS + TENSORS + block("Fields", "it", text)).get("Fields", "it")


def test_fields_of_data_and_tensors() -> None:
    assert field("type = NodalField\nvalues = T").values == "T"
    assert field("type = ElementField\nvalues = grain").values == "grain"
    assert field("type = ElementField\nvalues = turned").values.shape == (2, 3)
    assert field("type = RegionField\nvalues = '1 2.5'\nregions = 'a b'").values == {
        "a": 1.0, "b": 2.5
    }  # fmt: skip
    by_region = field("type = RegionField\nvalues = turned\nregions = 'a b'").values
    assert by_region["b"] == pytest.approx([0.0, 0.2, 0.0])
    everywhere = field("type = RegionField\nvalues = 7").values(np.zeros((3, 2)))
    assert everywhere.tolist() == [7.0, 7.0, 7.0] and everywhere.flags.writeable
    grains = field("type = RandomOrientations\ngrains = 3\nseed = 4").values
    assert list(grains) == ["grain_1", "grain_2", "grain_3"]
    assert np.array_equal(list(grains.values()), random_orientations(3, 4))


def test_fields_of_files_and_tables(tmp_path: Path) -> None:
    (tmp_path / "heat.csv").write_text("x,y,T\n0,0,300\n1,0,400\n0,1,500\n")
    result = meshio.Mesh(np.eye(3), [("triangle", [[0, 1, 2]])], {"T": np.array([1.0, 2.0, 3.0])})
    result.write(tmp_path / "cold.vtu")
    deck = tmp_path / "deck.i"
    deck.write_text(
        block(
            "Fields",
            "hot",
            "type = CSVField\ncsv_file = heat.csv\nmethod = nearest\noutside = nearest",
        )
        + block("Fields", "cold", "type = ResultField\nfile = cold.vtu\nvariable = T")
        + block("Fields", "both", "type = FieldTable\ntimes = '0 2'\nfields = 'cold hot'")
    )
    source = load_input(deck)
    table = source.get("Fields", "both")
    assert table.breakpoints == [0.0, 2.0]
    cold, hot = table.fields
    assert hot is source.get("Fields", "hot") and cold is source.get("Fields", "cold")
    assert hot.interpolated(np.array([[0.9, 0.1]])) == [400.0]
    assert cold.values == pytest.approx([1.0, 2.0, 3.0])
    assert (hot.outside, cold.outside) == ("nearest", "error")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type = RegionField\nvalues = '1 2'\nregions = a", "2 values for 1 regions"),
        ("type = RegionField\nvalues = turnd", "expected a number, got 'turnd'"),
        ("type = FieldTable\ntimes = '0 1'\nfields = it", "circle"),
        ("type = FieldTable\ntimes = '0 1'\nfields = '300 it'", "expected a field, got '300'"),
        (
            "type = CSVField\ncsv_file = gone.csv",
            "[Fields/it] csv_file: gone.csv: cannot read the field: No such file or directory",
        ),
        (
            "type = ResultField\nfile = gone.pvd\nvariable = T",
            "[Fields/it] file: gone.pvd: cannot read the series: No such file or directory",
        ),
        ("type = CellField\nvalues = T", "unknown type 'CellField'"),
    ],
)
def test_what_a_field_refuses(text: str, words: str) -> None:
    with pytest.raises(Error) as caught:
        field(text)
    assert words in str(caught.value)


# --- materials ----------------------------------------------------------------------------
def test_the_measure_of_a_stress() -> None:
    source = read(
        LAWS
        + block("Materials", "rubber", "model = rubber\nstress_measure = PK1")
        + block("Bodies", "it", "material = rubber")
    )
    assert isinstance(source.get("Bodies", "it").material, Material)
    assert not isinstance(source.get("Bodies", "it").material, FirstPiolaKirchhoff)
    wrong = LAWS + block("Materials", "it", "model = rubber\nstress_measure = CAUCHY")
    assert "stress measure" in refusal(wrong, "Materials", "it")
    small = LAWS + block("Materials", "it", "model = elasticity\nstress_measure = CAUCHY")
    assert "no deformation gradient" in refusal(small, "Materials", "it")


# --- meshes -------------------------------------------------------------------------------
def mesh(text: str) -> fem.Mesh:
    loaded: fem.Mesh = built("Meshes", text).load()
    return loaded


def test_generated_meshes() -> None:
    for cell_type, lengths, kind in (
        ("quad8", "2 1", "Rectangle"),
        ("hexahedron20", "1 1 1", "Box"),
        ("wedge", "1 1 1", "Box"),
    ):
        n = " ".join(["2"] * len(lengths.split()))
        text = f"type = {kind}\ndivisions = '{n}'\nlengths = '{lengths}'\ncell_type = {cell_type}"
        assert mesh(text).cells[0].cell_type == cell_type
    straight, crooked = (
        mesh("type = Rectangle\ndivisions = '4 4'\nlengths = '1 1'\ncell_type = quad" + more)
        for more in ("", "\ndistortion = 0.3\nseed = 2")
    )
    assert not np.array_equal(straight.points, crooked.points)


GRAINS = "type = Polycrystal\ngrains = 4\ndivisions = '8 8'\nlengths = '1 1'\nseed = 1\n"


def test_a_polycrystal_that_is_cut_open() -> None:
    whole = mesh(GRAINS + "cell_type = quad")
    assert set(whole.regions) == {f"grain_{k}" for k in range(1, 5)} and not whole.interfaces
    cut = mesh(GRAINS + "cell_type = quad\ninterface_regions = 'grain_1 grain_2 grain_3'")
    assert set(cut.interfaces) == {"grain_1_grain_2_grain_3"} and cut.n_nodes > whole.n_nodes


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("interfaces = crack", "no boundary named 'crack'"),
        ("interface_regions = 'grain_1 grain_9'", "no region named 'grain_9'; did you mean"),
        ("interface_regions = 'grain_1'", "two regions or more"),
        ("cell_type = quads", "quads"),
    ],
)
def test_what_a_mesh_refuses(more: str, words: str) -> None:
    cell = "" if "cell_type" in more else "cell_type = quad\n"
    with pytest.raises(Error, match=words) as caught:
        mesh(GRAINS + cell + more)
    assert "[Meshes/it]" in str(caught.value) and str(caught.value).startswith("deck.i:")


# --- drivers ------------------------------------------------------------------------------
def test_a_driver_hands_on_what_it_is_given() -> None:
    text = LAWS + MESH + DRIVER.replace(
        "    dt = 0.5\n",
        "    dt = 0.5\n    formulation = plane_stress\n    kinematics = finite\n"
        "    tolerance = 1e-8\n    stops = '0.3 0.7'\n    output_every = 3\n"
        "    error_tolerance = 1e-3\n    output_times = '0.25 1'\n    format = xdmf\n"
        "    output = 'nodes points'\n    report = true\n    figure = mises\n"
        "    petsc_options = '-ksp_type cg -ksp_monitor'\n",
    ) + block("Probes", "tip", "variable = displacement_x\non = top")  # fmt: skip
    driver = read(text).get_driver("run")
    assert driver.problem == {
        "formulation": "plane_stress", "kinematics": "finite", "tolerance": 1e-8
    }  # fmt: skip
    assert driver.stepping.end == 1.0 and driver.stepping.error_tolerance == 1e-3
    assert list(driver.stepping.stops) == [0.3, 0.7]
    assert driver.recorder == {
        "every": 3, "format": "xdmf", "output": "nodes points", "report": True,
        "output_times": [0.25, 1.0], "probes": [Probe("tip", "displacement_x", on="top")],
    }  # fmt: skip
    assert driver.simulation == {"figure": "mises"}
    assert driver.petsc_options == {"ksp_type": "cg", "ksp_monitor": None}
    assert len(driver.bodies) == 1 and not driver.bodies[0].regions


def test_petsc_options_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "options").write_text("-ksp_type cg  # comment\n\n-pc_type gamg\n")
    deck = tmp_path / "deck.i"
    more = "    petsc_options_file = options\n    petsc_options = '-pc_type lu'\n"
    deck.write_text(LAWS + MESH + DRIVER.replace("    dt = 0.5\n", "    dt = 0.5\n" + more))
    assert load_input(deck).get_driver("run").petsc_options == {"ksp_type": "cg", "pc_type": "lu"}
    (tmp_path / "options").write_text("ksp_type cg")
    with pytest.raises(Error, match=r"deck.i:\d+: .*options:1: expected one option"):
        load_input(deck).get_driver("run")
    (tmp_path / "options").unlink()
    with pytest.raises(Error, match=r"deck.i:\d+: .*petsc_options_file: .*cannot read"):
        load_input(deck).get_driver("run")


def test_bodies_take_part_unless_some_are_listed() -> None:
    text = LAWS + MESH + block("Bodies", "a", "material = steel\nregions = l")
    text += block("Bodies", "b", "material = steel\nregions = r")
    both, one = (
        read(text + DRIVER.replace("    dt = 0.5\n", f"    dt = 0.5\n{more}")).get_driver("run")
        for more in ("", "    bodies = 'b'\n")
    )
    assert [b.name for b in both.bodies] == ["a", "b"] and [b.name for b in one.bodies] == ["b"]


# What is added to or changed in a deck, where it is wrong, and words of the message.
BODY = block("Bodies", "a", "material = steel")
WRONG: list[tuple[str, str, str, str, str]] = [
    ("'2 2'", "'2 2 2'", "", "'2 2 2'", "expected 2 numbers, got 3"),
    (
        "",
        "",
        block("BoundaryConditions", "b", "type = PeriodicCell\npairs = 'a b; c'"),
        "pairs",
        "expected 2 names, got 1",
    ),
    ("dt = 0.5", "dt = 0.5\n    material =  steel", "", "material =  steel", "[Bodies]"),
    ("dt = 0.5", "dt = 0.5\n    bodies = 'c'", "", "bodies = 'c'", "no block [Bodies/c]"),
    ("dt = 0.5", "dt = 0.5\n    kinematic = finite", "", "kinematic", "did you mean 'kinematics'"),
    ("dt = 0.5", "dt = '0.5 1'", "", "dt = '0.5 1'", "expected one value"),
    ("dt = 0.5", "dt = half", "", "dt = half", "expected a number, got 'half'"),
    ("    dt = 0.5\n", "", "", "[run]", "the field 'dt' is missing"),
    ("dt = 0.5", "dt = 0.5\n    report = yes", "", "report", "expected true or false"),
    ("dt = 0.5", "dt = 0.5\n    field_names = a", "", "[run]", "equally long lists"),
    (
        "dt = 0.5",
        "dt = 0.5\n    field_names = 'a a'\n    field_values = '1 2'",
        "",
        "field_names",
        "'a' is given twice",
    ),
    (
        "",
        "",
        block("Bodies", "b", "material = stele"),
        "material = stele",
        "no block [Materials/stele]; did you mean 'steel'?",
    ),
    ("", "", block("Bodies", "b", "regions = l"), "[b]", "the field 'material' is missing"),
    (
        "",
        "",
        block("BoundaryConditions", "b", "type = Dirichlet\nboundary = l\ncomponent = x\n"
              "value = rmap"),
        "value = rmap",
        "expected a number, got 'rmap', which is no block of [Functions]; did you mean 'ramp'?",
    ),
    (
        "",
        "",
        block("BoundaryConditions", "b", "type = ControlForce\nbody = l\ncomponent = x\n"
              "value = bump"),
        "value = bump",
        "'bump' is a function of place",
    ),
    (
        "",
        "",
        block("BoundaryConditions", "b", "type = Springs\nboundary = l\nstiffness = '1 1'\n"
              "stiffness_names = normal\nstiffness_values = 1"),
        "stiffness = '1 1'",
        "not both",
    ),
    (
        "",
        "",
        block("BoundaryConditions", "b", "type = Spring\nboundary = l"),
        "type = Spring",
        "did you mean 'Springs'?",
    ),
    (
        "",
        "",
        block("Probes", "b", "on = top"),
        "[b]",
        "the field 'variable' is missing",
    ),
    ("", "", block("Probes", "b", "variable = mises\npoint = '0 z'"), "point", "got 'z'"),
    (
        "'0 1'",
        "'0 1'\n    csv_file = table.csv",
        block("BoundaryConditions", "b", "type = Dirichlet\nboundary = l\ncomponent = x\n"
              "value = ramp"),
        "    times = '0 1'",
        "not both",
    ),
    (
        "",
        "",
        block("Bodies", "b", "material = steel\ndensity = ramp"),
        "density = ramp",
        "expected a number, got 'ramp'",
    ),
    (
        "torch.sin(x)",
        "torch.sin(x",
        block("BoundaryConditions", "b", "type = Dirichlet\nboundary = l\ncomponent = x\n"
              "value = bump"),
        "expr = ",
        "not a Python expression",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "more", "place", "words"), WRONG)
def test_a_wrong_deck(old: str, new: str, more: str, place: str, words: str) -> None:
    deck = (LAWS + MESH + BODY + DRIVER + more).replace(old, new, 1) if old else (
        LAWS + MESH + BODY + DRIVER + more
    )  # fmt: skip
    line = deck[: deck.index(place)].count("\n") + 1
    with pytest.raises(Error) as caught:
        read(deck).get_driver("run")
    assert words in str(caught.value) and str(caught.value).startswith(f"deck.i:{line}:")


# The place of what a run finds wrong: of the block that the message is about.
HELD = block("BoundaryConditions", "left", "type = Dirichlet\nboundary = left\ncomponent = x")
LATE: list[tuple[str, str, str, str]] = [
    ("dt = 0.5", "dt = 0.5\n    device = gpu:7", "device = gpu:7", "device 'gpu:7' cannot be used"),
    (
        "component = x\n  []",
        "component = x\n  []\n  [also]\n    type = Dirichlet\n    boundary = left\n"
        "    component = x\n    value = 1\n  []",
        "[left]",
        "conditions 'left' and 'also' prescribe",
    ),
    (
        "component = x\n  []",
        "component = x\n  []\n  [glue]\n    type = CohesiveInterface\n    interface = gone\n"
        "    material = steel\n  []",
        "[glue]",
        "interface 'glue': the mesh has no interface 'gone'",
    ),
    (
        "dt = 0.5",
        "dt = 0.5\n    field_names = heat\n    field_values = hot",
        "[hot]",
        "field 'heat': the mesh has no point data 'T'",
    ),
]


@pytest.mark.parametrize(("old", "new", "place", "words"), LATE, ids=lambda text: text[:12])
def test_errors_of_a_run_name_the_block(
    tmp_path: Path, old: str, new: str, place: str, words: str
) -> None:
    heated = LAWS.replace("'2e5 0.3'", "'2e5 heat'") if "heat" in new else LAWS
    fields = block("Fields", "hot", "type = NodalField\nvalues = T")
    deck = (heated + MESH + fields + BODY + HELD + DRIVER).replace(old, new, 1)
    line = deck[: deck.index(place)].count("\n") + 1
    with pytest.raises(Error) as caught:
        read(deck).get_driver("run").run(tmp_path, quiet=True)
    assert words in str(caught.value) and str(caught.value).startswith(f"deck.i:{line}:")


def test_place_in_two_dimensions_has_no_z() -> None:
    wrong = LAWS.replace("torch.sin(x)", "torch.sin(z)")
    source = read(wrong)
    with pytest.raises(Error, match=r"deck.i:\d+: \[Functions/bump\] expr: .*'z'"):
        source.get("Functions", "bump")(0.0, np.zeros((1, 2)))


# --- what `neml2fe syntax` says -------------------------------------------------------------
CALLS = {
    **{
        f"{section}/{kind}": (call,)
        for section, known in finite_element.CALLS.items()
        for kind, call in known.items()
    },
    "Drivers/FiniteElementDriver": simulation.CALLS,
}
PARTS = [info for info in catalog() if f"{info.section}/{info.type}" in CALLS]


@pytest.mark.parametrize("info", PARTS, ids=lambda info: info.type)
def test_defaults_are_those_of_python(info: TypeInfo) -> None:
    """Where the text says nothing else: sizes of steps by default depend on others, and a
    stiffness may be given by direction in place of components."""
    spoken = {"dt_min", "dt_max", "point", "on", "stiffness"}
    told = {field.name: field.default for field in info.fields}
    for call in CALLS[f"{info.section}/{info.type}"]:
        for name, parameter in call.parameters.items():
            known = call.renamed.get(name, name)
            if known in spoken or known not in told:
                continue
            default = parameter.default
            if default is inspect.Parameter.empty:
                assert told[known] is None, known
            elif isinstance(default, bool):
                assert told[known] == str(default).lower(), known
            elif isinstance(default, (int, float)):
                assert float(told[known] or "nan") == default, known
            elif isinstance(default, str) and default:
                assert told[known] == default, known
            else:
                assert told[known] == "", known


def test_springs_need_no_stiffness_by_component() -> None:
    (springs,) = (info for info in PARTS if info.type == "Springs")
    required = {field.name for field in springs.fields if field.required}
    assert required == {"boundary"}
    with pytest.raises(Error, match="the field 'stiffness' is missing"):
        built("BoundaryConditions", "type = Springs\nboundary = base")
