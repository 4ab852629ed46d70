"""PETSc options of one solver: who set them, which defaults they override, which nobody read."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from itertools import count

from petsc4py import PETSc

from neml2fe.fem.algebra.options_file import bare
from neml2fe.fem.algebra.petsc_calls import option_used

_numbers = count(1)


class ScopedOptions:
    """A private copy, in PETSc's global database, of the options that begin with `prefix`.

    Two solvers with the same prefix thus never see each other's mapping or defaults. `given`
    overrides the environment; its keys may carry dash and prefix or not.
    """

    def __init__(self, given: Mapping[str, str | None], prefix: str) -> None:
        self._database = PETSc.Options()
        self._public = prefix
        self.prefix = f"solver{next(_numbers)}_{prefix}"
        self._user: dict[str, str | None] = {}
        for name, value in self._database.getAll().items():
            if name.startswith(prefix):
                self._user[name[len(prefix) :]] = value
                self._database.hasName(name)  # counts as read: only the copy tells its fate
        for name, value in bare(given, prefix).items():
            self._user[name] = None if value is None else str(value)
        self._set: list[str] = []
        # The database has a few hundred places: solvers that nobody closed give theirs back.
        weakref.finalize(self, _delete, self._set).atexit = False
        for name, value in self._user.items():
            self._insert(name, value)

    def default(self, name: str, value: str | float) -> str:
        """The user's value of option `name`, or else `value`, which is then set."""
        if name not in self._user:
            self._insert(name, str(value))
        return self._user.get(name) or str(value)

    def has(self, name: str) -> bool:
        """True when the user set option `name`."""
        return name in self._user

    def unused(self) -> list[str]:
        """The user's options that PETSc has not looked up so far."""
        return [self._public + name for name in self._user if not option_used(self.prefix + name)]

    def remove(self) -> None:
        """Delete the copy."""
        _delete(self._set)

    def _insert(self, name: str, value: str | None) -> None:
        try:
            self._database.setValue(self.prefix + name, value)
        except PETSc.Error:  # full
            gc.collect()
            self._database.setValue(self.prefix + name, value)
        if self.prefix + name not in self._set:
            self._set.append(self.prefix + name)


def _delete(names: list[str]) -> None:
    database = PETSc.Options()
    for name in names:
        database.delValue(name)
    names.clear()
