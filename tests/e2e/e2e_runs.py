"""The command line as tests use it: in this process where that is enough, else in its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from mpi_ranks import ENVIRONMENT, script_on_ranks

from neml2fe.cli.main import main

HERE = Path(__file__).parent
PLATE, POINT = HERE / "plate.i", HERE / "point.i"


@dataclass
class Ended:
    """A run of `neml2fe` that ended."""

    code: int
    out: str
    err: str

    def refused(self, *words: str, code: int = 2) -> None:
        """Assert that one line on stderr says what was wrong, and holds these words."""
        lines = self.err.splitlines()
        assert self.code == code, self
        assert len(lines) == 1 and lines[0].startswith("neml2fe: error: "), self.err
        assert "unexpected" not in self.err and "Traceback" not in self.out + self.err
        for word in words:
            assert word in self.err, self.err


def settings(*overrides: str) -> list[str]:
    return [word for text in overrides for word in ("--set", text)]


@pytest.fixture
def neml2fe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Ended]]:
    """Call the command line in this process."""
    for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: object) -> Ended:
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            try:
                code = main([str(word) for word in words])
            except SystemExit as end:  # argparse
                code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    with monkeypatch.context() as patch:
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        yield call


def process(*words: object, timeout: float = 240, **environment: str) -> Ended:
    """`python -m neml2fe` in a process of its own."""
    return finished([sys.executable, "-m", "neml2fe", *map(str, words)], timeout, **environment)


def on_ranks(ranks: int, *words: object, timeout: float = 240) -> Ended:
    """`mpiexec -n ranks python -m neml2fe`, as a person or a queue would start it."""
    command = ["mpiexec", "-n", str(ranks), sys.executable, "-m", "neml2fe", *map(str, words)]
    return finished(command, timeout)


def all_on_ranks(
    ranks: int, commands: Mapping[str, Sequence[object]], folder: Path
) -> dict[str, Ended]:
    """Several command lines in one start of the ranks, which must agree on each exit code.
    Output is that of all ranks, one after the other."""
    file = folder / "commands.json"
    file.write_text(json.dumps({name: [*map(str, words)] for name, words in commands.items()}))
    script_on_ranks(ranks, HERE / "runs_on_ranks.py", file)
    found = {}
    for name, (codes, out, err) in json.loads(file.read_text()).items():
        assert len(set(codes)) == 1, (name, codes, err)
        found[name] = Ended(codes[0], out, err)
    return found


def finished(command: list[str], timeout: float, **environment: str) -> Ended:
    done = subprocess.run(
        command,
        env=os.environ | ENVIRONMENT | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
