"""Variational inference of hierarchical models, and predictions from what it finds.

model = HierarchicalStatisticalModel(base, MapNormal(0.2), noise_prior)
q = HierarchicalGuide(model, forces, results=measured)  # or guide(model)
fit(model, q, forces, results=measured)
draws = posterior(q, forces, results=measured)
bands = predict(model, draws, forces)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from rich.progress import Progress

from neml2fe.errors import ConvergenceError, InputError
from neml2fe.pyzag.pyro_ppl import (
    SVI,
    ClippedAdam,
    Predictive,
    Trace_ELBO,
    autoguide,
    prune_subsample_sites,
    pyro,
)
from neml2fe.pyzag.stochastic import HierarchicalStatisticalModel

Draws = dict[str, torch.Tensor]


def guide(model: HierarchicalStatisticalModel, scale: float = 0.1, correlated: bool = False) -> Any:
    """A normal variational distribution of all unknowns, started at the means of the priors.

    Args:
        model: what it approximates the posterior of.
        scale: initial standard deviation, in unconstrained coordinates (logarithms of positive
            unknowns).
        correlated: `AutoMultivariateNormal` in place of `AutoNormal`, for few specimens: its
            matrix grows with the square of all their parameters.
    """
    family = autoguide.AutoMultivariateNormal if correlated else autoguide.AutoNormal
    return family(model, init_loc_fn=autoguide.init_to_mean, init_scale=float(scale))


def fit(
    model: HierarchicalStatisticalModel,
    guide: Any,
    *args: torch.Tensor,
    steps: int = 1000,
    lr: float = 0.02,
    decay: float = 0.1,
    particles: int = 1,
    progress: bool = False,
    **kwargs: Any,
) -> list[float]:
    """Stochastic variational inference (Pyro's SVI with Trace_ELBO); returns the loss by step.

    The guide holds the result, and a second call goes on from there. Pyro's global parameter
    store is neither read nor changed.

    Args:
        *args, **kwargs: of the model's `forward`, `results` among them.
        steps: of Adam with clipped gradients.
        lr: learning rate at the start; it falls geometrically to `lr * decay`.
        particles: draws by which each step estimates the loss.
        progress: whether to show a bar with the loss.

    Raises:
        InputError: without `results`.
        ConvergenceError: if the loss is not finite, and as the model's.
    """
    if kwargs.get("results") is None:
        raise InputError("fit needs measured results: fit(model, guide, ..., results=...)")
    losses: list[float] = []
    with pyro.get_param_store().scope(), Progress(disable=not progress) as bar:
        adam = ClippedAdam({"lr": lr, "lrd": decay ** (1 / max(steps, 1))})
        svi = SVI(model, guide, adam, loss=Trace_ELBO(num_particles=particles))
        task = bar.add_task("", total=steps)
        for step in range(steps):
            losses.append(svi.step(*args, **kwargs))
            if not math.isfinite(losses[-1]):
                raise ConvergenceError(
                    f"the loss of the variational fit is {losses[-1]} at step {step}; try a "
                    f"smaller lr than {lr} or a guide of a smaller scale"
                )
            bar.update(task, advance=1, description=f"loss {losses[-1]:.5g}")
    return losses


def posterior(guide: Any, *args: torch.Tensor, samples: int = 200, **kwargs: Any) -> Draws:
    """Draws of all unknowns from a fitted guide, by site, (samples, *shape of the site).

    `args` and `kwargs` are those of the fit.
    """
    with torch.no_grad(), pyro.get_param_store().scope():
        traces = [pyro.poutine.trace(guide).get_trace(*args, **kwargs) for _ in range(samples)]
    sites = [
        name
        for name, site in prune_subsample_sites(traces[0]).iter_stochastic_nodes()
        if not (site["infer"] or {}).get("is_auxiliary")
    ]
    return {name: torch.stack([trace.nodes[name]["value"] for trace in traces]) for name in sites}


def observations(
    model: HierarchicalStatisticalModel,
    draws: Draws,
    *args: torch.Tensor,
    new_specimens: bool = True,
    **kwargs: Any,
) -> torch.Tensor:
    """One set of observations for each draw, noise included, (samples, N, S, n_out).

    Args:
        draws: from `posterior`.
        *args, **kwargs: of the model's `forward`, for any number of specimens and rows.
        new_specimens: whether they are of specimens still unknown, whose parameters are drawn
            from the hierarchy; else of the specimens of the fit.

    Raises:
        ConvergenceError: if draws fail and the model has no `update_mask`, or all of a
            specimen fail. Other failed histories are NaN, with a warning.
    """
    own = {site for _, _, site in model.bot} if new_specimens else set()
    known = {name: value for name, value in draws.items() if name not in own}
    with pyro.get_param_store().scope():
        observed = Predictive(model, known, return_sites=("obs",))(*args, **kwargs)["obs"]
    failed = observed.isnan().any(-1).any(1)  # (samples, S)
    if bool(failed.all(0).any()):
        raise ConvergenceError(f"all draws fail for {model._called(failed.all(0))}")
    if bool(failed.any()):
        warnings.warn(
            f"{int(failed.sum())} of {failed.numel()} simulated histories have failed and are "
            f"left out: of {model._called(failed.any(0))}",
            RuntimeWarning,
            stacklevel=2,
        )
    return observed.masked_fill(failed[:, None, :, None], math.nan)


def predict(
    model: HierarchicalStatisticalModel,
    draws: Draws,
    *args: torch.Tensor,
    levels: Sequence[float] = (0.025, 0.5, 0.975),
    new_specimens: bool = True,
    **kwargs: Any,
) -> torch.Tensor:
    """Quantiles of `observations` at the probabilities `levels`, (levels, N, S, n_out).

    Other arguments and errors as of `observations`; failed histories are left out.
    """
    observed = observations(model, draws, *args, new_specimens=new_specimens, **kwargs)
    probabilities = torch.as_tensor(levels).to(observed)
    # Row by row: torch's quantiles take a limited number of entries.
    return torch.stack([row.nanquantile(probabilities, 0) for row in observed.unbind(1)], 1)
