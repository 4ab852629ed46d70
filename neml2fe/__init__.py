"""neml2fe: one material description for material points, finite elements and calibration."""

__version__ = "0.1.0"
