"""First guesses for updates of crystals."""

from __future__ import annotations

from neml2fe.models.fields import Input, Old, Output, Parameter
from neml2fe.models.model import Model
from neml2fe.types import R2, SR2, Scalar, heaviside, inv, norm, sym, where


class CrystalPlasticityStrainPredictor(Model):
    r"""$\varepsilon^e = \varepsilon^e_n + s\,(t - t_n)\,d$ where $|\varepsilon^e_n|$ is below the
    threshold, else $\varepsilon^e_n$: the first step is taken as partly elastic."""

    deformation_rate = Input(SR2, "Deformation rate", dimension="1/time")
    time = Input(Scalar, "Time", default="t", dimension="time")
    time_old = Old("time")
    elastic_strain = Output(SR2, "Predicted elastic strain", dimension="1")
    elastic_strain_old = Old("elastic_strain")
    scale = Parameter(Scalar, "scale", "Elastic part of the strain increment", "1", default=1.0)
    threshold = Parameter(
        Scalar,
        "threshold",
        "Norm of the old elastic strain above which it is kept",
        "1",
        default=1e-3,
    )

    def forward(self, d: SR2, t: Scalar, t_old: Scalar, old: SR2) -> SR2:
        start: SR2 = old + heaviside(self.threshold - norm(old)) * (self.scale * (t - t_old)) * d
        return start


class CrystalPlasticityDeformationGradientPredictor(Model):
    r"""$F_p = [1 + s\,(F_e - 1)]^{-1} F$ with $F_e = F F_{p,n}^{-1}$ where
    $|\mathrm{sym}\,F_e - 1|$ exceeds the threshold, else $F_{p,n}$: a trial state beyond it is
    taken as mostly plastic."""

    deformation_gradient = Input(R2, "Deformation gradient", dimension="1")
    plastic_deformation_gradient = Output(R2, "Predicted plastic part of it", dimension="1")
    plastic_deformation_gradient_old = Old("plastic_deformation_gradient")
    scale = Parameter(Scalar, "scale", "Elastic part of the trial deformation", "1", default=0.1)
    threshold = Parameter(
        Scalar,
        "threshold",
        "Norm of the trial strain up to which nothing yields",
        "1",
        default=1e-3,
    )

    def forward(self, f: R2, old: R2) -> R2:
        one = R2.identity(dtype=f.dtype, device=f.device)
        trial = f @ inv(old)
        start = inv(one + self.scale * (trial - one)) @ f
        return where(norm(sym(trial - one)) > self.threshold, start, old)
