"""Synthetic tension tests of the steel in `model.i`: five rates at five temperatures.

The parameters in the deck are the means of a population. Each specimen has its own, independent
normal deviates around them (`SCATTER`), and its measured stress has white noise (`NOISE`). So the
truth behind the data is known, in contrast to real tests.

    python synthetic.py FOLDER [SEED]
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from neml2fe.drivers import TransientDriver
from neml2fe.implicit import ImplicitUpdate
from neml2fe.input import load_model
from neml2fe.models.functional import substituted
from neml2fe.types import SR2, Scalar

DECK = Path(__file__).with_name("model.i")

NOISE = 2.0  # standard deviation of a measured stress, MPa

# Standard deviation from specimen to specimen as a share of the mean, by parameter of the model.
# A, B and C are in an exponent: these change the yield stress by about 3 %.
SCATTER = {
    "A.value": 0.01,
    "B.value": 0.01,
    "C.value": 0.005,
    "saturation.ordinate": 0.04,
    "hardening_rate.ordinate": 0.04,
}


@dataclass(frozen=True)
class Experiments:
    """S specimens; `strain` and `stress` are axial, `(n_steps + 1, S)` as is `time`."""

    names: list[str]
    temperature: torch.Tensor  # (S,), K
    rate: torch.Tensor  # (S,), 1/s
    time: torch.Tensor  # s
    strain: torch.Tensor
    stress: torch.Tensor  # MPa, measured
    parameters: dict[str, torch.Tensor]  # those of each specimen, (S,) or (S, 5)


def model() -> ImplicitUpdate:
    """The model of the deck."""
    found = load_model(DECK, "model")
    assert isinstance(found, ImplicitUpdate)
    return found


def means(update: ImplicitUpdate) -> dict[str, torch.Tensor]:
    """The parameters that scatter, by name; () or (5,)."""
    known = dict(update.equation_system.model.named_parameters())
    return {name: known[name].detach().clone() for name in SCATTER}


def conditions(n_temperatures: int = 5, n_rates: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Temperature in K and strain rate in 1/s of every specimen, `(S,)` each.

    With 2, 3 or 5 temperatures all are knots of the tables in the deck.
    """
    temperatures = torch.linspace(293.15, 1073.15, n_temperatures, dtype=torch.float64)
    rates = torch.logspace(-5.0, -1.0, n_rates, dtype=torch.float64)
    return temperatures.repeat_interleave(n_rates), rates.repeat(n_temperatures)


def simulate(
    update: ImplicitUpdate,
    parameters: Mapping[str, torch.Tensor],
    temperature: torch.Tensor,
    rate: torch.Tensor,
    n_steps: int = 100,
    largest: float = 0.25,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Time, axial strain and axial stress `(n_steps + 1, S)`, from zero to the strain `largest`.

    `parameters` replaces those of the model; they may differ from specimen to specimen, `(S,)` or
    `(S, 5)`. Raises `ConvergenceError` naming step and specimen.
    """
    axial = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    path = torch.linspace(0.0, largest, n_steps + 1, dtype=torch.float64)
    strain = path.unsqueeze(-1).expand(-1, len(rate))
    time = strain / rate
    driver = TransientDriver(
        update,
        Scalar(time),
        {
            "temperature": Scalar(temperature.expand_as(time)),
            "rate": Scalar(rate.expand_as(time)),
            "conditions": SR2(strain.unsqueeze(-1) * axial),
            "control": SR2((1.0 - axial).expand(*time.shape, 6)),
        },
    )
    with substituted(update.equation_system.model, parameters):
        history = driver.run()
    stress = history.series("stress")[..., 0]
    return time, strain, torch.cat([torch.zeros_like(stress[:1]), stress])


def experiments(
    seed: int = 0,
    n_temperatures: int = 5,
    n_rates: int = 5,
    n_steps: int = 100,
    scatter: float = 1.0,
    noise: float = NOISE,
    largest: float = 0.25,
) -> Experiments:
    """The data set of a seed; `scatter` multiplies `SCATTER`, and `noise` is in MPa.

    Steps of much more than 0.25 % strain need many Newton iterations: with fewer steps, give a
    smaller `largest` strain.
    """
    update = model()
    generator = torch.Generator().manual_seed(seed)
    temperature, rate = conditions(n_temperatures, n_rates)
    parameters = {}
    for name, mean in means(update).items():
        deviates = torch.randn(len(rate), *mean.shape, generator=generator, dtype=torch.float64)
        parameters[name] = mean * (1.0 + scatter * SCATTER[name] * deviates)
    with torch.no_grad():
        time, strain, stress = simulate(update, parameters, temperature, rate, n_steps, largest)
    error = torch.randn(n_steps, len(rate), generator=generator, dtype=torch.float64)
    stress[1:] += noise * error  # the first row is the machine's zero
    names = [f"{t - 273.15:.0f}C_{r:.0e}" for t, r in zip(temperature, rate, strict=True)]
    return Experiments(names, temperature, rate, time, strain, stress, parameters)


def write(folder: str | Path, data: Experiments) -> list[Path]:
    """One CSV for each specimen, and `index.csv` with the temperature and rate of all of them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.csv" for name in data.names]
    for s, file in enumerate(files):
        with file.open("w", newline="") as stream:
            stream.write(f"# tension at {data.temperature[s]:.2f} K, {data.rate[s]:g} per s\n")
            rows = csv.writer(stream, lineterminator="\n")
            rows.writerow(["time (s)", "strain (%)", "stress (MPa)"])
            for t, e, f in zip(
                data.time[:, s].tolist(),
                data.strain[:, s].tolist(),
                data.stress[:, s].tolist(),
                strict=True,
            ):
                rows.writerow([f"{t:.8g}", f"{100.0 * e:.6g}", f"{f:.3f}"])
    with (folder / "index.csv").open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["name", "file", "temperature (K)", "rate (1/s)"])
        for name, file, t, r in zip(
            data.names, files, data.temperature.tolist(), data.rate.tolist(), strict=True
        ):
            rows.writerow([name, file.name, f"{t:.2f}", f"{r:g}"])
    return files


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python synthetic.py FOLDER [SEED]")
    written = write(sys.argv[1], experiments(int(sys.argv[2]) if len(sys.argv) == 3 else 0))
    print(f"{len(written)} specimens in {sys.argv[1]}")
