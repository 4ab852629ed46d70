"""The functions of `neml2fe.h` through ctypes, with rows of numpy."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STRAIN, STRESS, STATE, FIELDS, PARAMETERS = range(5)
CONVERGED, ITERATION_LIMIT, NOT_FINITE = range(3)


class Variable(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("kind", ctypes.c_char_p),
        ("size", ctypes.c_int),
        ("offset", ctypes.c_int),
    ]


class Update(NamedTuple):
    failed: int
    stress: np.ndarray
    state: np.ndarray
    tangent: np.ndarray
    energy: np.ndarray
    status: np.ndarray


class Library:
    """The functions of `neml2fe.h` in a loaded library."""

    def __init__(self, path: Path, mode: int = ctypes.DEFAULT_MODE) -> None:
        self.path, self.c = path, ctypes.CDLL(str(path), mode)
        text, row, whole = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int
        for name, result, arguments in (
            ("load", row, [text, text]),
            ("last_error", text, []),
            ("material_name", text, [text, whole]),
            ("size", whole, [row, whole]),
            ("variable_at", ctypes.POINTER(Variable), [row, whole, whole]),
            ("measure", text, [row]),
            ("initial_state", None, [row, ctypes.c_long, row]),
            ("default_parameters", None, [row, row]),
            ("set_threads", None, [whole]),
            ("update", ctypes.c_long, [row, ctypes.c_long, *[ctypes.c_double] * 2, *[row] * 9]),
        ):
            function = getattr(self.c, f"neml2fe_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def material(self, name: str, path: Path | None = None) -> Law:
        handle = self.load(None if path is None else str(path).encode(), name.encode())
        assert handle, self.last_error()
        return Law(self, handle)

    def names(self, path: Path | None = None) -> list[str]:
        given, found = None if path is None else str(path).encode(), []
        while (name := self.material_name(given, len(found))) is not None:
            found.append(name.decode())
        return found


@dataclass
class Law:
    """A material of a library, with rows of numpy."""

    library: Library
    handle: int

    def size(self, role: int) -> int:
        return int(self.library.size(self.handle, role))

    def variables(self, role: int) -> dict[str, tuple[str, slice]]:
        found: dict[str, tuple[str, slice]] = {}
        while v := self.library.variable_at(self.handle, role, len(found)):
            v = v.contents
            found[v.name.decode()] = v.kind.decode(), slice(v.offset, v.offset + v.size)
        return found

    def initial_state(self, n: int) -> np.ndarray:
        state = np.full((n, self.size(STATE)), np.nan)
        self.library.initial_state(self.handle, n, state.ctypes.data)
        return state

    def parameters(self) -> np.ndarray:
        values = np.full(self.size(PARAMETERS), np.nan)
        self.library.default_parameters(self.handle, values.ctypes.data)
        return values

    def update(
        self,
        strain: np.ndarray,
        state: np.ndarray,
        time: float,
        dt: float,
        fields: np.ndarray | None = None,
        parameters: np.ndarray | None = None,
        tangent: bool = True,
    ) -> Update:
        n, width = len(strain), self.size(STRESS)
        stress, new = np.full((n, width), np.nan), np.full(state.shape, np.nan)
        slope = np.full((n, width, self.size(STRAIN)), np.nan)
        energy, status = np.full(n, np.nan), np.full(n, -1, np.intc)
        rows = [strain, fields, parameters, state, stress, new, slope if tangent else None, energy]
        assert all(r is None or (r.dtype == np.float64 and r.flags.c_contiguous) for r in rows)
        places = [None if r is None else r.ctypes.data for r in rows]
        failed = self.library.update(self.handle, n, time, dt, *places, status.ctypes.data)
        return Update(int(failed), stress, new, slope, energy, status)
