"""CalculiX: writes the deck of a job of fem.py, runs `ccx` on it and reads what it printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from fem_job import peak

from neml2fe.fem.mesh.generate import box
from neml2fe.fem.mesh.mesh import Mesh

TOTAL = re.compile(r"total force .* for set RIGHT .*\n\s*\n\s*(\S+)")
ITERATION = re.compile(r"^\s*iteration\s+\d+", re.MULTILINE)
LOOK = 0.05  # seconds between two looks at the memory of a running process


def write_deck(path: Path, job: dict[str, Any]) -> Mesh:
    """The cube of C3D8 bricks (2 x 2 x 2 points, full integration: measured, its results on a
    coarse mesh have the seven digits of ours), J2 with linear hardening, small strain."""
    n, p = job["nodes"] - 1, job["parameters"]
    mesh = box(n, n, n, "hexahedron")
    bricks = mesh.cells[0].connectivity + 1
    lines = [
        "*NODE, NSET=all",
        *(f"{k}, {x!r}, {y!r}, {z!r}" for k, (x, y, z) in enumerate(mesh.points.tolist(), 1)),
        "*ELEMENT, TYPE=C3D8, ELSET=body",
        *(f"{k}, " + ", ".join(map(str, row)) for k, row in enumerate(bricks.tolist(), 1)),
    ]
    for name in ("left", "right"):
        nodes = mesh.boundary_nodes(name) + 1
        lines += [f"*NSET, NSET={name}", *(f"{node}," for node in nodes.tolist())]
    lines += [
        "*MATERIAL, NAME=j2",
        "*ELASTIC",
        f"{p['E']!r}, {p['nu']!r}",
        "*PLASTIC",
        f"{p['yield_stress']!r}, 0.",
        f"{p['yield_stress'] + p['hardening']!r}, 1.",
        "*SOLID SECTION, ELSET=body, MATERIAL=j2",
        "*BOUNDARY",
        "left, 1, 3",
        "*STEP, INC=1000",
        "*STATIC, DIRECT",
        f"{1.0 / job['increments']!r}, 1.",
        "*BOUNDARY",
        "right, 2, 3",
        f"right, 1, 1, {job['pull']!r}",
        "*NODE PRINT, NSET=right, TOTALS=ONLY",
        "RF",
        "*END STEP",
    ]
    path.write_text("\n".join(lines) + "\n")
    return mesh


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """One run of `ccx` with the job's threads: seconds of the process, reading the deck included.

    Raises `RuntimeError` where it does not finish its increments.
    """
    program = shutil.which("ccx")
    if program is None:
        raise FileNotFoundError("ccx is not installed (Debian: calculix-ccx)")
    deck, output = folder / "cube.inp", folder / "cube.out"
    mesh = write_deck(deck, job)
    threads = str(job["threads"])
    environment = {"OMP_NUM_THREADS": threads, "CCX_NPROC_EQUATION_SOLVER": threads}
    memory = 0.0
    start = time.perf_counter()
    with output.open("w") as file:
        child = subprocess.Popen(
            [program, deck.stem], cwd=folder, env=os.environ | environment, stdout=file
        )
        while True:
            memory = max(memory, peak(child.pid))
            try:
                status = child.wait(LOOK)
                break
            except subprocess.TimeoutExpired:
                pass
    seconds = time.perf_counter() - start
    said = output.read_text()
    forces = TOTAL.findall((folder / "cube.dat").read_text())
    if status or "Job finished" not in said or len(forces) != job["increments"]:
        raise RuntimeError(f"ccx: Error, {len(forces)} increments; {said.strip()[-200:]}")
    version = subprocess.run([program, "-v"], capture_output=True, text=True).stdout.split()[-1]
    return {
        "versions": {"calculix": version},
        "dofs": 3 * mesh.n_nodes,
        "elements": mesh.n_elements,
        "solve": seconds,
        "iterations": len(ITERATION.findall(said)),
        "memory_mb": memory,
        "results": {"reaction": float(forces[-1])},
    }
