"""Integrals over elements of one type, compiled for this machine's processor.

The same as `block.py` computes in torch, on one thread and with nothing kept for an element:
`geometry.h` and `element.h`, behind the tables of a reference element and of a strain measure.
"""

from __future__ import annotations

import ctypes
import math
import warnings
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path

import torch

from neml2fe.errors import Error
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.integrals.measures import Measure
from neml2fe.fem.mesh.elements import reference_element
from neml2fe.kernels import BuildError, chosen_backend, repetitions
from neml2fe.kernels.build import host_library
from neml2fe.kernels.source import TEMPLATES
from neml2fe.kernels.store import Built

ENOUGH = 20_000  # updates of quadrature points that make up for the seconds a compiler takes


class NativeElement:
    """Volumes, strains, forces and stiffness of elements of one type under one measure.

    Compiled when first used, which raises `BuildError` where it fails. Tensors are contiguous and
    on the CPU: `points` `(n_local_nodes, dim)` are coordinates, `nodes` `(e, k)` the local nodes
    (int64 or int32) of the elements to work on, numbers are float64. Raises `Error` for others.
    """

    def __init__(self, cell_type: str, measure: Measure, degree: int | None = None) -> None:
        element = reference_element(cell_type)
        self.label = f"{cell_type} ({measure.formulation})"
        self.measure, self.n_nodes = measure, element.n_nodes
        self.n_quadrature = len(element.quadrature(degree)[1])
        self.source = _source(cell_type, measure, degree)

    @cached_property
    def built(self) -> Built:
        """The compiled library."""
        return host_library(self.source, self.label)

    @cached_property
    def _library(self) -> ctypes.CDLL:
        library = ctypes.CDLL(str(self.built.path))
        pointer = ctypes.c_void_p
        head = [ctypes.c_longlong, pointer, pointer, ctypes.c_int]
        for name, tail in (
            ("volumes", [pointer]),
            ("strain", [pointer, pointer, ctypes.c_double]),
            ("forces", [pointer] * 2),
            ("stiffness", [pointer] * 4),
        ):
            function = getattr(library, f"neml2fe_{name}")
            function.argtypes, function.restype = [*head, *tail], None
        return library

    def ready(self) -> None:
        """Compile and load, if that has not happened."""
        _ = self._library

    def volumes(self, points: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Volumes of quadrature points, `(e, q)`."""
        volumes = points.new_empty(len(nodes), self.n_quadrature)
        self._library.neml2fe_volumes(*self._elements(points, nodes), volumes.data_ptr())
        return volumes

    def strain(
        self, points: torch.Tensor, nodes: torch.Tensor, u: torch.Tensor, change: bool = False
    ) -> torch.Tensor:
        """Strains `(e * q, 6)` or `(e * q, 3, 3)` from local displacements `u`
        `(n_local_nodes * dim,)`; G u alone if only their `change` is wanted."""
        head = self._elements(points, nodes)
        self._require("displacements", u, (points.numel(),))
        strain = u.new_empty(len(nodes) * self.n_quadrature, *self.measure.shape)
        self._library.neml2fe_strain(*head, u.data_ptr(), strain.data_ptr(), 0.0 if change else 1.0)
        return strain

    def add_forces(
        self, points: torch.Tensor, nodes: torch.Tensor, stress: torch.Tensor, forces: torch.Tensor
    ) -> None:
        """Add the integral of G^T S, S `(e * q, 6)` or `(e * q, 3, 3)`, to local `forces`
        `(n_local_nodes * dim,)`."""
        head = self._elements(points, nodes)
        self._require("stress", stress, (len(nodes) * self.n_quadrature, *self.measure.shape))
        self._require("forces", forces, (points.numel(),))
        self._library.neml2fe_forces(*head, stress.data_ptr(), forces.data_ptr())

    def add_stiffness(
        self,
        points: torch.Tensor,
        nodes: torch.Tensor,
        tangent: torch.Tensor,
        slots: torch.Tensor,
        matrix: LocalMatrix,
    ) -> None:
        """Add the integral of G^T C G, C `(e * q, 6, 6)` or `(e * q, 3, 3, 3, 3)`, to `matrix`;
        `slots` `(e, k, k)` as it gives them for `nodes`."""
        head = self._elements(points, nodes)
        shape = self.measure.shape
        self._require("tangent", tangent, (len(nodes) * self.n_quadrature, *shape, *shape))
        self._require("slots", slots, (len(nodes), self.n_nodes, self.n_nodes), torch.int32)
        self._require("matrix", matrix.values, (len(matrix.indices) * self.measure.dim**2,))
        # indptr stays alive as long as the matrix does.
        pointers = slots.data_ptr(), matrix.indptr.ctypes.data, matrix.values.data_ptr()
        self._library.neml2fe_stiffness(*head, tangent.data_ptr(), *pointers)

    def _elements(self, points: torch.Tensor, nodes: torch.Tensor) -> tuple[int, int, int, bool]:
        """The first arguments of every function."""
        self._require("points", points, (len(points), self.measure.dim))
        wide = nodes.dtype == torch.int64
        dtype = torch.int64 if wide else torch.int32
        self._require("nodes", nodes, (len(nodes), self.n_nodes), dtype)
        return len(nodes), points.data_ptr(), nodes.data_ptr(), wide

    def _require(
        self,
        name: str,
        tensor: torch.Tensor,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.float64,
    ) -> None:
        found = tuple(tensor.shape), tensor.dtype, tensor.device.type, tensor.is_contiguous()
        if found != (shape, dtype, "cpu", True):
            raise Error(
                f"{self.label}: '{name}' must be a contiguous {dtype} tensor of shape {shape} on "
                f"the CPU, got {found[1]}, {found[0]}, {found[2]}"
                + ("" if found[3] else ", not contiguous")
            )


@cache
def native_element(cell_type: str, measure: Measure, degree: int | None = None) -> NativeElement:
    """The one `NativeElement` of this process for a type, measure and degree of quadrature."""
    return NativeElement(cell_type, measure, degree)


def prepared(
    cell_type: str, measure: Measure, degree: int | None, n: int, own: str = "auto"
) -> NativeElement | None:
    """The compiled and loaded element for n quadrature points, or None where torch computes them.

    `own` is a backend as a material has one, which contexts and NEML2FE_BACKEND override. With
    `eager` nothing is compiled; with `auto` nothing for few points, and there is a warning where
    compiling fails; with `kernel` that raises `BuildError`.
    """
    choice = chosen_backend(own)
    if choice == "eager" or (choice == "auto" and n * repetitions() < ENOUGH):
        return None
    element = native_element(cell_type, measure, degree)
    try:
        element.ready()
    except BuildError as error:
        if choice == "kernel":
            raise
        warnings.warn(
            f"the elements {element.label} are integrated without a compiled kernel, which is "
            f"slower: {error}",
            stacklevel=2,
        )
        return None
    return element


def _source(cell_type: str, measure: Measure, degree: int | None) -> str:
    """C++: the tables that `geometry.h` and `element.h` refer to, between the templates."""
    element = reference_element(cell_type)
    xi, weights = element.quadrature(degree)
    shapes, gradients = element.tabulate(xi)
    rows = [
        [[*gradients[q, a], *[shapes[q, a]] * measure.axisymmetric] for a in range(element.n_nodes)]
        for q in range(len(weights))
    ]
    row = {component: c for c, component in enumerate(measure.components)}
    entries = measure.entries
    # One factor for all entries of a component: it then multiplies strain, stress and tangent.
    scale = {e.component: e.factor for e in entries}
    assert all(scale[e.component] == e.factor for e in entries)
    sizes = {
        "K": element.n_nodes,
        "D": measure.dim,
        "N": measure.n_gradients,
        "Q": len(weights),
        "SIZE": measure.size,
        "C": len(row),
        "ENTRIES": len(entries),
    }
    start = measure.reference(torch.zeros((), dtype=torch.float64)).flatten().tolist()
    tables = [
        *(f"constexpr int {name} = {value};" for name, value in sizes.items()),
        f"constexpr bool AXISYMMETRIC = {int(measure.axisymmetric)};",
        f"constexpr bool MEAN_DILATATION = {int(measure.mean_dilatation)};",
        f"constexpr double TURN = {2 * math.pi!r}, THIRD = {1 / 3!r};",
        _table("int", "ACTIVE[C]", measure.components),
        _table("bool", "NORMAL[C]", [int(c in measure.normals) for c in measure.components]),
        _table("double", "SCALE[C]", [scale.get(c, 1.0) for c in measure.components]),
        _table("int", "COMPONENT[ENTRIES]", [row[e.component] for e in entries]),
        _table("int", "DIRECTION[ENTRIES]", [e.direction for e in entries]),
        _table("int", "GRADIENT[ENTRIES]", [e.gradient for e in entries]),
        _table("double", "START[SIZE]", start),
        _table("double", "WEIGHT[Q]", weights.tolist()),
        _table("double", "REFERENCE[Q][K][N]", rows),
    ]
    here = Path(__file__)
    lanes, geometry, integrals = (
        path.read_text(encoding="utf-8")
        for path in (
            TEMPLATES / "lanes.h",
            here.with_name("geometry.h"),
            here.with_name("element.h"),
        )
    )
    head = "#include <memory>\n#include <utility>\n#define REAL double"
    return "\n".join([head, lanes, *tables, geometry, integrals])


def _table(kind: str, name: str, values: Iterable[object]) -> str:
    return f"constexpr {kind} {name} = {_braces(values)};"


def _braces(values: Iterable[object]) -> str:
    """Numbers as C++ writes them, lists of lists too."""
    texts = (
        _braces(v) if isinstance(v, Sequence) else repr(float(v) if isinstance(v, float) else v)
        for v in values
    )
    return "{" + ", ".join(texts) + "}"
