"""Results: fields (VTU, XDMF), tables (CSV), checkpoints, figures and progress.

Plain NumPy arrays in; nothing here knows of models, meshes' physics or solvers. Every
file is written beside its final name and moved there when complete, so a run that is
killed or meets a full disk leaves what it wrote before readable.
"""

from neml2fe.io import checkpoint, document, figures
from neml2fe.io.arrays import Fields, mises, symmetric_tensor
from neml2fe.io.paths import replacing
from neml2fe.io.progress import Progress, StepTable
from neml2fe.io.series import FieldSeries, Piece
from neml2fe.io.table import TableWriter, read_table, write_columns
from neml2fe.io.vtu import VtuSeries, read_pvd
from neml2fe.io.xdmf import XdmfSeries

__all__ = [
    "FieldSeries",
    "Fields",
    "Piece",
    "Progress",
    "StepTable",
    "TableWriter",
    "VtuSeries",
    "XdmfSeries",
    "checkpoint",
    "document",
    "figures",
    "mises",
    "read_pvd",
    "read_table",
    "replacing",
    "symmetric_tensor",
    "write_columns",
]
