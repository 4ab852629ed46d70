"""Short decks: model types that name laws and expand to the composed model of a long deck."""

from neml2fe.presets.creep import Creep
from neml2fe.presets.elasticity import GeneralizedMaxwell, LinearElasticity
from neml2fe.presets.laws import Law, Role, Value
from neml2fe.presets.plasticity import DruckerPrager, J2Plasticity, J2Viscoplasticity
from neml2fe.presets.preset import Preset
from neml2fe.presets.radial_return import J2RadialReturn

__all__ = [
    "Creep",
    "DruckerPrager",
    "GeneralizedMaxwell",
    "J2Plasticity",
    "J2RadialReturn",
    "J2Viscoplasticity",
    "Law",
    "LinearElasticity",
    "Preset",
    "Role",
    "Value",
]
