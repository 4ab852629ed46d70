"""Networks as laws: weights as parameters, gradients through updates, decks, monotone ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ladder import DECKS, assert_v, close, f64, randn
from rungs_beyond import network, plastic_update

import neml2fe
import neml2fe.models as m
from neml2fe.errors import Error, ModelError
from neml2fe.models import Model
from neml2fe.models.solid_mechanics.surrogate import Perceptron, Weights

EP = "equivalent_plastic_strain"


def test_a_network_by_hand() -> None:
    model = network(m.NeuralScalar, ["x", "y"], to="z", shifts=[0.1, 2.0], scales=[0.5, 3.0])
    weights = {n: p.detach().numpy() for n, p in model.named_parameters()}
    assert set(weights) == {
        "factor",
        *(f"layers_{k}_{part}" for k in (0, 1) for part in ("weight", "bias")),
    }
    x, y = randn(7), randn(7)
    scaled = np.stack([(x.numpy() - 0.1) / 0.5, (y.numpy() - 2.0) / 3.0], axis=-1)
    hidden = np.tanh(scaled @ weights["layers_0_weight"].T + weights["layers_0_bias"])
    expected = hidden @ weights["layers_1_weight"].T + weights["layers_1_bias"]
    assert close(model(x, y).data, torch.from_numpy(expected[:, 0]))


def test_weights_may_vary_by_point() -> None:
    model = network(m.NeuralScalar, ["x", "y"], to="z")
    several = {
        n: p.detach() * (1.0 + 0.1 * randn(3, *p.shape)) for n, p in model.named_parameters()
    }
    x, y = randn(3), randn(3)
    together = torch.func.functional_call(model, several, (x, y)).data
    for k in range(3):
        alone = {n: v[k] for n, v in several.items()}
        assert close(torch.func.functional_call(model, alone, (x[k], y[k])).data, together[k])


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_monotone_hardening(activation: str) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        model = m.NeuralIsotropicHardening(
            from_=[EP, "T"], layers=[8, 8], monotone=True, activation=activation, scales=[0.1, -1.0]
        )
        ep = torch.linspace(0.0, 1.0, 200, dtype=torch.float64)[:, None]
        h = model(ep, f64([0.0, 0.5])).data
        assert bool((h[1:] > h[:-1]).all()) and not h[0].any()


def test_a_network_flows_beyond_yield_only() -> None:
    model = network(m.NeuralPlasticFlowRate, ["f"], viscosity=200.0)
    rate = model(f64([-30.0, 0.0, 1e-9, 50.0])).data
    assert rate[:2].tolist() == [0.0, 0.0] and bool((rate[2:] > 0.0).all())


def update_of(model: Model) -> Model:
    mises = m.SR2Invariant(
        invariant_type="VONMISES", tensor="mandel_stress", invariant="effective_stress"
    )
    return plastic_update(mises, model, 100.0)


def inputs_of(update: Model, strain: torch.Tensor) -> dict[str, torch.Tensor]:
    known = {"E": strain, "t": f64(1.0), "plastic_strain~1": torch.zeros(6).double()}
    return {n: known.get(n, f64(0.0)) for n in update.input_spec}


def hardening() -> Model:
    return network(
        m.NeuralIsotropicHardening, [EP], output_scale=80.0, monotone=True, scales=[0.01]
    )


def test_gradients_by_weights_through_an_implicit_update() -> None:
    update = update_of(hardening())
    names = [n for n, _ in update.named_parameters() if "layers_" in n]
    assert len(names) == 4
    weights = [update.get_parameter(n) for n in names]
    inputs = inputs_of(
        update, f64([1.0, -0.4, -0.3, 0.1, 0.2, 0.5]) * torch.tensor([[0.003], [0.01]])
    )

    def stress() -> torch.Tensor:
        return update.evaluate(inputs)["mandel_stress"].data

    ways, cotangent = [randn(*w.shape) for w in weights], randn(2, 6)
    gradient = torch.autograd.grad(
        (stress() * cotangent).sum(), weights, materialize_grads=True, allow_unused=True
    )
    start = [w.detach().clone() for w in weights]

    def moved(step: float) -> torch.Tensor:
        with torch.no_grad():
            for w, w0, way in zip(weights, start, ways, strict=True):
                w.copy_(w0 + step * way)
            found = (stress() * cotangent).sum().detach()
            for w, w0 in zip(weights, start, strict=True):
                w.copy_(w0)
        return found

    slope = torch.stack([(g * way).sum() for g, way in zip(gradient, ways, strict=True)]).sum()
    assert_v(moved, slope)


def test_training_a_module_inside_of_a_return_map() -> None:
    """A user's own module learns Voce hardening from stresses; its own weights move."""
    torch.manual_seed(3)
    module = torch.nn.Sequential(
        torch.nn.Linear(1, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)
    ).double()
    learner = m.NeuralIsotropicHardening(
        from_=[EP], module=module, output_scale=50.0, scales=[0.01]
    )
    assert any(p is module[0].weight for p in learner.parameters())
    update = update_of(learner)
    voce = update_of(m.VoceIsotropicHardening(saturated_hardening=90.0, saturation_rate=60.0))
    strain = f64([1.0, -0.5, -0.5, 0.0, 0.0, 0.0]) * torch.linspace(0.002, 0.04, 6)[:, None]
    inputs = inputs_of(update, strain)
    target = voce.evaluate(inputs)["mandel_stress"].data.detach()
    optimiser = torch.optim.Adam(module.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = ((update.evaluate(inputs)["mandel_stress"].data - target) ** 2).mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[-5:]) < 0.02 * losses[0]


def deck_with(tmp_path: Path, fields: str) -> Path:
    """perzyna_voce with a network in the place of Voce's law."""
    lines = (DECKS / "perzyna_voce.i").read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if "VoceIsotropicHardening" in line)
    end = start + next(k for k, line in enumerate(lines[start:]) if line.strip() == "[]")
    block = ["type = NeuralIsotropicHardening", f"from = '{EP}'", *fields.splitlines()]
    deck = tmp_path / "network.i"
    deck.write_text("\n".join([*lines[:start], *block, *lines[end:]]))
    return deck


def test_a_deck_reads_weights(tmp_path: Path) -> None:
    torch.manual_seed(2)
    perceptron = Perceptron([1, 5, 3, 1], "softplus", monotone=True)
    file = tmp_path / "weights.pt"
    torch.save(perceptron.state_dict(), file)
    fields = """layers = '5 3'
    activation = softplus
    monotone = true
    output_scale = 40
    scales = 0.01
    weights = weights.pt"""
    source = neml2fe.load_input(deck_with(tmp_path, fields))
    model = source.get_model("isoharden")
    ep = torch.linspace(0.0, 0.1, 5, dtype=torch.float64)
    with torch.no_grad():
        value = perceptron(ep[:, None] / 0.01) - perceptron(torch.zeros(1).double())
    assert close(model(ep).data.detach(), 40.0 * value[:, 0])
    driver = source.get_driver("driver").driver
    driver.prescribed = {n: type(v)(v.data[:11, :1]) for n, v in driver.prescribed.items()}
    history = driver.run()
    assert float(history.outputs[-1][EP].max()) > 1e-4
    assert bool(torch.isfinite(history.series("stress")).all())


class Bomb:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("exploded"),))


def refusal(tmp_path: Path, fields: str) -> str:
    with pytest.raises(Error, match=r"network\.i:\d+") as caught:
        neml2fe.load_input(deck_with(tmp_path, fields)).get_model("isoharden")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_that_do_not_fit_or_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "weights.pt"
    torch.save(Perceptron([1, 5, 1]).state_dict(), file)
    given = "weights = weights.pt"
    assert "none of a network with the layers [4]" in refusal(tmp_path, f"layers = 4\n{given}")
    with pytest.raises(ModelError, match="none of a network"):
        m.NeuralScalar(from_=["x"], to="y", layers=[4], weights=Weights({}))
    assert "there is no file" in refusal(tmp_path, "weights = absent.pt")
    assert "the field 'weights' is missing" in refusal(tmp_path, "layers = 5")
    file.write_bytes(b"no archive")
    assert "is no file of weights" in refusal(tmp_path, given)
    torch.save([1.0], file)
    assert "holds no weights by name" in refusal(tmp_path, given)
    torch.save({"layers.0.weight": Bomb()}, file)
    assert "is no file of weights" in refusal(tmp_path, given)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layers": ["x"]}, "positive integers"),
        ({"layers": [0]}, "positive integers"),
        ({"scales": [1.0, 2.0, 3.0]}, "one for each of the 2"),
        ({"scales": [0.0]}, "scale of an input is zero"),
        ({"activation": "tan"}, "tanh"),
    ],
)
def test_errors(fields: dict, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        m.NeuralScalar(from_=["x", "y"], to="z", **fields)
