r"""Plane stress for any law: the out-of-plane strain $z$ for which the out-of-plane stress is zero.

Small strain: $z$ are the Mandel components 33, 23, 13 of the strain, and those of the stress
vanish. Finite strain: $z = (F_{13}, F_{23}, F_{33})$ is the image of the normal $e_3$, of which
$F_{31} = F_{32} = 0$ in the midplane; $P_{i3} = 0$ says that the faces are free, and then
$P_{31} = P_{32} = 0$ follows from the balance of angular momentum, since $P F^T$ is symmetric.
R. de Borst, CMAME 89 (1991) 349 for the algorithm; here it is a Newton iteration at each point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from neml2fe.errors import ConvergenceError, ModelError
from neml2fe.implicit import Status
from neml2fe.kernels import repeated
from neml2fe.material.interface import Adapter, PointMaterial, Time, require_shape
from neml2fe.material.points import Part, Step, together, with_nan
from neml2fe.material.results import Fields, PointCotangents, PointResult, State
from neml2fe.models.model import Spec
from neml2fe.types import R2, SR2, TypedTensor, Vec

OUT_OF_PLANE_STRAIN = "out_of_plane_strain"
# Places in a strain or stress as a row of numbers.
PLACES: dict[type[TypedTensor], tuple[list[int], list[int]]] = {  # in the plane, out of it
    SR2: ([0, 1, 5], [2, 3, 4]),
    R2: ([0, 1, 3, 4], [2, 5, 8]),
}


class PlaneStress(Adapter):
    """`material` in a plane, its stress out of the plane zero.

    Driven by strains `(n, 6)` or deformation gradients `(n, 3, 3)` of which the in-plane entries
    alone are read; stress and tangent come in the same full shapes, with zeros out of the plane.
    The state is that of `material` and `out_of_plane_strain` `(n, 3)`, from whose old value a
    Newton iteration starts. A point ends when its out-of-plane stress is below `rel_tol` times
    its stress, or the next correction below `abs_tol`, a strain; one that does not in `max_its`
    corrections has a status like a law that does not converge. `iterations` are those of
    `material`, summed over the corrections.

    Raises `ModelError` unless strain and stress are both SR2 or both R2 (first Piola-Kirchhoff).
    """

    def __init__(
        self,
        material: PointMaterial,
        abs_tol: float = 1e-12,
        rel_tol: float = 1e-10,
        max_its: int = 25,
    ) -> None:
        super().__init__(material)
        kinds = material.strain_kind, material.stress_kind
        if kinds not in ((SR2, SR2), (R2, R2)):
            raise ModelError(
                f"plane stress: '{material.label}' maps {kinds[0].__name__} to "
                f"{kinds[1].__name__}; it must map SR2 to SR2, or R2 to R2 (see finite_strain)"
            )
        if OUT_OF_PLANE_STRAIN in material.state_spec:
            raise ModelError(
                f"plane stress: '{material.label}' has a state '{OUT_OF_PLANE_STRAIN}' already"
            )
        self.abs_tol, self.rel_tol, self.max_its = abs_tol, rel_tol, max_its
        self._plane, self._out = PLACES[kinds[0]]
        self._size = math.prod(kinds[0].BASE_SHAPE)

    @property
    def state_spec(self) -> Spec:
        return {**self.material.state_spec, OUT_OF_PLANE_STRAIN: Vec}

    def initial_state(
        self,
        n: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        fields: Fields | None = None,
    ) -> State:
        """See `Material.initial_state`; the normal starts undeformed."""
        z = torch.zeros(n, 3, dtype=dtype, device=device)
        if self.strain_kind is R2:
            z[:, 2] = 1.0
        return {
            **self.material.initial_state(n, dtype, device, fields),
            OUT_OF_PLANE_STRAIN: z,
        }

    def update(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        fields: Fields | None = None,
        tangent: bool = True,
    ) -> PointResult:
        """See `Material.update`. The tangent is condensed: that of stress in the plane by strain
        in the plane, with the out-of-plane strain following."""
        found = self._solved(strain, state, Step(self._inner(state), time, dt, fields))
        assert found.tangent is not None
        slope = self._condensed(found.tangent) if tangent else None
        found = replace(found, stress=self._embedded(found.stress, self._plane), tangent=slope)
        return with_nan(found) if len(found.failed) else found

    def vjp(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        stress_bar: torch.Tensor,
        state_bar: State | None = None,
        fields: Fields | None = None,
        solution: torch.Tensor | None = None,
    ) -> PointCotangents:
        """See `Material.vjp`. Two of those of `material`, and one update."""
        step = Step(self._inner(state), time, dt, fields)
        full, inner, slope = self._at_solution(strain, state, step, solution)
        bars = self._inner(state_bar or {})
        stress_bar = self._embedded(stress_bar, self._plane)
        first = self.material.vjp(full, step.state, time, dt, stress_bar, bars, fields, inner)
        by_z = first.strain.flatten(1)[:, self._out]
        if state_bar and OUT_OF_PLANE_STRAIN in state_bar:
            by_z = by_z + state_bar[OUT_OF_PLANE_STRAIN]
        multiplier = -_solve(self._part(slope, self._out, self._out).mT, by_z)
        stress_bar.view(len(full), self._size)[:, self._out] = multiplier
        found = self.material.vjp(full, step.state, time, dt, stress_bar, bars, fields, inner)
        unused = {OUT_OF_PLANE_STRAIN: torch.zeros_like(multiplier)}  # an old value only starts
        by_strain = self._embedded(found.strain, self._plane)
        return replace(found, strain=by_strain, state={**found.state, **unused})

    def jvp(
        self,
        strain: torch.Tensor,
        state: State,
        time: Time,
        dt: Time,
        strain_rate: torch.Tensor,
        state_rate: State | None = None,
        fields: Fields | None = None,
        field_rate: State | None = None,
        solution: torch.Tensor | None = None,
        parameter_rate: Mapping[str, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, State]:
        """See `Material.jvp`. Two of those of `material`, and one update."""
        step = Step(self._inner(state), time, dt, fields)
        full, inner, slope = self._at_solution(strain, state, step, solution)
        rates = self._inner(state_rate or {})
        rate = self._embedded(strain_rate, self._plane)

        def pushed() -> tuple[torch.Tensor, State]:
            return self.material.jvp(
                full, step.state, time, dt, rate, rates, fields, field_rate, inner, parameter_rate
            )

        out = pushed()[0].flatten(1)[:, self._out]
        z_rate = -_solve(self._part(slope, self._out, self._out), out)
        rate.view(len(full), self._size)[:, self._out] = z_rate
        stress_rate, found = pushed()
        stress_rate = self._embedded(stress_rate, self._plane)
        return stress_rate, {**found, OUT_OF_PLANE_STRAIN: z_rate}

    # --- the iteration ----------------------------------------------------------------
    def _solved(self, strain: torch.Tensor, state: State, step: Step) -> PointResult:
        """Full stress and tangent where the out-of-plane stress vanishes; the out-of-plane strain
        is in the state, and the last columns of the solution.

        A correction that does not lessen the out-of-plane stress, or from which the law does not
        converge, is halved.
        """
        z = self._start(strain, state)
        n, eps = len(strain), torch.finfo(strain.dtype).eps
        points, base, now = torch.arange(n, device=strain.device), strain, step
        best, move = z, torch.zeros_like(z)
        size = torch.full_like(z[:, 0], torch.inf)
        spent = torch.zeros(n, dtype=torch.int64, device=strain.device)
        parts: list[Part] = []
        for k in range(self.max_its + 1):
            with repeated(-(-n // max(len(points), 1))):  # the few that are left keep the kernel
                r = self.material.update(
                    self._full(base, z), now.state, now.time, now.dt, now.fields
                )
            assert r.tangent is not None
            spent = spent + r.iterations
            out = r.stress.flatten(1)[:, self._out]
            norm = out.norm(dim=-1)
            better = norm <= size  # false for NaN
            newton = -_solve(self._part(r.tangent, self._out, self._out), out)
            move = torch.where(better[:, None], newton, 0.5 * move)
            best, size = torch.where(better[:, None], z, best), torch.where(better, norm, size)
            small = norm <= max(self.rel_tol, 10.0 * eps) * r.stress.flatten(1).norm(dim=-1)
            small |= move.norm(dim=-1) <= max(self.abs_tol, 10.0 * eps)
            converged = better & small
            lost = ~torch.isfinite(size) | ~torch.isfinite(move).all(-1)
            ended = converged | lost | torch.full_like(lost, k == self.max_its)
            limit = torch.full_like(r.status, Status.ITERATION_LIMIT)
            limit[lost] = Status.NOT_FINITE
            kept = (r.status != Status.CONVERGED) | converged
            r = replace(
                r,
                state={**r.state, OUT_OF_PLANE_STRAIN: z},
                status=torch.where(kept, r.status, limit),
                iterations=spent,
                solution=None if r.solution is None else torch.cat([r.solution, z], -1),
            )
            go = ~ended
            if not bool(go.all()) or not n:
                parts.append(Part(points, r).of(ended))
            if not bool(go.any()):
                break
            if bool(ended.any()):
                points, best, move, size, spent = (v[go] for v in (points, best, move, size, spent))
                base, now = strain[points], step.at(points)
            z = best + move
        return together(parts)

    def _start(self, strain: torch.Tensor, state: State) -> torch.Tensor:
        require_shape(self, strain)
        z = state.get(OUT_OF_PLANE_STRAIN)
        if z is None or z.shape != (len(strain), 3):
            raise ModelError(
                f"material: state '{OUT_OF_PLANE_STRAIN}' must have shape {(len(strain), 3)}, got "
                f"{'nothing' if z is None else tuple(z.shape)}"
            )
        return z

    def _at_solution(
        self, strain: torch.Tensor, state: State, step: Step, known: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Full strain, the unknowns of `material` and its tangent, there where derivatives are
        taken; raises `ConvergenceError` where there is no such state."""
        if known is None:
            self._start(strain, state)
            found = self._solved(strain, state, step)
            z, inner = found.state[OUT_OF_PLANE_STRAIN], None
            if found.solution is not None:
                inner = found.solution[:, :-3]
        else:
            inner, z = known[:, :-3], known[:, -3:]
            found = self.material.update(
                self._full(strain, z), step.state, step.time, step.dt, step.fields
            )
        if len(found.failed):
            raise ConvergenceError(
                f"'{self.label}' in plane stress did not converge at {len(found.failed)} of "
                f"{len(strain)} points (first: point {int(found.failed[0])}); derivatives do not "
                "exist there"
            )
        assert found.tangent is not None
        return self._full(strain, z), inner, found.tangent

    # --- parts of arrays --------------------------------------------------------------
    def _inner(self, state: State) -> State:
        return {n: v for n, v in state.items() if n != OUT_OF_PLANE_STRAIN}

    def _full(self, strain: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        full = self._embedded(strain, self._plane)
        full.view(len(full), self._size)[:, self._out] = z
        return full

    def _embedded(self, value: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        """A contiguous copy of `value` `(n, *base)` with zeros elsewhere than at `places`."""
        kept = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
        kept.view(len(value), self._size)[:, places] = value.flatten(1)[:, places]
        return kept

    def _part(
        self, tangent: torch.Tensor, rows: Sequence[int], columns: Sequence[int]
    ) -> torch.Tensor:
        return tangent.reshape(len(tangent), self._size, self._size)[:, rows][:, :, columns]

    def _condensed(self, tangent: torch.Tensor) -> torch.Tensor:
        plane, out = self._plane, self._out
        follows = _solve(self._part(tangent, out, out), self._part(tangent, out, plane))
        condensed = self._part(tangent, plane, plane) - self._part(tangent, plane, out) @ follows
        full = torch.zeros(tangent.shape, dtype=tangent.dtype, device=tangent.device)
        index = torch.tensor(plane, device=full.device)
        full.view(len(full), self._size, self._size)[:, index[:, None], index] = condensed
        return full


def _solve(matrix: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Not finite where the matrix is singular."""
    vector = right.ndim == matrix.ndim - 1
    right = right.unsqueeze(-1) if vector else right
    found, info = torch.linalg.solve_ex(matrix, right)
    found = torch.where((info != 0)[:, None, None], torch.nan, found)
    return found.squeeze(-1) if vector else found
