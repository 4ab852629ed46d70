"""Material-point histories."""

from neml2fe.drivers.mixed import MixedControlDriver
from neml2fe.drivers.result import History
from neml2fe.drivers.transient import TransientDriver

__all__ = ["History", "MixedControlDriver", "TransientDriver"]
