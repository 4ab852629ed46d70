"""Nodes on opposite faces of a periodic cell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from neml2fe.errors import MeshError
from neml2fe.fem.mesh.elements import Array, Index


def match_faces(
    points: Array,
    minus_nodes: Index,
    plus_nodes: Index,
    offset: Sequence[float] | Array,
    tolerance: float = 1e-6,
) -> Index:
    """Pairs (n, 2) of nodes with points[plus] = points[minus] + offset, in the order of minus.

    points: (n_nodes, dim); minus_nodes, plus_nodes: node numbers; offset: (dim,).
    tolerance: largest distance, as a fraction of the extent of `points`.
    Raises MeshError unless each node of either face has one partner on the other.
    """
    minus, plus = (np.asarray(nodes, dtype=np.int64) for nodes in (minus_nodes, plus_nodes))
    shift = np.asarray(offset, dtype=np.float64)
    if shift.shape != points.shape[1:]:
        raise MeshError(
            f"the offset between periodic faces needs {points.shape[1]} components; "
            f"got shape {shift.shape}"
        )
    if not (minus.size and plus.size):
        raise MeshError("a periodic face has no nodes")
    near = tolerance * np.ptp(points, axis=0).max()
    partner = _partners(points[minus] + shift, points[plus], near, minus, shift)
    _partners(points[plus] - shift, points[minus], near, plus, -shift)
    if len(np.unique(partner)) < len(partner):
        place, count = np.unique(partner, return_counts=True)
        node = plus[place[count.argmax()]]
        raise MeshError(
            f"node {node} at {points[node].tolist()} is the partner of {count.max()} nodes of the "
            "opposite periodic face; nodes must not coincide there"
        )
    return np.column_stack([minus, plus[partner]])


def _partners(wanted: Array, candidates: Array, near: float, nodes: Index, shift: Array) -> Index:
    distance, found = cKDTree(candidates).query(wanted)
    alone = np.flatnonzero(~(distance <= near))
    if alone.size:
        first = alone[0]
        raise MeshError(
            f"{alone.size} of {len(nodes)} nodes of a periodic face have no partner on the "
            f"opposite one; the first is node {nodes[first]} at "
            f"{(wanted[first] - shift).tolist()}: the nearest candidate is "
            f"{distance[first]:.3g} away from {wanted[first].tolist()}; both faces must be meshed "
            "alike"
        )
    return found
