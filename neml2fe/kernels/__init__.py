"""Compiled material kernels: a model traced on one point, and C++ or CUDA in which each point
runs its own Newton loop. `docs/kernels.md` goes through it with an example."""

from neml2fe.kernels.backend import (
    BACKENDS,
    HasOwnKernel,
    KernelCache,
    Kernels,
    StaysEager,
    backend,
    chosen_backend,
    common_dtype,
    repeated,
    repetitions,
)
from neml2fe.kernels.build import NoCompiler, extra_options, find_compiler, run_compiler
from neml2fe.kernels.kernel import History, Kernel, Results, recorded_kernels, settings_of
from neml2fe.kernels.program import TRACING, Program, Stage, Variable, solved, traced
from neml2fe.kernels.request import BAR, RATE, SOLUTION, Array, Request, numbers_of
from neml2fe.kernels.source import generate
from neml2fe.kernels.store import BuildError, cache_dir
from neml2fe.kernels.trace import Tracer, Untraceable, current_tracer

__all__ = [
    "BACKENDS",
    "BAR",
    "RATE",
    "SOLUTION",
    "TRACING",
    "Array",
    "BuildError",
    "HasOwnKernel",
    "History",
    "Kernel",
    "KernelCache",
    "Kernels",
    "NoCompiler",
    "Program",
    "Request",
    "Results",
    "Stage",
    "StaysEager",
    "Tracer",
    "Untraceable",
    "Variable",
    "backend",
    "cache_dir",
    "chosen_backend",
    "common_dtype",
    "current_tracer",
    "extra_options",
    "find_compiler",
    "generate",
    "numbers_of",
    "recorded_kernels",
    "repeated",
    "repetitions",
    "run_compiler",
    "settings_of",
    "solved",
    "traced",
]
