"""A material in the formulation of another finite-element code."""

from __future__ import annotations

from neml2fe.errors import ModelError, suggest
from neml2fe.material.interface import PointMaterial
from neml2fe.material.plane_stress import PlaneStress
from neml2fe.types import R2, SR2

FORMULATIONS = ("three_dimensional", "plane_strain", "plane_stress")


def in_formulation(material: PointMaterial, formulation: str, host: str) -> PointMaterial:
    """The material as it is in one of `FORMULATIONS`: with its stress out of the plane made zero
    in plane stress. `host` is the name of the code, for messages.

    Raises `ModelError` for another formulation, for a material that maps neither SR2 to SR2 nor R2
    to R2, and for a `PlaneStress` material in another formulation.
    """
    if formulation not in FORMULATIONS:
        raise ModelError(
            f"{host}: no formulation '{formulation}'{suggest(formulation, FORMULATIONS)}"
        )
    if (material.strain_kind, material.stress_kind) not in ((SR2, SR2), (R2, R2)):
        raise ModelError(
            f"{host}: '{material.label}' maps {material.strain_kind.__name__} to "
            f"{material.stress_kind.__name__}; it must map SR2 to SR2, or R2 to R2 (first "
            "Piola-Kirchhoff, see neml2fe.material.finite_strain)"
        )
    if isinstance(material, PlaneStress):
        if formulation != "plane_stress":
            raise ModelError(f"{host}: a PlaneStress material is no {formulation} one")
        return material
    return PlaneStress(material) if formulation == "plane_stress" else material
