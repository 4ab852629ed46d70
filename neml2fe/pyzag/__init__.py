"""Recursions in time, solved in chunks of steps, and gradients of whole histories.

Names follow the pyzag package, so that its scripts run with other imports:

    from neml2fe.pyzag import NEML2PyzagModel, chunktime, nonlinear, ode, reparametrization

`stochastic` needs the extra `bayes` and is imported by itself. `docs/pyzag.md` is the guide.
"""

from neml2fe.pyzag import chunktime, nonlinear, ode, reparametrization
from neml2fe.pyzag.control import controlled_system
from neml2fe.pyzag.model import NEML2PyzagModel

__all__ = [
    "NEML2PyzagModel",
    "chunktime",
    "controlled_system",
    "nonlinear",
    "ode",
    "reparametrization",
]
