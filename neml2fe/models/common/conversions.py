"""One kind of tensor from another: parts, components, rotations, products."""

from __future__ import annotations

from neml2fe.errors import ModelError
from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model
from neml2fe.types import MRP, R2, SR2, WR2, Scalar, Vec, inv, skew, sym


class R2ToSR2(Model):
    r"""$S = (A + A^T)/2$."""

    input = Input(R2, "Tensor")
    output = Output(SR2, "Its symmetric part")

    def forward(self, a: R2) -> SR2:
        return sym(a)


class R2ToWR2(Model):
    r"""$W = (A - A^T)/2$."""

    input = Input(R2, "Tensor")
    output = Output(WR2, "Its skew part")

    def forward(self, a: R2) -> WR2:
        return skew(a)


class SR2ToR2(Model):
    r"""$A = S$, with all nine components."""

    input = Input(SR2, "Symmetric tensor")
    output = Output(R2, "The same tensor")

    def forward(self, s: SR2) -> R2:
        return s.to_r2()


class ScalarToDiagonalSR2(Model):
    r"""$S = a\,1$."""

    input = Input(Scalar, "Diagonal entry")
    output = Output(SR2, "Spherical tensor")

    def forward(self, a: Scalar) -> SR2:
        spherical: SR2 = a * SR2.identity(dtype=a.dtype, device=a.device)
        return spherical


class VecComponents(Model):
    r"""$a_i = v_i$."""

    from_ = Input(Vec, "Vector")
    to_ = Output(Scalar, "Names of its three components", many=True)

    def setup(self) -> None:
        if len(self.names["to"]) != 3:
            raise ModelError(
                f"{self.label}: a vector has three components, but 'to' names "
                f"{len(self.names['to'])}: {self.names['to']}"
            )

    def forward(self, v: Vec) -> tuple[Scalar, ...]:
        return tuple(Scalar(a, v.sub_batch_ndim) for a in v.data.unbind(-1))


class RotationMatrix(Model):
    r"""$R = 1 + \frac{4(1-m \cdot m)\,W + 8\,W W}{(1+m \cdot m)^2}$, $W$ the skew tensor of the
    modified Rodrigues parameters $m$ (Schaub and Junkins 1996)."""

    from_ = Input(MRP, "Rotation", dimension="1")
    to_ = Output(R2, "Its matrix", dimension="1")

    def forward(self, rotation: MRP) -> R2:
        return rotation.to_r2()


class R2Multiplication(Model):
    r"""$C = \mathrm{op}(A)\,\mathrm{op}(B)$, op an inverse, a transpose, both or none."""

    A = Input(R2, "First factor")
    B = Input(R2, "Second factor")
    to_ = Output(R2, "The product")
    invert_A: bool = Option(bool, "Take the inverse of A", default=False)
    invert_B: bool = Option(bool, "Take the inverse of B", default=False)
    transpose_A: bool = Option(bool, "Take the transpose of A", default=False)
    transpose_B: bool = Option(bool, "Take the transpose of B", default=False)

    def forward(self, a: R2, b: R2) -> R2:
        product: R2 = _op(a, self.invert_A, self.transpose_A) @ _op(
            b, self.invert_B, self.transpose_B
        )
        return product


def _op(a: R2, invert: bool, transpose: bool) -> R2:
    a = inv(a) if invert else a
    return a.T if transpose else a
