"""Complementarity conditions a >= 0, b >= 0, a b = 0 as one residual."""

from __future__ import annotations

import torch

from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import Scalar, minimum, sqrt, where


class Complementarity(Model, abstract=True):
    """An argument declared `LE` (less or equal zero) enters with the opposite sign."""

    a = Input(Scalar, "First condition")
    a_inequality: str = Option(str, "Sense of the first condition", "LE", choices=("LE", "GE"))
    b = Input(Scalar, "Second condition")
    b_inequality: str = Option(str, "Sense of the second condition", "GE", choices=("LE", "GE"))
    complementarity = Output(Scalar, "Residual")

    def signed(self, a: Scalar, b: Scalar) -> tuple[Scalar, Scalar]:
        """Both conditions as "greater or equal zero"."""
        return -a if self.a_inequality == "LE" else a, -b if self.b_inequality == "LE" else b


class FBComplementarity(Complementarity):
    r"""Fischer-Burmeister residual $r = a + b - \sqrt{a^2 + b^2}$ (Fischer 1992).

    At $a = b = 0$ the root contributes the subgradient zero.
    """

    def forward(self, a: Scalar, b: Scalar) -> Scalar:
        x, y = self.signed(a, b)
        square = x * x + y * y
        positive = ~(square <= 0.0)
        root = sqrt(where(positive, square, square.like(torch.ones_like(square.data))))
        return x + y - where(positive, root, 0.0 * root)


class MinMapComplementarity(Complementarity):
    r"""Residual $r = \min(a, b)$; at a tie the derivative is that of $b$ (Pang 1990)."""

    def forward(self, a: Scalar, b: Scalar) -> Scalar:
        x, y = self.signed(a, b)
        return minimum(y, x)
