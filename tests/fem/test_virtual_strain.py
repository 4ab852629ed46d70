"""Virtual strains, derivatives of strains by displacements and their transposes."""

from __future__ import annotations

import pytest
import torch
from test_native_elements import MEASURES, assert_same, cases, distorted

from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.integrals.measures import Measure
from neml2fe.fem.integrals.native import native_element
from neml2fe.fem.integrals.volumetric import FBarBlock
from neml2fe.fem.mesh.elements import VOLUME_CELLS, reference_element
from neml2fe.kernels import backend

EVERY = [
    pytest.param(
        kind,
        cell,
        m,
        id=f"{cell}-{m.formulation}{'-finite' * m.finite}{'-mean' * m.mean_dilatation}"
        f"{'-fbar' * (kind is FBarBlock)}",
    )
    for cell in VOLUME_CELLS
    for m in MEASURES[reference_element(cell).dim]
    for kind in ((ElementBlock, FBarBlock) if m.finite else (ElementBlock,))
]


def made(kind: type[ElementBlock], cell_type: str, measure: Measure) -> ElementBlock:
    cells, points = distorted(cell_type)
    with backend("eager"):
        return kind(cells, points, measure)


def displacements(block: ElementBlock, seed: int = 0) -> torch.Tensor:
    """Some that turn no element inside out, of 2 % of the size of an element."""
    nodes = block.points[block.nodes[0]]
    size = float((nodes.amax(0) - nodes.amin(0)).min())
    generator = torch.Generator().manual_seed(seed)
    shape = (block.points.numel(),)
    return 0.02 * size * torch.randn(shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("kind", "cell_type", "measure"), EVERY)
def test_forces_do_the_work_of_the_stress_on_virtual_strains(
    kind: type[ElementBlock], cell_type: str, measure: Measure
) -> None:
    block = made(kind, cell_type, measure)
    part = slice(1, block.n_elements)
    strain = block.strain(displacements(block), part)
    w = torch.randn(block.points.numel(), dtype=torch.float64)
    stress = torch.randn_like(strain)
    forces = torch.zeros_like(w)
    block.add_forces(stress, part, forces)
    virtual = block.virtual_strain(w, part)
    assert virtual.shape == strain.shape
    works = block.volumes(part).reshape(-1) * (stress * virtual).flatten(1).sum(1)
    assert abs(float(works.sum() - forces @ w)) <= 1e-13 * float(works.abs().sum())


@pytest.mark.parametrize(("kind", "cell_type", "measure"), EVERY)
def test_strains_are_pushed_by_their_derivative_and_pulled_by_its_transpose(
    kind: type[ElementBlock], cell_type: str, measure: Measure
) -> None:
    block = made(kind, cell_type, measure)
    part = slice(1, block.n_elements)
    u, du = displacements(block), displacements(block, 1)
    h = 1e-4
    forward, backward = (block.strain(u + s * h * du, part) for s in (1, -1))
    strain = block.strain(u, part)
    pushed = block.push_strain(du, part)
    assert pushed.shape == strain.shape
    # Central differences: h^2 of a cubic term of 1e-2, and round-off over h.
    error = ((forward - backward) / (2 * h) - pushed).abs().max()
    assert float(error) <= 1e-9 * float(pushed.abs().max())

    bar = torch.randn_like(strain)
    nodal = torch.ones_like(u)
    block.pull_strain(bar, part, nodal)
    works = (bar * pushed).flatten()
    found = float((nodal - 1.0) @ du)
    scale = float(works.abs().sum())
    assert abs(float(works.sum()) - found) <= 1e-13 * scale


@pytest.mark.parametrize("cell_type", ["quad", "hexahedron"])
def test_f_bar_belongs_to_the_strain_of_the_same_part(cell_type: str) -> None:
    (finite,) = (m for m in MEASURES[reference_element(cell_type).dim][:2] if m.finite)
    block = made(FBarBlock, cell_type, finite)
    block.strain(displacements(block), slice(0, 2))
    with pytest.raises(AssertionError, match="strain of the same part comes first"):
        block.push_strain(displacements(block), slice(2, 4))


@pytest.mark.parametrize(("kind", "cell_type", "measure"), EVERY)
def test_the_transposed_matrix_pulls_work_back(
    kind: type[ElementBlock], cell_type: str, measure: Measure
) -> None:
    """A linear law that lacks symmetry: K^T w is the derivative of forces . w by displacements."""
    block = made(kind, cell_type, measure)
    part = slice(0, block.n_elements)
    size, shape = measure.size, measure.shape
    generator = torch.Generator().manual_seed(2)
    law = torch.randn(size, size, dtype=torch.float64, generator=generator)
    u, w, du = (displacements(block, seed) for seed in range(3))

    def forces(u: torch.Tensor) -> torch.Tensor:
        strain = block.strain(u, part).flatten(1)
        found = torch.zeros_like(u)
        block.add_forces((strain @ law.T).reshape(-1, *shape), part, found)
        return found

    h = 1e-3
    slope = float((forces(u + h * du) - forces(u - h * du)) @ w) / (2 * h)
    forces(u)
    matrix = LocalMatrix([block.connectivity], len(block.points), measure.dim)
    block.bind(matrix)
    tangent = law.expand(block.n_points, size, size).reshape(-1, *shape, *shape)
    block.add_stiffness(tangent, part, matrix)
    pulled = torch.as_tensor(matrix.product(w.numpy(), transposed=True))
    scale = float(pulled.norm() * du.norm())
    assert abs(float(pulled @ du) - slope) <= 1e-8 * scale
    product = torch.as_tensor(matrix.product(du.numpy()))
    assert abs(float(product @ w - pulled @ du)) <= 1e-13 * scale


@pytest.mark.parametrize(("cell_type", "measure"), cases())
def test_compiled_strains_are_those_of_torch(cell_type: str, measure: Measure) -> None:
    for kind in (ElementBlock, FBarBlock) if measure.finite else (ElementBlock,):
        check_compiled(kind, cell_type, measure)


def check_compiled(kind: type[ElementBlock], cell_type: str, measure: Measure) -> None:
    block, compiled = (made(kind, cell_type, measure) for _ in "ab")
    compiled._native = native_element(cell_type, measure)
    u, du = displacements(block), displacements(block, 1)
    for part in (slice(0, 1), slice(1, block.n_elements)):
        bar = torch.randn(block.strain(u, part).shape, dtype=torch.float64)
        compiled.strain(u, part)
        nodal, expected = torch.zeros_like(u), torch.zeros_like(u)
        block.pull_strain(bar, part, expected)
        compiled.pull_strain(bar, part, nodal)
        assert_same(nodal, expected)
        assert_same(compiled.push_strain(du, part), block.push_strain(du, part))
        assert_same(compiled.virtual_strain(du, part), block.virtual_strain(du, part))
        assert_same(compiled.volumes(part), block.volumes(part))
    assert_same(compiled.volumes(), block.volumes())


# products with the matrix of a rank


@pytest.mark.parametrize("few", [False, True])
@pytest.mark.parametrize("cell_type", ["quad", "hexahedron"])
def test_products_in_parts(cell_type: str, few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.sparse import csr_array

    from neml2fe.fem.algebra.pattern import BlockPattern
    from neml2fe.fem.integrals import matrix as module

    cells, points = distorted(cell_type)
    n, dim = points.shape
    matrix = LocalMatrix([cells.connectivity], n, dim)
    matrix.values.normal_()
    indptr, indices = BlockPattern(matrix.indptr, matrix.indices).scalar(dim, n)
    whole = csr_array((matrix.values.numpy(), indices, indptr))
    x = torch.randn(n * dim, dtype=torch.float64).numpy()
    if few:
        x[: dim * (n - 2)] = 0.0
    for size in (module.PART, 7):  # 7: ends within a row
        monkeypatch.setattr(module, "PART", size)
        for found, expected in (
            (matrix.product(x), whole @ x),
            (matrix.product(x, transposed=True), whole.T @ x),
        ):
            assert abs(found - expected).max() <= 1e-13 * abs(expected).max()
    assert not matrix.product(0.0 * x).any() and not matrix.product(0.0 * x, True).any()
