"""Hierarchical models: what is sampled where, and that inference finds what made the data."""

from __future__ import annotations

import builtins
import importlib
import sys
import warnings
from typing import Any

import pytest
import torch

pyro = pytest.importorskip("pyro")

from neml2fe.errors import ConvergenceError, InputError, ModelError  # noqa: E402
from neml2fe.models import VoceIsotropicHardening  # noqa: E402
from neml2fe.pyzag import guides, inference, pyro_ppl, stochastic  # noqa: E402
from neml2fe.pyzag.guides import HierarchicalGuide  # noqa: E402
from neml2fe.pyzag.inference import fit, guide, posterior, predict  # noqa: E402
from neml2fe.pyzag.reparametrization import RangeRescale, Reparameterizer  # noqa: E402
from neml2fe.pyzag.stochastic import (  # noqa: E402
    HierarchicalStatisticalModel,
    MapLogNormal,
    MapNormal,
)

F64 = torch.float64
N, S = 20, 30


class Slope(torch.nn.Module):
    """y_i(t) = a_i t, and NaN where a_i is below `fails_below`."""

    def __init__(self, a: float | list[float] = 1.0, fails_below: float = -1e9) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(a, dtype=F64))
        self.fails_below = fails_below

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        a = self.a if self.a.dim() == 2 else self.a[..., None]
        return a * t + 0.0 * torch.sqrt(a - self.fails_below)


class Outer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Slope()
        self.offset = torch.nn.Parameter(torch.tensor(0.5, dtype=F64))
        self.offset.requires_grad_(False)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        return self.inner(t) + self.offset


def times(n: int = N, s: int = S) -> torch.Tensor:
    return torch.linspace(0, 1, n, dtype=F64)[:, None, None].expand(n, s, 1)


def sites(model: Any, *args: torch.Tensor, **kwargs: Any) -> dict[str, Any]:
    trace = pyro.poutine.trace(model).get_trace(*args, **kwargs)
    trace.compute_log_prob()
    return {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}


# --- sites ----------------------------------------------------------------------------
def test_sites_have_pyzags_names_and_one_value_per_specimen() -> None:
    base = Outer()
    model = HierarchicalStatisticalModel(base, MapNormal(0.1), torch.tensor(0.1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pyro's, that the frozen offset is not trained
        found = sites(model, times())
    unknown = {n: tuple(s["value"].shape) for n, s in found.items() if n not in ("samples", "time")}
    assert unknown == {
        "inner.a_loc": (),
        "inner.a_scale": (),
        "eps": (),
        "inner.a": (S,),
        "obs": (N, S, 1),
    }
    assert base.inner.converted_params == ["a"]
    assert base.inner.a is found["inner.a"]["value"]
    assert [frame.name for frame in found["obs"]["cond_indep_stack"]] == ["samples", "time"]
    # A frozen parameter stays a parameter, which Pyro does not train.
    assert dict(base.named_parameters()).keys() == {"offset"}
    assert "param" not in {
        node["type"] for node in pyro.poutine.trace(model).get_trace(times()).nodes.values()
    }


def test_parameters_of_the_root_and_of_more_entries_and_suffixes() -> None:
    base = Slope([1.0, -2.0])
    model = HierarchicalStatisticalModel(base, MapNormal(0.2, "_m", "_s"), torch.tensor([0.1, 0.3]))
    found = sites(model, times().expand(N, S, 2))
    shapes = {n: tuple(found[n]["value"].shape) for n in ("a_m", "a_s", "a", "eps", "obs")}
    assert shapes == {"a_m": (2,), "a_s": (2,), "a": (S, 2), "eps": (2,), "obs": (N, S, 2)}
    prior = found["a_m"]["fn"].base_dist
    assert prior.loc.tolist() == [1.0, -2.0] and prior.scale.tolist() == [0.2, 0.4]
    assert found["eps"]["fn"].base_dist.scale.tolist() == pytest.approx([0.1, 0.3])


def test_log_normal_draws_are_positive_with_the_median_at_the_parameter() -> None:
    model = HierarchicalStatisticalModel(Slope(3.0), MapLogNormal(0.5), 0.1)
    found = sites(model, times(2, 2000))
    assert found["a_loc"]["fn"].loc == torch.tensor(3.0, dtype=F64).log()
    assert found["a_loc"]["fn"].scale == found["a_scale"]["fn"].scale == 0.5
    assert bool((found["a"]["value"] > 0).all())
    log_a = found["a"]["value"].log()
    spread = found["a_scale"]["value"]
    assert abs(log_a.mean() - found["a_loc"]["value"]) < 4 * spread / 2000**0.5
    assert log_a.std().item() == pytest.approx(spread.item(), rel=0.1)


def test_a_shared_parameter_is_one_random_variable() -> None:
    first, second = Slope(), Slope()
    second.a = first.a

    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, t: torch.Tensor) -> torch.Tensor:
            return self.first(t) + self.second(t)

    found = sites(HierarchicalStatisticalModel(Both(), MapNormal(0.1), 0.1), times())
    assert {n for n in found if "a" in n.split(".")[-1][:1]} == {
        "first.a",
        "first.a_loc",
        "first.a_scale",
    }
    torch.testing.assert_close(first.a, second.a, rtol=0, atol=0)


def test_a_reparametrized_module_is_sampled_in_scaled_values() -> None:
    base = Slope(3.0)
    Reparameterizer({"a": RangeRescale(0.0, 4.0)})(base)
    found = sites(HierarchicalStatisticalModel(base, MapNormal(0.01), 0.1), times())
    scaled = found["parametrizations.a.original"]["value"]
    assert scaled.shape == (S,)
    assert found["parametrizations.a.original_loc"]["fn"].loc == 0.75
    torch.testing.assert_close(base.a, 4.0 * scaled)


# --- likelihood -----------------------------------------------------------------------
def test_weights_count_observations_and_zero_leaves_them_out() -> None:
    model = HierarchicalStatisticalModel(Slope(), MapNormal(0.1), 0.1)
    data = times() * 1.1
    torch.manual_seed(1)
    plain = sites(model, times(), results=data)
    weights = torch.linspace(0, 2, S, dtype=F64)
    torch.manual_seed(1)
    weighted = sites(model, times(), results=data, weights=weights)
    expected = plain["obs"]["log_prob"] * weights
    torch.testing.assert_close(weighted["obs"]["log_prob"], expected)
    torch.testing.assert_close(weighted["a"]["log_prob"], plain["a"]["log_prob"])


@pytest.mark.parametrize("by_output", [True, False])
def test_missing_observations_change_nothing(by_output: bool) -> None:
    model = HierarchicalStatisticalModel(Slope(), MapNormal(0.1), 0.1)
    there = torch.rand(N, S, 1) < 0.7
    data = torch.where(there, times(), torch.nan)
    torch.manual_seed(1)
    plain = sites(model, times(), results=times())["obs"]["log_prob"]
    torch.manual_seed(1)
    mask = there if by_output else there[..., 0]
    found = sites(model, times(), results=data, mask=mask)["obs"]["log_prob"]
    torch.testing.assert_close(found, torch.where(there[..., 0], plain, 0.0))
    with pytest.raises(InputError, match=f"{int((~there).sum())} measured results are not finite"):
        model(times(), results=data)


def test_gradients_survive_missing_observations_and_failing_specimens() -> None:
    a = torch.linspace(-1, 1, S, dtype=F64).requires_grad_()
    data = 1.5 * times()
    data[3, 4] = torch.nan
    model = HierarchicalStatisticalModel(Slope(1.0, 0.0), MapNormal(0.1), 0.1, update_mask=True)
    known = {"a": a, "a_loc": torch.tensor(1.0), "a_scale": torch.tensor(1.0)}
    fixed = pyro.poutine.condition(model, {**known, "eps": torch.tensor(0.1)})
    with pytest.warns(RuntimeWarning, match="no finite results for specimens 0, 1, 2,"):
        found = sites(fixed, times(), results=data, mask=torch.isfinite(data))
    found["obs"]["log_prob"].sum().backward()
    good = a.detach() > 0
    assert a.grad is not None and bool(torch.isfinite(a.grad).all())
    assert torch.equal(a.grad != 0, good)
    assert torch.equal(model.mask, good)
    assert model.failures is not None and torch.equal(model.failures, (~good).long())
    assert bool((found["obs"]["log_prob"][:, ~good] == 0).all())


def test_a_failed_specimen_stays_out_and_is_counted_and_named() -> None:
    base = Slope(1.0, 0.0)
    names = ["A1", "A2", "A3"]
    model = HierarchicalStatisticalModel(base, MapNormal(0.1), 0.1, update_mask=True, names=names)

    def run(values: list[float]) -> torch.Tensor:
        fixed = pyro.poutine.condition(model, {"a": torch.tensor(values, dtype=F64)})
        return sites(fixed, times(s=3), results=times(s=3))["obs"]["log_prob"]

    with pytest.warns(RuntimeWarning, match=r"results for specimen A2.*2 of 3 specimens are left"):
        run([1.0, -1.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once
        out = run([1.0, 1.0, 1.0])
    assert bool((out[:, 1] == 0).all()) and bool((out[1:, [0, 2]] != 0).all())
    assert model.failures is not None and model.failures.tolist() == [0, 1, 0]
    with pytest.raises(ConvergenceError, match="no specimen is left"):
        run([-1.0, 1.0, -1.0])
    model.mask = True
    assert bool((run([1.0, 1.0, 1.0])[1:] != 0).all())


def test_without_update_mask_a_failing_specimen_is_an_error() -> None:
    model = HierarchicalStatisticalModel(Slope(1.0, 5.0), MapNormal(0.1), 0.1)
    with pytest.raises(ConvergenceError, match=r"specimens 0, 1.*and 20 more; update_mask=True"):
        model(times(), results=times())


# --- errors ---------------------------------------------------------------------------
def test_parameters_without_a_prior_are_named_and_the_module_stays() -> None:
    base = Outer()
    base.offset.requires_grad_(True)
    with torch.no_grad():
        base.offset.zero_()
    with pytest.raises(InputError, match="'offset' has a width of cov"):
        HierarchicalStatisticalModel(base, MapNormal(0.1), 0.1)
    with pytest.raises(InputError, match="'offset' must be positive"):
        HierarchicalStatisticalModel(base, MapLogNormal(0.1), 0.1)
    assert dict(base.named_parameters()).keys() == {"offset", "inner.a"}


def test_what_cannot_be_random_is_an_error() -> None:
    frozen = Slope().requires_grad_(False)
    with pytest.raises(InputError, match="nothing is random"):
        HierarchicalStatisticalModel(frozen, MapNormal(0.1), 0.1)
    typed = VoceIsotropicHardening(saturated_hardening=110.0, saturation_rate=18.0)
    with pytest.raises(ModelError, match="NEML2PyzagModel"):
        HierarchicalStatisticalModel(typed, MapNormal(0.1), 0.1)
    taken = torch.nn.Module()
    taken.mask = torch.nn.Parameter(torch.ones(()))
    with pytest.raises(InputError, match="'mask' of a random variable is taken"):
        HierarchicalStatisticalModel(taken, MapNormal(0.1), 0.1)
    with pytest.raises(InputError, match="coefficient of variation"):
        MapNormal(0.0)
    with pytest.raises(InputError, match="noise prior"):
        HierarchicalStatisticalModel(Slope(), MapNormal(0.1), 0.0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"results": torch.zeros(N, S)}, r"measured results are \(20, 30\)"),
        ({"results": torch.zeros(N, S, 1), "weights": torch.ones(N)}, r"weights are \(30,\)"),
        ({"results": torch.zeros(N, S, 1), "weights": -torch.ones(S)}, "not negative"),
        ({"results": torch.zeros(N, S, 1), "mask": torch.ones(S)}, "the mask is"),
    ],
)
def test_shapes_that_do_not_fit(given: dict[str, torch.Tensor], says: str) -> None:
    model = HierarchicalStatisticalModel(Slope(), MapNormal(0.1), 0.1)
    with pytest.raises(InputError, match=says):
        model(times(), **given)
    with pytest.raises(InputError, match="first argument"):
        model(times()[..., 0])


@pytest.mark.parametrize("module", [stochastic, inference, guides])
def test_without_pyro_the_import_says_what_to_install(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "pyro":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    for imported in (module, pyro_ppl):
        monkeypatch.delitem(sys.modules, imported.__name__)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'neml2fe\[bayes\]'"):
        importlib.import_module(module.__name__)


# --- inference ------------------------------------------------------------------------
def _data(loc: float, scale: float, noise: float) -> torch.Tensor:
    """Slopes at the quantiles of their distribution, so that few specimens represent it."""
    quantiles = (torch.arange(S, dtype=F64) + 0.5) / S
    a = loc + scale * torch.distributions.Normal(0.0, 1.0).icdf(quantiles)
    return a[:, None] * times() + noise * torch.randn(N, S, 1, dtype=F64)


@pytest.mark.parametrize("correlated", [False, True])
def test_variational_inference_recovers_the_hierarchy(correlated: bool) -> None:
    loc, scale, noise = 2.0, 0.3, 0.05
    data = _data(loc, scale, noise)
    there = torch.rand(N, S) < 0.8
    data[~there] = torch.nan
    model = HierarchicalStatisticalModel(Slope(1.5), MapNormal(0.3), 0.2)
    q = guide(model, 0.05, correlated)
    given = {"results": data, "mask": there}
    losses = fit(model, q, times(), steps=250, lr=0.08, **given)
    assert len(losses) == 250
    assert sum(losses[-20:]) / 20 < losses[0] - 100
    assert not dict(pyro.get_param_store())
    draws = posterior(q, times(), samples=150, **given)
    assert {n: tuple(d.shape) for n, d in draws.items()} == {
        "a": (150, S),
        "a_loc": (150,),
        "a_scale": (150,),
        "eps": (150,),
    }
    found = {name: draws[name].mean().item() for name in ("a_loc", "a_scale", "eps")}
    assert found["a_loc"] == pytest.approx(loc, rel=0.03)
    assert found["a_scale"] == pytest.approx(scale, rel=0.15)
    assert found["eps"] == pytest.approx(noise, rel=0.1)

    bands = predict(model, draws, times(s=4), levels=(0.025, 0.5, 0.975))
    assert bands.shape == (3, N, 4, 1)
    width = (bands[2] - bands[0])[-1].mean().item()
    assert width == pytest.approx(3.92 * (scale**2 + noise**2) ** 0.5, rel=0.25)
    own = predict(model, draws, times(), new_specimens=False, levels=(0.025, 0.5, 0.975))
    inside = ((data >= own[0]) & (data <= own[2]))[there].double().mean()
    assert 0.9 < inside < 0.99


def test_a_fit_goes_on_where_it_was() -> None:
    data = _data(2.0, 0.3, 0.05)
    model = HierarchicalStatisticalModel(Slope(1.5), MapLogNormal(0.3), 0.2)
    q = guide(model)
    first = fit(model, q, times(), steps=100, lr=0.03, results=data)
    second = fit(model, q, times(), steps=5, lr=0.01, results=data)
    assert sum(second) / 5 < sum(first[:5]) / 5 - 50
    with pytest.raises(InputError, match="results="):
        fit(model, q, times(), steps=1)


def test_a_loss_that_is_not_finite_ends_the_fit() -> None:
    model = HierarchicalStatisticalModel(Slope(), MapNormal(0.1), 0.1)
    data = times() * 1e300
    with pytest.raises(ConvergenceError, match="inf at step 0"):
        fit(model, guide(model), times(), steps=3, results=data)


def test_failed_draws_are_left_out_of_bands_and_told() -> None:
    model = HierarchicalStatisticalModel(Slope(1.0, 0.9), MapNormal(0.1), 0.1, update_mask=True)
    draws = {
        "a_loc": torch.full((50,), 1.0, dtype=F64),
        "a_scale": torch.full((50,), 0.1, dtype=F64),
        "eps": torch.full((50,), 0.01, dtype=F64),
    }
    with pytest.warns(RuntimeWarning, match=r"of 100 simulated histories have failed"):
        bands = predict(model, draws, times(s=2), levels=(0.0, 0.5))
    assert bool(torch.isfinite(bands).all()) and bool((bands[0, -1] > 0.85).all())
    draws["a_loc"] -= 10.0
    with pytest.raises(ConvergenceError, match="all draws fail for specimens 0, 1"):
        predict(model, draws, times(s=2))


# --- the guide with the hierarchy -----------------------------------------------------
class Line(torch.nn.Module):
    """y_i(t) = a_i t, and a second parameter without effect."""

    def __init__(self) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(1.5, dtype=F64))
        self.idle = torch.nn.Parameter(torch.tensor(4.0, dtype=F64))

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        return self.a[..., None] * t + 0.0 * self.idle[..., None]


def _exact(data: torch.Tensor, there: torch.Tensor) -> dict[str, tuple[float, float]]:
    """Posterior means and deviations of `Line`, by sums over a grid of loc, scale and eps."""
    t, y = times()[:, 0, 0, None], torch.where(there, data[..., 0], 0.0)
    n, tt, ty, yy = there.sum(0), (there * t**2).sum(0), (y * t).sum(0), (y**2).sum(0)
    axes = ((1.6, 2.4, 81), (0.1, 1.0, 121), (0.03, 0.09, 61))
    loc, scale, eps = torch.meshgrid(*(torch.linspace(*a, dtype=F64) for a in axes), indexing="ij")
    log_p = -0.5 * (((loc - 1.5) / 0.45) ** 2 + (scale / 0.45) ** 2 + (eps / 0.2) ** 2)
    v, e = scale**2, eps**2
    for i in range(there.shape[1]):  # y_i ~ N(loc t, eps^2 + scale^2 t t^T)
        r, tr = yy[i] - 2 * loc * ty[i] + loc**2 * tt[i], ty[i] - loc * tt[i]
        log_p -= 0.5 * (n[i] * e.log() + torch.log1p(v * tt[i] / e))
        log_p -= 0.5 * (r - v * tr**2 / (e + v * tt[i])) / e
    p = (log_p - log_p.max()).exp()
    p /= p.sum()
    found = {}
    for name, x in (("a_loc", loc), ("a_scale", scale), ("eps", eps)):
        mean = (p * x).sum()
        found[name] = float(mean), float((p * (x - mean) ** 2).sum().sqrt())
    return found


def test_a_linear_hierarchy_has_the_exact_posterior() -> None:
    torch.manual_seed(3)
    s = 8
    a = 2.0 + 0.3 * torch.randn(s, dtype=F64)
    data = a[:, None] * times(s=s) + 0.05 * torch.randn(N, s, 1, dtype=F64)
    there = torch.rand(N, s) < 0.8
    data[~there] = torch.nan
    model = HierarchicalStatisticalModel(Line(), MapNormal(0.3), 0.2)
    given = {"results": data, "mask": there}
    q = HierarchicalGuide(model, times(s=s), **given)
    losses = torch.tensor(fit(model, q, times(s=s), steps=150, **given)[-50:])
    assert losses.quantile(0.9) - losses.quantile(0.1) < 5  # log p - log q hardly varies
    draws = posterior(q, times(s=s), samples=500, **given)
    for name, (mean, deviation) in _exact(data, there).items():
        assert draws[name].mean().item() == pytest.approx(mean, abs=0.25 * deviation)
        assert draws[name].std().item() == pytest.approx(deviation, rel=0.15)
    # Of what the data do not see, the posterior is the prior.
    assert draws["idle_loc"].mean().item() == pytest.approx(4.0, abs=0.25)
    assert draws["idle_loc"].std().item() == pytest.approx(1.2, rel=0.15)


def test_the_hierarchy_of_positive_parameters() -> None:
    """In logarithms, with three specimens without data, and weights."""
    data = _data(2.0, 0.3, 0.05)
    data[:, -3:] = torch.nan
    mask = torch.isfinite(data)
    model = HierarchicalStatisticalModel(Slope([1.5]), MapLogNormal(0.3), torch.tensor([0.2]))
    given = {"results": data, "mask": mask, "weights": torch.full((S,), 0.5, dtype=F64)}
    q = HierarchicalGuide(model, times(), **given)
    fit(model, q, times(), steps=100, **given)
    draws = posterior(q, times(), samples=300, **given)
    assert {n: tuple(d.shape) for n, d in draws.items()} == {
        "a": (300, S, 1),
        "a_loc": (300, 1),
        "a_scale": (300, 1),
        "eps": (300, 1),
    }
    measured = (data[1:] / times()[1:]).mean(0)[:-3, 0]
    own = draws["a"][..., 0].mean(0)[:-3]
    torch.testing.assert_close(own, measured, rtol=0.1, atol=0)
    assert draws["a_loc"].mean().item() == pytest.approx(measured.log().mean().item(), abs=0.03)
    assert draws["a_scale"].mean().item() == pytest.approx(measured.log().std().item(), rel=0.3)
    assert draws["eps"].mean().item() == pytest.approx(0.05, rel=0.2)


def test_the_guide_needs_a_mapper_of_location_and_scale() -> None:
    def mapper(module: Any, name: str, value: torch.Tensor, prefix: str) -> tuple[list[str], str]:
        return MapNormal(0.1)(module, name, value, prefix)

    model = HierarchicalStatisticalModel(Slope(), mapper, 0.1)
    with pytest.raises(InputError, match="needs a model with MapNormal or MapLogNormal"):
        HierarchicalGuide(model, times(), results=times())
