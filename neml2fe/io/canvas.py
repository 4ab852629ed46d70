"""The page that every figure is drawn on: its style, and saving it whole.

No global state of matplotlib is used or left changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neml2fe.errors import InputError
from neml2fe.io.paths import replacing

WIDTH = 6.5  # inches, the text width of a page
INK = "#222222"
_STYLE: Any = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-4, 5),
    "axes.formatter.use_mathtext": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.05,
}


@contextmanager
def figure(path: str | os.PathLike[str], size: tuple[float, float]) -> Iterator[Any]:
    """A figure of this size in inches, saved when the block ends."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "figures need matplotlib, which is not installed: pip install 'neml2fe[figures]'"
        ) from error
    if Path(path).suffix not in (".png", ".pdf", ".svg"):
        raise InputError(f"a figure is a .png, .pdf or .svg file, not {os.fspath(path)}")
    with matplotlib.rc_context(_STYLE):
        drawing = Figure(figsize=size, layout="constrained")
        yield drawing
        with replacing(path) as temporary:
            drawing.savefig(temporary)
