"""Meshes: reference elements, files, checks, generators, and their distribution over ranks."""

from neml2fe.fem.mesh.distribution import LocalMesh, distribute
from neml2fe.fem.mesh.exchange import gather_elements, gather_nodes
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.mesh.mesh import Mesh

__all__ = ["CellBlock", "LocalMesh", "Mesh", "distribute", "gather_elements", "gather_nodes"]
