"""Materials as shared libraries for compiled codes: a C interface, and Abaqus's UMAT."""

from neml2fe.export.description import described
from neml2fe.export.layout import Layout, Variable
from neml2fe.export.library import HEADER, Exported, build_library, build_umat

__all__ = ["HEADER", "Exported", "Layout", "Variable", "build_library", "build_umat", "described"]
