"""What is used of Pyro, the optional extra `bayes`; an error says so where it is missing."""

from __future__ import annotations

from neml2fe.errors import InputError

try:
    import pyro
    import pyro.distributions as dist
    from pyro.infer import SVI, Predictive, Trace_ELBO, autoguide
    from pyro.nn import PyroModule, PyroSample, pyro_method
    from pyro.optim import ClippedAdam
    from pyro.poutine.util import prune_subsample_sites
except ImportError as error:
    raise InputError(
        "hierarchical models need pyro-ppl, which is not installed: pip install 'neml2fe[bayes]'"
    ) from error

__all__ = [
    "SVI",
    "ClippedAdam",
    "Predictive",
    "PyroModule",
    "PyroSample",
    "Trace_ELBO",
    "autoguide",
    "dist",
    "prune_subsample_sites",
    "pyro",
    "pyro_method",
]
