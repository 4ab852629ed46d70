"""Fields over nodes, elements, points, time and files, and initial states."""

from __future__ import annotations

from pathlib import Path

import meshio
import numpy as np
import pytest
import torch

import neml2fe.models as m
from neml2fe.errors import InputError
from neml2fe.fem.body import Body
from neml2fe.fem.conditions.conditions import Dirichlet
from neml2fe.fem.conditions.field_files import (
    ScatteredField,
    field_from_csv,
    field_from_result,
)
from neml2fe.fem.conditions.fields import ElementField, FieldTable, NodalField, PointField
from neml2fe.fem.conditions.functions import SpaceFunction
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.fem.mesh.mesh import Mesh
from neml2fe.fem.problem import Problem
from neml2fe.material import Material
from neml2fe.models import ComposedModel

HERE = Path(__file__).parent
CTE = 1e-4


def thermal(temperature: str = "temperature") -> Material:
    """Linear elasticity on the strain less the thermal one."""
    eigenstrain = m.ThermalEigenstrain(
        label="expansion", reference_temperature=20.0, CTE=CTE, temperature=temperature
    )
    mechanical = m.SR2LinearCombination(
        label="rest", from_=("E", "eigenstrain"), to="elastic_strain", weights=(1.0, -1.0)
    )
    elasticity = m.LinearIsotropicElasticity(
        label="elasticity",
        coefficients=(70e3, 0.3),
        coefficient_types=("YOUNGS_MODULUS", "POISSONS_RATIO"),
        strain="elastic_strain",
    )
    return Material(
        ComposedModel(label="thermal", models=(eigenstrain, mechanical, elasticity)), strain="E"
    )


def mesh() -> Mesh:
    plain = rectangle(4, 3, "quad", (2.0, 1.0), distortion=0.2)
    at = plain.points[plain.cells[0].connectivity].mean(axis=1)[:, 0]
    return Mesh(
        plain.points,
        plain.cells,
        plain.boundaries,
        regions={"left": (np.flatnonzero(at < 1),), "right": (np.flatnonzero(at >= 1),)},
        point_data={"T": 20.0 + 5.0 * plain.points[:, 0]},
        cell_data={"T": (np.arange(12.0),)},
    )


HELD = [Dirichlet(side, c) for side in ("left", "right", "bottom", "top") for c in "xy"]


def values_of(field: object, time: float = 1.0, whole: Mesh | None = None) -> np.ndarray:
    """The temperature at the quadrature points."""
    problem = Problem(whole or mesh(), thermal(), HELD, fields={"temperature": field},
                      backend="scipy")  # fmt: skip
    block = problem.solids[0].block
    return problem.solids[0].fields(time, slice(0, block.n_elements))["temperature"].numpy()


def positions() -> np.ndarray:
    problem = Problem(mesh(), thermal(), HELD, fields={"temperature": 20.0}, backend="scipy")
    return problem.solids[0].block.positions().reshape(-1, 2).numpy()


def linear(x: np.ndarray) -> np.ndarray:
    return 20.0 + 5.0 * x[:, 0]


def test_every_way_to_give_a_linear_field_gives_it(tmp_path: Path) -> None:
    x, expected = mesh().points, linear(positions())
    meshio.write(
        tmp_path / "old.vtu",
        meshio.Mesh(
            np.column_stack([x, np.zeros(len(x))]),
            [("quad", mesh().cells[0].connectivity)],
            point_data={"T": linear(x)},
        ),
    )
    table = np.column_stack([x, np.zeros(len(x)), linear(x)])
    np.savetxt(tmp_path / "T.csv", table, delimiter=",", header="x,y,z,T", comments="")
    ways = {
        "array": NodalField(linear(x)),
        "function": NodalField(linear),
        "name": NodalField("T"),
        "points": PointField(SpaceFunction(lambda t, x: linear(x))),
        "space function": SpaceFunction(lambda t, x: linear(x)),
        "scattered": ScatteredField(x, linear(x)),
        "csv": field_from_csv(tmp_path / "T.csv"),
        "result": field_from_result(tmp_path / "old.vtu", "T"),
    }
    for name, field in ways.items():
        assert np.abs(values_of(field) - expected).max() <= 1e-9, name


def test_element_fields_are_the_same_at_all_points_of_an_element() -> None:
    numbers = np.arange(12.0)
    for given in (numbers, [numbers], "T"):
        assert np.array_equal(values_of(ElementField(given)), np.repeat(numbers, 4))
    found = values_of(ElementField({"left": 30.0, "right": 40.0})).reshape(12, 4)
    regions = mesh().regions
    assert np.all(found[regions["left"][0]] == 30.0)
    assert np.all(found[regions["right"][0]] == 40.0)


def test_tables_of_fields_are_straight_lines_in_time(tmp_path: Path) -> None:
    field = FieldTable([0.0, 2.0], [NodalField("T"), ElementField(np.full(12, 100.0))])
    expected = 0.75 * linear(positions()) + 25.0
    assert np.abs(values_of(field, 0.5) - expected).max() <= 1e-9
    assert np.all(values_of(field, 5.0) == 100.0)
    assert field.breakpoints == [0.0, 2.0]


def test_series_of_an_earlier_result(tmp_path: Path) -> None:
    """Two times, and a mesh that is not the present one."""
    old = rectangle(3, 5, "triangle", (2.0, 1.0))
    points = np.column_stack([old.points, np.zeros(old.n_nodes)])
    sets = []
    for k, factor in enumerate((1.0, 3.0)):
        cells = [("triangle", old.cells[0].connectivity)]
        data = {"T": factor * linear(old.points)}
        meshio.write(tmp_path / f"s{k}.vtu", meshio.Mesh(points, cells, point_data=data))
        sets.append(f'<DataSet timestep="{k}.0" part="0" file="s{k}.vtu"/>')
    text = f'<VTKFile type="Collection"><Collection>{"".join(sets)}</Collection></VTKFile>'
    (tmp_path / "s.pvd").write_text(text)
    field = field_from_result(tmp_path / "s.pvd", "T")
    assert np.abs(values_of(field, 0.5) - 2.0 * linear(positions())).max() <= 1e-9
    assert field.breakpoints == [0.0, 1.0]


def test_a_temperature_field_makes_the_thermal_stress() -> None:
    """Held all around at a uniform field the stress is -3 K alpha dT, exactly."""
    problem = Problem(
        mesh(), thermal(), HELD, fields={"temperature": NodalField(np.full(20, 120.0))},
        backend="scipy",
    )  # fmt: skip
    assert problem.advance(1.0).converged
    bulk = 70e3 / (3.0 * 0.4)
    stress = problem.solids[0].stress.numpy()
    assert stress[:, :3] == pytest.approx(np.full_like(stress[:, :3], -3 * bulk * CTE * 100.0))
    assert np.abs(problem.u).max() <= 1e-12


def test_an_initial_state_from_fields() -> None:
    """Equivalent plastic strain that varies by element from the start, and stays."""
    from constraints_on_ranks import material

    start = np.linspace(0.0, 0.11, 12)
    body = Body(material("j2"), initial_state={"equivalent_plastic_strain": ElementField(start)})
    problem = Problem(mesh(), body, HELD, backend="scipy")
    state = problem.solids[0].state["equivalent_plastic_strain"]
    assert torch.equal(state, torch.as_tensor(np.repeat(start, 4)))
    assert problem.advance(1.0).converged
    state = problem.solids[0].state["equivalent_plastic_strain"]
    assert torch.allclose(state, torch.as_tensor(np.repeat(start, 4)), atol=1e-14)


REFUSED = {
    "length": (NodalField(np.zeros(19)), "19 values for 20 nodes"),
    "shape": (NodalField(np.zeros(())), "do not fit"),
    "nan": (NodalField(np.full(20, np.nan)), "no finite value"),
    "point data": (
        NodalField("t"),
        "field 'temperature': the mesh has no point data 't'; known: T",
    ),
    "cell data": (ElementField("U"), "no cell data 'U'"),
    "elements": (ElementField(np.zeros(11)), "11 values for 12 elements"),
    "region": (ElementField({"lfet": 1.0}), "did you mean 'left'"),
    "gap": (ElementField({"left": 1.0}), "6 elements are in none of the regions left"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_fields_that_do_not_fit_are_refused(case: str) -> None:
    field, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        values_of(field)


def test_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    wrong = {
        "empty.csv": ("", "columns x, y, value"),
        "word.csv": ("x,y,T\n0,0,warm\n", "word.csv:2: not a number"),
        "short.csv": ("x,y,T\n0,0,1\n1,2\n", "short.csv:3: 3 finite numbers"),
        "head.csv": ("x,y,T\n", "no values"),
        "bad.pvd": ("<VTKFile>", "cannot read the series"),
        "none.pvd": ("<VTKFile/>", "the series is empty"),
        "bad.vtu": ("nonsense", "cannot read the result"),
    }
    for name, (text, message) in wrong.items():
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            field_from_csv(path) if name.endswith("csv") else field_from_result(path, "T")
    with pytest.raises(InputError, match="cannot read the field"):
        field_from_csv(tmp_path / "missing.csv")
    for name in ("missing.pvd", "missing.vtu"):
        with pytest.raises(InputError, match="cannot read") as caught:
            field_from_result(tmp_path / name, "T")
        assert str(caught.value).count(name) == 1 and "Errno" not in str(caught.value)


def test_nodes_outside_of_scattered_points_are_refused_unless_allowed(tmp_path: Path) -> None:
    """The mesh is 2 by 1; the points cover 1.5 of it, or all but 0.5 %."""
    x = mesh().points
    short, almost = x * [0.75, 1.0], x * [0.995, 1.0]
    field = ScatteredField(short, linear(short))
    right = int((x[:, 0] > 1.5 + 0.01 * np.hypot(1.5, 1.0)).sum())
    assert right >= 4
    with pytest.raises(InputError, match=rf"'temperature': {right} of 20 nodes .* up to 0\.5 "):
        values_of(field)
    with pytest.raises(InputError, match="nodes are outside"):
        values_of(ScatteredField(short, linear(short), "nearest"))
    allowed = values_of(ScatteredField(short, linear(short), outside="nearest"))
    assert allowed.max() == pytest.approx(27.5) and linear(positions()).max() > 28.0
    assert (
        np.abs(values_of(ScatteredField(almost, linear(almost))) - linear(positions())).max() < 0.1
    )
    table = np.column_stack([short, linear(short)])
    np.savetxt(tmp_path / "T.csv", table, delimiter=",", header="x,y,T", comments="")
    with pytest.raises(InputError, match="nodes are outside"):
        values_of(field_from_csv(tmp_path / "T.csv"))
    assert np.array_equal(values_of(field_from_csv(tmp_path / "T.csv", outside="nearest")), allowed)
    with pytest.raises(InputError, match="'error' or 'nearest', not 'zero'"):
        ScatteredField(short, linear(short), outside="zero")


def test_a_field_of_one_body_need_not_reach_into_others() -> None:
    whole = mesh()
    nodes = np.unique(whole.cells[0].connectivity[whole.regions["left"][0]])
    field = ScatteredField(whole.points[nodes], linear(whole.points[nodes]))
    bodies = [
        Body(thermal(), ["left"], {"temperature": field}),
        Body(thermal(), ["right"], {"temperature": 20.0}),
    ]
    problem = Problem(whole, bodies, HELD, backend="scipy")
    block = problem.solids[0].block
    found = problem.solids[0].fields(1.0, slice(0, block.n_elements))["temperature"].numpy()
    assert found == pytest.approx(linear(block.positions().reshape(-1, 2).numpy()))


def test_scattered_points_on_a_line_have_no_linear_field() -> None:
    points = np.column_stack([np.linspace(0.0, 2.0, 5), np.full(5, 0.5)])
    with pytest.raises(InputError, match="on one line"):
        values_of(ScatteredField(points, linear(points), outside="nearest"))


def test_scattered_points_outside_have_the_nearest_value() -> None:
    corners = np.array([[0.0, 0.0, 9.0], [1.0, 0.0, 9.0], [0.0, 1.0, 9.0]])
    field = ScatteredField(corners, np.array([1.0, 2.0, 3.0]))
    found = field.interpolated(np.array([[0.25, 0.25], [5.0, 0.0], [0.0, -1.0]]))
    assert found == pytest.approx([1.75, 2.0, 1.0])
    solid = box(1, 1, 1, "hexahedron")
    whole = ScatteredField(solid.points, solid.points[:, 2], "nearest")
    assert whole.interpolated(np.array([[0.1, 0.1, 0.9]])) == pytest.approx([1.0])
