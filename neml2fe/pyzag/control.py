"""Mixed strain and stress control of any strain-driven model as one nonlinear system per step."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.implicit import ImplicitUpdate, NonlinearSystem
from neml2fe.material import Material, current_name, is_old, split_lag
from neml2fe.models import ComposedModel, Model, Option
from neml2fe.models.functional import emptied
from neml2fe.models.model import Spec, Values, model_names
from neml2fe.types import SR2, aligned

SOLVED, RESIDUAL = "solved:", "residual:"  # before the names of unknowns


class Opened(Model, abstract=True):
    """An implicit update whose unknowns are inputs `solved:x` and whose residuals are outputs
    `residual:x`. It still computes x, by handing it on, so that compositions stay wired as they
    are and their inner variables stay inside."""

    update: ImplicitUpdate = Option(ImplicitUpdate, "Update to open")

    def setup(self) -> None:
        system = self.update.equation_system
        if len(system.unknowns) != len(system.residuals):
            raise ModelError(
                f"'{self.label}': {len(system.unknowns)} unknowns {list(system.unknowns)} but "
                f"{len(system.residuals)} residuals {list(system.residuals)}; each unknown needs "
                "one of its own"
            )
        self.equations = opened(system.model)

    @cached_property
    def input_spec(self) -> Spec:
        own, spec = self.update.output_spec, self.equations.input_spec
        return {SOLVED + n if n in own else n: kind for n, kind in spec.items()}

    @cached_property
    def output_spec(self) -> Spec:
        system, inner = self.update.equation_system, self.equations.output_spec
        own = zip(system.unknowns, system.residuals.values(), strict=True)
        return {
            **system.unknowns,
            **{RESIDUAL + n: kind for n, kind in own},
            **{n: kind for n, kind in inner.items() if n.startswith(RESIDUAL)},
        }

    def _evaluate(self, values: Values) -> Values:
        system = self.update.equation_system
        known = {**values, **{n: values[SOLVED + n] for n in system.unknowns}}
        found = self.equations._evaluate({n: known[n] for n in self.equations.input_spec})
        own = zip(system.unknowns, system.residuals, strict=True)
        found |= {RESIDUAL + n: found[r] for n, r in own}
        return {n: known[n] if n in system.unknowns else found[n] for n in self.output_spec}


def opened(model: Model) -> Model:
    """`model` with each implicit update opened, and without members that only predictors need."""
    if isinstance(model, ImplicitUpdate):
        return Opened(label=model.label, update=model)
    if not isinstance(model, ComposedModel) or not any(
        isinstance(m, ImplicitUpdate) for m in model.modules()
    ):
        return model
    wanted, members = set(model.output_spec), []
    for member in reversed(model._order):
        mine = opened(member)
        if wanted.intersection(mine.output_spec) or unknowns_of(mine):
            members.append(mine)
            wanted.update(mine.input_spec)
    made = ComposedModel(
        label=model.label, models=members, additional_outputs=model.additional_outputs
    )
    made._outputs = {  # what only predictors read stays inside
        n: kind
        for n, kind in made._outputs.items()
        if n in model.output_spec or n.startswith(RESIDUAL)
    }
    return made


def unknowns_of(equations: Model) -> list[str]:
    """Unknowns of an opened model."""
    return [n.removeprefix(SOLVED) for n in equations.input_spec if n.startswith(SOLVED)]


def handed_on(equations: Model) -> set[str]:
    """Outputs of an opened model that are unknowns, as its updates hand them on."""
    if isinstance(equations, Opened):
        return set(equations.update.output_spec)
    if not isinstance(equations, ComposedModel):
        return set()
    by_member = [(set(m.output_spec), handed_on(m)) for m in equations.models]
    computed = set().union(*(outputs - passed for outputs, passed in by_member))
    passed_on = set().union(*(passed for _, passed in by_member)) - computed
    return passed_on & set(equations.output_spec)


class ControlledModel(Model, abstract=True):
    r"""Residuals `<unknown>_residual` of an opened model under mixed control.

    Those of its implicit updates; $x - x(\cdot)$ for each of `computed`, whose unknown nothing else
    depends on, so that a kernel condenses it at no cost; and for the strain
    $\sigma_i - p_i$ where $control_i > 1/2$, $\varepsilon_i - p_i$ elsewhere.

    Blocks that own parameters are members under their labels, whatever they are nested in.
    """

    equations: Model = Option(Model, "Opened model")
    computed: list[str] = Option(list[str], "Outputs of the model that are unknowns")
    strain: str = Option(str, "Unknown that follows from the control")
    stress: str = Option(str, "Unknown that may be prescribed in its stead")
    control: str = Option(str, "Control signal per component: 0 for strain, 1 for stress")
    prescribed: str = Option(str, "Prescribed components of strain and stress")

    def setup(self) -> None:
        members = [*_blocks_with_parameters(self.equations), self.equations]
        for name, member in zip(model_names(members), members, strict=True):
            self.adopt(name, member)
        self.solved = unknowns_of(self.equations)
        self.unknowns = [*self.solved, *self.computed, self.strain]

    @cached_property
    def input_spec(self) -> Spec:
        outputs = self.equations.output_spec
        return {
            **{n.removeprefix(SOLVED): kind for n, kind in self.equations.input_spec.items()},
            **{n: outputs[n] for n in self.computed},
            self.control: SR2,
            self.prescribed: SR2,
        }

    @cached_property
    def output_spec(self) -> Spec:
        return {f"{n}_residual": self.input_spec[n] for n in self.unknowns}

    def _evaluate(self, values: Values) -> Values:
        inputs = {n: values[n.removeprefix(SOLVED)] for n in self.equations.input_spec}
        found = self.equations._evaluate(inputs)
        residuals = {n: found[RESIDUAL + n] for n in self.solved}
        residuals |= {n: values[n] - found[n] for n in self.computed}
        # The stress as it is computed: the unknown then stands in its own residual only.
        now = found[self.stress] if self.stress in self.computed else values[self.stress]
        (control, stress, strain, prescribed), n = aligned(
            values[self.control], now, values[self.strain], values[self.prescribed]
        )
        chosen = torch.where(control > 0.5, stress, strain)
        residuals[self.strain] = SR2(chosen - prescribed, n)
        return {f"{name}_residual": residuals[name] for name in self.unknowns}


def controlled_system(
    model: Model,
    strain: str | None = None,
    stress: str = "stress",
    observed: Sequence[str] = (),
    control: str = "control",
    prescribed: str = "prescribed",
) -> NonlinearSystem:
    """One step of `model` with some components of `strain` prescribed, of `stress` the others.

    `model` gives an SR2 stress from an SR2 strain, by implicit updates (a lone one, or members of
    compositions at any depth) or explicitly. The unknowns are those of all its updates, then the
    stress and the names of `observed` where the model computes them from these, then the strain.
    Outputs that are needed one step back (`x~1`) are unknowns too, so that each old value in
    `given` belongs to an unknown or to another given variable. `control` and `prescribed` are
    new given SR2 variables: component i of the stress is prescribed_i where control_i > 0.5, of
    the strain elsewhere. Without a name, the strain is the only present SR2 input.

    The model's own modules serve, and share their parameters. A parameter is called
    `<block>.<symbol>` by the label of its block: `implicit_rate.yield_surface.sy` becomes
    `yield_surface.sy`; of different blocks with one label the second becomes `<label>_2`.
    Groups of unknowns, block structures and solvers are those of a single dense system;
    predictors are left out, and so are substeps, with a warning.

    A deck whose system has the control already needs none of this: use that system itself.

    Raises `ModelError` when strain or stress is not found or no SR2 (finite strain), when an
    observed variable is unknown, when variables share a name, and for values two steps back.
    """
    material = Material(model, strain, stress)
    for name, spec in ((material.strain, model.input_spec), (stress, model.output_spec)):
        if spec[name] is not SR2:
            raise ModelError(
                f"mixed control needs SR2 strains and stresses, but '{name}' of "
                f"'{model.label}' is a {spec[name].__name__}"
            )
    equations = opened(model)
    solved, computed = unknowns_of(equations), equations.output_spec
    _require_names(model, equations, (control, prescribed))
    _warn_of_substeps(equations)
    for name in observed:
        if not any(name in known for known in (model.input_spec, model.output_spec, solved)):
            raise ModelError(
                f"'{model.label}' does not compute '{name}', which is to be observed"
                f"{suggest(name, model.output_spec)}"
            )
    old = [n for n in equations.input_spec if is_old(n)]
    for name in old:
        if split_lag(name)[1] > 1:
            raise ModelError(
                f"'{model.label}' needs '{name}', but a step of a recurrent system sees one step "
                f"back; make '{current_name(name)}~1' a variable of its own"
            )
    wanted = dict.fromkeys([stress, *observed, *map(current_name, old)])
    controlled = ControlledModel(
        label=f"{model.label}_controlled",
        equations=equations,
        computed=[n for n in wanted if n in computed and n not in solved],
        strain=material.strain,
        stress=stress,
        control=control,
        prescribed=prescribed,
    )
    return NonlinearSystem(controlled, controlled.unknowns)


def initial_state(
    system: NonlinearSystem, n: int, fields: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Zeros `(n, *sub_batch, *base)` for all unknowns of a system.

    `fields`, given variables `(k, *sub_batch, *base)`, are needed only where they bring a
    sub-batch, such as an orientation per grain.
    """
    inner = {name: kind.BASE_SHAPE for name, kind in system.given.items()}
    inner |= {name: tuple(value.shape[1:]) for name, value in (fields or {}).items()}
    parameters = emptied(system.model, dict(system.model.named_parameters()))
    like = next(iter([*parameters.values(), torch.zeros(0, dtype=torch.float64)]))
    while True:  # unknowns may get their sub-batch from old values of others
        nothing = {name: like.new_zeros(0, *inner[name]) for name in system.given}
        shapes = system.layout(nothing, parameters).shapes
        old = {f"{name}~1": shape for name, shape in shapes.items() if f"{name}~1" in inner}
        if all(inner[name] == shape for name, shape in old.items()):
            return {name: like.new_zeros(n, *shape) for name, shape in shapes.items()}
        inner |= old


def _blocks_with_parameters(model: Model) -> list[Model]:
    """All models inside `model` that own parameters, each after those that it contains: the name
    of a parameter then begins at the innermost."""
    found: list[Model] = []
    seen: set[int] = set()

    def visit(module: torch.nn.Module) -> None:
        if id(module) in seen:
            return
        seen.add(id(module))
        for child in module.children():
            visit(child)
        if isinstance(module, Model) and module._parameters:
            found.append(module)

    visit(model)
    return found


def _require_names(model: Model, equations: Model, new: Sequence[str]) -> None:
    """Every name is to mean one thing in the system."""
    inputs, outputs = equations.input_spec, equations.output_spec
    solved, passed = unknowns_of(equations), handed_on(equations)
    for name in solved:
        if name in inputs or (name in outputs and name not in passed):
            raise ModelError(
                f"'{model.label}': '{name}' is an unknown of an implicit update and also a "
                f"variable that the model {'takes' if name in inputs else 'computes afterwards'}; "
                "rename one of them"
            )
    for name in new:
        if new.count(name) > 1 or any(name in known for known in (inputs, outputs, solved)):
            raise ModelError(
                f"'{model.label}' has a variable '{name}' of its own; give control and prescribed "
                "other names"
            )


def _warn_of_substeps(equations: Model) -> None:
    for module in equations.modules():
        if isinstance(module, Opened) and module.update.max_substepping_level:
            warnings.warn(
                f"'{module.label}' may halve failing steps, but one system per step cannot: "
                "max_substepping_level is without effect",
                stacklevel=3,
            )
