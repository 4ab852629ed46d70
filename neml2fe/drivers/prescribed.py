"""What drivers share: checks of the histories they are given, and the error of a failed step."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from neml2fe.drivers.result import History
from neml2fe.errors import ConvergenceError, InputError, suggest
from neml2fe.models import Model
from neml2fe.models.model import Spec
from neml2fe.types import TypedTensor


def check_inputs(model: Model, prescribed: Mapping[str, TypedTensor], time: str) -> None:
    """Raises `InputError` unless every prescribed variable is the time or an input of its type."""
    spec = model.input_spec
    for name, value in prescribed.items():
        if name not in spec and name != time:
            raise InputError(
                f"prescribed '{name}' is no input of '{model.label}'{suggest(name, spec)}"
            )
        if name in spec and not isinstance(value, spec[name]):
            raise InputError(
                f"prescribed '{name}' is a {type(value).__name__}, "
                f"but '{model.label}' takes a {spec[name].__name__}"
            )


def check_histories(prescribed: Mapping[str, TypedTensor], time: str) -> tuple[int, ...]:
    """The common batch shape of the specimens of histories `(n_steps, *specimens)`.

    Raises `InputError` for fewer than two entries, for histories of another length than that of
    the time, for different specimens, and for values that are not finite.
    """
    if not prescribed[time].batch_shape:
        raise InputError("the prescribed time needs a leading step dimension")
    n_steps = prescribed[time].batch_shape[0]
    if n_steps < 2:
        raise InputError(f"the prescribed time needs at least two entries, got {n_steps}")
    for name, value in prescribed.items():
        if not value.batch_shape or value.batch_shape[0] != n_steps:
            raise InputError(
                f"prescribed '{name}' has batch shape {value.batch_shape}; its first "
                f"dimension must be the number of steps, {n_steps}"
            )
        bad = ~torch.isfinite(value.data).reshape(n_steps, -1).all(-1)
        if bool(bad.any()):
            raise InputError(f"prescribed '{name}' is not finite at step {int(bad.nonzero()[0])}")
    try:
        return tuple(torch.broadcast_shapes(*(v.batch_shape[1:] for v in prescribed.values())))
    except RuntimeError:
        shapes = {n: v.batch_shape for n, v in prescribed.items()}
        raise InputError(f"the histories have different specimens: {shapes}") from None


def check_initial(model: Model, types: Spec, initial: Mapping[str, TypedTensor]) -> None:
    """Raises `InputError` unless every initial condition is of a variable and of its type."""
    for name, value in initial.items():
        if name not in types:
            raise InputError(
                f"initial condition for '{name}', which is no variable of "
                f"'{model.label}'{suggest(name, types)}"
            )
        if not isinstance(value, types[name]):
            raise InputError(
                f"the initial condition of '{name}' is a {type(value).__name__}, "
                f"but it is a {types[name].__name__}"
            )


def step_failed(
    failed: torch.Tensor, step: int, n_steps: int, what: str, advice: str, history: History
) -> ConvergenceError:
    """The error of a step in which `what` happened to the specimens marked in `failed`.

    It carries the steps before as `history`.
    """
    numbers = failed.reshape(-1).nonzero().squeeze(-1).tolist()
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    error = ConvergenceError(
        f"step {step} of {n_steps}: {what} for {len(numbers)} of {failed.numel()} specimens "
        f"(specimen {shown}); {advice}"
    )
    error.history = history  # type: ignore[attr-defined]
    return error
