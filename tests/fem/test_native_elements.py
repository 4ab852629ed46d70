"""Compiled integrals over elements against those in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neml2fe.errors import Error
from neml2fe.fem.integrals import native
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.integrals.measures import Measure, measure
from neml2fe.fem.integrals.native import NativeElement, prepared
from neml2fe.fem.mesh.elements import VOLUME_CELLS, reference_element
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.mesh.generate import box, rectangle
from neml2fe.kernels import BuildError, NoCompiler, backend

MEASURES = {
    2: [
        measure("plane_strain", 2, finite=False),
        measure("plane_strain", 2, finite=True),
        measure("plane_strain", 2, finite=False, mean_dilatation=True),
        measure("axisymmetric", 2, finite=False),
        measure("axisymmetric", 2, finite=True),
        measure("axisymmetric", 2, finite=False, mean_dilatation=True),
    ],
    3: [
        measure("three_dimensional", 3, finite=False),
        measure("three_dimensional", 3, finite=True),
        measure("three_dimensional", 3, finite=False, mean_dilatation=True),
    ],
}


def cases() -> list:
    """Every type and every measure; all pairs of them take a compiler too long."""
    found = []
    for number, cell in enumerate(VOLUME_CELLS):
        every = MEASURES[reference_element(cell).dim]
        for k, m in enumerate(every):
            name = f"{cell}-{m.formulation}{'-finite' * m.finite}{'-mean' * m.mean_dilatation}"
            marks = () if k == number % len(every) else pytest.mark.slow
            found.append(pytest.param(cell, m, id=name, marks=marks))
    return found


def distorted(cell_type: str) -> tuple[CellBlock, torch.Tensor]:
    """Some elements with bent edges, away from the axis, and no multiple of eight in number."""
    dim = reference_element(cell_type).dim
    mesh = rectangle(3, 7, cell_type) if dim == 2 else box(1, 1, 11, cell_type)
    points = mesh.points + np.array([0.3, 0.0, 0.0])[:dim]
    size = np.ptp(points[mesh.cells[0].connectivity[0]], axis=0)
    points += np.random.default_rng(3).uniform(-0.05, 0.05, points.shape) * size
    return mesh.cells[0], torch.as_tensor(points)


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert torch.isfinite(expected).all()
    assert float((found - expected).abs().max()) <= 1e-13 * float(expected.abs().max())


@pytest.mark.parametrize(("cell_type", "measure"), cases())
def test_integrals_are_those_of_torch(cell_type: str, measure: Measure) -> None:
    cells, points = distorted(cell_type)
    element = NativeElement(cell_type, measure)
    with backend("eager"):
        block = ElementBlock(cells, points, measure)
    n, q, shape = block.n_elements, block.n_quadrature, measure.shape
    assert n % 8
    nodes = torch.as_tensor(cells.connectivity)
    u = torch.randn(points.numel(), dtype=torch.float64)
    stress = torch.randn(n * q, *shape, dtype=torch.float64)
    tangent = torch.randn(n * q, *shape, *shape, dtype=torch.float64)  # not symmetric
    forces, expected_forces = u.clone(), u.clone()
    matrix, expected = (LocalMatrix([cells.connectivity], len(points), measure.dim) for _ in "ab")
    slots = matrix.slots(cells.connectivity)
    strains = []
    for part in (slice(0, 1), slice(1, 11), slice(11, n)):  # of one, some and more lanes
        here = points, nodes[part]
        at = slice(part.start * q, part.stop * q)
        strains.append(element.strain(*here, u))
        element.add_forces(*here, stress[at], forces)
        element.add_stiffness(*here, tangent[at], slots[part], matrix)
    every = slice(0, n)
    assert_same(torch.cat(strains), block.strain(u, every))
    block.add_forces(stress, every, expected_forces)
    assert_same(forces, expected_forces)
    expected.add(slots, nodes, block.matrices(tangent, every))
    assert_same(matrix.values, expected.values)


def test_short_node_numbers_and_another_quadrature() -> None:
    cells, points = distorted("quad")
    m = measure("plane_strain", 2, finite=True)
    element = NativeElement("quad", m, degree=5)
    u = torch.randn(points.numel(), dtype=torch.float64)
    nodes = torch.as_tensor(cells.connectivity)
    found = element.strain(points, nodes.int(), u)
    assert torch.equal(found, element.strain(points, nodes, u))
    with backend("eager"):
        expected = ElementBlock(cells, points, m, 5).strain(u, slice(0, len(nodes)))
    assert_same(found, expected)


def test_wrong_tensors_are_refused() -> None:
    cells, points = distorted("quad")
    m = measure("plane_strain", 2, finite=False)
    element = NativeElement("quad", m)
    nodes = torch.as_tensor(cells.connectivity)
    u = torch.zeros(points.numel(), dtype=torch.float64)
    stress = torch.zeros(len(nodes) * element.n_quadrature, 6, dtype=torch.float64)
    with pytest.raises(Error, match=r"'displacements' must be .* got torch.float32"):
        element.strain(points, nodes, u.float())
    with pytest.raises(Error, match=r"'nodes' must be .* not contiguous"):
        element.strain(points, nodes.T.contiguous().T, u)
    with pytest.raises(Error, match=r"'stress' must be .*\(84, 6\)"):
        element.add_forces(points, nodes, stress[1:], u)


def test_backend_and_compiler_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    m = measure("plane_strain", 2, finite=False)
    many = native.ENOUGH
    assert prepared("quad", m, None, many - 1) is None
    assert prepared("quad", m, None, many, "eager") is None
    assert isinstance(prepared("quad", m, None, 1, "kernel"), NativeElement)
    assert prepared("quad", m, None, many) is prepared("quad", m, None, 1, "kernel")
    native.native_element.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.warns(UserWarning, match="quad .*without a compiled kernel.*no-such-compiler"):
        assert prepared("quad", m, None, many) is None
    with pytest.raises(NoCompiler):
        prepared("quad", m, None, 1, "kernel")
    native.native_element.cache_clear()
    assert issubclass(NoCompiler, BuildError)
