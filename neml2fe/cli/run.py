"""`neml2fe run`: carry out one driver of a deck."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from neml2fe import io
from neml2fe.cli import launch
from neml2fe.errors import Error, InputError, OutputError, suggest


def run(given: argparse.Namespace, comm: Any) -> int:
    """Run the chosen driver; the exit code."""
    from neml2fe.input import load_input
    from neml2fe.input.drivers import MaterialCheck
    from neml2fe.input.simulation import FiniteElementDriver, parse_petsc_options

    source = load_input(given.deck, given.set, given.trust)
    driver = source.get_driver(_chosen(source.drivers, given))
    directory = Path(given.output or Path(given.deck).parent / "results")
    if directory.exists() and not directory.is_dir():
        raise OutputError(f"the folder for the results, {directory}, is a file")
    if not isinstance(driver, FiniteElementDriver):
        if given.resume is not None:
            raise InputError("only finite-element runs can be resumed")
        if isinstance(driver, MaterialCheck) and (comm is None or comm.rank == 0):
            _check(driver, given.quiet)
        elif comm is None or comm.rank == 0:
            _material(driver, directory, given.quiet)
        return 0
    if comm is None:
        serial = given.ranks == "auto" and driver.backend == "scipy"
        ranks = 1 if serial else launch.wanted_ranks(given.ranks)
        if ranks > 1:
            return launch.launch(ranks, _words(given))
    else:
        launch.plain_output()
    launch.share_threads(comm)
    resume = None
    if given.resume is not None:
        resume = Path(given.resume) if given.resume else directory / f"{driver.name}.checkpoint"
    driver.run(directory, comm, resume, parse_petsc_options(given.petsc), given.quiet)
    return 0


def _chosen(drivers: list[str], given: argparse.Namespace) -> str:
    if given.driver is not None:
        if given.driver not in drivers:
            raise InputError(
                f"no driver '{given.driver}'{suggest(given.driver, drivers)}", given.deck
            )
        return str(given.driver)
    if len(drivers) != 1:
        what = f"has the drivers {', '.join(drivers)}; name one" if drivers else "has no [Drivers]"
        raise InputError(f"the deck {what}", given.deck)
    return drivers[0]


def _words(given: argparse.Namespace) -> list[str]:
    """The command line of each rank."""
    words = ["run", given.deck]
    words += [given.driver] if given.driver else []
    words += ["--output", given.output] if given.output else []
    for override in given.set:
        words += ["--set", override]
    if given.resume is not None:
        words += ["--resume", given.resume] if given.resume else ["--resume"]
    words += [f"--{flag}" for flag in ("trust", "quiet", "traceback") if getattr(given, flag)]
    return words + (["--", *given.petsc.split()] if given.petsc else [])


def _material(run: Any, directory: Path, quiet: bool) -> None:
    """Run a material-point driver and write its table, figure and result dictionary. After a
    failure the steps before it are written all the same."""
    with io.Progress(run.driver.n_steps, run.name, silent=quiet) as progress:
        failure: Error | None = None
        try:
            history = run.driver.run(lambda done, total: progress.advance())
        except Error as error:
            history, failure = getattr(error, "history", None), error
            if history is None or len(history.inputs) < 2:
                raise
    files = history.report(directory, run.name)
    if run.save_as is not None:
        files.append((history.save(run.save_as), "result dictionary"))
    if not quiet:
        print("Files written:")
        for path, what in files:
            print(f"  {path}  {what}")
    if failure is not None:
        raise failure


def _check(driver: Any, quiet: bool) -> None:
    """Run a driver and compare its results; the deviations are printed. Raises `MismatchError`."""
    from neml2fe.drivers.comparison import MismatchError

    run = driver.run
    history = run.driver.run()
    if run.save_as is not None:
        history.save(run.save_as)
    try:
        comparison = driver.check.compare(history)
        comparison.require(driver.reference)
    except MismatchError as error:
        print(error.table, flush=True)
        raise
    if not quiet:
        print(f"{driver.name}: {comparison.summary(driver.reference)}")
