"""Functions of scalars: splits, products, smooth steps, ratchets."""

from __future__ import annotations

from neml2fe.errors import ModelError
from neml2fe.models.fields import Input, Old, Option, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import Scalar, clamp, macaulay, maximum, minimum


class MacaulaySplit(Model):
    r"""$x_+ = \langle x \rangle$ and $x_- = x - x_+$; at $x = 0$ only $x_-$ has a slope."""

    from_ = Input(Scalar, "Scalar to split")
    to_positive = Output(Scalar, "Positive part")
    to_negative = Output(Scalar, "Negative part")

    def forward(self, x: Scalar) -> tuple[Scalar, Scalar]:
        positive = macaulay(x)
        return positive, x - positive


class ScalarMultiplication(Model):
    r"""$y = c \prod_i x_i^{\pm 1}$, the reciprocal of $x_i$ where `reciprocal` says so."""

    from_ = Input(Scalar, "Factors", many=True)
    to_ = Output(Scalar, "The product")
    scaling = Parameter(Scalar, "scaling", "Constant factor", default=1.0)
    reciprocal: list[bool] = Option(
        list[bool], "Whether to divide, for each factor or once for all", default=(False,)
    )

    def setup(self) -> None:
        n, given = len(self.names["from"]), list(self.reciprocal)
        if len(given) not in (1, n):
            raise ModelError(
                f"{self.label}: {n} factors need 1 or {n} entries in 'reciprocal', got {len(given)}"
            )
        self._divides = given * n if len(given) == 1 else given

    def forward(self, *factors: Scalar) -> Scalar:
        product: Scalar = self.scaling
        for x, divides in zip(factors, self._divides, strict=True):
            product = product / x if divides else product * x
        return product


class IrreversibleScalar(Model):
    r"""$y = \max(y_n, x)$: a variable that never falls; at a tie $y_n$ is kept."""

    from_ = Input(Scalar, "Trial value")
    to_old = Old("to")
    to_ = Output(Scalar, "Largest value so far")

    def forward(self, x: Scalar, y_old: Scalar) -> Scalar:
        return maximum(y_old, x)


class HermiteSmoothStep(Model):
    r"""$y = 3u^2 - 2u^3$ with $u = (x - x_0)/(x_1 - x_0)$ kept within $[0, 1]$, or $1 - y$."""

    argument = Input(Scalar, "Argument")
    value = Output(Scalar, "Value of the step", dimension="1")
    lower_bound = Parameter(Scalar, "x0", "Where the step begins")
    upper_bound = Parameter(Scalar, "x1", "Where the step ends")
    complement: bool = Option(bool, "Fall from 1 to 0 instead", default=False)

    def forward(self, x: Scalar) -> Scalar:
        u = clamp((x - self.x0) / (self.x1 - self.x0), 0.0, 1.0)
        y = u * u * (3.0 - 2.0 * u)
        return 1.0 - y if self.complement else y


class SymmetricHermiteInterpolation(Model):
    r"""$y = (24 m^2 - 32 m^3)/(x_1 - x_0)$ with $u = (x - x_0)/(x_1 - x_0)$ kept within $[0, 1]$
    and $m = \min(u, 1-u)$: a bump of unit area."""

    argument = Input(Scalar, "Argument")
    output = Output(Scalar, "Value of the bump", default="{label}")
    lower_bound = Parameter(Scalar, "x0", "Where the bump begins")
    upper_bound = Parameter(Scalar, "x1", "Where the bump ends")

    def forward(self, x: Scalar) -> Scalar:
        width = self.x1 - self.x0
        u = clamp((x - self.x0) / width, 0.0, 1.0)
        m = minimum(u, 1.0 - u)
        return m * m * (24.0 - 32.0 * m) / width
