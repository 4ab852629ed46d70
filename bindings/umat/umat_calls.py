"""`Call`: the subroutine UMAT of a library, called through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from umat_components import COMPONENTS


@dataclass
class Call:
    """The arguments of one call; those that `umat_` changes are changed here."""

    name: str
    ntens: int
    statev: np.ndarray
    stress: np.ndarray
    stran: np.ndarray
    dstran: np.ndarray
    dt: float = 0.1
    time: float = 0.0
    props: Sequence[float] = ()
    temperature: tuple[float, float] = (293.0, 0.0)
    predefined: tuple[float, float] = (0.0, 0.0)
    drot: np.ndarray = field(default_factory=lambda: np.eye(3))
    old_gradient: np.ndarray = field(default_factory=lambda: np.eye(3))
    gradient: np.ndarray = field(default_factory=lambda: np.eye(3))
    ddsdde: np.ndarray = field(init=False)
    pnewdt: float = 1.0

    def __post_init__(self) -> None:
        for name in ("statev", "stress", "stran", "dstran"):
            setattr(self, name, np.array(getattr(self, name), dtype=float))

    @classmethod
    def virgin(cls, name: str, ntens: int, nstatv: int, **given: object) -> Call:
        zeros = np.zeros(ntens)
        return cls(name, ntens, np.zeros(nstatv), zeros, zeros, zeros, **given)  # type: ignore[arg-type]

    def __call__(self, umat: Path) -> Call:
        def number(value: float) -> ctypes.c_double:
            return ctypes.c_double(value)

        def row(values: object) -> ctypes.c_void_p:
            kept.append(np.array(values, dtype=float, order="C"))
            return ctypes.c_void_p(kept[-1].ctypes.data)

        kept: list[np.ndarray] = []
        ndi, nshr = COMPONENTS[self.ntens]
        self.ddsdde = np.full((self.ntens, self.ntens), np.nan)
        pnewdt, unused = number(self.pnewdt), row(np.full(6, np.nan))
        whole = [ctypes.byref(ctypes.c_int(x)) for x in (ndi, nshr, self.ntens, len(self.statev))]
        one = ctypes.byref(ctypes.c_int(1))
        ctypes.CDLL(str(umat)).umat_(
            ctypes.c_void_p(self.stress.ctypes.data),
            ctypes.c_void_p(self.statev.ctypes.data),
            ctypes.c_void_p(self.ddsdde.ctypes.data),
            *[unused] * 7,
            row(self.stran),
            row(self.dstran),
            row([self.time, self.time]),
            row([self.dt]),
            row([self.temperature[0]]),
            row([self.temperature[1]]),
            row([self.predefined[0]]),
            row([self.predefined[1]]),
            ctypes.c_char_p(self.name.ljust(80).encode()),
            *whole,
            row(self.props),
            ctypes.byref(ctypes.c_int(len(self.props))),
            unused,
            row(self.drot.T),
            ctypes.byref(pnewdt),
            unused,
            row(self.old_gradient.T),
            row(self.gradient.T),
            *[one] * 6,
            ctypes.c_size_t(80),
        )
        self.pnewdt, self.ddsdde = pnewdt.value, self.ddsdde.T
        return self

    def again(self, **changes: object) -> Call:
        copies = {n: getattr(self, n).copy() for n in ("statev", "stress")}
        return replace(self, **{**copies, **changes})  # type: ignore[arg-type]

    def next(self, **changes: object) -> Call:
        """The call of the next increment."""
        found = {"stran": self.stran + self.dstran, "time": self.time + self.dt}
        return self.again(**{**found, "old_gradient": self.gradient, **changes})
