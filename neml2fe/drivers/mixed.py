"""`MixedControlDriver`: strain, stress and mixed control of any strain-driven model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from neml2fe.drivers.mixed_step import RATE, MixedStep, Raw
from neml2fe.drivers.prescribed import check_histories, check_initial, check_inputs, step_failed
from neml2fe.drivers.result import History, Progress
from neml2fe.errors import InputError
from neml2fe.implicit import Newton
from neml2fe.material import Material, current_name, is_old
from neml2fe.models import Model
from neml2fe.models.model import Spec
from neml2fe.types import SR2, Scalar, TypedTensor

COMPONENTS = ("11", "22", "33", "23", "13", "12")
CONTROLS = ("strain", "stress")


class _ShortSearch(Newton):
    """Newton's method; where it fails a few backtracks, since smaller steps help further."""

    max_linesearch_iterations = 3


class MixedControlDriver:
    """Finds the strain histories that give prescribed strains and stresses, by component.

    `prescribed_time` is a Scalar of batch shape `(n_steps, *specimens)`, growing from step to
    step. `control` tells for each Mandel component (11, 22, 33, 23, 13, 12) what is prescribed:
    six words `strain` or `stress`, or an SR2 of 0 (strain) and 1 (stress) of batch shape `()`,
    `(*specimens)` or `(n_steps, *specimens)`, whose entry k holds from time k - 1 to time k.
    `prescribed_strain` and `prescribed_stress` are SR2 of batch shape `(n_steps, *specimens)`;
    only their controlled components are used. A stress that is not given is zero. `prescribed`
    maps the model's other inputs (temperature, ...) to histories, `initial` variables to their
    values at step 0 (zero when not given).

    Each step solves stress(strain) = prescribed stress for the components under stress control,
    for all specimens at once, by Newton's method with the consistent tangent, until the
    difference falls below `rel_tol` times the stress. A specimen that fails takes smaller steps
    of its own, down to `2**-max_bisections` of the prescribed one, along which time, targets and
    other histories vary linearly. The results carry no gradients.

    Raises `InputError` for histories that do not fit the model or each other, `ModelError` when
    the strain or stress of the model cannot be found.
    """

    def __init__(
        self,
        model: Model,
        prescribed_time: Scalar,
        control: SR2 | Sequence[str],
        prescribed_strain: SR2 | None = None,
        prescribed_stress: SR2 | None = None,
        prescribed: Mapping[str, TypedTensor] | None = None,
        initial: Mapping[str, TypedTensor] | None = None,
        strain: str | None = None,
        stress: str = "stress",
        time: str = "t",
        rel_tol: float = 1e-10,
        max_its: int = 15,
        max_bisections: int = 8,
    ) -> None:
        self.material = Material(model, strain, stress, time)
        self.types: Spec = {**model.input_spec, **model.output_spec, time: Scalar}
        self.initial = dict(initial or {})
        # A step divides its residuals by the stress, hence an absolute tolerance.
        self.solver = _ShortSearch(abs_tol=rel_tol, rel_tol=0.0, max_its=max_its)
        self.max_bisections = max_bisections
        self._check_options()
        fields = dict(prescribed or {})
        self._check_fields(fields)
        zero = SR2.zeros(*prescribed_time.batch_shape)
        given: dict[str, TypedTensor] = {
            time: prescribed_time,
            self.material.strain: self._target(prescribed_strain, "prescribed_strain", zero),
            self.material.stress: self._target(prescribed_stress, "prescribed_stress", zero),
            **fields,
        }
        device = prescribed_time.device
        self.histories = {n: v.to(dtype=torch.float64, device=device) for n, v in given.items()}
        self.specimens = check_histories(self.histories, time)
        self._check_time()
        self._under_stress = self._control(control)
        if prescribed_strain is None:
            self._require_no_strain()

    # --- checks -----------------------------------------------------------------------
    def _check_options(self) -> None:
        if not 0.0 < self.solver.abs_tol < 1.0:
            raise InputError(f"rel_tol must lie between 0 and 1, got {self.solver.abs_tol:g}")
        if self.solver.max_its < 1 or self.max_bisections < 0:
            raise InputError(
                "max_its must be at least 1 and max_bisections at least 0, got "
                f"{self.solver.max_its} and {self.max_bisections}"
            )

    def _check_fields(self, fields: Mapping[str, TypedTensor]) -> None:
        material, model = self.material, self.material.model
        for name in (material.strain, material.stress):
            if self.types[name] is not SR2:
                raise InputError(
                    f"mixed control needs SR2 strains and stresses, but '{name}' of "
                    f"'{model.label}' is a {self.types[name].__name__}"
                )
            if name in fields:
                kind = "strain" if name == material.strain else "stress"
                raise InputError(f"give the history of '{name}' as prescribed_{kind}")
        check_inputs(model, fields, material.time)
        check_initial(model, self.types, self.initial)
        for name in material.field_spec:
            if name not in fields:
                raise InputError(
                    f"'{model.label}' needs '{name}'; add it to the prescribed histories"
                )

    @staticmethod
    def _target(given: SR2 | None, name: str, default: SR2) -> SR2:
        if given is None:
            return default
        if not isinstance(given, SR2):
            raise InputError(f"{name} is a {type(given).__name__}, not an SR2")
        return given

    def _check_time(self) -> None:
        late = self.histories[self.material.time].data.diff(dim=0) <= 0.0
        late = late.reshape(self.n_steps, -1).any(-1)
        if bool(late.any()):
            step = int(late.nonzero()[0]) + 1
            raise InputError(f"the prescribed time does not grow from step {step - 1} to {step}")

    def _control(self, control: SR2 | Sequence[str]) -> torch.Tensor:
        """True where the stress is prescribed, `(n_steps, *specimens, 6)`."""
        if not isinstance(control, SR2):
            control = control_of_words(control)
        signal = control.data.to(self.histories[self.material.time].device)
        if not bool(((signal == 0.0) | (signal == 1.0)).all()):
            raise InputError("the control must be 0 (strain) or 1 (stress) in every component")
        full = (self.n_steps + 1, *self.specimens)
        try:
            return (signal == 1.0).expand(*full, 6)
        except RuntimeError:
            raise InputError(
                f"the control has batch shape {control.batch_shape}; it must be (), "
                f"{self.specimens} (specimens) or {full} (steps and specimens)"
            ) from None

    def _require_no_strain(self) -> None:
        needed = ~self._under_stress[1:].reshape(self.n_steps, -1, 6).all(1)
        if bool(needed.any()):
            step, component = needed.nonzero()[0].tolist()
            raise InputError(
                f"component {COMPONENTS[component]} is under strain control at step {step + 1}, "
                "but there is no prescribed_strain"
            )

    # --- marching ---------------------------------------------------------------------
    @property
    def n_steps(self) -> int:
        """Number of steps after the initial one."""
        return self.histories[self.material.time].batch_shape[0] - 1

    @torch.no_grad()
    def run(self, progress: Progress | None = None) -> History:
        """March through all steps.

        In the history, the model maps `inputs[k]`, the strain found among them, to `outputs[k]`;
        a specimen that took smaller steps shows its last one. Raises `ConvergenceError` naming
        step and specimens; `error.history` then holds the steps before.
        """
        material = self.material
        history = History(material.time, self.types, strain=material.strain, stress=material.stress)
        now = self._start()
        driven = [n for n in self.histories if n != material.stress]
        history.inputs.append(self._shaped(now, driven))
        history.outputs.append(self._shaped(now, {material.stress: None, **self.initial}))
        for step in range(1, self.n_steps + 1):
            lost = self._advance(now, self._goal(step), self._points(self._under_stress[step], 1))
            if bool(lost.any()):
                raise step_failed(
                    lost,
                    step,
                    self.n_steps,
                    "no strain with the prescribed stress was found",
                    f"substeps down to 1/{2**self.max_bisections} of the step failed too; "
                    "the prescribed stress may be more than the material can carry",
                    history,
                )
            history.inputs.append(
                self._shaped(now, [*driven, *(n for n in material.inputs if is_old(n))])
            )
            history.outputs.append(self._shaped(now, material.outputs))
            if progress is not None:
                progress(step, self.n_steps)
        return history

    def _points(self, value: torch.Tensor, base_ndim: int) -> torch.Tensor:
        """`(*specimens, *base)`, or what broadcasts to it, as `(n, *base)`."""
        base = value.shape[value.ndim - base_ndim :]
        return value.expand((*self.specimens, *base)).reshape(-1, *base)

    def _shaped(self, values: Raw, names: Sequence[str] | Mapping[str, object]) -> Raw:
        """Copies of `(n, *base)` tensors as `(*specimens, *base)`."""
        return {
            n: values[n].reshape((*self.specimens, *values[n].shape[1:])).clone() for n in names
        }

    def _goal(self, step: int) -> Raw:
        return {
            name: self._points(value.data[step], value.base_ndim() + value.sub_batch_ndim)
            for name, value in self.histories.items()
        }

    def _start(self) -> Raw:
        """All variables at step 0, `(n, *base)` by name."""
        material, goal = self.material, self._goal(0)
        like = goal[material.time]
        now = material.initial_state(len(like), like.dtype, like.device)
        now.update({n: torch.zeros_like(goal[n]) for n in (material.strain, material.stress)})
        for name, value in self.initial.items():
            now[name] = self._points(value.data.to(like), value.base_ndim() + value.sub_batch_ndim)
        goal.pop(material.stress)
        under_stress = self._points(self._under_stress[0], 1)
        goal[material.strain] = torch.where(
            under_stress, now[material.strain], goal[material.strain]
        )
        now.update(goal)
        now.update({n: now[current_name(n)] for n in material.state_spec if is_old(n)})
        now[RATE] = torch.zeros_like(now[material.strain])
        return {name: value.clone() for name, value in now.items()}

    def _advance(self, now: Raw, goal: Raw, under_stress: torch.Tensor) -> torch.Tensor:
        """Bring `now` to `goal`, each specimen in as few steps as it needs; True where it fails."""
        start = {name: now[name].clone() for name in goal}
        done = torch.zeros_like(now[self.material.time])
        size = torch.ones_like(done)
        going = torch.arange(len(done), device=done.device)
        while len(going):
            part = done[going] + size[going]
            target = {n: _between(start[n][going], goal[n][going], part) for n in goal}
            old = {n: v[going] for n, v in now.items()}
            reached, good = MixedStep(self.material, old, target, under_stress[going]).solve(
                self.solver
            )
            ahead = going[good]
            for name, value in reached.items():
                now.setdefault(name, value.new_zeros(len(done), *value.shape[1:]))
                now[name][ahead] = value[good]
            done[ahead] = part[good]
            size[ahead] = torch.minimum(2.0 * size[ahead], 1.0 - part[good])
            size[going[~good]] *= 0.5
            going = going[(done[going] < 1.0) & (size[going] >= 0.5**self.max_bisections)]
        return done < 1.0


def control_of_words(words: Sequence[str]) -> SR2:
    """`strain` or `stress` for each of the six components as an SR2 of 0 and 1."""
    wrong = [word for word in words if word not in CONTROLS]
    if wrong or len(words) != 6:
        raise InputError(
            f"the control needs six words 'strain' or 'stress', for {' '.join(COMPONENTS)}; "
            + (f"got '{wrong[0]}'" if wrong else f"got {len(words)}")
        )
    return SR2(torch.tensor([float(word == "stress") for word in words], dtype=torch.float64))


def _between(a: torch.Tensor, b: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Linear from `a` (part 0) to `b` (part 1), exact at both ends; `part` `(n,)`."""
    return torch.lerp(a, b, part.reshape(-1, *(1,) * (a.ndim - 1)))
