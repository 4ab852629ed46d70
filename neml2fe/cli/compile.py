"""`neml2fe compile`: build the kernels of a deck's laws before they are run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from neml2fe.errors import ConvergenceError, Error, InputError, ModelError, suggest
from neml2fe.implicit import ImplicitUpdate, recorded_solves
from neml2fe.implicit.tracing import UNKNOWNS
from neml2fe.input import Input, load_input
from neml2fe.kernels import (
    BAR,
    SOLUTION,
    Kernel,
    Untraceable,
    backend,
    cache_dir,
    recorded_kernels,
)
from neml2fe.material import Material
from neml2fe.models import Model
from neml2fe.models.functional import parameter_base_ndims

_UNKNOWN = "sub-batches of fields and state are known to a run alone, which builds its own kernels"


class Job(NamedTuple):
    """A model, and what calls everything of it that a run may call, on points like a tensor."""

    label: str
    model: Model
    call: Callable[[torch.Tensor], None]

    @property
    def iterative(self) -> bool:
        with backend("eager"):  # under `kernel` it is an error to ask
            updates = (m for m in self.model.modules() if isinstance(m, ImplicitUpdate))
            return not all(update.direct for update in updates)


def compile_deck(given: argparse.Namespace) -> int:
    """Build all that is asked for and print a table; the exit code."""
    if given.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device to compile for")
    like = torch.zeros(1, dtype=getattr(torch, given.dtype), device=given.device)
    table = Table()
    for column in ("model", "kernel"):
        table.add_column(column, no_wrap=column == "model")
    for column in ("unknowns", "statements", "size", "compiled in"):
        table.add_column(column, justify="right")
    notes: list[str] = []
    failures: list[str] = []
    known: set[tuple[str, ...]] = set()
    for job in _jobs(load_input(given.deck, given.set, given.trust), given.model):
        if job.iterative:
            notes.append(
                f"'{job.label}' has an iterative linear solver, which kernels do not have; it runs "
                "eagerly"
            )
            continue
        kernels, reason = _built(job, like)
        failures += [reason] if reason else []
        for row in (_row(kernel, like.device) for kernel in kernels):
            if row not in known:
                known.add(row)
                table.add_row(*row)
    if table.row_count:
        Console().print(table)
        print(f"kept in {cache_dir()}")
    elif not failures and not notes:
        print("nothing to compile: every material has backend = eager")
    for line in dict.fromkeys([*notes, *failures]):
        print(f"neml2fe: {line}")
    return 1 if failures else 0


def _built(job: Job, like: torch.Tensor) -> tuple[list[Kernel], str]:
    """The kernels that a job uses, and why there are not all of them."""
    with recorded_kernels() as kernels, backend("kernel"):
        try:
            with suppress(ConvergenceError):  # at fields of zero, say; the kernel was there before
                job.call(like)
        except Error as error:
            return kernels, f"'{job.label}' cannot be compiled and runs eagerly: {error}"
    return kernels, "" if kernels else f"'{job.label}' has nothing to compile"


def _jobs(source: Input, names: list[str] | None) -> Iterator[Job]:
    """The models `names`; else what the deck runs: its materials, or without any its laws, and
    the models of its drivers."""
    if names:
        yield from _named(source, names)
        return
    drivers = list(_of_drivers(source))
    if source.deck.blocks("Materials"):
        yield from _materials(source)
        yield from drivers
        return
    laws = list(_laws(source))
    if not laws and not drivers:
        raise InputError("the deck has no material and no implicit update", source.deck.path)
    yield from [*drivers, *laws]


def _materials(source: Input) -> Iterator[Job]:
    """Those that are not to run eagerly."""
    for block in source.deck.blocks("Materials"):
        material = source.get("Materials", block.name)
        if material.backend != "eager":
            yield Job(block.name, material.model, partial(_use, material))


def _of_drivers(source: Input) -> Iterator[Job]:
    """The models that drivers run by themselves."""
    named = [b.get("model") for b in source.deck.blocks("Drivers")]
    for name in dict.fromkeys(v.as_str() for v in named if v is not None):
        model = source.get_model(name)
        if any(isinstance(m, ImplicitUpdate) for m in model.modules()):
            yield Job(model.label, model, partial(_evaluate, model))


def _laws(source: Input) -> Iterator[Job]:
    """The models that are no part of others, as far as they are laws."""
    models = [source.get_model(block.name) for block in source.deck.blocks("Models")]
    inner = {id(part) for m in models for part in m.modules() if part is not m}
    for model in models:
        if id(model) not in inner:
            with suppress(ModelError):
                yield _law(model)


def _named(source: Input, names: list[str]) -> Iterator[Job]:
    there = [block.name for block in source.deck.blocks("Models")]
    for name in names:
        if name not in there:
            raise InputError(f"no model '{name}'{suggest(name, there)}", source.deck.path)
    for name in names:
        try:
            yield _law(source.get_model(name))
        except ModelError as error:
            raise InputError(f"'{name}' is no law to compile: {error}") from error


def _law(model: Model) -> Job:
    """A model as a material or else as an implicit update; raises `ModelError` if it is neither."""
    try:
        return Job(model.label, model, partial(_use, Material(model, backend="kernel")))
    except ModelError:
        if isinstance(model, ImplicitUpdate):
            return Job(model.label, model, partial(_evaluate, model))
        raise


def _use(material: Material, like: torch.Tensor) -> None:
    """All that a host code asks of a material."""
    like = _points(material.model, like)
    n = len(like)
    fields = {n: like.new_zeros(len(like), *t.BASE_SHAPE) for n, t in material.field_spec.items()}
    try:
        with backend("eager"):  # the shapes, which are found on no points
            state = material.initial_state(n, like.dtype, like.device, fields)
    except ModelError as error:
        raise ModelError(f"{error} ({_UNKNOWN})") from error
    strain = like.new_zeros(n, *material.inputs[material.strain].BASE_SHAPE)
    try:
        for tangent in (False, True):
            result = material.update(strain, state, 1.0, 1.0, fields, tangent)
    except Untraceable as error:
        if not isinstance(error.__cause__, ModelError):  # of a model that gets other shapes
            raise
        raise ModelError(f"{error.__cause__} ({_UNKNOWN})") from error
    material.vjp(strain, state, 1.0, 1.0, torch.zeros_like(result.stress), {}, fields)


def _evaluate(model: Model, like: torch.Tensor) -> None:
    """A model's implicit updates and their reverse pass."""
    like = _points(model, like)
    inputs = {
        n: t(like.new_zeros(len(like), *t.BASE_SHAPE, requires_grad=True), 0)
        for n, t in model.input_spec.items()
    }
    with recorded_solves():
        outputs = model.evaluate(inputs)
    total = sum(v.data.sum() for v in outputs.values())
    if isinstance(total, torch.Tensor) and total.requires_grad:
        torch.autograd.grad(total, [v.data for v in inputs.values()], allow_unused=True)


def _points(model: Model, like: torch.Tensor) -> torch.Tensor:
    """A number by point: for one, or for each specimen that has parameters of its own."""
    model.to(like.device)
    ndims = parameter_base_ndims(model)
    rows = [len(p) for n, p in model.named_parameters() if p.ndim > ndims[n]]
    return like.new_zeros(max(rows, default=1))


def _row(kernel: Kernel, device: torch.device) -> tuple[str, ...]:
    built, source = kernel.built_for(device), kernel.source
    arrays = [*source.inputs, *source.outputs]
    statements = sum(line.endswith(";") for line in source.body.splitlines())
    return (
        kernel.label,
        _kind([a.name for a in source.inputs], [a.name for a in source.outputs]),
        str(sum(a.size for a in arrays if a.name == SOLUTION)),
        str(statements),
        f"{built.size / 1024:.0f} kB",
        f"{built.seconds:.1f} s" + (" (cached)" if built.cached else ""),
    )


def _kind(inputs: list[str], outputs: list[str]) -> str:
    """What a kernel computes, of a whole material or of one implicit update."""
    if any(name.startswith(BAR) for name in outputs):
        return "solve, vjp" if BAR + UNKNOWNS in inputs else "vjp"
    if any("/" in name for name in outputs):
        return "update, tangent"
    return "solve" if UNKNOWNS in outputs else "update"
