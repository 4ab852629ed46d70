"""What scripts for pyzag import from `chunktime`: bidiagonal systems and Newton for chunks."""

from neml2fe.pyzag.bidiagonal import (
    BidiagonalForwardOperator,
    BidiagonalHybridFactorization,
    BidiagonalPCRFactorization,
    BidiagonalThomasFactorization,
)
from neml2fe.pyzag.newton import ChunkNewtonRaphson, ChunkNewtonRaphsonLineSearch

__all__ = [
    "BidiagonalForwardOperator",
    "BidiagonalHybridFactorization",
    "BidiagonalPCRFactorization",
    "BidiagonalThomasFactorization",
    "ChunkNewtonRaphson",
    "ChunkNewtonRaphsonLineSearch",
]
