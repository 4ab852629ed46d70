"""The C++ or CUDA source of a kernel: what is asked for, and the templates around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from neml2fe.kernels.correction import correction
from neml2fe.kernels.products import jvp, vjp
from neml2fe.kernels.program import Program
from neml2fe.kernels.request import Array, Request
from neml2fe.kernels.stage import stage_struct
from neml2fe.kernels.update import update

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Source:
    """Generated code without the templates, and the arrays in their order."""

    body: str
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]

    @property
    def statements(self) -> int:
        return self.body.count(";\n")

    def host(self, dtype: torch.dtype) -> str:
        """C++ for a CPU."""
        return _assembled(self.body, dtype)

    cuda = host  # the same text: the templates look at __CUDACC__


WRITERS = {"update": update, "vjp": vjp, "jvp": jvp, "correction": correction}


def generate(program: Program, request: Request) -> Source:
    """The code of one kernel."""
    inputs, outputs, functions = WRITERS[request.kind](program, request)
    stages = range(len(program.stages))
    parts = [stage_struct(k, program, request.condensed) for k in stages]
    parts += [*functions, _sizes("IN", inputs) + _sizes("OUT", outputs)]
    return Source("\n\n".join(parts), tuple(inputs), tuple(outputs))


def _assembled(body: str, dtype: torch.dtype) -> str:
    single = dtype is torch.float32
    head = f"#define REAL {'float' if single else 'double'}\n" + "#define SINGLE\n" * single
    return "\n".join([head, *(_template(n) for n in ("lanes", "newton")), body, _template("drive")])


@cache
def _template(name: str) -> str:
    return (TEMPLATES / f"{name}.h").read_text(encoding="utf-8")


def _sizes(name: str, arrays: Sequence[Array]) -> str:
    sizes = ", ".join(str(a.size) for a in arrays) or "0"
    return (
        f"constexpr int N_{name} = {len(arrays)}, {name} = {sum(a.size for a in arrays)};\n"
        f"TABLE int {name}_SIZE[] = {{{sizes}}};\n"
    )
