"""Values moved between the ranks of a distributed mesh and rank 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import MeshError
from neml2fe.fem.collective import collectively, gather_rows, scatter_rows
from neml2fe.fem.mesh.elements import Index

if TYPE_CHECKING:
    from neml2fe.fem.mesh.distribution import LocalMesh


def gather_nodes(local: LocalMesh, values: NDArray) -> NDArray | None:
    """Nodal values (n_owned, ...) of all ranks as (n_global, ...) in original node order.

    On rank 0; None elsewhere.
    """
    _check_rows(local, values, local.n_owned, "owned nodes")
    return _gather(local, values, local.nodes[: local.n_owned])


def gather_elements(local: LocalMesh, values: Sequence[NDArray]) -> list[NDArray] | None:
    """Values (cells of the block, ...) for each block as (all cells of the block, ...).

    In original element order on rank 0; None elsewhere.
    """
    gathered = []
    for block, elements in zip(values, local.elements, strict=True):
        _check_rows(local, block, len(elements), "elements of a block")
        gathered.append(_gather(local, block, elements))
    return [block for block in gathered if block is not None] if local.rank == 0 else None


def gather_interface(
    local: LocalMesh, name: str, values: Sequence[NDArray]
) -> list[NDArray] | None:
    """Values (pairs, ...) of each block of an interface as values of all its pairs.

    In original order on rank 0; None elsewhere.
    """
    gathered = []
    for block, numbers in zip(values, local.interface_numbers[name], strict=True):
        _check_rows(local, block, len(numbers), f"facet pairs of interface '{name}'")
        gathered.append(_gather(local, block, numbers))
    return [block for block in gathered if block is not None] if local.rank == 0 else None


def scatter_nodes(local: LocalMesh, values: NDArray | None) -> NDArray:
    """Nodal values (n_global, ...) in original order on rank 0 as (n_local, ...), ghosts too."""
    return _scatter(local, values, local.nodes, local.n_global, "nodes")


def scatter_elements(local: LocalMesh, values: Sequence[NDArray] | None) -> tuple[NDArray, ...]:
    """Values for each block, original order, on rank 0 as values of this rank's elements."""
    return tuple(
        _scatter(local, None if values is None else values[b], elements, n, "elements")
        for b, (elements, n) in enumerate(zip(local.elements, local.n_elements, strict=True))
    )


def scatter_interface(
    local: LocalMesh, name: str, values: Sequence[NDArray] | None
) -> tuple[NDArray, ...]:
    """Values for each block of an interface, original order, on rank 0 as values of this rank."""
    what = f"facet pairs of interface '{name}'"
    sizes = zip(local.interface_numbers[name], local.n_interface[name], strict=True)
    return tuple(
        _scatter(local, None if values is None else values[b], numbers, n, what)
        for b, (numbers, n) in enumerate(sizes)
    )


def _check_rows(local: LocalMesh, values: NDArray, n: int, what: str) -> None:
    def check() -> None:
        if len(values) != n:
            raise MeshError(f"got {len(values)} rows of values for {n} {what}", local.name)

    collectively(local.comm, check, every_rank=True)


def _gather(local: LocalMesh, values: NDArray, numbers: Index) -> NDArray | None:
    rows, order = gather_rows(local.comm, values), gather_rows(local.comm, numbers)
    if rows is None or order is None:
        return None
    original = np.empty_like(rows)
    original[order] = rows
    return original


def _scatter(
    local: LocalMesh, values: NDArray | None, numbers: Index, n: int, what: str
) -> NDArray:
    def check() -> None:
        if values is None or len(values) != n:
            got = "nothing" if values is None else f"{len(values)} rows"
            raise MeshError(f"rank 0 must pass values for all {n} {what}; got {got}", local.name)

    collectively(local.comm, check)
    wanted = gather_rows(local.comm, numbers)
    rows = None if wanted is None or values is None else values[wanted]
    return scatter_rows(local.comm, rows, len(numbers))
