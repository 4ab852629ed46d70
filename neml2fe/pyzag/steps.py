"""How the steps of a trajectory are cut into chunks."""

from __future__ import annotations

from collections.abc import Sequence

from neml2fe.errors import InputError


class StepGenerator:
    """Chunks of `block_size` steps; the first one of `first_block_size`, if that is positive.

    `generator(n)` lists pairs (a, b) for a trajectory of n states, of which state 0 is given:
    states a to b - 1 are solved for together. The last chunk may be shorter.
    """

    def __init__(self, block_size: int = 1, first_block_size: int = 0) -> None:
        if block_size < 1 or first_block_size < 0:
            raise InputError(
                "a chunk has at least one step: block_size must be at least 1 and "
                f"first_block_size at least 0, got {block_size} and {first_block_size}"
            )
        self.block_size, self.first_block_size = block_size, first_block_size

    def __call__(self, n: int) -> list[tuple[int, int]]:
        return self._pairs(n, [self.first_block_size + 1] if self.first_block_size else [])

    def _pairs(self, n: int, first: Sequence[int]) -> list[tuple[int, int]]:
        starts = [1, *(a for a in first if a < n)]
        if all(a < n for a in first):
            starts += range(starts[-1] + self.block_size, n, self.block_size)
        return list(zip(starts, [*starts[1:], n], strict=True)) if n > 1 else []


class InitialOffsetStepGenerator(StepGenerator):
    """Chunks that end at the given `initial_steps`, in growing order, then of `block_size`."""

    def __init__(
        self,
        block_size: int = 1,
        first_block_size: int = 0,
        initial_steps: Sequence[int] | None = None,
    ) -> None:
        super().__init__(block_size, first_block_size)
        self.initial_steps = list(initial_steps or [])
        if sorted({*self.initial_steps}) != self.initial_steps or min([1, *self.initial_steps]) < 1:
            raise InputError(f"initial_steps must be positive and grow, got {self.initial_steps}")

    def __call__(self, n: int) -> list[tuple[int, int]]:
        if not self.initial_steps:
            return super().__call__(n)
        return self._pairs(n, [k + 1 for k in self.initial_steps])
