"""Initial guesses for the states of a chunk, from those before it.

A predictor is any object with `predict(results, k, kinc)`: `results` `(N, S, n)` holds the states
known so far, 0 to k - 1; the guess is for the states k to k + kinc - 1, `(kinc, S, n)`.
"""

from __future__ import annotations

from typing import Protocol

import torch


class Predictor(Protocol):
    def predict(self, results: torch.Tensor, k: int, kinc: int) -> torch.Tensor: ...


class ZeroPredictor:
    """Zeros."""

    def predict(self, results: torch.Tensor, k: int, kinc: int) -> torch.Tensor:
        return torch.zeros_like(results[k : k + kinc])


class LastStepPredictor:
    """The last state, for all steps of the chunk."""

    def predict(self, results: torch.Tensor, k: int, kinc: int) -> torch.Tensor:
        return results[k - 1 : k].expand(kinc, *results.shape[1:])


class PreviousStepsPredictor:
    """As many states as the chunk has steps, from just before it; where there are fewer, the
    first one stands for those before it."""

    def predict(self, results: torch.Tensor, k: int, kinc: int) -> torch.Tensor:
        known = results[max(k - kinc, 0) : k]
        missing = kinc - len(known)
        return torch.cat((results[:1].expand(missing, *results.shape[1:]), known))


class StepExtrapolatingPredictor:
    """The last state and its last increment once more, for all steps of the chunk."""

    def predict(self, results: torch.Tensor, k: int, kinc: int) -> torch.Tensor:
        if k < 2:
            return LastStepPredictor().predict(results, k, kinc)
        ahead = 2.0 * results[k - 1 : k] - results[k - 2 : k - 1]
        return ahead.expand(kinc, *results.shape[1:])


class ExtrapolatingPredictor:
    """The states of the last chunk, and what they have grown by since the chunk before it."""

    def predict(self, results: torch.Tensor, k: int, kinc: int) -> torch.Tensor:
        if k < 2 * kinc:
            return PreviousStepsPredictor().predict(results, k, kinc)
        last = results[k - kinc : k]
        return 2.0 * last - results[k - 2 * kinc : k - kinc]


class FullTrajectoryPredictor:
    """States of a known trajectory `(N, S, n)`, that of the last iteration of a fit, say."""

    def __init__(self, history: torch.Tensor) -> None:
        self.history = history

    def predict(self, results: torch.Tensor, k: int, kinc: int) -> torch.Tensor:
        return self.history[k : k + kinc]
