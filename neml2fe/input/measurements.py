"""`[Measurements]` blocks: what load cells, gauges and cameras saw, and functions made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neml2fe.calibration import fullfield
from neml2fe.calibration.fullfield import FieldColumns, FullField, Series, StrainGauge
from neml2fe.calibration.fullfield.edge import edge_motion
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    GaugeMeasurement,
    LoadMeasurement,
    Measurement,
)
from neml2fe.errors import Error, InputError
from neml2fe.fem.conditions.functions import SpaceFunction
from neml2fe.input import virtualwork
from neml2fe.input.arguments import Call
from neml2fe.input.csvoptions import CSV_FIELDS, csv_options
from neml2fe.input.deck import Block
from neml2fe.input.virtualwork import MeasuredWork

if TYPE_CHECKING:
    from neml2fe.input.factory import Input

Numbers = Sequence[float]
Options = Mapping[str, Any]
_PROGRAMS = {
    "matchid": fullfield.MATCHID,
    "matchid_stereo": fullfield.MATCHID_STEREO,
    "vic_2d": fullfield.VIC_2D,
    "vic_3d": fullfield.VIC_3D,
}


# --- scalars --------------------------------------------------------------------------
def _series(
    file: Path,
    time_column: str,
    value_column: str,
    value_factor: float = 1.0,
    noise: float | None = None,
    times: Numbers = (),
    options: Options | None = None,
) -> Series:
    series = fullfield.read_series(
        file, time_column, value_column, factor=value_factor, noise=noise, **(options or {})
    )
    return series.at(list(times)) if times else series


def _load(
    file: Path,
    time_column: str,
    value_column: str,
    reaction: str,
    factor: float = 1.0,
    value_factor: float = 1.0,
    noise: float | None = None,
    times: Numbers = (),
    options: Options | None = None,
) -> LoadMeasurement:
    data = _series(file, time_column, value_column, value_factor, noise, times, options)
    return LoadMeasurement(data, reaction, factor)


def _gauge(
    file: Path,
    time_column: str,
    value_column: str,
    points: Sequence[Sequence[float]],
    value_factor: float = 1.0,
    noise: float | None = None,
    times: Numbers = (),
    options: Options | None = None,
) -> GaugeMeasurement:
    data = _series(file, time_column, value_column, value_factor, noise, times, options)
    return GaugeMeasurement(data, points)


# --- full fields ----------------------------------------------------------------------
def _read(
    file: Path,
    format: Literal[
        "columns", "matchid", "matchid_stereo", "vic_2d", "vic_3d", "numpy", "vtu"
    ] = "columns",
    columns: str = "x y u v",
    time_column: str = "",
    variable: str = "displacement",
    times: Numbers = (),
    times_file: Path | None = None,
    times_column: str = "time",
    images: Sequence[int] = (),
    noise: float | Sequence[float] | None = None,
    options: Options | None = None,
) -> FullField:
    """All images, or some of them, with their times."""
    if times_file is not None:
        if times:
            raise InputError("give the times or a times_file, not both")
        times = fullfield.read_series(times_file, times_column, times_column).times.tolist()
    given: dict[str, Any] = {
        "times": list(times) or None,
        "noise": None if noise is None else np.asarray(noise, dtype=np.float64),
    }
    if options and format in ("numpy", "vtu"):
        raise InputError(f"{', '.join(options)}: of CSV files, not of the format {format}")
    if format == "numpy":
        field = fullfield.read_numpy(file, **given)
    elif format == "vtu":
        field = fullfield.read_vtu(file, variable, **given)
    else:
        names = _PROGRAMS.get(format) or _columns(columns)
        if time_column:
            names = dataclasses.replace(names, time=time_column)
        if names.time is None and not times:
            raise InputError(
                "when the images were taken is not known: give times, times_file or time_column"
            )
        field = fullfield.read_csv(file, names, **given, **(options or {}))
    if not images:
        return field
    if not 0 <= min(images) <= max(images) < len(field.times):
        last = len(field.times) - 1
        raise InputError(f"the images are numbered from 0 to {last}, got {list(images)}")
    return field.at_images(np.asarray(images))


def _columns(text: str) -> FieldColumns:
    """Columns of x, y, u, v or of x, y, z, u, v, w."""
    names = [part.strip() for part in text.split(";")] if ";" in text else text.split()
    fields = {4: "xyuv", 6: "xyzuvw"}.get(len(names))
    if fields is None:
        raise InputError(
            f"expected columns of x, y, u, v or of x, y, z, u, v, w, got {len(names)}: "
            f"{', '.join(names)}"
        )
    named: dict[str, Any] = dict(zip(fields, names, strict=True))
    return FieldColumns(**named)


def _chosen(
    field: FullField,
    origin: Numbers = (),
    axes: Sequence[Sequence[float]] = (),
    scale: float = 1.0,
    in_plane: bool = False,
    confidence: tuple[float, float] | None = None,
    polygon: Sequence[Sequence[float]] = (),
    box: Sequence[Sequence[float]] = (),
    outside: bool = False,
    point_step: int | None = None,
    point_count: int | None = None,
    correlation_length: float | None = None,
    correlation: Literal["spherical", "exponential"] = "spherical",
) -> FullField:
    """In the frame of the mesh, the points that are asked for."""
    if correlation_length is not None:
        kind = {"spherical": fullfield.Spherical, "exponential": fullfield.Exponential}
        field = dataclasses.replace(field, correlation=kind[correlation](correlation_length))
    field = field.in_frame(list(origin) or None, [list(row) for row in axes] or None, scale)
    if in_plane:
        field = field.in_plane()
    corners: Any = None
    if box:
        if len(box) != 2:
            raise InputError(f"a box has a lower and an upper corner, got {len(box)} rows")
        corners = (list(box[0]), list(box[1]))
    rows = [list(row) for row in polygon] or None
    if rows or corners or confidence:
        field = field.masked(polygon=rows, box=corners, outside=outside, confidence=confidence)
    if point_step is not None or point_count is not None:
        field = field.thinned(step=point_step, count=point_count)
    return field


def _compared(
    field: FullField,
    masks: str,
    boundary: str = "",
    without_rigid_motion: bool = False,
    compare_prescribed: bool = False,
    strain_window: int | None = None,
    strain_radius: float | None = None,
    strain_order: int = 1,
    strain_measure: str = "green_lagrange",
    strain_weights: str = "uniform",
    strain_least: int | None = None,
) -> FieldMeasurement:
    strain = None
    if strain_window is not None or strain_radius is not None:
        strain = StrainGauge(
            strain_window,
            strain_radius,
            strain_order,
            strain_weights,
            strain_measure,
            strain_least,
        )
    return FieldMeasurement(
        field,
        boundary,
        without_rigid_motion,
        strain,
        compare_prescribed=compare_prescribed,
        masks=masks,
    )


_MASKS = ("box", "polygon", "outside", "confidence", "point_step", "point_count")


def _masks(block: Block, field: FullField, chosen: FullField) -> str:
    """How the points of a block were chosen, in words."""
    words = [f"{name} {v.text}" for name in _MASKS if (v := block.get(name))]
    if words:
        words.append(f"{chosen.points.shape[0]} of {field.points.shape[0]} points")
    return "; ".join(words)


_FULL_FIELD = (
    Call(_read, ("options",)),
    Call(_chosen, ("field",)),
    Call(_compared, ("field", "masks")),
)
_SCALARS = {
    "Load": Call(_load, ("options",)),
    "Gauge": Call(_gauge, ("options",)),
    "VirtualFields": virtualwork.CALL,
}
FIELDS: dict[str, tuple[str, ...]] = {
    **{kind: (*call.fields(), "times_of", *CSV_FIELDS) for kind, call in _SCALARS.items()},
    "FullField": (*(name for call in _FULL_FIELD for name in call.fields()), *CSV_FIELDS),
}
FIELDS["VirtualFields"] = ("camera", *FIELDS["VirtualFields"])


def build_measurement(source: Input, block: Block) -> Measurement | MeasuredWork:
    """The measurement of a block. Errors of files name the file, and the block that reads it."""
    try:
        if block.require("type").as_str() == "FullField":
            read, choose, compare = (call.arguments(source, block) for call in _FULL_FIELD)
            field = _read(**read, options=csv_options(block))
            chosen = _chosen(field, **choose)
            return _compared(chosen, _masks(block, field, chosen), **compare)
        call = _SCALARS[block.require("type").as_str()]
        given = {**call.arguments(source, block), "options": csv_options(block)}
        if of := block.get("times_of"):
            if given.get("times"):
                raise of.error("give the times or times_of another measurement, not both")
            other: Measurement = source.refer("Measurements", of)
            given["times"] = other.times.tolist()
        if call is virtualwork.CALL:
            return virtualwork.build_work(source, block, given)
        measurement: Measurement = call.make(**given)
    except Error as error:
        if "[Measurements/" in error.location:
            raise
        raise InputError(str(error), block.location) from None
    return measurement


# --- functions ------------------------------------------------------------------------
def _motion(
    field: FullField,
    component: str,
    polygon: Sequence[Sequence[float]] = (),
    box: Sequence[Sequence[float]] = (),
    degree: int | None = None,
    start_time: float = 0.0,
) -> SpaceFunction:
    edge = _chosen(field, polygon=polygon, box=box)
    return edge_motion(edge, component, degree, start_time)


_MOTION = Call(_motion, ("field",))
FUNCTIONS: dict[str, tuple[str, ...]] = {"MeasuredDisplacement": ("measurement", *_MOTION.fields())}


def build_motion(source: Input, block: Block) -> SpaceFunction:
    """The measured displacement of an edge."""
    value = block.require("measurement")
    measurement = source.refer("Measurements", value)
    if not isinstance(measurement, FieldMeasurement):
        raise value.error(f"'{value.as_str()}' is no FullField")
    given = _MOTION.arguments(source, block)
    try:
        return _motion(measurement.data, **given)
    except Error as error:
        raise InputError(str(error), block.location) from None
