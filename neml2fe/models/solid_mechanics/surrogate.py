"""Neural networks as laws: torch modules whose weights are parameters of the model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.nn.functional import linear, silu, softplus

from neml2fe.errors import ModelError
from neml2fe.models.fields import Input, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import Scalar, exp, macaulay

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "softplus": softplus,
    "silu": silu,
}


class Weights(dict[str, torch.Tensor]):
    """Weights of a network by name, as its `state_dict` holds them, and the `file` they are from,
    which decks give beside themselves."""

    def __init__(self, values: Mapping[str, torch.Tensor], file: str = "") -> None:
        super().__init__(values)
        self.file = file


class Perceptron(torch.nn.Module):
    """Fully connected layers of the given sizes, the first being the number of inputs.

    With `monotone`, the softplus of the stored weights is used, so that with a growing
    activation the value grows with every input.
    """

    def __init__(
        self, sizes: Sequence[int], activation: str = "tanh", monotone: bool = False
    ) -> None:
        super().__init__()
        pairs = list(itertools.pairwise(sizes))
        self.layers = torch.nn.ModuleList(
            torch.nn.Linear(a, b, dtype=torch.float64) for a, b in pairs
        )
        self.activation, self.monotone = activation, monotone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, torch.nn.Linear)
            weight = softplus(layer.weight) if self.monotone else layer.weight
            x = linear(x, weight, layer.bias)
            if i + 1 < len(self.layers):
                x = ACTIVATIONS[self.activation](x)
        return x


class _Neural(Model, abstract=True):
    """`module` maps `(*batch, inputs)` to `(*batch, 1)`. Without one, a `Perceptron` is made; decks
    must give its `weights`: a file beside the deck that `torch.save(perceptron.state_dict(), file)`
    wrote and from which nothing but tensors is read. In Python, weights that are not given are
    random, for training. Inputs enter the network as (x - shift) / scale."""

    from_ = Input(Scalar, "Inputs of the network", many=True)
    module: torch.nn.Module | None = Option(torch.nn.Module, "Network (in Python)", default=None)
    layers: list[str] = Option(list[str], "Sizes of the hidden layers", default=("16", "16"))
    activation: str = Option(str, "Activation", "tanh", choices=tuple(ACTIVATIONS))
    monotone: bool = Option(bool, "Grow with every scaled input", default=False)
    weights: Weights | None = Option(Weights, "File of the weights; decks need it", default=None)
    shifts: list[float] = Option(list[float], "Shift of each input", default=(0.0,))
    scales: list[float] = Option(list[float], "Scale of each input", default=(1.0,))

    def setup(self) -> None:
        module = self.module if self.module is not None else self._perceptron()
        self._network = (module,)  # out of torch's sight: its weights are parameters of this model
        self._places: dict[str, str] = {}
        for name, value in module.named_parameters():
            self._places[name] = symbol = name.replace(".", "_")
            self.declare_parameter(symbol, Scalar, value, table=value.ndim)
        for symbol, numbers in (("shift", self.shifts), ("scale", self.scales)):
            values = [float(n) for n in numbers]
            if len(values) not in (1, len(self.names["from"])) or not all(
                map(math.isfinite, values)
            ):
                raise ModelError(
                    f"{self.label}: '{symbol}s' needs one finite number, or one for each of the "
                    f"{len(self.names['from'])} inputs, got {values}"
                )
            self.register_buffer(f"_{symbol}", torch.tensor(values, dtype=torch.float64))
        if not bool(self._scale.all()):
            raise ModelError(f"{self.label}: a scale of an input is zero")

    def _perceptron(self) -> Perceptron:
        try:
            hidden = [int(size) for size in self.layers]
        except ValueError:
            hidden = [0]
        if min(hidden, default=1) < 1:
            raise ModelError(f"{self.label}: 'layers' takes positive integers, got {self.layers}")
        network = Perceptron([len(self.names["from"]), *hidden, 1], self.activation, self.monotone)
        if self.weights is not None:
            try:
                network.load_state_dict(self.weights)
            except RuntimeError as error:
                raise ModelError(
                    f"{self.label}: 'weights' are none of a network with the layers {hidden}: "
                    f"{' '.join(str(error).split())}"
                ) from None
        return network

    def network(self, *inputs: Scalar) -> Scalar:
        """The network's value; weights may vary by point."""
        x = torch.stack(torch.broadcast_tensors(*(v.data for v in inputs)), dim=-1)
        x = (x - self._shift) / self._scale
        (module,) = self._network
        typed = {name: getattr(self, symbol) for name, symbol in self._places.items()}
        raw = {name: value.data for name, value in typed.items()}
        batch = torch.broadcast_shapes(*(value.batch_shape for value in typed.values()))
        sub = max(v.sub_batch_ndim for v in inputs)
        if not batch:
            return Scalar(torch.func.functional_call(module, raw, (x,))[..., 0], sub)
        batch = torch.broadcast_shapes(batch, x.shape[:-1])

        def points(value: torch.Tensor, inner: int) -> torch.Tensor:
            shape = value.shape[value.ndim - inner :]
            return value.expand(*batch, *shape).reshape(-1, *shape)

        each = {name: points(v.data, v.sub_batch_ndim) for name, v in typed.items()}
        y = torch.func.vmap(lambda w, z: torch.func.functional_call(module, w, (z,)))(
            each, points(x, 1)
        )
        return Scalar(y.reshape(batch), sub)


class NeuralScalar(_Neural):
    r"""$y = N(x_1, x_2, \dots)$."""

    to_ = Output(Scalar, "Value of the network")
    output_scale = Parameter(Scalar, "factor", "Factor of the network's value", default=1.0)

    def forward(self, *inputs: Scalar) -> Scalar:
        return self.factor * self.network(*inputs)


class NeuralIsotropicHardening(_Neural):
    r"""$h = R\,[N(\bar\varepsilon_p, x_2, \dots) - N(0, x_2, \dots)]$: no hardening without
    plastic strain. With `monotone` it grows with the plastic strain, and with any other input of
    positive scale. The first variable of `from` is the equivalent plastic strain."""

    isotropic_hardening = Output(Scalar, "Isotropic hardening", dimension="stress")
    output_scale = Parameter(Scalar, "R", "Magnitude of the hardening", "stress", default=1.0)

    def forward(self, *inputs: Scalar) -> Scalar:
        virgin = self.network(0.0 * inputs[0], *inputs[1:])
        return self.R * (self.network(*inputs) - virgin)


class NeuralPlasticFlowRate(_Neural):
    r"""$\dot\gamma = \frac{\langle f \rangle}{\eta}\, e^{N(f, x_2, \dots)}$: flow beyond yield
    only, of positive rate. The first variable of `from` is the yield function."""

    flow_rate = Output(Scalar, "Flow rate", dimension="1/time")
    viscosity = Parameter(Scalar, "eta", "Viscosity where the network is zero", "stress*time")

    def forward(self, *inputs: Scalar) -> Scalar:
        return macaulay(inputs[0]) / self.eta * exp(self.network(*inputs))
