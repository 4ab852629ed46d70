"""One time step under mixed control: the strain whose stress is the prescribed one."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from neml2fe.implicit import Newton, Status, recorded_solves
from neml2fe.material import Material, is_old, lags

Raw = dict[str, torch.Tensor]

RATE = "strain rate"  # carried along with the variables, none of which has a blank in its name
# Stresses below this part of stiffness times strain are judged against it: round-off of the
# stress, about 1e-16 of that product, must stay below any sensible tolerance.
SMALLEST_STRESS = 1e-4


@dataclass
class MixedStep:
    """Solves s_i(e) = s_i^target in the components under stress control, n specimens at once.

    `old` holds all variables at the start and `target` time, strain, stress and fields at the
    end, `(n, *base)` by name; `under_stress` `(n, 6)` is True where the stress is prescribed.
    The residual of a specimen is divided by its stress: the largest component of the present,
    previous and target stress.
    """

    material: Material
    old: Raw
    target: Raw
    under_stress: torch.Tensor
    stiffness: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.stiffness = torch.zeros_like(self.target[self.material.time])

    def solve(self, solver: Newton) -> tuple[Raw, torch.Tensor]:
        """All variables at the end, by name, and True for each specimen that got there."""
        material, old = self.material, self.old[self.material.strain]
        strain = self._guess()
        good = torch.ones(len(strain), dtype=torch.bool, device=strain.device)
        if bool(self.under_stress.any()):
            strain = solver.solve(self._linearised, self._residual, strain).u
            good = torch.isfinite(strain).all(-1)
            strain = torch.where(good.unsqueeze(-1), strain, old)
        # Newton moved the strain once more after its last evaluation.
        inputs = self._inputs(strain)
        with recorded_solves() as log:
            values = material.model.evaluate({n: inputs[n] for n in material.inputs})
        outputs = {n: v.data.expand(len(strain), *v.BASE_SHAPE) for n, v in values.items()}
        stress = outputs[material.stress]
        good &= torch.isfinite(stress).all(-1)
        if log.status is not None:
            good &= log.status == Status.CONVERGED
        everyone = torch.arange(len(strain), device=strain.device)
        miss = torch.linalg.vector_norm(self._miss(strain, stress, everyone)[0], dim=-1)
        good &= miss <= solver.abs_tol
        rate = (strain - old) / self._dt().unsqueeze(-1)
        return {**inputs, **outputs, RATE: rate}, good

    def _guess(self) -> torch.Tensor:
        """Prescribed strains; the others go on at their last rate.

        This took fewer iterations on cyclic tests than the elastic or last tangent.
        """
        name = self.material.strain
        onwards = self.old[name] + self._dt().unsqueeze(-1) * self.old[RATE]
        return torch.where(self.under_stress, onwards, self.target[name])

    def _dt(self) -> torch.Tensor:
        return self.target[self.material.time] - self.old[self.material.time]

    def _inputs(self, strain: torch.Tensor) -> Raw:
        """The model's inputs and the time."""
        material = self.material
        inputs = {n: self.target[n] for n in (material.time, *material.field_spec)}
        inputs[material.strain] = strain
        inputs.update({n: self.old[lags(n, -1)] for n in material.inputs if is_old(n)})
        return inputs

    # --- what Newton's method sees; `points` are numbers of specimens --------------------
    def _linearised(
        self, strain: torch.Tensor, points: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        stress, tangent = self._update(strain, points, tangent=True)
        assert tangent is not None
        self.stiffness[points] = tangent.abs().amax((-2, -1))
        miss, scale = self._miss(strain, stress, points)
        # The scale is left undifferentiated: a factor common to all rows changes no step.
        rows = tangent / scale[:, None, None]
        identity = torch.eye(6, dtype=strain.dtype, device=strain.device)
        return miss, torch.where(self.under_stress[points].unsqueeze(-1), rows, identity)

    def _residual(self, strain: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        stress, _ = self._update(strain, points, tangent=False)
        return self._miss(strain, stress, points)[0]

    def _update(
        self, strain: torch.Tensor, points: torch.Tensor, tangent: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        material = self.material
        result = material.update(
            strain,
            {n: self.old[n][points] for n in material.state_spec},
            self.target[material.time][points],
            self._dt()[points],
            {n: self.target[n][points] for n in material.field_spec},
            tangent,
        )
        return result.stress, result.tangent

    def _miss(
        self, strain: torch.Tensor, stress: torch.Tensor, points: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled stress residual `(k, 6)`, zero under strain control, and the scale `(k,)`."""
        name = self.material.stress
        target = self.target[name][points]
        stresses = torch.cat([stress, target, self.old[name][points]], dim=-1)
        least = SMALLEST_STRESS * self.stiffness[points] * strain.abs().amax(-1)
        scale = torch.maximum(stresses.abs().amax(-1), least)
        scale = scale.clamp(min=torch.finfo(scale.dtype).tiny)
        return torch.where(
            self.under_stress[points], (stress - target) / scale.unsqueeze(-1), 0.0
        ), scale
