"""The terms of a problem, made from its bodies and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neml2fe.errors import InputError, ModelError, suggest
from neml2fe.fem.body import Body, elements_of
from neml2fe.fem.collective import collectively
from neml2fe.fem.conditions.conditions import CohesiveInterface, Pressure, Springs
from neml2fe.fem.conditions.places import boundary_facets
from neml2fe.fem.integrals.block import ElementBlock
from neml2fe.fem.integrals.measures import measure
from neml2fe.fem.integrals.volumetric import FBarBlock
from neml2fe.fem.mesh.facets import CellBlock
from neml2fe.fem.terms.cohesive import cohesive_terms
from neml2fe.fem.terms.pressure import FollowerPressure
from neml2fe.fem.terms.solid import SolidTerm
from neml2fe.fem.terms.springs import spring_terms
from neml2fe.fem.terms.term import Term
from neml2fe.material import Material, PlaneStress, PointMaterial, finite_strain
from neml2fe.types import R2

if TYPE_CHECKING:
    from neml2fe.fem.problem import Problem

LOCKING = ("quad", "hexahedron", "wedge")
"""Elements that the mean dilatation helps. The volume strain of linear simplices is constant
anyway; quadratic elements hardly lock, and one mean value would take the order of theirs away (in
hexahedron20 it even leaves three motions without stiffness)."""


KINEMATICS = ("auto", "small", "finite")


def solid_terms(
    problem: Problem, formulation: str, kinematics: str, degree: int | None
) -> list[SolidTerm]:
    """A term for each body and element type, the same on every rank, some with no elements.

    Raises `InputError` or `ModelError`.
    """
    terms = []
    local = problem.local
    finite = chosen_kinematics(problem.bodies, kinematics)
    shares = elements_of(problem.bodies, local)
    for body, elements in zip(problem.bodies, shares, strict=True):
        material = seen(body.material, formulation, finite)
        check_fields(problem, body, material)
        types = [cells.cell_type for cells in local.cells]
        if body.volumetric_locking_correction and not set(types) & set(LOCKING):
            raise InputError(
                f"body '{body.name}': volumetric_locking_correction is for elements of type "
                f"{', '.join(LOCKING)}; the mesh has {', '.join(types)}"
            )
        for k, (cells, mine) in enumerate(zip(local.cells, elements, strict=True)):
            correct = body.volumetric_locking_correction and cells.cell_type in LOCKING
            how = measure(formulation, local.dim, finite, correct and not finite)
            kind = FBarBlock if correct and finite else ElementBlock
            part = CellBlock(cells.cell_type, cells.connectivity[mine])
            rule = degree if body.quadrature_degree is None else body.quadrature_degree
            block = kind(part, problem.points, how, rule)
            terms.append(
                SolidTerm(
                    body,
                    material,
                    block,
                    local,
                    k,
                    mine,
                    {**problem.fields, **body.fields},
                    problem.time,
                    problem.stopwatch,
                )
            )
    return terms


def chosen_kinematics(bodies: Sequence[Body], kinematics: str) -> bool:
    """Whether the problem is one of finite strain: with `auto` where a material is."""
    if kinematics not in KINEMATICS:
        raise InputError(f"unknown kinematics '{kinematics}'{suggest(kinematics, KINEMATICS)}")
    finite = [body for body in bodies if body.material.strain_kind is R2]
    if kinematics == "small" and finite:
        raise InputError(
            f"the material of body '{finite[0].name}' is driven by a deformation gradient; "
            "kinematics = small needs laws of small strain"
        )
    return kinematics == "finite" or bool(finite)


def seen(material: PointMaterial, formulation: str, finite: bool) -> PointMaterial:
    """The material as elements see it: giving the first Piola-Kirchhoff stress at finite strain,
    without out-of-plane stress in plane stress."""
    if finite and isinstance(material, Material):
        material = finite_strain(material)
    return PlaneStress(material) if formulation == "plane_stress" else material


def check_fields(problem: Problem, body: Body, material: PointMaterial) -> None:
    """Every field that the material reads is given, and nothing that it does not know."""
    needed = body.material.field_spec
    missing = [n for n in needed if n not in body.fields and n not in problem.fields]
    if missing:
        raise ModelError(
            f"body '{body.name}': the material '{material.label}' needs the fields "
            f"{', '.join(missing)}; give them as field_names and field_values (in Python: as "
            "fields): numbers, functions of time, or fields over the mesh"
        )
    for name in body.fields:
        if name not in needed:
            raise ModelError(f"the material of body '{body.name}' takes no field '{name}'")
    state = material.state_spec
    for name in body.initial_state:
        if name not in state:
            raise ModelError(
                f"body '{body.name}': the material has no state '{name}'{suggest(name, state)}; "
                f"it has {', '.join(state) or 'none'}"
            )
    for name in problem.fields:
        if all(name not in b.material.field_spec for b in problem.bodies):
            raise ModelError(f"the material takes no field '{name}'")


def condition_terms(problem: Problem) -> list[Term]:
    """Terms of the conditions that have a stiffness, the same on every rank. Collective."""
    return collectively(problem.comm, lambda: _condition_terms(problem), every_rank=True)


def _condition_terms(problem: Problem) -> list[Term]:
    measure = problem.solids[0].block.measure
    terms: list[Term] = []
    for condition in problem.conditions:
        if isinstance(condition, Pressure) and condition.follower:
            if not measure.finite:
                raise InputError(
                    f"condition '{condition.name}': a follower pressure needs finite strain: a "
                    "material driven by the deformation gradient"
                )
            facets = boundary_facets(problem.local, condition.boundary, condition.name)
            for cells in facets:
                terms.append(
                    FollowerPressure(condition, cells, problem.points, measure.axisymmetric)
                )
        elif isinstance(condition, Springs):
            terms += spring_terms(condition, problem.local, problem.points, measure.axisymmetric)
        elif isinstance(condition, CohesiveInterface):
            terms += cohesive_terms(
                condition, problem.local, problem.points, measure.axisymmetric, problem.time
            )
    return terms
