"""Complementarity conditions a >= 0, b >= 0, a b = 0 as one residual."""

from __future__ import annotations

import torch

from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import Scalar


class FBComplementarity(Model):
    r"""Fischer-Burmeister residual $r = a + b - \sqrt{a^2 + b^2}$ (Fischer 1992).

    An argument declared `LE` (less or equal zero) enters with the opposite sign. At
    $a = b = 0$ the root contributes the subgradient zero.
    """

    a = Input(Scalar, "First condition")
    a_inequality: str = Option(str, "Sense of the first condition", "LE", choices=("LE", "GE"))
    b = Input(Scalar, "Second condition")
    b_inequality: str = Option(str, "Sense of the second condition", "GE", choices=("LE", "GE"))
    complementarity = Output(Scalar, "Residual")

    def forward(self, a: Scalar, b: Scalar) -> Scalar:
        x = -a if self.a_inequality == "LE" else a
        y = -b if self.b_inequality == "LE" else b
        square = (x * x + y * y).data
        positive = square > 0
        root = torch.sqrt(torch.where(positive, square, torch.ones_like(square)))
        return x + y - Scalar(torch.where(positive, root, torch.zeros_like(root)))
