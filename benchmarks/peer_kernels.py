"""Runs and times `neml2` for one job of kernels.py, in the environment that has it.

    python peer_kernels.py FOLDER

FOLDER holds job.json and inputs.npz; values.npz and result.json are written there. Routes:
`eager`, the model's own chain rule seeded with the strain alone; `compiled`, what `neml2-compile`
makes of it with AOTInductor for the derivative of stress by strain alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import neml2
import neml2.aoti
import numpy as np
import torch
from stopwatch import measure

Inputs = dict[str, torch.Tensor]
Update = Callable[[], tuple[torch.Tensor, torch.Tensor]]
Prepared = Callable[[Inputs], tuple[Update, Callable[[], object]]]


def eager(job: dict[str, Any]) -> Prepared:
    """Calls for stress and tangent, and for values only."""
    model = neml2.load_model(job["deck"], "model").to(job["device"])
    strain = job["strain"]
    place = list(model.output_spec).index("stress")

    def prepared(inputs: Inputs) -> tuple[Update, Callable[[], object]]:
        args = [kind(inputs[name]) for name, kind in model.input_spec.items()]
        n = len(inputs[strain])
        unit = torch.eye(6, dtype=torch.float64, device=job["device"])
        directions = unit[:, None, :].expand(6, n, 6).contiguous()
        kind = model.input_spec[strain]
        seed = {strain: {strain: kind(directions, k_ndim=1, k_state=("full",), k_pairing=(None,))}}

        def update() -> tuple[torch.Tensor, torch.Tensor]:
            *outputs, slopes = model(*args, v=seed)
            return outputs[place].data, slopes["stress"][strain].data.movedim(0, -1)

        return update, lambda: model(*args)

    return prepared


def compiled(job: dict[str, Any], root: Path) -> Prepared:
    model = neml2.aoti.Model(str(root / "model"), job["device"], "float64")
    names = model.input_names

    def prepared(inputs: Inputs) -> tuple[Update, Callable[[], object]]:
        args = {name: inputs[name] for name in names}

        def update() -> tuple[torch.Tensor, torch.Tensor]:
            outputs, slopes = model.jacobian(args)
            return outputs["stress"], slopes["stress"][job["strain"]]

        return update, lambda: model.forward(args)

    return prepared


def compilation(job: dict[str, Any]) -> tuple[Path, float]:
    """Folder of the compiled model, kept from run to run, and the seconds that it took.

    The number of threads is part of its name, for Inductor writes it into its loops.
    """
    deck = Path(job["deck"])
    content = hashlib.sha256(deck.read_bytes()).hexdigest()[:12]
    about = [deck.stem, content, version("neml2"), job["device"], str(job["threads"])]
    root = Path(job["artefacts"]) / "-".join(about)
    seconds = root / "seconds.json"
    if not seconds.exists():
        command = [sys.executable, "-m", "neml2.cli.aoti_compile", str(deck), "--model", "model"]
        command += ["--output-dir", str(root), "--device", job["device"], "--no-stub", "--quiet"]
        command += ["--derivative", f"stress:{job['strain']}", "--jobs", str(job["threads"])]
        with tempfile.TemporaryDirectory() as cold:  # the time without Inductor's own cache
            start = time.perf_counter()
            subprocess.run(
                command,
                check=True,
                stdout=sys.stderr,
                env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": cold},
            )
        seconds.write_text(json.dumps(time.perf_counter() - start))
    return root, json.loads(seconds.read_text())


def main() -> None:
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    torch.set_default_dtype(torch.float64)
    found: dict[str, Any] = {"version": version("neml2"), "torch": torch.__version__}
    if job["route"] == "compiled":
        root, found["compilation"] = compilation(job)
        prepared = compiled(job, root)
    else:
        prepared = eager(job)
    most = max(job["points"])
    whole = {
        name: torch.from_numpy(value).to(job["device"]).expand(most, *value.shape[1:]).contiguous()
        for name, value in np.load(folder / "inputs.npz").items()
    }
    with torch.no_grad():
        stress, tangent = prepared(whole)[0]()
        np.savez(folder / "values.npz", stress=stress.cpu().numpy(), tangent=tangent.cpu().numpy())
        found["points"] = {}
        for n in job["points"]:
            update, values = prepared({name: value[:n] for name, value in whole.items()})
            found["points"][n] = {
                "update": measure(update, job["device"]),
                "values": measure(values, job["device"]),
            }
    (folder / "result.json").write_text(json.dumps(found))


main()
