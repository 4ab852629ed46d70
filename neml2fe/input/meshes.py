"""`[Meshes]` blocks: files, structured meshes and polycrystals, cut open along interfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neml2fe import fem
from neml2fe.errors import MeshError
from neml2fe.fem.mesh import generate
from neml2fe.fem.mesh.interfaces import split, split_all_regions
from neml2fe.fem.mesh.polycrystal import voronoi_box
from neml2fe.input.arguments import Call
from neml2fe.input.deck import Block, located

if TYPE_CHECKING:
    from neml2fe.input.factory import Input


def _file(file: Path) -> fem.Mesh:
    return fem.Mesh.read(file)


def _rectangle(
    divisions: tuple[int, int],
    lengths: tuple[float, float],
    cell_type: str,
    distortion: float = 0.0,
    seed: int = 0,
) -> fem.Mesh:
    return generate.rectangle(*divisions, cell_type, lengths, distortion, seed)


def _box(
    divisions: tuple[int, int, int],
    lengths: tuple[float, float, float],
    cell_type: str,
    distortion: float = 0.0,
    seed: int = 0,
) -> fem.Mesh:
    return generate.box(*divisions, cell_type, lengths, distortion, seed)


def _quarter_annulus(
    divisions: tuple[int, int], radii: tuple[float, float], cell_type: str
) -> fem.Mesh:
    return generate.quarter_annulus(*divisions, cell_type, *radii)


def _polycrystal(
    grains: int,
    divisions: Sequence[int],
    lengths: Sequence[float],
    seed: int,
    cell_type: str = "hexahedron",
) -> fem.Mesh:
    return voronoi_box(grains, divisions, lengths, seed, cell_type)


MESHES: dict[str, Call] = {
    "File": Call(_file),
    "Rectangle": Call(_rectangle),
    "Box": Call(_box),
    "QuarterAnnulus": Call(_quarter_annulus),
    "Polycrystal": Call(_polycrystal),
}
_CUTS = ("interfaces", "interface_regions")
FIELDS: dict[str, tuple[str, ...]] = {n: (*call.fields(), *_CUTS) for n, call in MESHES.items()}


@dataclass
class MeshSource:
    """A mesh to be read or generated on rank 0 only, when the run starts, and cut open along
    `interfaces` (boundaries inside of it) and between the regions of each row of
    `interface_regions`."""

    block: Block
    make: Callable[[], fem.Mesh]
    interfaces: Sequence[str] = ()
    interface_regions: Sequence[Sequence[str]] = ()

    def load(self) -> fem.Mesh:
        """Raises `MeshError` or `InputError`, with the place of the block or of the mesh file."""
        with located(self.block):
            mesh = self.make()
        with self._asked_by("interfaces"):
            for boundary in self.interfaces:
                mesh = split(mesh, boundary)
        with self._asked_by("interface_regions"):
            for regions in self.interface_regions:
                mesh = split_all_regions(mesh, regions, "_".join(regions))
        return mesh

    @contextmanager
    def _asked_by(self, name: str) -> Iterator[None]:
        """Errors within are about what the field `name` asks for."""
        try:
            yield
        except MeshError as error:
            error.location = self.block.require(name).location
            raise


def build_mesh(source: Input, block: Block) -> MeshSource:
    kind = block.get("type")
    call = MESHES["File" if kind is None else kind.as_str()]
    arguments = call.arguments(source, block)
    cuts, rows = (block.get(name) for name in _CUTS)
    between = rows.as_rows() if rows else []
    if rows and any(len(row) < 2 for row in between):
        raise rows.error("expected the names of two regions or more in each row")
    return MeshSource(
        block, lambda: call.make(**arguments), cuts.as_list() if cuts else (), between
    )
