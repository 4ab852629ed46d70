"""Full fields from files: CSV of several programs, NumPy arrays, VTU."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neml2fe.calibration.csvtable import Cells
from neml2fe.calibration.fullfield.columns import FieldColumns, FieldTable
from neml2fe.calibration.fullfield.field import FullField
from neml2fe.calibration.fullfield.merge import Image, merged
from neml2fe.errors import InputError, suggest
from neml2fe.io.vtu import read_pvd

Array = NDArray[np.float64]
Path_ = str | os.PathLike[str]
Files = Path_ | Sequence[Path_]
Noise = float | Array | None


def files_of(files: Files) -> list[Path]:
    """A list as it is; of a pattern (*, ?, [...]) the files there are, 2 before 10.

    Raises `InputError` where there is none.
    """
    if not isinstance(files, (str, os.PathLike)):
        found = [Path(file) for file in files]
    elif glob.has_magic(os.fspath(files)) and not Path(files).exists():
        found = [Path(file) for file in sorted(glob.glob(os.fspath(files)), key=_natural)]
    else:
        found = [Path(files)]
    if not found:
        raise InputError(f"no file matches '{files}'")
    return found


def _natural(name: str) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", name)
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def read_csv(
    files: Files,
    columns: FieldColumns | None = None,
    times: ArrayLike | None = None,
    *,
    noise: Noise = None,
    tolerance: float | None = None,
    **options: Any,
) -> FullField:
    """Point clouds from CSV: one file for each image (a list, or a pattern), or one file of all
    images where `columns` has a `time`.

    `times` are those of the images in order, `(T,)`; without them the numbers 0, 1, ..., or what
    the time column says. Rows that are not correlated or lack a coordinate are left out; empty or
    NaN displacements are missing. Points of images are merged by coordinates within `tolerance`.
    `options`, delimiters and decimal commas: `CSVTable`. Raises `InputError` with file, line and
    column.
    """
    columns = columns or FieldColumns()
    paths = files_of(files)
    if columns.time is None:
        images = [_image(*FieldTable(path, wanted=columns, **options).read(), columns)
                  for path in paths]  # fmt: skip
        return _assembled(images, times, np.arange(len(images)), noise, tolerance)
    if len(paths) > 1:
        raise InputError("columns with a time are for one file of all images", str(paths[1]))
    cells, values = FieldTable(paths[0], wanted=columns, **options).read()
    stamps = values.pop("time").numpy()
    found = np.unique(stamps)
    images = [_image(cells, values, columns, stamps == stamp) for stamp in found]
    return _assembled(images, times, found, noise, tolerance)


def _image(
    cells: Cells,
    values: dict[str, Tensor],
    columns: FieldColumns,
    rows: NDArray[np.bool_] | None = None,
) -> Image:
    """The rows of one image that are correlated."""
    chosen = {what: x.numpy()[slice(None) if rows is None else rows] for what, x in values.items()}
    points, u = (
        np.stack([chosen[what] for what in names if what in chosen], axis=1)
        for names in ("xyz", "uvw")
    )
    there = np.isfinite(points).all(axis=1)
    confidence = chosen.get("confidence")
    if confidence is not None:
        there &= (confidence >= columns.correlated[0]) & (confidence <= columns.correlated[1])
        confidence = confidence[there]
    line = cells.lines[0 if rows is None else int(np.flatnonzero(rows)[0])]
    return Image(points[there], u[there], confidence, f"{cells.file}:{line}")


def _assembled(
    images: Sequence[Image],
    times: ArrayLike | None,
    found: ArrayLike,
    noise: Noise,
    tolerance: float | None,
) -> FullField:
    given = np.asarray(found if times is None else times, dtype=np.float64)
    if given.shape != (len(images),):
        raise InputError(
            f"{len(images)} images need as many times, got {given.shape}", images[0].source
        )
    points, u, confidence = merged(images, tolerance)
    seen = np.isfinite(u).any(axis=(0, 2))
    if not seen.any():
        raise InputError("no displacement is there in any image", images[0].source)
    return FullField(points, given, u, noise, None, confidence).at_points(np.flatnonzero(seen))


# --- NumPy ----------------------------------------------------------------------------
_NAMES = ("points", "times", "displacements", "noise", "confidence")
_GRID = ("u", "v", "w", "step", "origin", "times", "noise", "confidence")


def from_grid(
    u: ArrayLike,
    v: ArrayLike,
    w: ArrayLike | None = None,
    *,
    step: float = 1.0,
    origin: ArrayLike = (0.0, 0.0),
    times: ArrayLike | None = None,
    noise: Noise = None,
    confidence: ArrayLike | None = None,
) -> FullField:
    """Maps `(T, rows, columns)` of displacements on a grid: x = origin + step * column,
    y = origin + step * row. NaN is missing. `confidence` is a map as well."""
    maps = [np.asarray(x, dtype=np.float64) for x in (u, v, w, confidence) if x is not None]
    shape = maps[0].shape
    if len(shape) != 3 or any(x.shape != shape for x in maps):
        raise InputError(
            f"maps of displacement have one shape (T, rows, columns), got {[x.shape for x in maps]}"
        )
    x0 = np.asarray(origin, dtype=np.float64)
    if x0.shape != (2,) or not 0.0 < float(step) < np.inf:
        raise InputError("a grid has an origin of two coordinates and a positive step")
    rows, columns = np.indices(shape[1:])
    points = x0 + float(step) * np.stack([columns.reshape(-1), rows.reshape(-1)], axis=1)
    flat = [x.reshape(shape[0], -1) for x in maps]
    sure = flat.pop() if confidence is not None else None
    moments = np.arange(shape[0]) if times is None else times
    field = FullField(points, np.asarray(moments), np.stack(flat, axis=2), noise, None, sure)
    return field.at_points(np.flatnonzero(field.valid.any(axis=(0, 2))))


def read_numpy(files: Files, times: ArrayLike | None = None, *, noise: Noise = None) -> FullField:
    """An `.npz` file with `points`, `times`, `displacements`, and perhaps `noise` and
    `confidence`, as a `FullField` has them; or with the arguments of `from_grid`: `u`, `v`, `w`,
    `step`, `origin`, `times`, ...; or `.npy` files, one for each image, of x, y, u, v in columns
    `(k, 4)`, or x, y, z, u, v, w `(k, 6)`.

    `times` and `noise` given here come before those of a file. Raises `InputError`.
    """
    paths = files_of(files)
    if paths[0].suffix != ".npz":
        images = [_rows_of(path) for path in paths]
        return _assembled(images, times, np.arange(len(images)), noise, None)
    if len(paths) > 1:
        raise InputError("an .npz file holds all images; give one", str(paths[1]))
    with _loaded(paths[0]) as archive:
        grid = "u" in archive.files
        names = _GRID if grid else _NAMES
        for name in archive.files:
            if name not in names:
                raise InputError(f"no array is named '{name}'{suggest(name, names)}", str(paths[0]))
        arrays = {name: archive[name] for name in archive.files}
    arrays |= {} if times is None else {"times": np.asarray(times)}
    arrays |= {} if noise is None else {"noise": np.asarray(noise)}
    needed = ("u", "v") if grid else _NAMES[:3]
    absent = [name for name in needed if name not in arrays]
    if absent:
        raise InputError(f"the array '{absent[0]}' is missing; there are {', '.join(arrays)}",
                         str(paths[0]))  # fmt: skip
    try:
        return from_grid(**arrays) if grid else FullField(**arrays)
    except InputError as error:
        raise InputError(error.message, str(paths[0])) from None


def _loaded(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from None
    except (ValueError, EOFError) as error:
        raise InputError(f"not a NumPy file of numbers: {error}", str(path)) from None


def _rows_of(path: Path) -> Image:
    rows = _loaded(path)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] not in (4, 6):
        shape = getattr(rows, "shape", "an archive")
        raise InputError(
            f"x, y, u, v (k, 4) or x, y, z, u, v, w (k, 6) is needed, got {shape}", str(path)
        )
    dim = rows.shape[1] // 2
    table = rows.astype(np.float64)
    table = table[np.isfinite(table[:, :dim]).all(axis=1)]
    return Image(table[:, :dim], table[:, dim:], None, str(path))


# --- VTU ------------------------------------------------------------------------------
def read_vtu(
    files: Files,
    name: str = "displacement",
    times: ArrayLike | None = None,
    *,
    dim: int | None = None,
    noise: Noise = None,
    tolerance: float | None = None,
) -> FullField:
    """Point data `name` of `.vtu` files, one for each image, or of a `.pvd` series, which brings
    its times; `confidence` is taken along if it is there.

    `dim` 2 leaves z out; without it, so does data whose z and displacements along it are zero.
    Raises `InputError` for files that are missing or damaged or hold no such data.
    """
    paths = files_of(files)
    found: ArrayLike = np.arange(len(paths))
    if paths[0].suffix == ".pvd":
        found, paths = read_pvd(paths[0])
    images = [_vtu_image(path, name) for path in paths]
    flat = all(
        not i.points[:, 2].any() and not np.nan_to_num(i.displacements[:, 2]).any() for i in images
    )
    field = _assembled(images, times, found, noise, tolerance)
    return field.in_plane() if (dim or (2 if flat else 3)) == 2 else field


def _vtu_image(path: Path, name: str) -> Image:
    if not path.is_file():
        raise InputError("cannot read the image: there is no such file", str(path))
    try:
        mesh: Any = meshio.read(path)
    except (Exception, SystemExit) as error:  # meshio ends the process at some damaged files
        raise InputError(f"cannot read the image: {error}", str(path)) from None
    if name not in mesh.point_data:
        near = suggest(name, mesh.point_data)
        raise InputError(f"the image has no point data '{name}'{near}", str(path))
    u = np.asarray(mesh.point_data[name], dtype=np.float64)
    if u.ndim != 2 or u.shape[1] not in (2, 3):
        raise InputError(f"'{name}' is no vector, but {u.shape}", str(path))
    u = np.pad(u, ((0, 0), (0, 3 - u.shape[1])))
    confidence = mesh.point_data.get("confidence")
    return Image(np.asarray(mesh.points, dtype=np.float64), u, confidence, str(path))
