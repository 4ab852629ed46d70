"""`[Measurements] type = VirtualFields`: the balance of virtual work with a load cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neml2fe.calibration import fullfield
from neml2fe.calibration.fullfield import Series
from neml2fe.calibration.simulations import (
    FieldMeasurement,
    NodalMotion,
    VirtualFieldsMeasurement,
    virtual_fields,
)
from neml2fe.errors import Error, InputError, MeshError, suggest
from neml2fe.fem import Mesh
from neml2fe.input.arguments import Call
from neml2fe.input.deck import Block, located

if TYPE_CHECKING:
    from neml2fe.input.factory import Input


@dataclass(frozen=True, eq=False)
class MeasuredWork:
    """What a block says; a measurement as soon as there is a mesh (`on`).

    - `load`: the whole record of the load cell; `at`: the times to compare at, None: the images.
    - `camera`: its displacements prescribe the motion of all nodes.
    """

    block: Block
    load: Series
    at: NDArray[np.float64] | None
    camera: FieldMeasurement
    held: str
    loaded: str
    component: str
    factor: float
    fields: Sequence[str]
    smoothing: float
    displacement_noise: bool

    @property
    def times(self) -> NDArray[np.float64]:
        return self.camera.times if self.at is None else self.at

    def on(self, mesh: Mesh, start_time: float) -> tuple[NodalMotion, VirtualFieldsMeasurement]:
        """The motion of the nodes and the balance of work, on a mesh. Raises `InputError` where
        they do not fit."""
        for name in ("held", "loaded"):
            try:
                mesh.boundary_nodes(getattr(self, name))
            except MeshError as error:
                raise self.block.require(name).error(error.message) from None
        with located(self.block.require("component")):
            known = virtual_fields(mesh, self.held, self.loaded, self.component)
        unknown = next((name for name in self.fields if name not in known), None)
        if unknown is not None:
            message = f"no virtual field '{unknown}'{suggest(unknown, known)}"
            raise self.block.require("fields").error(message)
        with located(self.block):
            data = self.camera.compared
            motion = NodalMotion.fitted(mesh, data, smoothing=self.smoothing, start_time=start_time)
            times = self.times
            load = self.load.at(times[times > start_time])
            chosen = {name: known[name] for name in self.fields or known}
            return motion, VirtualFieldsMeasurement(load, chosen, self.factor)


def _work(
    file: Path,
    time_column: str,
    value_column: str,
    held: str,
    loaded: str,
    component: str,
    factor: float = 1.0,
    fields: Sequence[str] = (),
    smoothing: float = 0.0,
    displacement_noise: bool = False,
    value_factor: float = 1.0,
    noise: float | None = None,
    times: Sequence[float] = (),
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    load = fullfield.read_series(
        file, time_column, value_column, factor=value_factor, noise=noise, **(options or {})
    )
    return {
        **{"load": load, "at": np.asarray(times, dtype=np.float64) if times else None},
        **{"held": held, "loaded": loaded, "component": component, "factor": factor},
        **{"fields": fields, "smoothing": smoothing, "displacement_noise": displacement_noise},
    }


CALL = Call(_work, ("options",))


def build_work(source: Input, block: Block, given: dict[str, Any]) -> MeasuredWork:
    """Of the arguments that the block gives of `CALL`."""
    value = block.require("camera")
    camera = source.refer("Measurements", value)
    if not isinstance(camera, FieldMeasurement):
        raise value.error(f"'{value.as_str()}' is no FullField")
    try:
        found = MeasuredWork(block=block, camera=camera, **_work(**given))
    except Error as error:
        raise InputError(str(error), block.location) from None
    if (smoothing := block.get("smoothing")) and found.smoothing < 0.0:
        raise smoothing.error(f"the smoothing is a length of at least 0, got {smoothing.text}")
    if found.displacement_noise:
        known = {
            "noise": found.load.noise,
            f"noise of [Measurements/{value.text}]": camera.data.noise,
        }
        for name, noise in known.items():
            if noise is None:
                raise block.require("displacement_noise").error(f"it needs the {name}")
    return found
