"""The torch operations of constitutive laws as CasADi expressions.

A rule gets the tracer, the operation and its arguments, and returns tensors that the tracer
knows. Derivatives at kinks follow torch's: each form here has torch's derivative as well.
"""

from neml2fe.kernels.operations import constants, elementwise, matrices, places, reductions
from neml2fe.kernels.operations.rules import RULES, Unsupported

__all__ = ["RULES", "Unsupported", "constants", "elementwise", "matrices", "places", "reductions"]
