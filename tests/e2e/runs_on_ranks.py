"""Run under mpiexec: FILE, a JSON object of command lines by name. Carries them out one after the
other and writes there, for each, the exit codes of all ranks and what all of them printed."""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from mpi4py import MPI

from neml2fe.cli.main import main

Outcome = tuple[list[int], str, str]


def ended(words: list[str]) -> Outcome:
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(words)
    comm = MPI.COMM_WORLD
    texts = ("".join(comm.allgather(stream.getvalue())) for stream in (out, err))
    return (comm.allgather(code), *texts)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    try:
        found = {name: ended(words) for name, words in json.loads(file.read_text()).items()}
        if MPI.COMM_WORLD.rank == 0:
            file.write_text(json.dumps(found))
    except BaseException:
        traceback.print_exc()
        MPI.COMM_WORLD.Abort(1)
