"""Return mapping of isotropic J2 plasticity along the trial direction: one scalar unknown."""

from __future__ import annotations

from neml2fe.models.fields import Input, Old, Output
from neml2fe.models.solid_mechanics.elasticity import FromModuli
from neml2fe.types import Scalar


class LinearIsotropicElasticJ2TrialStressUpdate(FromModuli):
    r"""$\bar\sigma = \bar\sigma_\mathrm{tr} - 3G\,(\bar\varepsilon_p - \bar\varepsilon_{p,n})$
    (Wilkins 1964)."""

    elastic_trial_stress = Input(Scalar, "Von Mises stress of an elastic step", dimension="stress")
    equivalent_plastic_strain = Input(Scalar, "Equivalent plastic strain", dimension="1")
    equivalent_plastic_strain_old = Old("equivalent_plastic_strain")
    updated_trial_stress = Output(Scalar, "Von Mises stress", dimension="stress")

    def forward(self, trial: Scalar, ep: Scalar, ep_old: Scalar) -> Scalar:
        _, shear = self.moduli()
        return trial - 3.0 * shear * (ep - ep_old)
