"""`StoredEnergy`: the elastic energy in a body, where its material says what it is."""

from __future__ import annotations

import torch

from neml2fe.fem.integrals.volumetric import FBarBlock
from neml2fe.fem.problem import Problem
from neml2fe.fem.terms.solid import SolidTerm
from neml2fe.material import PointResult, current_name

# A step too short for anything but elasticity; it starts at time 0, where its size is exact.
_INSTANT = 1e-12


class StoredEnergy:
    """The elastic energy of one solid.

    - A material without history that has an energy (`Material(..., energy=...)`): the integral
      of that, at small or finite strain. Not with F-bar, whose forces have no potential.
    - Any other material of small strain: the integral of 1/2 sigma : C0^-1 : sigma, with C0 the
      tangent of virgin material. This is right for laws whose elasticity is linear and does not
      degrade; with damage or nonlinear elasticity it is not the energy that unloading would give
      back. Not where the law reads fields (thermal strains do work that is neither stored so nor
      dissipated), the body has an initial state of its own, or C0 is not symmetric.

    `available` says whether there is one, on this rank.
    """

    def __init__(self, solid: SolidTerm, volumes: torch.Tensor, time: float) -> None:
        self.solid, self._volumes = solid, volumes
        self._compliance: torch.Tensor | None = None
        self.available, self._named = True, False
        if not solid.block.n_elements:
            return
        potential = not solid.material.state_spec and not isinstance(solid.block, FBarBlock)
        self._named = potential and self._virgin(time).energy is not None
        finite, fields = solid.block.measure.finite, solid.material.field_spec
        if not (self._named or finite or fields or solid.body.initial_state):
            self._compliance = _compliance(self._virgin(time))
        self.available = self._named or self._compliance is not None

    def _virgin(self, time: float) -> PointResult:
        """The update of undeformed virgin material, at the first point."""
        solid = self.solid
        fields = {name: value[:1] for name, value in solid.fields(time, slice(0, 1)).items()}
        state = solid.material.initial_state(1, device=solid.stress.device, fields=fields)
        state = {name: fields.get(current_name(name), value) for name, value in state.items()}
        strain = solid.block.measure.reference(solid.stress)[None].contiguous()
        return solid.material.update(strain, state, _INSTANT, _INSTANT, fields)

    def total(self, problem: Problem) -> float:
        """The energy in this rank's elements."""
        return sum(self._of(problem, part) for part in self.solid.block.parts())

    def _of(self, problem: Problem, part: slice) -> float:
        block = self.solid.block
        volumes = self._volumes[part].reshape(-1)
        if self._named:
            u = torch.as_tensor(problem.u, device=problem.device)
            density = self._named_density(block.strain(u, part), problem.time, part)
        else:
            stress = self.solid.stress[block.points_of(part)]
            assert self._compliance is not None
            density = 0.5 * (stress * (stress @ self._compliance.mT)).sum(1)
        return float(density @ volumes)

    def _named_density(self, strain: torch.Tensor, time: float, part: slice) -> torch.Tensor:
        fields = self.solid.fields(time, part)
        result = self.solid.material.update(strain, {}, time, _INSTANT, fields, tangent=False)
        assert result.energy is not None
        return result.energy


def _compliance(virgin: PointResult) -> torch.Tensor | None:
    """C0^-1 `(6, 6)`, in plane stress its pseudo-inverse; None where there is none, or it is not
    symmetric."""
    assert virgin.tangent is not None
    if len(virgin.failed) or not torch.isfinite(virgin.tangent).all():
        return None
    compliance = torch.linalg.pinv(virgin.tangent[0])
    gap, scale = (compliance - compliance.mT).abs().max(), compliance.abs().max()
    return compliance if gap <= 1e-6 * scale else None
