"""Full fields to files that the readers read back as they were."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from neml2fe.calibration.fullfield.columns import FieldColumns
from neml2fe.calibration.fullfield.field import FullField
from neml2fe.errors import InputError
from neml2fe.io import VtuSeries, replacing, write_columns

PLANE = FieldColumns(time="time")
"""Columns of what `write_csv` writes, for points in a plane."""
SPACE = FieldColumns(time="time", z="z", w="w")
"""The same for points in space."""


def write_csv(field: FullField, path: str | os.PathLike[str]) -> Path:
    """All images in one file: time, x, y (, z), u, v (, w) (, confidence); `nan` where missing.

    `read_csv(path, PLANE)` or `SPACE` reads it. Noise is not written. Raises `OutputError`.
    """
    T, m, _ = field.displacements.shape
    columns = {"time": np.repeat(field.times, m)}
    columns |= dict(zip("xyz", np.tile(field.positions, (T, 1)).T, strict=False))
    columns |= dict(zip("uvw", field.displacements.reshape(T * m, -1).T, strict=False))
    if field.confidence is not None:
        columns["confidence"] = field.confidence.reshape(-1)
    return write_columns(path, columns)


def write_numpy(field: FullField, path: str | os.PathLike[str]) -> Path:
    """An `.npz` file for `read_numpy`, noise included; correlation is not. Raises `InputError`
    for another ending, `OutputError`."""
    if Path(path).suffix != ".npz":
        raise InputError(f"'{path}' must end in .npz")
    arrays = {
        name: value
        for name in ("points", "times", "displacements", "noise", "confidence")
        if (value := getattr(field, name)) is not None
    }
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return Path(path)


def write_vtu(field: FullField, directory: str | os.PathLike[str], stem: str = "image") -> Path:
    """One `.vtu` file of points for each image, and the `.pvd` that lists them with their times,
    which is returned: for ParaView and `read_vtu`. Raises `OutputError`."""
    series = VtuSeries(directory, stem)
    vertices = np.arange(len(field.points))[:, None]
    for image, time in enumerate(field.times):
        data = {"displacement": field.displacements[image]}
        if field.confidence is not None:
            data["confidence"] = field.confidence[image]
        series.write(float(time), field.points, [("vertex", vertices)], data)
    return series.path
