"""Hierarchical statistical models on Pyro (`pip install 'neml2fe[bayes]'`).

The names are those of pyzag 2.0.0 (Argonne National Laboratory, MIT licence). Every trainable
parameter of a module becomes a random variable of two levels: a location and a scale that all
specimens share, and one value per specimen drawn from them. For what the data say of them see
`neml2fe.pyzag.inference`.

Give the model parameters of order one (`neml2fe.pyzag.reparametrization`), or use `MapLogNormal`:
guides and learning rates know nothing of units.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch

from neml2fe.errors import ConvergenceError, InputError
from neml2fe.pyzag.present import present
from neml2fe.pyzag.pyro_ppl import PyroModule, PyroSample, dist, pyro, pyro_method
from neml2fe.pyzag.reparametrization import require_plain


class ParameterMapper(Protocol):
    """Declares the random variables of one parameter on `pyro_module`.

    Returns the names of the sites that all specimens share, and the name of the site that is
    sampled once per specimen, with samples (S, *shape).
    """

    def __call__(
        self, pyro_module: PyroModule, name: str, value: torch.Tensor, prefix: str
    ) -> tuple[list[str], str]: ...


class MapNormal:
    """p_i ~ N(loc, scale), with loc ~ N(p, cov |p|) and scale ~ HalfNormal(cov |p|).

    p (*shape) is the value of the parameter; the sites are `<prefix><name>` and the same with
    the suffixes. Values of either sign can be drawn: for a parameter that must be positive use
    `MapLogNormal`, or a scale that keeps it so.

    Args:
        cov: coefficient of variation of the priors, > 0.
        loc_suffix, scale_suffix: what the names of the shared sites end in.

    Raises:
        InputError: if `cov` is not positive, and on use if an entry of p is zero or not finite.
    """

    def __init__(self, cov: float, loc_suffix: str = "_loc", scale_suffix: str = "_scale") -> None:
        if not cov > 0:
            raise InputError(f"the coefficient of variation must be positive, got {cov}")
        self.cov, self.loc_suffix, self.scale_suffix = cov, loc_suffix, scale_suffix

    def __call__(
        self, pyro_module: PyroModule, name: str, value: torch.Tensor, prefix: str
    ) -> tuple[list[str], str]:
        """As `ParameterMapper`."""
        site, dim = prefix + name, value.dim()
        loc, scale = site + self.loc_suffix, site + self.scale_suffix
        mean, deviation = self.prior(site, value.detach().clone())
        setattr(pyro_module, loc, PyroSample(dist.Normal(mean, deviation).to_event(dim)))
        setattr(pyro_module, scale, PyroSample(dist.HalfNormal(deviation).to_event(dim)))

        def specimens(module: PyroModule) -> Any:
            return self.family(getattr(module, loc), getattr(module, scale)).to_event(dim)

        setattr(pyro_module, site, PyroSample(specimens))
        return [loc, scale], site

    family: Callable[..., Any] = dist.Normal

    def prior(self, site: str, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean of the location, and the deviation of the priors, both (*shape)."""
        if not bool((torch.isfinite(value) & (value != 0)).all()):
            raise InputError(
                f"the prior of '{site}' has a width of cov |p|, so that p may not be zero or "
                f"infinite; it is {value.tolist()}. Start elsewhere, or freeze it"
            )
        return value, value.abs() * self.cov


class MapLogNormal(MapNormal):
    """log p_i ~ N(loc, scale), with loc ~ N(log p, cov) and scale ~ HalfNormal(cov).

    For positive parameters: all draws are positive, e^loc is the median of the specimens, and
    scale is about their coefficient of variation where that is small. Arguments and sites as
    of `MapNormal`.

    Raises:
        InputError: on use, if an entry of p is not positive and finite.
    """

    family: Callable[..., Any] = dist.LogNormal

    def prior(self, site: str, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not bool((torch.isfinite(value) & (value > 0)).all()):
            raise InputError(f"'{site}' must be positive for MapLogNormal, got {value.tolist()}")
        return value.log(), torch.full_like(value, self.cov)


class HierarchicalStatisticalModel(PyroModule):
    """A module whose trainable parameters are random, as a Pyro model of measured histories.

    `base` is changed: each parameter that requires a gradient becomes a plain tensor, which a
    call sets to one value per specimen, (S, *shape). Its recursion must take a scalar parameter
    as (S,), one for each row of the state's batch. Frozen parameters stay what they are. A
    parameter that several modules share is one random variable. A module's `converted_params`
    names the tensors that an adjoint has to differentiate by.

    Sites: those of the mapper (without a prefix for parameters of `base` itself), `eps`, the
    standard deviation of the noise, and `obs` in the plates `samples` (S) and `time` (N).

    Specimens whose results are not finite raise `ConvergenceError`, or with `update_mask` are
    left out of the likelihood from then on: a likelihood that a specimen leaves and joins
    would reward parameters that make it fail. `mask` (S,) says which are left, `failures` (S,)
    how many calls each has failed, and a warning names them; `mask = True` takes all back.

    Args:
        base: called with `forward`'s arguments; returns results (N, S, n_out).
        parameter_mapper: `MapNormal`, `MapLogNormal`, or what works like them.
        noise_prior: scale of the half-normal prior of the noise: () for all outputs, (n_out,)
            for each; > 0, in units of the results.
        update_mask: whether failing specimens are masked.
        names: of the specimens, for messages.

    Raises:
        InputError: if no parameter requires a gradient, the name of a site is taken, or a prior
            is not positive.
        ModelError: if `base` contains a trainable `neml2fe.models.Model`.
    """

    def __init__(
        self,
        base: torch.nn.Module,
        parameter_mapper: ParameterMapper,
        noise_prior: torch.Tensor | float,
        update_mask: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        self.update_mask = update_mask
        self.names = names
        self.mask: torch.Tensor | bool = True
        self.failures: torch.Tensor | None = None
        reserved = {*dir(self), "top", "bot", "eps", "obs"}
        self.parameter_mapper = parameter_mapper
        self.top: list[str] = []
        self.hierarchy: dict[str, list[str]] = {}  # by site of the specimens: the shared ones
        self.bot: list[tuple[torch.nn.Module, str, str]] = []
        sites: dict[torch.nn.Parameter, str] = {}
        for path, module in list(base.named_modules()):
            trainable = [
                (symbol, parameter)
                for symbol, parameter in module.named_parameters(recurse=False)
                if parameter.requires_grad
            ]
            for symbol, parameter in trainable:
                prefix = f"{path}." if path else ""
                require_plain(module, symbol, prefix + symbol)
                if parameter not in sites:
                    upper, sites[parameter] = parameter_mapper(self, symbol, parameter, prefix)
                    self.top.extend(upper)
                    self.hierarchy[sites[parameter]] = upper
                self.bot.append((module, symbol, sites[parameter]))
            if trainable:
                module.converted_params = [symbol for symbol, _ in trainable]  # type: ignore
        if not sites:
            raise InputError("no parameter of the module requires a gradient: nothing is random")
        used = [*self.top, *sites.values()]
        for site in used:
            if site in reserved or used.count(site) > 1:
                raise InputError(f"the name '{site}' of a random variable is taken; rename it")
        for module, symbol, _ in self.bot:
            value = getattr(module, symbol).detach().clone()
            delattr(module, symbol)
            setattr(module, symbol, value)

        noise = torch.as_tensor(noise_prior).detach().to(next(iter(sites)))
        if noise.dim() > 1 or not bool((noise > 0).all()):
            raise InputError(f"the noise prior is () or (n_out,) and positive, got {noise_prior}")
        self.eps = PyroSample(dist.HalfNormal(noise).to_event(noise.dim()))

    def forward(
        self,
        *args: torch.Tensor,
        results: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Results of `base` (N, S, n_out) for one draw, observed as `results` if given.

        Args:
            *args: handed on to `base`; the first is (N, S, n).
            results: measured values (N, S, n_out).
            weights: >= 0, (S,) or (N, S): how often an observation counts. They act on the
                likelihood alone; the prior of a specimen's parameters has no weight.
            mask: where there is a measured value, (N, S) or (N, S, n_out); all if None.
            **kwargs: handed on to `base`.

        Raises:
            InputError: for shapes that do not fit, negative weights, or results that are not
                finite where the mask says they are there.
            ConvergenceError: for results of `base` that are not finite (see above).
        """
        if not args or args[0].dim() != 3:
            raise InputError("the first argument must be a tensor (N, S, n)")
        n, s = args[0].shape[:2]
        eps = self.shared()
        ok: list[torch.Tensor] = []  # known once the results are
        with pyro.plate("samples", s, dim=-1):
            for module, symbol, site in self.bot:
                value = getattr(self, site)
                if self.update_mask and value.requires_grad:
                    value = value.view_as(value)
                    value.register_hook(partial(_without_failed, ok))
                setattr(module, symbol, value)
            # Not self.base: Pyro would warn of every frozen parameter, that it is not trained.
            computed = self._modules["base"](*args, **kwargs)  # type: ignore[misc]
            if computed.dim() != 3 or computed.shape[:2] != (n, s):
                raise InputError(
                    f"the module gave results {tuple(computed.shape)}, not ({n}, {s}, n_out)"
                )
            ok.append(torch.isfinite(computed.detach()).all(-1).all(0))
            self._account(ok[0], observed=results is not None)
            with pyro.plate("time", n, dim=-2):
                if results is None:
                    # A failed draw stays NaN, for `predict` to count.
                    noisy = dist.Normal(computed, eps, validate_args=False)
                    pyro.sample("obs", noisy.to_event(1))
                else:
                    there, weight = present(results, computed, mask, weights)
                    there = there & (ok[0] & self.mask)[:, None]
                    mean = torch.where(ok[0][:, None], computed, 0.0)
                    noisy = dist.Normal(mean, eps).mask(there).to_event(1)
                    with pyro.poutine.scale(scale=weight):
                        pyro.sample("obs", noisy, obs=torch.where(there, results, 0.0))
        return computed

    @pyro_method
    def shared(self) -> Any:
        """Samples what is common to all specimens, outside of the plates; returns the noise."""
        for name in self.top:
            getattr(self, name)
        return self.eps

    def _account(self, ok: torch.Tensor, observed: bool) -> None:
        """Keep count of the specimens that are not `ok` (S,)."""
        if bool(ok.all()):
            return
        if not self.update_mask:
            raise ConvergenceError(
                f"no finite results for {self._called(~ok)}; update_mask=True goes on without"
            )
        if not observed:
            return
        self.failures = (~ok).long() + (0 if self.failures is None else self.failures)
        new = ~ok & self.mask
        self.mask = ok & self.mask
        if not bool(self.mask.any()):
            raise ConvergenceError("no specimen is left: all have had results that are not finite")
        if bool(new.any()):
            warnings.warn(
                f"no finite results for {self._called(new)}, left out of the likelihood from "
                f"here on; {int(self.mask.sum())} of {len(ok)} specimens are left",
                RuntimeWarning,
                stacklevel=2,
            )

    def _called(self, which: torch.Tensor) -> str:
        numbers = which.nonzero().flatten().tolist()
        known = self.names if self.names and len(self.names) == len(which) else None
        shown = [known[i] if known else str(i) for i in numbers[:10]]
        more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
        return f"specimen{'s' * (len(numbers) > 1)} {', '.join(shown)}{more}"


def _without_failed(ok: list[torch.Tensor], gradient: torch.Tensor) -> torch.Tensor:
    """A gradient (S, *shape) without what specimens sent back that have no finite results."""
    kept = ok[0].reshape(-1, *[1] * (gradient.dim() - 1))
    return torch.where(kept, gradient, 0.0)
