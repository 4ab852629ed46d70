"""Libraries of materials for compiled codes, built ahead of time from a deck's laws."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from neml2fe.errors import InputError, ModelError
from neml2fe.export.layout import Layout
from neml2fe.export.source import Part, library_table, parts_of
from neml2fe.kernels import Untraceable, backend, extra_options, find_compiler, run_compiler
from neml2fe.material import Material
from neml2fe.types import Scalar

TEMPLATES = Path(__file__).with_name("templates")
HEADER = "neml2fe.h"
LONGEST_NAME = 80  # of CMNAME
_SCALAR = ("-O3", "-DNEML2FE_SCALAR=1")
_OBJECT = ("-c", "-fvisibility=hidden", f"-I{TEMPLATES}")
# Its own symbols come first, and host codes bring C++ libraries of other ages.
_SHARED = (
    "-shared",
    "-Wl,-Bsymbolic",
    "-Wl,--exclude-libs,ALL",
    "-static-libgcc",
    "-static-libstdc++",
)


@dataclass(frozen=True)
class Exported:
    """A material by the name that compiled codes know it by; `measure` and `finite_strain` as for
    `Layout.of`."""

    name: str
    material: Material
    measure: str = "auto"
    finite_strain: bool = False


def build_library(
    materials: Sequence[Exported],
    to: Path,
    interfaces: Sequence[str] = (),
    told: Callable[[str], None] = lambda line: None,
) -> list[Layout]:
    """Write the shared library `to` of materials, with the functions of `neml2fe.h`, which is put
    beside it; and with those of further templates, such as `umat`.

    `told` hears of each file that is compiled. Raises `InputError` where nothing can be written
    or two materials have one name, `ModelError` for materials that cannot be in a library,
    `BuildError` where a compiler fails.
    """
    names = [m.name for m in materials]
    if not names or len({n.lower() for n in names}) < len(names):
        raise InputError(f"a library needs materials of different names, got {names}")
    if to.is_dir() or not to.parent.is_dir():
        raise InputError(f"{to}: a library is a file in a folder that is there")
    layouts, parts, tables = [], [], ['#include "library.h"\n']
    for k, given in enumerate(materials):
        layout = Layout.of(given.name, given.material, given.measure, given.finite_strain)
        try:
            with backend("kernel"):
                own, table = parts_of(k, given.material, layout)
        except Untraceable as error:
            raise ModelError(f"'{given.name}' cannot be compiled: {error}") from error
        layouts.append(layout)
        parts += own
        tables.append(table)
    texts = {part.entry: _Text(part.text, _options(part)) for part in parts}
    texts["tables"] = _Text("\n".join([*tables, library_table(len(layouts))]))
    for name in ("interface", *interfaces):
        texts[name] = _Text((TEMPLATES / f"{name}.cpp").read_text(encoding="utf-8"), ("-O3",))
    try:
        _build(texts, to, told)
        header = to.with_name(HEADER)
        header.write_text((TEMPLATES / HEADER).read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {to}: {error.strerror or error}") from error
    return layouts


def build_umat(
    materials: Sequence[Exported],
    to: Path,
    told: Callable[[str], None] = lambda line: None,
) -> list[Layout]:
    """`build_library` with the subroutine UMAT; raises `ModelError` for fields that are no
    scalars, which Abaqus does not have, and for names that are too long for it."""
    for given in materials:
        if len(given.name) > LONGEST_NAME:
            raise ModelError(
                f"'{given.name}': names of a UMAT have at most {LONGEST_NAME} characters, this "
                f"has {len(given.name)}"
            )
        for name, kind in given.material.field_spec.items():
            if kind is not Scalar:
                raise ModelError(
                    f"'{given.name}': field '{name}' is a {kind.__name__}, and fields of a UMAT "
                    "(temperature, predefined ones) are scalars"
                )
    return build_library(materials, to, ["umat"], told)


@dataclass(frozen=True)
class _Text:
    cpp: str
    options: tuple[str, ...] = ()


def _options(part: Part) -> tuple[str, ...]:
    """Kernels of one library differ in names alone, so that each has a namespace of its own."""
    own = (f"-Dneml2fe={part.entry}_", f"-Dneml2fe_run={part.entry}")
    return (*own, *_SCALAR) if part.scalar else own


def _build(texts: Mapping[str, _Text], to: Path, told: Callable[[str], None]) -> None:
    compiler = find_compiler()
    options = [*compiler.options, *extra_options()]

    with tempfile.TemporaryDirectory(prefix="neml2fe-library-") as name:
        folder = Path(name)

        def compiled(entry: str) -> Path:
            text, source = texts[entry], folder / f"{entry}.cpp"
            source.write_text(text.cpp, encoding="utf-8")
            done = folder / f"{entry}.o"
            run_compiler(compiler, [source], done, [*_OBJECT, *text.options, *options], entry)
            told(entry)
            return done

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            objects = list(threads.map(compiled, texts))
        library = folder / "library.so"
        run_compiler(compiler, objects, library, [*options, *_SHARED], str(to))
        # A running program keeps the file that it has; it must not be written over.
        beside = to.with_name(f".{to.name}.new")
        beside.write_bytes(library.read_bytes())
        beside.chmod(0o755)
        os.replace(beside, to)
