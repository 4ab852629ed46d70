"""A hierarchical Bayesian fit of the steel in `model.i` to the data of `synthetic.py`.

Each of the 13 parameters has a mean and a standard deviation from specimen to specimen, and the
stresses have noise: 27 unknowns that all specimens share, and 13 for each specimen. Stochastic
variational inference finds how well the tests tell them.

    python statistical.py FOLDER [--seed 0] [--temperatures 5] [--rates 5] [--steps 100] ...

FOLDER gets `statistical.csv`, the posterior of the shared unknowns beside their true values, with
all draws in `statistical.pt`; `statistical_means.png` and `statistical_scatter.png`, their
figures; and `statistical_bands.png`, where 95 % of new specimens are expected.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import synthetic
import torch

from neml2fe.calibration.curves import plot_bands
from neml2fe.calibration.diagnostics import plot_posterior
from neml2fe.calibration.specimens import Specimens
from neml2fe.pyzag import NEML2PyzagModel
from neml2fe.pyzag.chunktime import ChunkNewtonRaphson
from neml2fe.pyzag.guides import HierarchicalGuide
from neml2fe.pyzag.inference import Draws, fit, observations, posterior
from neml2fe.pyzag.nonlinear import RecursiveNonlinearEquationSolver, solve_adjoint
from neml2fe.pyzag.stochastic import HierarchicalStatisticalModel, MapNormal

PRIOR = 0.1  # width of the priors, as a share of the first guess
# How far the first guess is off at most: of A, B and C, and of the tables. From a guess with the
# wrong threshold, a specimen may end on the wrong side of it.
OFF, OFF_TABLES = 0.03, 0.1
LEVEL = 0.95
UNITS = {"stress": "MPa", "temperature": "K", "rate": "1/s"}


class Tests(torch.nn.Module):
    """Axial stress (N, S, 1) of tension tests, for parameters that may differ by specimen."""

    def __init__(self) -> None:
        super().__init__()
        system = synthetic.model().equation_system
        self.steel = NEML2PyzagModel(system, include_parameters=synthetic.SCATTER)
        # What does not converge is NaN, and left out.
        newton = ChunkNewtonRaphson(throw_on_fail=False)
        self.solver = RecursiveNonlinearEquationSolver(
            self.steel, nonlinear_solver=newton, backend="march"
        )

    def forces(self, data: synthetic.Experiments) -> torch.Tensor:
        """Everything that drives the tests, (N, S, n_force)."""
        like = data.time
        axial = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], dtype=like.dtype)
        return self.steel.assemble_forces(
            {
                "t": data.time,
                "temperature": data.temperature.expand_as(like),
                "rate": data.rate.expand_as(like),
                "conditions": data.strain[..., None] * axial,
                "control": (1.0 - axial).expand(*like.shape, 6),
            }
        )

    def forward(self, forces: torch.Tensor) -> torch.Tensor:
        start = forces.new_zeros(forces.shape[1], self.steel.nstate)
        return solve_adjoint(self.solver, start, len(forces), forces, components=[0])


@dataclass(frozen=True)
class Result:
    """Draws of everything by site, and of the shared unknowns, (K,), with their true values."""

    draws: Draws
    means: dict[str, torch.Tensor]
    scatter: dict[str, torch.Tensor]
    truth: dict[str, float]
    bands: torch.Tensor  # stresses of new specimens, (K, N, S)
    failed: int  # histories of these that did not converge
    losses: list[float]

    def inside(self, level: float = LEVEL) -> dict[str, bool]:
        """Whether the true value is in the middle `level` of the posterior, by unknown."""
        found = {}
        for name, draws in {**self.means, **self.scatter}.items():
            low, high = interval(draws, level)
            found[name] = low <= self.truth[name] <= high
        return found


def interval(draws: torch.Tensor, level: float = LEVEL) -> tuple[float, float]:
    low, high = draws.quantile(draws.new_tensor([0.5 - level / 2, 0.5 + level / 2])).tolist()
    return low, high


def run(
    data: synthetic.Experiments,
    seed: int = 0,
    svi_steps: int = 500,
    n_draws: int = 1000,
    progress: bool = True,
) -> Result:
    """Fit the population to the measured stresses."""
    torch.manual_seed(seed)
    tests = Tests()
    forces, names = tests.forces(data), tests.steel.full_names
    true_means = {short: tests.get_parameter(f"steel.{short}").detach().clone() for short in names}
    with torch.no_grad():
        for short in names:
            guess = tests.get_parameter(f"steel.{short}")
            off = OFF_TABLES if guess.ndim else OFF
            guess *= 1.0 + off * (2.0 * torch.rand_like(guess) - 1.0)
    model = HierarchicalStatisticalModel(
        tests, MapNormal(PRIOR), noise_prior=10.0, update_mask=True, names=data.names
    )
    there = torch.ones_like(data.stress, dtype=torch.bool)
    there[0] = False  # the machine's zero has no noise
    given = {"results": data.stress[..., None], "mask": there}

    began = time.perf_counter()
    guide = HierarchicalGuide(model, forces, **given)
    if progress:
        print(f"start: {time.perf_counter() - began:.1f} s")
    began = time.perf_counter()
    losses = fit(model, guide, forces, steps=svi_steps, progress=progress, **given)
    if progress:
        seconds = time.perf_counter() - began
        print(f"{svi_steps} steps: {seconds:.1f} s, {1e3 * seconds / svi_steps:.0f} ms each")
    draws = posterior(guide, forces, samples=n_draws, **given)

    means, scatter, truth = {}, {}, {}
    for short, name in names.items():
        mean, deviation = true_means[short], synthetic.SCATTER[name] * true_means[short].abs()
        for kind, found, true in (("loc", means, mean), ("scale", scatter, deviation)):
            values = draws[f"steel.{short}_{kind}"].reshape(n_draws, -1)
            for k, (column, number) in enumerate(zip(values.T, true.reshape(-1), strict=True)):
                label = name.replace(".value", "") if true.ndim == 0 else f"{name}[{k}]"
                label = label.replace(".ordinate", "")
                label += " scatter" * (kind == "scale")
                found[label], truth[label] = column, float(number)
    scatter["noise"], truth["noise"] = draws["eps"], synthetic.NOISE
    bands = observations(model, draws, forces)[..., 0]
    failed = int(bands.isnan().any(1).sum())
    return Result(draws, means, scatter, truth, bands, failed, losses)


def specimens(data: synthetic.Experiments) -> Specimens:
    """The tests as the figures want them."""
    n, s = data.time.shape
    zero = data.time.new_zeros(n, s, 6)
    strain, stress, weights = zero.clone(), zero.clone(), zero.clone()
    strain[..., 0], stress[..., 0] = data.strain, data.stress
    weights[1:, :, 0] = 1.0
    control = torch.ones_like(zero)
    control[..., 0] = 0.0
    return Specimens(
        tuple(data.names),
        data.time,
        torch.full((s,), n),
        control,
        strain,
        zero,
        {"temperature": data.temperature.expand(n, s), "rate": data.rate.expand(n, s)},
        {"stress": stress},
        {"stress": weights},
        {"temperature": data.temperature, "rate": data.rate},
    )


def save(folder: Path, data: synthetic.Experiments, result: Result) -> None:
    """Table, draws and figures."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(result.draws, folder / "statistical.pt")
    inside = result.inside()
    with (folder / "statistical.csv").open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["unknown", "true", "median", "lower", "upper", "inside"])
        for name, draws in {**result.means, **result.scatter}.items():
            numbers = (result.truth[name], float(draws.median()), *interval(draws))
            rows.writerow([name, *(f"{x:.5g}" for x in numbers), "yes" if inside[name] else "no"])
    plot_posterior(folder / "statistical_means.png", result.means, result.truth, LEVEL)
    plot_posterior(folder / "statistical_scatter.png", result.scatter, result.truth, LEVEL)
    whole = result.bands[~result.bands.isnan().any(1).any(1)]
    stress = whole.new_zeros(*whole.shape, 6)
    stress[..., 0] = whole
    (drawn,) = plot_bands(folder, specimens(data), {"stress": stress}, LEVEL, UNITS)
    drawn.rename(folder / "statistical_bands.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the data")
    parser.add_argument("--temperatures", type=int, default=5)
    parser.add_argument("--rates", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="of a test")
    parser.add_argument("--largest", type=float, default=0.25, help="strain of a test")
    parser.add_argument("--svi-steps", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    given = parser.parse_args()
    data = synthetic.experiments(
        given.seed, given.temperatures, given.rates, given.steps, largest=given.largest
    )
    result = run(data, given.seed, given.svi_steps, given.draws)
    save(given.folder, data, result)
    print((given.folder / "statistical.csv").read_text())
    inside = result.inside().values()
    print(f"{sum(inside)} of {len(inside)} true values lie inside of their {LEVEL:.0%} intervals")
    print(f"results are in {given.folder}")


if __name__ == "__main__":
    main()
