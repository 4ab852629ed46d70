"""Component-wise choice between two tensors: mixed strain and stress control."""

from __future__ import annotations

import torch

from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import SR2, aligned


class MixedControlSetup(Model):
    r"""$y_i = x^{above}_i$ where $control_i$ exceeds the threshold, else $x^{below}_i$;
    $z_i$ is the other one."""

    control = Input(SR2, "Control signal per component", dimension="1")
    x_above = Input(SR2, "Chosen where the signal is above the threshold")
    x_below = Input(SR2, "Chosen elsewhere")
    y = Output(SR2, "Chosen components")
    z = Output(SR2, "The others")
    threshold: float = Option(float, "Threshold", default=0.5)

    def forward(self, control: SR2, above: SR2, below: SR2) -> tuple[SR2, SR2]:
        (c, x, y), n = aligned(control, above, below)
        chosen = c > self.threshold
        return SR2(torch.where(chosen, x, y), n), SR2(torch.where(chosen, y, x), n)
