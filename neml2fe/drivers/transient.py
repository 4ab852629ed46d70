"""`TransientDriver`: march a model through prescribed histories of its inputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from neml2fe.drivers.prescribed import check_histories, check_initial, check_inputs, step_failed
from neml2fe.drivers.result import History, Progress
from neml2fe.errors import InputError
from neml2fe.implicit import ImplicitUpdate, Status, recorded_solves
from neml2fe.kernels import repeated
from neml2fe.material import current_name, split_lag
from neml2fe.models import Model
from neml2fe.models.model import Values
from neml2fe.types import Scalar, TypedTensor


class TransientDriver:
    """Evaluates `model` at every time of `prescribed_time` for a batch of specimens.

    `prescribed_time` is a Scalar of batch shape `(n_steps, *specimens)`; `prescribed` maps
    input names to typed tensors with the same leading step dimension. Old values `x~1` come
    from the previous step: from the model's outputs, the prescribed inputs, or `initial`
    (zero when not given). Raises `InputError` for histories that
    do not fit the model.
    """

    def __init__(
        self,
        model: Model,
        prescribed_time: Scalar,
        prescribed: Mapping[str, TypedTensor],
        initial: Mapping[str, TypedTensor] | None = None,
        time: str = "t",
    ) -> None:
        self.model, self.time = model, time
        self.prescribed: dict[str, TypedTensor] = {time: prescribed_time, **prescribed}
        self.initial = dict(initial or {})
        self.types = {**model.input_spec, **model.output_spec, time: Scalar}
        self._check()

    def _check(self) -> None:
        check_inputs(self.model, self.prescribed, self.time)
        check_histories(self.prescribed, self.time)
        check_initial(self.model, self.types, self.initial)
        for name in self.model.input_spec:
            base = current_name(name)
            if base not in self.prescribed and base not in self.model.output_spec:
                if name != base and base in self.initial:
                    continue
                advice = "add it to the prescribed histories"
                if any(base in m.output_spec for m in self.model.modules() if isinstance(m, Model)):
                    advice = f"a member computes it: name it in additional_outputs = '{base}'"
                raise InputError(
                    f"'{self.model.label}' needs '{name}', which is neither prescribed nor "
                    f"an output; {advice}"
                )

    @property
    def n_steps(self) -> int:
        """Number of steps after the initial one."""
        return self.prescribed[self.time].batch_shape[0] - 1

    def run(self, progress: Progress | None = None) -> History:
        """March through all steps; differentiable with respect to everything given.

        Raises `ConvergenceError` naming step and specimen; `error.history` then holds the
        steps computed so far.
        """
        timed = self.time in self.model.input_spec
        history = History(self.time, self.types, time_matters=timed)
        first = {n: v[0] for n, v in self.prescribed.items()}
        guesses = _starts_from_old_values(self.model)
        given = {n for n in self.initial if n in self.model.input_spec or n in guesses}
        first.update({n: v for n, v in self.initial.items() if n in given})
        history.append(first, {n: v for n, v in self.initial.items() if n not in given})
        past: list[Values] = [{**first, **self.initial}]
        depth = max(split_lag(name)[1] for name in self.model.input_spec) or 1
        for step in range(1, self.n_steps + 1):
            inputs = {n: v[step] for n, v in self.prescribed.items()}
            inputs.update(self._old_values(past))
            values = {**self._defaults(inputs[self.time].data), **inputs}
            with recorded_solves() as log, repeated(self.n_steps):
                outputs = self.model.evaluate({n: values[n] for n in self.model.input_spec})
            self._require_convergence(log.status, step, history)
            known = {n: v for n, v in inputs.items() if split_lag(n)[1] <= len(past)}
            history.append(known, outputs)
            past = [{**inputs, **outputs}, *past][:depth]
            if progress is not None:
                progress(step, self.n_steps)
        return history

    def _old_values(self, past: list[Values]) -> Values:
        """Values of the `x~k` inputs that are known; before the first step, those of step 0."""
        found = {}
        for name in self.model.input_spec:
            base, lag = split_lag(name)
            source = past[min(max(lag, 1), len(past)) - 1]
            if lag and base in source:
                found[name] = source[base]
        return found

    def _defaults(self, like: torch.Tensor) -> Values:
        """Virgin values of the `x~k` inputs."""
        defaults: Values = {}
        for name, kind in self.model.input_spec.items():
            if name != current_name(name):
                defaults[name] = kind(like.new_zeros(kind.BASE_SHAPE))
        return defaults

    def _require_convergence(
        self, status: torch.Tensor | None, step: int, history: History
    ) -> None:
        if status is None or not bool((status != Status.CONVERGED).any()):
            return
        raise step_failed(
            status != Status.CONVERGED,
            step,
            self.n_steps,
            "the local solve did not converge",
            "use smaller steps, a better predictor or NewtonWithLineSearch",
            history,
        )


def _starts_from_old_values(model: Model) -> set[str]:
    """Unknowns of implicit updates without a predictor: their initial values count as inputs."""
    updates = [m for m in model.modules() if isinstance(m, ImplicitUpdate)]
    return {n for m in updates if m.predictor is None for n in m.equation_system.unknowns}
