"""`Verification`: variables of a history against tensors of the deck, such as CSV columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from neml2fe.drivers.comparison import Comparison
from neml2fe.drivers.result import History
from neml2fe.errors import InputError, suggest
from neml2fe.types import TypedTensor


@dataclass
class Verification:
    """Variables such as `output.stress` against `references` of batch shape
    `(n_steps, *specimens)`, step 0 included, each value to `atol + rtol * |expected|`.

    With `time_steps` only these are compared, and the references hold these steps alone; one
    single step needs no leading dimension. Batch dimensions of size one are left out of the
    comparison. A value that the first step lacks passes where the reference is zero.
    """

    references: Mapping[str, TypedTensor]
    time_steps: Sequence[int] = ()
    rtol: float = 1e-5
    atol: float = 1e-8

    def __post_init__(self) -> None:
        if not self.references:
            raise InputError("there is nothing to compare: give SR2_names and SR2_values, say")
        for name in self.references:
            if name.partition(".")[0] not in ("input", "output") or "." not in name:
                raise InputError(f"'{name}' is no result; write input.NAME or output.NAME")

    def compare(self, history: History) -> Comparison:
        """Raises `InputError` for variables and steps that the history lacks altogether."""
        result = Comparison(self.rtol, self.atol)
        for name, reference in self.references.items():
            self._compare(result, history, name, reference)
        return result

    def _compare(
        self, result: Comparison, history: History, name: str, reference: TypedTensor
    ) -> None:
        group, _, variable = name.partition(".")
        values = history.inputs if group == "input" else history.outputs
        known = sorted({n for step in values for n in step})
        if variable not in known:
            raise InputError(f"the run has no {group} '{variable}'{suggest(variable, known)}")
        kind = history.types[variable]
        if not isinstance(reference, kind):
            raise InputError(
                f"'{name}' is a {kind.__name__}, but its reference a {type(reference).__name__}"
            )
        last = max(k for k, step in enumerate(values) if variable in step)
        steps = sorted(set(self.time_steps)) or list(range(last + 1))
        if steps[0] < 0 or steps[-1] > last:
            raise InputError(f"time_steps: '{name}' has the steps 0 to {last}, not {steps}")
        rows = self._rows(result, name, reference, len(steps))
        for step, row in zip(steps, rows, strict=False):
            expected = _squeezed(row, kind)
            if variable in values[step]:
                got = _squeezed(values[step][variable], kind)
                result.add(name, step, kind.BASE_SHAPE, got, expected)
            elif bool((expected.abs() > self.atol).any()):
                result.missing.append(f"{group}.{step}.{variable}")

    def _rows(
        self, result: Comparison, name: str, reference: TypedTensor, n_steps: int
    ) -> Sequence[torch.Tensor]:
        """The reference by step."""
        batch = reference.batch_shape
        if n_steps == 1 and self.time_steps:
            return [reference.data]
        if not batch or batch[0] < n_steps:
            raise InputError(
                f"the reference of '{name}' has batch shape {batch}; its first dimension must be "
                f"the {n_steps} steps"
            )
        if batch[0] > n_steps:
            result.extra.append(f"{batch[0] - n_steps} steps of the reference of {name}")
        return list(reference.data)


def _squeezed(value: torch.Tensor, kind: type[TypedTensor]) -> torch.Tensor:
    """Without batch dimensions of size one."""
    batch = [n for n in value.shape[: value.ndim - kind.base_ndim()] if n != 1]
    return value.reshape(*batch, *kind.BASE_SHAPE)
