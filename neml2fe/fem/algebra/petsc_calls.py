"""PETSc calls that older petsc4py lacks, made through ctypes on the very library it loaded.

The symbols are looked up in petsc4py's extension module, whose dependencies the dynamic linker
searches, so no second PETSc can be picked up.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from petsc4py import PETSc

from neml2fe.errors import InputError

INSERT_VALUES = 1
FAILED_REASONS = {
    1: "zero pivot in the structure",
    2: "zero pivot",
    3: "out of memory",
    4: "factorisation failed",
    5: "inconsistent right-hand side",
    6: "inner solver failed",
}


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(PETSc.__file__)


def _call(name: str, *arguments: Any) -> None:
    try:
        function = getattr(_library(), name)
    except AttributeError:
        version = ".".join(map(str, PETSc.Sys.getVersion()))
        raise InputError(
            f"PETSc {version} does not export {name}; update petsc4py or use backend 'scipy'"
        ) from None
    code = function(*arguments)
    if code:
        raise PETSc.Error(code)


def _handle(thing: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(thing.handle)


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def set_preallocation_coo(mat: Any, rows: NDArray[Any], cols: NDArray[Any]) -> None:
    """Allocate `mat` for entries at (`rows`, `cols`), global numbers, (n_entries,) each."""
    # PETSc sorts and localises the arrays that it is given, hence copies of its own integers.
    i = np.array(rows, dtype=PETSc.IntType, order="C")
    j = np.array(cols, dtype=PETSc.IntType, order="C")
    if hasattr(mat, "setPreallocationCOO"):  # since petsc4py 3.19
        mat.setPreallocationCOO(i, j)
    else:
        count = ctypes.c_int64(len(i))
        _call("MatSetPreallocationCOO", _handle(mat), count, _pointer(i), _pointer(j))


def set_values_coo(mat: Any, values: NDArray[np.float64]) -> None:
    """Replace the entries of `mat` by `values`, in the order of the preallocation."""
    if hasattr(mat, "setValuesCOO"):
        mat.setValuesCOO(values, addv=PETSc.InsertMode.INSERT_VALUES)
    else:
        _call("MatSetValuesCOO", _handle(mat), _pointer(values), ctypes.c_int(INSERT_VALUES))


def sequential_parts(mat: Any) -> list[ctypes.c_void_p]:
    """The SeqAIJ matrices in `mat` of type AIJ: itself, or its diagonal and off-diagonal part."""
    if mat.type.startswith("seq"):
        return [_handle(mat)]
    parts = [ctypes.c_void_p(), ctypes.c_void_p()]
    columns = ctypes.c_void_p()
    pointers = [ctypes.byref(thing) for thing in (*parts, columns)]
    _call("MatMPIAIJGetSeqAIJ", _handle(mat), *pointers)
    return parts


@contextmanager
def aij_values(part: ctypes.c_void_p, n: int) -> Iterator[NDArray[np.float64]]:
    """The `n` stored values of a SeqAIJ matrix, row by row, to be overwritten in place."""
    if n == 0:
        yield np.empty(0)
        return
    values = ctypes.POINTER(ctypes.c_double)()
    _call("MatSeqAIJGetArray", part, ctypes.byref(values))
    try:
        yield np.ctypeslib.as_array(values, shape=(n,))
    finally:
        _call("MatSeqAIJRestoreArray", part, ctypes.byref(values))


def set_lag_preconditioner(snes: Any, lag: int) -> None:
    """SNES sets up its preconditioner for every `lag`-th Jacobian, or never (-1)."""
    _call("SNESSetLagPreconditioner", _handle(snes), ctypes.c_int(lag))


def option_used(name: str) -> bool:
    """True when PETSc has looked up the option `name` (full name, no dash)."""
    used = ctypes.c_int(0)
    _call("PetscOptionsUsed", None, name.encode(), ctypes.byref(used))
    return bool(used.value)


def pc_failure(pc: Any) -> str:
    """Why the preconditioner could not be set up; empty when it could."""
    reason = ctypes.c_int(0)
    _call("PCGetFailedReason", _handle(pc), ctypes.byref(reason))
    return FAILED_REASONS.get(reason.value, "")
