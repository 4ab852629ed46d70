"""How the nodes and dofs of a problem are spread over the ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neml2fe.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DofLayout:
    """Which nodes this rank holds. Collective data: every rank builds its own part.

    - `comm`: mpi4py communicator, or None for a serial problem.
    - `block_size`: dofs per node.
    - `n_owned_nodes`: nodes owned by this rank.
    - `global_nodes`: (n_local_nodes,) parallel node numbers; first the owned ones,
      consecutive and following those of the rank before, then the ghosts.
    - `coordinates`: (n_local_nodes, dim), length unit of the mesh; for rigid-body modes.
    """

    comm: Any
    block_size: int
    n_owned_nodes: int
    global_nodes: NDArray[np.int64]
    coordinates: Array

    def __post_init__(self) -> None:
        owned = self.global_nodes[: self.n_owned_nodes]
        if len(owned) != self.n_owned_nodes or np.any(np.diff(owned) != 1):
            raise InputError(
                "DofLayout.global_nodes must begin with the n_owned_nodes owned nodes, "
                "numbered consecutively"
            )
        if self.coordinates.ndim != 2 or len(self.coordinates) != len(self.global_nodes):
            raise InputError(
                f"DofLayout.coordinates has shape {self.coordinates.shape}; "
                f"expected ({len(self.global_nodes)}, dim)"
            )

    @property
    def n_ranks(self) -> int:
        return 1 if self.comm is None else int(self.comm.Get_size())

    @property
    def rank(self) -> int:
        return 0 if self.comm is None else int(self.comm.Get_rank())

    @property
    def n_owned_dofs(self) -> int:
        return self.n_owned_nodes * self.block_size

    @property
    def n_local_dofs(self) -> int:
        return len(self.global_nodes) * self.block_size

    def n_global_nodes(self) -> int:
        """Nodes of all ranks together. Collective."""
        n = self.n_owned_nodes
        return n if self.comm is None else int(self.comm.allreduce(n))
