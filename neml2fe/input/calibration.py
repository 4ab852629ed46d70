"""`[Parameters]` and `[Calibrations]` blocks: what a deck says of a fit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from neml2fe.calibration.noise import (
    GaussianNoise,
    HuberNoise,
    Noise,
    RelativeNoise,
    Sizes,
    StudentNoise,
)
from neml2fe.calibration.parameters import FitParameter, ParameterSet
from neml2fe.calibration.scatter import Scatter
from neml2fe.calibration.specimens import Specimens
from neml2fe.errors import ConvergenceError, suggest
from neml2fe.implicit import NonlinearSystem
from neml2fe.input.calibrationchecks import (
    check_inputs,
    check_noise,
    check_parameters,
    check_search,
)
from neml2fe.input.deck import Block, FieldValue, located
from neml2fe.input.fieldparameters import OWN, FieldParameter, field_parameter
from neml2fe.input.priors import PRIOR
from neml2fe.input.search import SEARCH, Search, chosen_blocks, mistakes_at, plain_options
from neml2fe.input.specimens import units_of
from neml2fe.material import Material
from neml2fe.models import Model
from neml2fe.pyzag import controlled_system

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult, Iteration
    from neml2fe.calibration.interface import Problem
    from neml2fe.calibration.problem import CalibrationProblem
    from neml2fe.input.factory import Input

# --- [Parameters] ----------------------------------------------------------------------
_PARAMETER = ("parameter", "lower", "upper", "scale", "initial")
PARAMETER_FIELDS: dict[str, tuple[str, ...]] = {
    "FitParameter": (*_PARAMETER, "scatter", *PRIOR),
    "FieldParameter": (*_PARAMETER, *OWN),
}


def build_parameter(source: Input, block: Block) -> FitParameter:
    given = _parameter(block)
    kind = block.get("type")
    return field_parameter(block, given) if kind and kind.as_str() == "FieldParameter" else given


def _parameter(block: Block) -> FitParameter:
    scale, initial, upper = block.get("scale"), block.get("initial"), block.require("upper")
    start: float | torch.Tensor | None = None
    if initial is not None:
        numbers = initial.as_floats()
        start = torch.tensor(numbers, dtype=torch.float64) if len(numbers) != 1 else numbers[0]
    with located(block):
        return FitParameter(
            block.require("parameter").as_str(),
            block.require("lower").as_float(),
            math.inf if upper.as_str() == "inf" else upper.as_float(),
            scale.as_str() if scale else "linear",
            start,
        )


# --- [Calibrations] --------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Calibration(Search):
    """A fit to specimens as a deck describes it: `problem` simulates, and `fit` minimises."""

    system: NonlinearSystem
    specimens: Specimens
    fitted: list[FitParameter]
    units: dict[str, str]
    noise: Noise
    strain: str | None = None
    stress: str = "stress"
    time: str = "t"
    control: str = "control"
    prescribed: str = "prescribed"
    backend: str = "auto"
    substeps: int = 1
    scatter: Scatter = field(default_factory=dict)

    def problem(self) -> CalibrationProblem:
        """Simulates the specimens once. Raises `InputError` where deck, data and model do not
        fit, `ConvergenceError` if no specimen can be simulated."""
        from neml2fe.calibration.problem import CalibrationProblem

        names = ("strain", "stress", "time", "control", "prescribed", "backend", "substeps")
        options = {name: getattr(self, name) for name in names}
        try:
            with mistakes_at(self.block):
                return CalibrationProblem(
                    self.system, self.specimens, self.fitted, self.noise, **options
                )
        except ConvergenceError as error:
            shorter = f"set substeps = {4 * self.substeps} in [{self.block.path}]"
            raise ConvergenceError(f"{error.message}, or {shorter}") from None

    def fit(
        self,
        problem: Problem,
        record: Path,
        resume: bool,
        on_iteration: Callable[[Iteration], None],
    ) -> FitResult:
        """Raises as `calibration.fit` does; `record` is the file that keeps the progress."""
        if not self.scatter:
            return super().fit(problem, record, resume, on_iteration)
        from neml2fe.calibration.problem import CalibrationProblem
        from neml2fe.calibration.scatter import fit_with_scatter

        assert isinstance(problem, CalibrationProblem)
        options = self.options | {"record": record, "resume": resume}
        with mistakes_at(self.block):
            return fit_with_scatter(
                problem,
                self.scatter,
                optimiser=self.optimiser,
                on_iteration=on_iteration,
                **options,
            )


_NOISES: dict[str, type[Noise]] = {
    "gaussian": GaussianNoise,
    "relative": RelativeNoise,
    "huber": HuberNoise,
    "student": StudentNoise,
}
_SIZES = tuple(dict.fromkeys(f.name for n in _NOISES.values() for f in dataclasses.fields(n)))  # type: ignore[arg-type]
# Of the simulation of specimens; not scatter, which stands with the parameters.
_PLAIN = tuple(
    f.name
    for f in dataclasses.fields(Calibration)
    if f.default is not dataclasses.MISSING and f.name not in SEARCH
)
_MODEL = ("model", "equation_system", "specimens")
_NOISE = ("noise", "noise_variables", *_SIZES)
SPECIMENS = (*_MODEL, *_NOISE, *_PLAIN)
"""Fields of `specimen_fit`"""
FIELDS: dict[str, tuple[str, ...]] = {
    "Calibration": (*_MODEL, "parameters", *_NOISE, *_PLAIN, *SEARCH)
}


_SPECIMEN_TESTS = ", where tests may be specimens too (type = SpecimenTest)"


def build_calibration(source: Input, block: Block) -> Calibration:
    """All specimens and parameters of the deck take part unless some are listed."""
    check_search(block)
    fitted = chosen_blocks(source, block, "Parameters")
    check_parameters(block, fitted)
    for place in fitted:
        if prior := next((v for name in PRIOR if (v := place.get(name))), None):
            raise prior.error(f"priors are for type = SimulationCalibration{_SPECIMEN_TESTS}")
        if isinstance(source.get("Parameters", place.name), FieldParameter):
            raise place.require("type").error("specimens have no fields of elements or nodes")
    calibration = specimen_fit(source, block, fitted)
    for place, parameter in zip(fitted, calibration.fitted, strict=True):
        with located(place):
            ParameterSet.of(calibration.system.model, [parameter])  # a name or start that cannot be
    return calibration


def specimen_fit(source: Input, block: Block, fitted: Sequence[Block]) -> Calibration:
    """What a block says of specimens and their simulation, to fit parameters of some blocks."""
    given = plain_options(source, block, Calibration, (*_PLAIN, *SEARCH))
    tests = chosen_blocks(source, block, "Specimens")
    with located(block):
        specimens = Specimens.stack([source.get("Specimens", b.name) for b in tests])
    system, given["strain"] = _system(source, block, specimens, given)
    parameters = [source.get("Parameters", b.name) for b in fitted]
    noise = _noise(block)
    check_noise(block, specimens, tests, source.deck.blocks("Specimens"))
    calibration = Calibration(
        name=block.name,
        block=block,
        system=system,
        specimens=specimens,
        fitted=parameters,
        units={name: unit for b in tests for name, unit in units_of(b).items()},
        noise=noise,
        scatter={
            b.require("parameter").as_str(): _scatter(v) for b in fitted if (v := b.get("scatter"))
        },
        **given,
    )
    check_inputs(
        block,
        system,
        specimens,
        {name: getattr(calibration, name) for name in ("time", "control", "prescribed")},
    )
    return calibration


def _scatter(value: FieldValue) -> float | None:
    """Standard deviation between specimens as a share of the parameter; None: to be estimated."""
    return None if value.as_str() == "estimate" else value.as_float()


def _system(
    source: Input, block: Block, specimens: Specimens, names: dict[str, Any]
) -> tuple[NonlinearSystem, str | None]:
    """The system of one step under mixed control, and the name of its strain."""
    model, system = block.get("model"), block.get("equation_system")
    if (model is None) == (system is None):
        raise block.error("give either a 'model' or an 'equation_system'")
    if system is not None:
        return source.refer("EquationSystems", system), names.get("strain")
    assert model is not None
    law: Model = source.refer("Models", model)
    stress = names.get("stress", "stress")
    observed = [name for name in specimens.measured if name not in ("strain", "stress")]
    with located(block):
        strain = Material(law, names.get("strain"), stress).strain
        control = [names.get(name, name) for name in ("control", "prescribed")]
        return controlled_system(law, strain, stress, observed, *control), strain


def _noise(block: Block) -> Noise:
    chosen = block.get("noise")
    kind = chosen.as_str() if chosen else "gaussian"
    if chosen and kind not in _NOISES:
        raise chosen.error(f"no noise '{kind}'{suggest(kind, _NOISES)}")
    cls = _NOISES[kind]
    own = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given: dict[str, Sizes] = {}
    for name in _SIZES:
        value = block.get(name)
        if value is not None and name not in own:
            raise value.error(f"noise = {kind} has no '{name}'; it has {', '.join(own)}")
        if value is not None:
            by_variable = "Sizes" in str(own[name].type) and block.get("noise_variables")
            given[name] = _sizes(value, by_variable) if by_variable else value.as_float()
        elif name in own and own[name].default is dataclasses.MISSING:
            block.require(name)
    with located(block):
        return cls(**given)


def _sizes(value: FieldValue, variables: FieldValue) -> dict[str, float]:
    numbers, names = value.as_floats(), variables.as_list()
    if len(numbers) != len(names):
        raise value.error(f"{len(numbers)} values for the {len(names)} of 'noise_variables'")
    return dict(zip(names, numbers, strict=True))
