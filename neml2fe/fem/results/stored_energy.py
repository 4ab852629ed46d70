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
      tangent of virgin material under the present fields (temperature, orientation). This is
      right for laws whose elasticity is linear and does not degrade; with damage or nonlinear
      elasticity it is not the energy that unloading would give back. Not where the body has an
      initial state of its own, or C0 is not symmetric.

    `available` says whether there is one, on this rank.
    """

    def __init__(self, solid: SolidTerm, volumes: torch.Tensor, time: float) -> None:
        self.solid, self._volumes = solid, volumes
        self._compliance: torch.Tensor | None = None
        finite, history = solid.block.measure.finite, solid.material.state_spec
        self.available, self._named = True, False
        if solid.block.n_elements:
            potential = not history and not isinstance(solid.block, FBarBlock)
            self._named = potential and self._virgin(time, slice(0, 1)).energy is not None
            if not self._named:
                self.available = (
                    not finite and not solid.body.initial_state and self._is_elastic(time)
                )

    def _is_elastic(self, time: float) -> bool:
        if not self.solid.block.n_elements:
            return True
        compliance = self._virgin_compliance(time, slice(0, 1))
        scale = compliance.abs().max()
        symmetric = (compliance - compliance.mT).abs().max() <= 1e-6 * scale
        return bool(torch.isfinite(compliance).all() and symmetric)

    def _virgin(self, time: float, part: slice) -> PointResult:
        """The update of undeformed virgin material, of one point where all have the same fields."""
        solid = self.solid
        fields = solid.fields(time, part)
        n = len(next(iter(fields.values()))) if fields else 1
        if all(bool((value == value[:1]).all()) for value in fields.values()):
            fields, n = {name: value[:1] for name, value in fields.items()}, 1
        state = solid.material.initial_state(n, device=solid.stress.device, fields=fields)
        state = {name: fields.get(current_name(name), value) for name, value in state.items()}
        strain = solid.block.measure.reference(solid.stress)
        return solid.material.update(
            strain.expand(n, *strain.shape).contiguous(), state, _INSTANT, _INSTANT, fields
        )

    def _virgin_compliance(self, time: float, part: slice) -> torch.Tensor:
        """C0^-1 `(1 or n, 6, 6)` of the points of a part; its pseudo-inverse in plane stress."""
        result = self._virgin(time, part)
        assert result.tangent is not None
        if len(result.failed):
            return torch.full_like(result.tangent, torch.nan)
        return torch.linalg.pinv(result.tangent)

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
            compliance = self._compliance_at(problem.time, part)
            density = 0.5 * (stress * (compliance @ stress[..., None])[..., 0]).sum(1)
        return float(density @ volumes)

    def _compliance_at(self, time: float, part: slice) -> torch.Tensor:
        if self.solid.material.field_spec:  # which may change in time
            return self._virgin_compliance(time, part)
        if self._compliance is None:
            self._compliance = self._virgin_compliance(time, part)
        return self._compliance

    def _named_density(self, strain: torch.Tensor, time: float, part: slice) -> torch.Tensor:
        fields = self.solid.fields(time, part)
        result = self.solid.material.update(strain, {}, time, _INSTANT, fields, tangent=False)
        assert result.energy is not None
        return result.energy
