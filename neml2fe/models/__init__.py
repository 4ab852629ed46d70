"""Constitutive building blocks; importing this package registers every model type.

A module dropped into a family's folder is part of the library. `neml2fe.models.X` is the model
type X of decks, whatever file it lives in; `neml2fe syntax` lists them.
"""

from importlib import import_module
from pkgutil import walk_packages

from neml2fe.errors import suggest
from neml2fe.models.common.composed import ComposedModel
from neml2fe.models.derivatives import value_and_jacobian
from neml2fe.models.fields import Generic, Input, Old, Option, Output, Parameter
from neml2fe.models.model import REGISTRY, Model

for _module in walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)


def __getattr__(name: str) -> type[Model]:
    if name not in REGISTRY:
        raise AttributeError(f"no model type '{name}'{suggest(name, REGISTRY)}")
    return REGISTRY[name]


__all__ = [
    "REGISTRY",
    "ComposedModel",
    "Generic",
    "Input",
    "Model",
    "Old",
    "Option",
    "Output",
    "Parameter",
    "value_and_jacobian",
]
