r"""Small-strain models at finite strain, by the logarithmic strain $E = \frac12 \ln F^T F$.

C. Miehe, N. Apel and M. Lambrecht, CMAME 191 (2002) 5383. The small-strain model maps $E$ and
its history to the stress $T$ that is conjugate to $E$: $P : \dot F = T : \dot E$.
"""

from __future__ import annotations

from functools import cached_property

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models.common.composed import ComposedModel
from neml2fe.models.fields import Input, Option, Output
from neml2fe.models.model import Model, Spec, Values
from neml2fe.models.solid_mechanics.finite_strain import StressMeasure
from neml2fe.types import R2, SR2, sym
from neml2fe.types.matrix_functions import logm


def logarithmic_strain(f: R2) -> SR2:
    return 0.5 * logm(sym(f.T @ f))


class LogarithmicStrain(Model):
    r"""$E = \frac12 \ln F^T F$."""

    deformation_gradient = Input(R2, "Deformation gradient", "F", dimension="1")
    strain = Output(SR2, "Logarithmic strain", dimension="1")

    def forward(self, f: R2) -> SR2:
        return logarithmic_strain(f)


class LogarithmicStressMeasure(StressMeasure):
    r"""$P = T : \partial E / \partial F$ or another measure, by reverse-mode differentiation."""

    logarithmic_stress = Input(
        SR2, "Stress conjugate to the logarithmic strain", dimension="stress"
    )

    def forward(self, f: R2, stress: SR2) -> R2 | SR2:
        batch = torch.broadcast_shapes(f.batch_shape, stress.batch_shape)
        f, stress = f.batch.expand(*batch), stress.batch.expand(*batch)
        _, pull_back = torch.func.vjp(lambda x: logarithmic_strain(f.like(x)).data, f.data)  # type: ignore[misc]
        return self.measured(f.like(pull_back(stress.data)[0]), f)


class LogarithmicStrainWrapper(StressMeasure):
    """Lifts the small-strain `model` to finite strain.

    All variables of `model` keep their names, history included; its strain (now logarithmic)
    and stress (conjugate to it) become outputs beside the stress of the chosen measure.
    Isotropy of the flow rule is not assumed; plastic strains add up in the logarithmic space.
    """

    model: Model = Option(Model, "Small-strain model")
    model_strain: str = Option(str, "Its strain; its only SR2 input if not given", default="")
    model_stress: str = Option(str, "Its stress", default="stress")

    def setup(self) -> None:
        strain = self.model_strain or self._only_strain()
        for name, spec, role in (
            (strain, self.model.input_spec, "input"),
            (self.model_stress, self.model.output_spec, "output"),
        ):
            if spec.get(name) is not SR2:
                raise ModelError(
                    f"{self.label}: '{name}' is no SR2 {role} of '{self.model.label}'"
                    f"{suggest(name, spec)}"
                )
        (f,), (stress,) = self.names["deformation_gradient"], self.names["stress"]
        back = LogarithmicStressMeasure(
            deformation_gradient=f,
            logarithmic_stress=self.model_stress,
            stress=stress,
            measure=self.measure,
        )
        composed = ComposedModel(
            models=[LogarithmicStrain(deformation_gradient=f, strain=strain), self.model, back],
            additional_outputs=[strain, self.model_stress],
            label=self.label,
        )
        self.adopt(self.model.label, self.model)
        self.__dict__["_composed"] = composed  # its parameters are those of the model

    def _only_strain(self) -> str:
        found = [n for n, t in self.model.input_spec.items() if t is SR2 and "~" not in n]
        if len(found) != 1:
            raise ModelError(
                f"{self.label}: cannot tell the strain among the SR2 inputs {found} of "
                f"'{self.model.label}'; name it as model_strain"
            )
        return found[0]

    @cached_property
    def input_spec(self) -> Spec:
        return self._composed.input_spec

    @cached_property
    def output_spec(self) -> Spec:
        return self._composed.output_spec

    def _evaluate(self, values: Values) -> Values:
        return self._composed._evaluate(values)
