"""Elasticity of crystals and other anisotropic materials."""

from __future__ import annotations

import torch

from neml2fe.errors import ModelError
from neml2fe.models.fields import Input, Output, Parameter
from neml2fe.models.solid_mechanics.elasticity import Elasticity, FromModuli
from neml2fe.types import MRP, SR2, SSR4, inv, rotate


class CubicElasticityTensor(FromModuli):
    r"""$C_{11} = K + \frac43 G'$, $C_{12} = K - \frac23 G'$, $C_{44} = G$ in the cube's axes.

    $G$ is the SHEAR_MODULUS; the other two moduli describe stretch along the axes, where $K$ and
    $G'$ are the bulk and shear modulus of their pair. $G' = G$ is isotropy (Nye 1985, ch. VIII).
    """

    C = Output(SSR4, "Elasticity tensor", default="{label}", dimension="stress")

    def setup(self) -> None:
        self._declare_moduli(3)
        pair = [kind for kind in self.coefficient_types if kind != "SHEAR_MODULUS"]
        if len(pair) != 2:
            raise ModelError(
                f"{self.label}: cubic elasticity needs the SHEAR_MODULUS and two other moduli, "
                f"got {list(self.coefficient_types)}"
            )
        self._use_pair(pair)

    def forward(self) -> SSR4:
        bulk, stretch = self.moduli()
        diagonal = torch.tensor(
            [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], dtype=bulk.dtype, device=bulk.device
        )
        shear = SSR4(torch.diag(diagonal))
        return SSR4.isotropic(bulk, stretch) + 2.0 * (self.G - stretch) * shear


class GeneralElasticity(Elasticity):
    r"""$\sigma = (R \star C) : \varepsilon$ with $C$ in the axes of the material and $R$ the
    rotation that takes these to their present position, or the inverse."""

    orientation = Input(MRP, "Rotation from the axes of the material", dimension="1")
    elastic_stiffness_tensor = Parameter(SSR4, "T", "Stiffness in the material's axes", "stress")

    def forward(self, a: SR2, orientation: MRP) -> SR2:
        stiffness: SSR4 = rotate(self.T, orientation)
        result: SR2 = (inv(stiffness) if self.compliance else stiffness) @ a
        return result
