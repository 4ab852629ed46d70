"""Results: fields (VTU), tables (CSV), checkpoints, figures and progress.

Plain NumPy arrays in; nothing here knows of models, meshes' physics or solvers. Every
file is written beside its final name and moved there when complete, so a run that is
killed or meets a full disk leaves what it wrote before readable.
"""

from neml2fe.io import checkpoint, figures
from neml2fe.io.paths import replacing
from neml2fe.io.progress import Progress, StepTable
from neml2fe.io.table import TableWriter, read_table, write_columns
from neml2fe.io.vtu import VtuSeries, mises

__all__ = [
    "Progress",
    "StepTable",
    "TableWriter",
    "VtuSeries",
    "checkpoint",
    "figures",
    "mises",
    "read_table",
    "replacing",
    "write_columns",
]
