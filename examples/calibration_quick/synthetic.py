"""Makes the data of `fit.i`: python synthetic.py [FOLDER], by default `data/`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import torch

import neml2fe
from neml2fe.calibration.parameters import FitParameter
from neml2fe.calibration.problem import CalibrationProblem
from neml2fe.calibration.specimens import Specimens

HERE = Path(__file__).parent
RATES = {"slow": 1e-4, "medium": 1e-2, "fast": 1.0}  # per s
STRESS = 300.0  # of the creep test, in MPa, reached within 10 s


def simulated(tests: Specimens, variable: str) -> torch.Tensor:
    """The axial component of a variable, (N, S), at the parameters of the deck."""
    model = neml2fe.load_model(HERE / "fit.i", "steel")
    problem = CalibrationProblem(model, tests, [FitParameter("flow_rate.n", 1.0, 10.0)])
    return problem.predict(problem.parameters.x0)[variable][..., 0]


def write(path: Path, header: list[str], *columns: torch.Tensor) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        writer.writerows([f"{value:.7g}" for value in row] for row in rows)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)

    def noisy(values: torch.Tensor, deviation: float) -> torch.Tensor:
        noise = torch.randn(values.shape, generator=generator, dtype=torch.float64)
        noise[0] = 0.0  # the machine's zero
        return values + deviation * noise

    strain = torch.linspace(0.0, 0.05, 51, dtype=torch.float64)[:, None].expand(51, len(RATES))
    times = strain / torch.tensor(list(RATES.values()), dtype=torch.float64)
    stress = noisy(
        simulated(Specimens.uniaxial(times, strain, torch.zeros_like(strain)), "stress"), 2.0
    )
    with (folder / "tension.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "file"], *([n, f"{n}.csv"] for n in RATES)])
    for k, name in enumerate(RATES):
        header = ["Time", "Strain", "Stress"]
        write(folder / f"{name}.csv", header, times[:, k], 100.0 * strain[:, k], stress[:, k])

    load = torch.linspace(0.0, 10.0, 11, dtype=torch.float64)
    hold = torch.logspace(0.0, 3.6, 40, dtype=torch.float64) + 10.0
    times = torch.cat((load, hold))[:, None]
    stress = STRESS * (times / 10.0).clamp(max=1.0)
    tests = Specimens.uniaxial(times, torch.zeros_like(times), stress, driven_by="stress")
    strain = noisy(simulated(tests, "strain"), 2e-5)
    header = ["Time [h]", "Stress [MPa]", "Strain [%]"]
    write(folder / "creep.csv", header, times[:, 0] / 3600.0, stress[:, 0], 100.0 * strain[:, 0])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "data")
