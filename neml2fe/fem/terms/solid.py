"""`SolidTerm`: the elements of one type that one material fills."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from neml2fe.fem.body import Body
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.fields import BoundField, FieldLike, bound
from neml2fe.fem.failure import FailedPoint
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.integrals.matrix import LocalMatrix
from neml2fe.fem.mesh.distribution import LocalMesh
from neml2fe.fem.mesh.elements import Index
from neml2fe.fem.terms.term import History, Term
from neml2fe.material import PointMaterial, Spec, State, current_name


class Stopwatch(Protocol):
    """Adds the seconds spent in a context to those of a phase."""

    def __call__(self, phase: str) -> AbstractContextManager[None]: ...


class SolidTerm(Term):
    """Elements of one type and material: their state, and the stress at the end of the last step.
    Making one is collective.

    - `block`: their integrals; `n` points in all.
    - `cells`: number of their block among the mesh's cells; `local_elements`: their positions
      there.
    - `state`: by name `(n, *base)`; `stress` `(n, 6)` or `(n, 3, 3)`. The arrays are used again
      two steps later: clone what is to be kept.
    - `solutions`: a dict here keeps, by the first element of each part, the local unknowns of the
      last update.
    """

    def __init__(
        self,
        body: Body,
        material: PointMaterial,
        block: ElementBlock,
        local: LocalMesh,
        cells: int,
        elements: Index,
        fields: Mapping[str, FieldLike],
        time: float,
        stopwatch: Stopwatch,
    ) -> None:
        self.name, self.body, self.material, self.block = body.name, body, material, block
        self.cells, self.local_elements = cells, elements
        self.connectivity = (block.connectivity,)
        self._watch = stopwatch
        self._elements = torch.as_tensor(elements)

        def bind(given: Mapping[str, FieldLike], spec: Spec) -> dict[str, BoundField]:
            return {
                name: bound(given[name], name, kind.BASE_SHAPE, local, block, cells, self._elements)
                for name, kind in spec.items()
                if name in given
            }

        self._fields = bind(fields, material.field_spec)
        self._initial = bind(body.initial_state, material.state_spec)
        self._comm = local.comm
        self.solutions: dict[int, torch.Tensor | None] | None = None
        self._failed: tuple[float, float, int, torch.Tensor] | None = None
        self.reset(time)

    @torch.no_grad()
    def reset(self, time: float) -> None:
        # Values may be wrong on one rank only.
        state = collectively(self._comm, lambda: self.initial_state(time), every_rank=True)
        self.take(state)
        self._trial = {n: torch.empty_like(v) for n, v in self.state.items()}
        self._trial_stress = self._trial.get(self.material.stress, torch.empty_like(self.stress))

    def initial_state(self, time: float) -> State:
        """The state at the start, at `time`."""
        everywhere, material = slice(0, self.block.n_elements), self.material
        first = self.fields(time, everywhere)
        like = self.block.points
        state = material.initial_state(self.block.n_points, device=like.device, fields=first)
        for name in state:
            if name in self._initial:
                state[name] = self._initial[name](time, everywhere)
            elif current_name(name) in first:  # an old value of a field: that of the start
                state[name] = first[current_name(name)]
        return {n: v.contiguous() for n, v in state.items()}

    def take(self, state: State) -> None:
        """Go on from `state`, whose arrays become the term's own."""
        block, self.state = self.block, state
        own = state.get(self.material.stress)
        start = block.points.new_zeros(block.n_points, *block.measure.shape)
        self.stress = start if own is None else own

    def fields(self, time: float, part: slice) -> dict[str, torch.Tensor]:
        """The material's fields at the points of a part, `(n, *base)`."""
        return {name: field(time, part) for name, field in self._fields.items()}

    def bind(self, matrix: LocalMatrix) -> None:
        self.block.bind(matrix)

    @torch.no_grad()
    def update(
        self,
        u: torch.Tensor,
        time: float,
        dt: float,
        forces: torch.Tensor,
        matrix: LocalMatrix | None,
    ) -> int:
        block, failed = self.block, 0
        self._failed = None
        for part in block.parts():
            points = block.points_of(part)
            with self._watch("elements"):
                strain = block.strain(u, part)
            with self._watch("material"):
                old = {n: v[points] for n, v in self.state.items()}
                fields = self.fields(time, part)
                result = self.material.update(
                    strain, old, time, dt, fields, tangent=matrix is not None
                )
                for name, new in self._trial.items():
                    new[points] = result.state[name]
                if self.material.stress not in self._trial:
                    self._trial_stress[points] = result.stress
                if self.solutions is not None:
                    self.solutions[part.start] = result.solution
            with self._watch("elements"):
                block.add_forces(result.stress, part, forces)
                if matrix is not None:
                    assert result.tangent is not None
                    block.add_stiffness(result.tangent, part, matrix)
            bad = result.failed
            failed += len(bad)
            if len(bad) and self._failed is None:
                self._failed = time, dt, points.start + int(bad[0]), strain[bad[0]]
        return failed

    @property
    def trial_stress(self) -> torch.Tensor:
        """Of the last update, `(n, 6)` or `(n, 3, 3)`."""
        return self._trial_stress

    def accept(self) -> None:
        self.state, self._trial = self._trial, self.state
        self.stress, self._trial_stress = self._trial_stress, self.stress

    def history(self, local: LocalMesh) -> History:
        numbers = local.elements[self.cells][self.local_elements]
        return History(numbers, {self.material.stress: self.stress, **self.state})

    def point_fields(self, u: torch.Tensor) -> State:
        """Strain at local displacements `u`, stress and every state variable at the points,
        `(n, *base)`; a state named like one of these is prefixed by `state_`."""
        found = {"strain": self.block.strain(u), "stress": self.stress}
        for name, value in self.state.items():
            if name not in (self.material.strain, self.material.stress):
                found[f"state_{name}" if name in (*found, "displacement") else name] = value
        return found

    def failed_point(self, local: LocalMesh) -> FailedPoint | None:
        """A point that failed in the last update, if any did."""
        if self._failed is None:
            return None
        time, dt, point, strain = self._failed
        element, q = divmod(point, self.block.n_quadrature)
        part = slice(element, element + 1)
        return FailedPoint(
            body=self.name,
            element=int(local.elements[self.cells][self.local_elements[element]]),
            cell_type=self.block.cell_type,
            position=self.block.positions(part)[0, q].cpu().numpy(),
            time=time,
            dt=dt,
            strain=strain.cpu().numpy(),
            state={n: v[point].cpu().numpy() for n, v in self.state.items()},
            fields={n: v[q].cpu().numpy() for n, v in self.fields(time, part).items()},
        )
