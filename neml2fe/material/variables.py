"""Which variables of a model are its strain, stress, energy, state and fields."""

from __future__ import annotations

from neml2fe.errors import ModelError, suggest
from neml2fe.material.history import current_name, is_old, lags, split_lag
from neml2fe.models import Model
from neml2fe.models.model import Spec
from neml2fe.models.solid_mechanics.finite_strain import StressMeasure
from neml2fe.types import R2, SR2, Scalar, Vec

STRAINS = (SR2, R2, Vec)


def strain_of(model: Model) -> str:
    """The only input that is a strain, a deformation gradient or a displacement jump."""
    for kind in STRAINS:
        found = [n for n, t in model.input_spec.items() if t is kind and not is_old(n)]
        if len(found) > 1:
            raise ModelError(
                f"material: cannot tell the strain among the {kind.__name__} inputs {found} of "
                f"'{model.label}'; name it with strain = ..."
            )
        if found:
            return found[0]
    raise ModelError(
        f"material: cannot tell the strain of '{model.label}', which has no SR2, R2 or Vec input"
    )


def stress_of(model: Model, strain: str) -> str:
    """`traction` for a jump; for a deformation gradient what the only stress measure in the model
    computes, if there is one; else `stress`."""
    kind = model.input_spec.get(strain)
    if kind is Vec:
        return "traction"
    if kind is R2:
        measured = [n for n in model.output_spec if measure_of(model, n)]
        if len(measured) == 1:
            return measured[0]
    return "stress"


def measure_of(model: Model, stress: str) -> str | None:
    """The measure of a stress as the member that computes it says, if one does."""
    for member in model.modules():
        if isinstance(member, StressMeasure) and member.names["stress"] == [stress]:
            return member.measure
    return None


def require_variables(model: Model, strain: str, stress: str, energy: str | None) -> None:
    for name, spec, role in (
        (strain, model.input_spec, "strain input"),
        (stress, model.output_spec, "stress output"),
    ):
        if name not in spec:
            raise ModelError(
                f"material: '{model.label}' has no {role} '{name}'{suggest(name, spec)}"
            )
        if spec[name] not in STRAINS:
            raise ModelError(f"material: {role} '{name}' must be an SR2, R2 or Vec variable")
    kinds = model.input_spec[strain], model.output_spec[stress]
    if Vec in kinds and kinds != (Vec, Vec):
        raise ModelError(
            f"material: '{strain}' is {kinds[0].__name__} and '{stress}' {kinds[1].__name__}; "
            "a displacement jump goes with a traction, both Vec"
        )
    if energy is not None and model.output_spec.get(energy) is not Scalar:
        scalars = [n for n, t in model.output_spec.items() if t is Scalar]
        raise ModelError(
            f"material: '{model.label}' has no Scalar output '{energy}' to be its energy"
            f"{suggest(energy, scalars)}"
        )


def state_of(model: Model, times: tuple[str, str]) -> Spec:
    """Every variable of which the model needs an older value; the times are handed over."""
    state: Spec = {}
    for name, kind in model.input_spec.items():
        if not is_old(name) or name in times:
            continue
        # To have x~2 in the next step, x and x~1 are kept.
        kept = [lags(current_name(name), lag) for lag in range(split_lag(name)[1])]
        state |= {n: kind for n in kept if lags(n, 1) not in times}
    for name in state:
        base = current_name(name)
        if base not in model.output_spec and base not in model.input_spec:
            raise ModelError(
                f"material: '{model.label}' needs '{base}~1', but nothing computes '{base}'; "
                "add it to the model's outputs"
            )
    return state
