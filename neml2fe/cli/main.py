"""Arguments, and how errors end a run: one message, an exit code, no rank left waiting."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import neml2fe
from neml2fe.cli.interrupt import noticed_interrupts
from neml2fe.errors import Error, InputError

# How long a failed rank waits for the others to fail the same way before it stops them.
_PATIENCE = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 (no convergence) or 2 (bad input)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options, petsc = _split(words)
    parser = _parser()
    given, rest = parser.parse_known_args(options)
    if rest and given.action is _run and given.driver is None and not rest[0].startswith("-"):
        given.driver = rest.pop(0)  # argparse misses it where options stand before it
    if given.action is _run:
        overrides = [word for word in (given.driver, *rest) if word and "=" in word]
        given.set += [word.replace(":=", "=") for word in overrides if not word.startswith("-")]
        rest = [word for word in rest if word not in overrides]
        given.driver = None if given.driver in overrides else given.driver
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    given.petsc = petsc
    comm = ending = None
    try:
        comm = communicator()
        # Other ranks may be inside of an operation on `comm` when this one fails.
        ending = None if comm is None else comm.Dup()
        warnings.showwarning = functools.partial(_warn, comm)
        with noticed_interrupts() as require_none:
            try:
                code: int = given.action(given, comm)
            except Exception:
                require_none()  # inside of a library it may have become another error
                raise
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads the output has seen enough, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        if comm is None:
            print("interrupted; what was written stays readable", file=sys.stderr)
            return 130
        comm.Abort(130)
        raise
    except Exception as error:
        if given.traceback:
            import traceback

            traceback.print_exc()
        elif not isinstance(error, Error):
            error = Error(f"unexpected {type(error).__name__}: {error} (--traceback shows where)")
        return _end(error, ending)


def _split(words: list[str]) -> tuple[list[str], str]:
    """Arguments before `--`, and PETSc options after it."""
    if "--" not in words:
        return words, ""
    k = words.index("--")
    return words[:k], " ".join(words[k + 1 :])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="neml2fe", description=neml2fe.__doc__)
    parser.add_argument("--version", action="version", version=neml2fe.__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run a driver of a deck", epilog=_PETSC_HELP)
    run.add_argument("deck", help="input file")
    run.add_argument(
        "driver", nargs="?", help="block of [Drivers]; may be left out if there is one"
    )
    run.add_argument(
        "-n", "--ranks", default="1", help="MPI ranks: a number, or 'auto' for two where MPI is"
    )
    run.add_argument(
        "-o", "--output", help="folder for the results (default: results/ by the deck)"
    )
    _add_deck_options(run)
    run.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="CHECKPOINT",
        help="continue a finite-element run from its checkpoint (default: the one in the results)",
    )
    run.add_argument("-q", "--quiet", action="store_true", help="no progress table")
    run.set_defaults(action=_run)

    inspect = commands.add_parser(
        "inspect", help="show what a deck's models are: members, wiring, variables, parameters"
    )
    inspect.add_argument("deck", help="input file")
    inspect.add_argument(
        "model", nargs="?", help="block of [Models] (default: those that drivers run)"
    )
    inspect.add_argument("--dot", action="store_true", help="print the graph for Graphviz")
    inspect.add_argument("--figure", metavar="FILE", help="draw the graph: .png, .pdf or .svg")
    _add_deck_options(inspect)
    inspect.set_defaults(action=_inspect)

    build = commands.add_parser(
        "compile",
        help="build the kernels of a deck's laws ahead of its runs",
        description=_COMPILE_HELP,
    )
    build.add_argument("deck", help="input file")
    build.add_argument("--model", nargs="+", metavar="NAME", help="these blocks of [Models] only")
    build.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="number type of the run"
    )
    build.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where the run will be"
    )
    made = build.add_mutually_exclusive_group()
    made.add_argument(
        "--library", metavar="FILE", help="a shared library of the laws, with a C interface"
    )
    made.add_argument("--umat", metavar="FILE", help="the same with Abaqus's subroutine UMAT")
    build.add_argument(
        "--finite-strain",
        action="store_true",
        help="in the library, small-strain laws by the logarithmic strain of F",
    )
    _add_deck_options(build)
    build.set_defaults(action=_compile)

    fit = commands.add_parser(
        "calibrate",
        help="fit parameters of a deck's models to tests",
        description=_CALIBRATE_HELP,
    )
    fit.add_argument("deck", help="input file")
    fit.add_argument(
        "calibration", nargs="?", help="block of [Calibrations]; may be left out if there is one"
    )
    fit.add_argument(
        "-o", "--output", help="folder for the results (default: results/NAME by the deck)"
    )
    _add_deck_options(fit)
    fit.add_argument(
        "--resume", action="store_true", help="go on from the best point of the last run"
    )
    fit.add_argument(
        "--max-iterations", type=int, metavar="N", help="iterations of each start, at most"
    )
    fit.add_argument(
        "--check-gradient",
        action="store_true",
        help="only compare the gradient of the loss with finite differences",
    )
    fit.add_argument("--no-report", action="store_true", help="only the record of the iterations")
    fit.add_argument("-q", "--quiet", action="store_true", help="no progress table")
    fit.set_defaults(action=_calibrate)

    syntax = commands.add_parser("syntax", help="show the types that decks may name")
    syntax.add_argument("type", nargs="?", help="explain this one")
    syntax.add_argument("--json", action="store_true", help="for programs")
    syntax.set_defaults(action=_syntax)

    doctor = commands.add_parser("doctor", help="show what was found on this machine")
    doctor.set_defaults(action=_doctor)
    for command in (run, inspect, build, fit, syntax, doctor):
        command.add_argument("--traceback", action="store_true", help="show where an error arose")
    return parser


def _add_deck_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-s",
        "--set",
        action="append",
        default=[],
        metavar="SECTION/BLOCK/FIELD=VALUE",
        help="override a field of the deck; may be repeated",
    )
    command.add_argument(
        "--trust", action="store_true", help="run the deck's Python expressions freely"
    )


_COMPILE_HELP = """Builds the kernels that runs of the deck will use: of every block of
[Materials] or, without one, of every model of [Models] that is part of no other and is a material
(one strain in, a stress out) or an implicit update; and of the models that its drivers run. Each
gets kernels of values, of values with tangent, and of the reverse pass. Where a field of the run
brings a sub-batch (slip systems, grains), its shape is known to the run alone, which builds its
own. With --library or --umat, makes a shared library of the deck's laws for compiled codes, which
needs no Python to run, and neml2fe.h and a list of its variables beside it. The exit code is 1
where something cannot be compiled, which then runs eagerly, and 2 where
the deck cannot be right."""
_CALIBRATE_HELP = """Fits the [Parameters] of a deck to its [Specimens], or to its [Tests] with
finite-element simulations, as a block of [Calibrations] says, and writes a report. Every iteration
is on disk before the next begins, so that a fit that was stopped, in whatever way, goes on with
--resume. The exit code is 0 where the fit converged or nothing more was gained, 1 where it did not
or no specimen can be simulated, 2 for a deck or data that cannot be right, and 130 after Ctrl-C,
which still writes the report where the fit runs in one process."""
_PETSC_HELP = "PETSc options may follow after --, e.g. neml2fe run plate.i -- -ksp_type cg"


def _run(given: argparse.Namespace, comm: Any) -> int:
    from neml2fe.cli.run import run

    return run(given, comm)


def _inspect(given: argparse.Namespace, comm: Any) -> int:
    from neml2fe.cli.inspect import inspect

    return inspect(given)


def _compile(given: argparse.Namespace, comm: Any) -> int:
    if given.library or given.umat:
        from neml2fe.cli.export import export_deck

        return export_deck(given)
    from neml2fe.cli.compile import compile_deck

    return compile_deck(given)


def _calibrate(given: argparse.Namespace, comm: Any) -> int:
    from neml2fe.cli.calibrate import calibrate

    return calibrate(given, comm)


def _syntax(given: argparse.Namespace, comm: Any) -> int:
    from neml2fe.cli.syntax import syntax

    return syntax(given)


def _doctor(given: argparse.Namespace, comm: Any) -> int:
    from neml2fe.cli.doctor import main as doctor

    return doctor()


def communicator() -> Any:
    """The world of the MPI ranks when started by an MPI launcher, else None.

    Raises `InputError` when the ranks cannot find each other: each would run, and write, the
    whole problem.
    """
    sizes = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
    size = next((os.environ[name] for name in sizes if name in os.environ), "1")
    if size == "1":
        return None
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise InputError(f"started on {size} ranks, but mpi4py is missing ({error})") from None
    if MPI.COMM_WORLD.size == 1:
        raise InputError(
            f"the launcher started {size} processes, which MPI does not connect: mpiexec and "
            "mpi4py belong to different MPI libraries; see `neml2fe doctor`"
        )
    return MPI.COMM_WORLD


def _warn(comm: Any, message: Warning | str, *_: Any) -> None:
    """One line a warning, from rank 0."""
    if comm is None or comm.rank == 0:
        print(f"neml2fe: warning: {message}", file=sys.stderr, flush=True)


def _end(error: Exception, comm: Any) -> int:
    """Print one message and end on all ranks. An error that all ranks share is printed by
    rank 0; one that struck this rank alone stops the others. `comm` serves no other purpose."""
    code = getattr(error, "exit_code", 2)
    if comm is None or _all_failed(comm):
        if comm is None or comm.rank == 0:
            print(f"neml2fe: error: {error}", file=sys.stderr, flush=True)
        return code
    print(f"neml2fe: error on rank {comm.rank}: {error}", file=sys.stderr, flush=True)
    comm.Abort(code)
    return code


def _all_failed(comm: Any) -> bool:
    """Whether every rank arrives here within a few seconds; not so where MPI cannot tell."""
    until = time.monotonic() + _PATIENCE
    try:
        request = comm.Ibarrier()
        while not request.Test():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
    except Exception:
        return False
    return True
