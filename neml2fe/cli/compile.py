"""`neml2fe compile`: build the kernels of a deck's laws before they are run."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from neml2fe.errors import ConvergenceError, Error, InputError, ModelError, suggest
from neml2fe.implicit import ImplicitUpdate, recorded_solves
from neml2fe.implicit.tracing import UNKNOWNS
from neml2fe.input import Input, load_input
from neml2fe.kernels import BAR, SOLUTION, Kernel, backend, cache_dir, recorded_kernels
from neml2fe.material import Material
from neml2fe.models import Model
from neml2fe.models.functional import parameter_base_ndims

Job = tuple[str, Callable[[], None]]  # what calls everything that a run may call


def compile_deck(given: argparse.Namespace) -> int:
    """Build all that is asked for and print a table; the exit code."""
    if given.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device to compile for")
    like = torch.zeros(1, dtype=getattr(torch, given.dtype), device=given.device)
    source = load_input(given.deck, given.set, given.trust)
    table = Table("model", "kernel", title=f"kernels in {cache_dir()}", title_justify="left")
    for column in ("unknowns", "instructions", "size", "compiled in"):
        table.add_column(column, justify="right")
    table.add_column("file", overflow="fold")
    failures, known = [], set()
    for label, call in _jobs(source, given, like):
        reason = ""
        with recorded_kernels() as kernels, backend("kernel"):
            try:
                call()
            except ConvergenceError:
                pass  # at fields of zero, say; the kernel was there before
            except Error as error:
                reason = f"'{label}' cannot be compiled and runs eagerly: {error}"
        for kernel in kernels:
            if (row := _row(kernel, like.device)) not in known:
                known.add(row)
                table.add_row(*row)
        if not kernels and not reason:
            reason = f"'{label}' has nothing to compile"
        failures += [reason] if reason else []
    if table.row_count:
        Console().print(table)
    elif not failures:
        print("nothing to compile: every material has backend = eager")
    for failure in dict.fromkeys(failures):
        print(f"neml2fe: {failure}")
    return 1 if failures else 0


def _jobs(source: Input, given: argparse.Namespace, like: torch.Tensor) -> Iterator[Job]:
    names: list[str] | None = given.model
    there = [block.name for block in source.deck.blocks("Models")]
    blocks = [block.name for block in source.deck.blocks("Materials")]
    for name in names or ():
        if name not in there:
            raise InputError(f"no model '{name}'{suggest(name, there)}", given.deck)
    if blocks and not names:
        for name in blocks:
            material = source.get("Materials", name)
            if material.backend == "eager":
                continue
            yield name, partial(_use, material, like)
    drivers = [] if names else list(_driven(source))
    for model in drivers:
        yield model.label, partial(_evaluate, model, like)
    if blocks and not names:
        return
    models = [source.get_model(name) for name in names or there]
    inner = set() if names else {id(p) for m in models for p in m.modules() if p is not m}
    found = False
    for model in models:
        if id(model) in inner:
            continue
        try:
            material = Material(model, backend="kernel")
        except ModelError as error:
            if isinstance(model, ImplicitUpdate):
                yield model.label, partial(_evaluate, model, like)
            elif names:
                raise InputError(f"'{model.label}' is no law to compile: {error}") from error
            else:
                continue
        else:
            yield model.label, partial(_use, material, like)
        found = True
    if not found and not drivers:
        raise InputError("the deck has no material and no implicit update", given.deck)


def _use(material: Material, like: torch.Tensor) -> None:
    """All that a host code asks of a material."""
    like = _points(material.model, like)
    n = len(like)
    fields = {n: like.new_zeros(len(like), *t.BASE_SHAPE) for n, t in material.field_spec.items()}
    with backend("eager"):  # the shapes, which are found on no points
        state = material.initial_state(n, like.dtype, like.device, fields)
    strain = like.new_zeros(n, *material.inputs[material.strain].BASE_SHAPE)
    try:
        for tangent in (False, True):
            result = material.update(strain, state, 1.0, 1.0, fields, tangent)
    except ModelError as error:
        if "sub-batch" not in str(error):
            raise
        raise ModelError(
            f"{error} (sub-batches of fields and state are known to a run alone, which builds its "
            "own kernels)"
        ) from error
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


def _driven(source: Input) -> Iterator[Model]:
    """The models that drivers run by themselves."""
    named = [b.get("model") for b in source.deck.blocks("Drivers")]
    for name in dict.fromkeys(v.as_str() for v in named if v is not None):
        model = source.get_model(name)
        if any(isinstance(m, ImplicitUpdate) for m in model.modules()):
            yield model


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
        f"{built.path.stem[:12]}*{built.path.suffix}",
    )


def _kind(inputs: list[str], outputs: list[str]) -> str:
    """What a kernel computes, of a whole material or of one implicit update."""
    if any(name.startswith(BAR) for name in outputs):
        return "solve, vjp" if BAR + UNKNOWNS in inputs else "vjp"
    if any("/" in name for name in outputs):
        return "update, tangent"
    return "solve" if UNKNOWNS in outputs else "update"
