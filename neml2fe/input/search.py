"""How a block of [Calibrations] searches: what fits of specimens and of simulations share."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neml2fe.errors import ConvergenceError, Error
from neml2fe.input.deck import Block, FieldValue
from neml2fe.input.models import option

if TYPE_CHECKING:
    from neml2fe.calibration.fit import FitResult, Iteration
    from neml2fe.calibration.interface import Problem
    from neml2fe.input.factory import Input


@dataclass(frozen=True, kw_only=True)
class Search:
    """The block `name` of a deck, and the arguments of `calibration.fit` that it gives."""

    name: str
    block: Block
    optimiser: str = "least_squares"
    learning_rate: float | None = None
    starts: int = 1
    seed: int = 0
    max_iterations: int = 200
    rel_improvement: float = 1e-8
    patience: int = 20
    gradient_tolerance: float = 1e-8
    level: float = 0.95
    uncertainty: str = "intervals"

    def minimised(self, problem: Problem) -> Problem:
        """What the loss of a fit is of: a problem of data, and what else is known."""
        return problem

    def fit(
        self,
        problem: Problem,
        record: Path,
        resume: bool,
        on_iteration: Callable[[Iteration], None],
    ) -> FitResult:
        """Raises as `calibration.fit` does; `record` is the file that keeps the progress."""
        from neml2fe.calibration.fit import fit

        with mistakes_at(self.block):
            return fit(
                problem,
                self.optimiser,
                record=record,
                resume=resume,
                on_iteration=on_iteration,
                **self.options,
            )

    @property
    def options(self) -> dict[str, Any]:
        """Of `fit`, but for the optimiser."""
        known = {n: getattr(self, n) for n in SEARCH if n not in _APART}
        if self.uncertainty == "none":
            known["level"] = None
        return known if self.learning_rate is None else {**known, "lr": self.learning_rate}


_APART = ("optimiser", "learning_rate", "uncertainty")
SEARCH = tuple(f.name for f in dataclasses.fields(Search) if f.default is not dataclasses.MISSING)


def plain_options(source: Input, block: Block, cls: type, names: Iterable[str]) -> dict[str, Any]:
    """The fields `names` of a block that are numbers and words, as the dataclass `cls` has them."""
    kinds = typing.get_type_hints(cls)
    return {n: _plain(source, value, kinds[n]) for n in names if (value := block.get(n))}


def _plain(source: Input, value: FieldValue, kind: Any) -> Any:
    chosen = [k for k in typing.get_args(kind) if k is not type(None)] or [kind]
    return option(source, value, chosen[0])


def chosen_blocks(source: Input, block: Block, section: str) -> list[Block]:
    """The blocks of a section that the field of its name lists; all of them without it."""
    listed = block.get(section.lower())
    if listed is None:
        return source.deck.blocks(section)
    names = listed.as_list()
    if not names:
        raise listed.error(f"expected blocks of [{section}]; without this field all take part")
    for k, name in enumerate(names):
        if name in names[:k]:
            raise listed.error(f"'{name}' is listed twice")
        source.refer(section, listed, name)
    return [source.deck.block(section, name) for name in names]


@contextmanager
def mistakes_at(block: Block) -> Iterator[None]:
    """Gives errors the place of `block`, except for a simulation that does not converge."""
    try:
        yield
    except ConvergenceError:
        raise
    except Error as error:
        error.location = error.location or block.location
        raise
