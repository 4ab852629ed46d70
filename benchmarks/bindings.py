"""Times the bindings against the material updates that they pass on.

    python benchmarks/bindings.py [--out results/NAME.json] [--points 10000] [--hosts PYTHON]

`library`: `neml2fe_update` of a library that `neml2fe compile --library` makes, against
`Material.update`, both with stress and tangent. `umat`: microseconds of a call of UMAT, a point
and an increment at a time, as in a finite-element code. With `--hosts`, a Python that has the host
codes (`make bindings-test` makes `.venv-peer/bin/python`), the Python bindings as well
(`bindings_hosts.py`). Results are compared before timing counts; one thread.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import machine
import torch
from rich.console import Console
from rich.table import Table
from stopwatch import interleaved

import neml2fe
from neml2fe.export import Exported, build_umat
from neml2fe.kernels import backend
from neml2fe.material import Material

HERE = Path(__file__).parent
LAWS = {"perzyna": 0.01, "chaboche2": 0.006}  # decks, and the strain of a cycle for UMAT
AGREEMENT = 1e-10
OVERHEAD, CALL = 1.1, 2.0  # limits: of a batched call, and microseconds of one of UMAT (perzyna)
INCREMENTS = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--hosts", help="a Python with the host codes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, backend("kernel"):
        for name, amplitude in LAWS.items():
            deck = HERE / "decks" / f"{name}.i"
            material = Material(neml2fe.load_model(str(deck), "model"))
            library = Path(folder) / f"{name}.so"
            build_umat([Exported("model", material)], library)
            found.append(_library(name, material, library, given.points))
            found.append(_umat(name, material, library, amplitude))
    if given.hosts:
        command = [given.hosts, str(HERE / "bindings_hosts.py"), str(given.points)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found += json.loads(done.stdout.splitlines()[-1])
    _print(found)
    if given.out:
        described = {"machine": machine.describe(), "points": given.points, "results": found}
        given.out.write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    return 0


def _library(name: str, material: Material, library: Path, n: int) -> dict[str, Any]:
    strain, state = strains(n), material.initial_state(n)
    code = ctypes.CDLL(str(library))
    code.neml2fe_load.restype, code.neml2fe_update.restype = ctypes.c_void_p, ctypes.c_long
    law = ctypes.c_void_p(code.neml2fe_load(None, b"model"))
    old = torch.cat([v.reshape(n, -1) for v in state.values()], 1)
    new, stress, tangent = torch.empty_like(old), torch.empty(n, 6), torch.empty(n, 36)
    stress, tangent = stress.double(), tangent.double()

    def ours() -> Any:
        return material.update(strain, state, 1.0, 1.0)

    def theirs() -> int:
        rows = [_at(strain), None, None, *map(_at, (old, stress, new, tangent)), None, None]
        return int(
            code.neml2fe_update(
                law, ctypes.c_long(n), ctypes.c_double(1), ctypes.c_double(1), *rows
            )
        )

    expected, failed = ours(), theirs()
    assert failed == len(expected.failed) == 0
    difference = max(
        relative(stress, expected.stress), relative(tangent, expected.tangent.reshape(n, 36))
    )
    assert difference < AGREEMENT, difference
    direct, called = interleaved(ours, theirs)
    return {
        "binding": "library",
        "law": name,
        "difference": difference,
        "us a point": 1e6 * called / n,
        "of material.update": called / direct,
        "limit": OVERHEAD,
    }


def _umat(name: str, material: Material, library: Path, amplitude: float) -> dict[str, Any]:
    program = library.with_name("calls")
    source = str(HERE / "umat_calls.c")
    subprocess.run(["cc", "-O2", source, str(library), "-o", str(program), "-lm"], check=True)
    n = sum(v[0].numel() for v in material.initial_state(1).values())
    words = [str(program), str(n), str(INCREMENTS), "200", str(amplitude)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    best, *stress = map(float, said)
    turn = torch.linspace(0.0, 2.0 * torch.pi, INCREMENTS + 1, dtype=torch.float64).sin()
    direction = torch.tensor([1, -0.4, -0.35, 0.1, -0.2, 0.3], dtype=torch.float64)
    direction[3:] /= 2**0.5
    state = material.initial_state(1)
    for k in range(1, INCREMENTS + 1):
        strain = (amplitude * turn[k] * direction)[None]
        result = material.update(strain, state, k / INCREMENTS, 1 / INCREMENTS, tangent=False)
        state = result.state
    mandel = torch.tensor(stress, dtype=torch.float64)[[0, 1, 2, 5, 4, 3]]
    mandel[3:] *= 2**0.5
    difference = relative(mandel, result.stress[0])
    assert difference < AGREEMENT, difference
    return {
        "binding": "umat",
        "law": name,
        "difference": difference,
        "us a call": best,
        "limit": CALL if name == "perzyna" else None,
    }


def strains(n: int) -> torch.Tensor:
    """Random directions, of sizes from elastic to a per cent."""
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(n, 6, dtype=torch.float64, generator=generator)
    size = 10.0 ** (-4.0 + 2.0 * torch.rand(n, 1, dtype=torch.float64, generator=generator))
    return direction / direction.norm(dim=1, keepdim=True) * size


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def _at(values: torch.Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(values.data_ptr())


def _print(found: list[dict[str, Any]]) -> None:
    table = Table()
    for column in ("binding", "law", "difference", "time", "limit"):
        table.add_column(column)
    for row in found:
        ratio = row.get("of material.update")
        time = f"{row['us a call']:.2f} us a call" if ratio is None else f"{ratio:.3f} of update"
        limit = "" if row["limit"] is None else str(row["limit"])
        table.add_row(row["binding"], row["law"], f"{row['difference']:.1e}", time, limit)
    Console().print(table)


if __name__ == "__main__":
    raise SystemExit(main())
