"""Second derivatives of functions of invariants where the deviator vanishes."""

from __future__ import annotations

import pytest
import torch
from ladder import close, f64

import neml2fe.models as m
from neml2fe.types import SR2, SSR4

PRESSURE = f64([50.0, 50.0, 50.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("at", [PRESSURE, 0.0 * PRESSURE])
def test_the_square_of_von_mises_is_smooth_at_hydrostatic_stress(at: torch.Tensor) -> None:
    model = m.SR2Invariant(invariant_type="VONMISES", tensor="s", invariant="q")
    hessian = torch.func.hessian(lambda s: (model(SR2(s)) * model(SR2(s))).data)(at)
    assert close(hessian, 3.0 * SSR4.identity_dev(dtype=torch.float64).data, 1e-12)


def test_linear_creep_has_its_tangent_at_zero_stress() -> None:
    r"""Flow rate $q / \eta$ along the normal: strain rate $\frac32 s / \eta$."""
    vonmises = m.SR2Invariant(invariant_type="VONMISES", tensor="s", invariant="q")
    normal = m.Normality(model=vonmises, function="q", from_=["s"], to=["n"])
    flow = m.PerzynaPlasticFlowRate(reference_stress=20.0, exponent=1.0, yield_function="q")
    strain = m.AssociativePlasticFlow(flow_direction="n")
    creep = m.ComposedModel(models=[vonmises, normal, flow, strain])
    jacobian = torch.func.jacrev(lambda s: creep(SR2(s)).data)(0.0 * PRESSURE)
    assert close(jacobian, 1.5 / 20.0 * SSR4.identity_dev(dtype=torch.float64).data, 1e-12)
