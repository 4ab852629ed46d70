"""Full-field measurements: displacements from cameras, as data of a calibration."""

from neml2fe.calibration.fullfield.columns import (
    MATCHID,
    MATCHID_STEREO,
    VIC_2D,
    VIC_3D,
    FieldColumns,
)
from neml2fe.calibration.fullfield.correlation import Correlation, Exponential, Spherical
from neml2fe.calibration.fullfield.field import FullField
from neml2fe.calibration.fullfield.readers import from_grid, read_csv, read_numpy, read_vtu
from neml2fe.calibration.fullfield.rigid import RigidMotion, RigidMotionRemoval
from neml2fe.calibration.fullfield.series import Series, read_series
from neml2fe.calibration.fullfield.strain import StrainGauge, StrainWindows
from neml2fe.calibration.fullfield.strain_noise import StrainWhitening
from neml2fe.calibration.fullfield.writers import PLANE, SPACE, write_csv, write_numpy, write_vtu

__all__ = [
    "MATCHID",
    "MATCHID_STEREO",
    "PLANE",
    "SPACE",
    "VIC_2D",
    "VIC_3D",
    "Correlation",
    "Exponential",
    "FieldColumns",
    "FullField",
    "RigidMotion",
    "RigidMotionRemoval",
    "Series",
    "Spherical",
    "StrainGauge",
    "StrainWhitening",
    "StrainWindows",
    "from_grid",
    "read_csv",
    "read_numpy",
    "read_series",
    "read_vtu",
    "write_csv",
    "write_numpy",
    "write_vtu",
]
