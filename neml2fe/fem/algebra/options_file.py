"""Files of PETSc options: `-name value` a line, `#` begins a comment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping

from neml2fe.errors import InputError

Options = dict[str, "str | None"]


def read_options(path: str | os.PathLike[str]) -> Options:
    """The options of a file; a flag has the value None. A later line overrides an earlier one.

    Raises `InputError`, with the line, for a file that is missing or no list of options.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the PETSc options: {error}", os.fspath(path)) from None
    options: Options = {}
    for number, line in enumerate(lines, start=1):
        place = f"{os.fspath(path)}:{number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise InputError(f"PETSc options: {error} in {line}", place) from None
        if not words:
            continue
        if not words[0].startswith("-") or len(words) > 2:
            raise InputError(
                f"expected one option, as in -ksp_type cg, got '{line.strip()}'", place
            )
        options[words[0]] = words[1] if len(words) == 2 else None
    return options


def bare(options: Mapping[str, str | None], prefix: str) -> Options:
    """`options` without leading dashes and `prefix` in their names."""
    return {name.lstrip("-").removeprefix(prefix): value for name, value in options.items()}
