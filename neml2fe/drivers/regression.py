"""`TransientRegression`: a history against one that was saved before."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neml2fe.drivers.comparison import Comparison
from neml2fe.drivers.result import History
from neml2fe.errors import InputError


@dataclass
class TransientRegression:
    """Every tensor of the file `reference` must be computed again, each value to
    `atol + rtol * |expected|`. What the history holds beyond that is named, but no failure.
    """

    reference: Path
    rtol: float = 1e-5
    atol: float = 1e-8

    def compare(self, history: History) -> Comparison:
        """Raises `InputError` when the file cannot be read."""
        result = Comparison(self.rtol, self.atol)
        expected, got = read_reference(self.reference), history.flat()
        result.missing = [key for key in expected if key not in got]
        result.extra = [key for key in got if key not in expected]
        for key in [k for k in expected if k in got]:
            group, step, name = key.split(".", 2)
            base = history.types[name].BASE_SHAPE
            result.add(f"{group}.{name}", int(step), base, got[key], expected[key])
        return result


def read_reference(path: Path) -> dict[str, torch.Tensor]:
    """The tensors by key `<group>.<step>.<name>` of a saved history: a dictionary that
    `torch.save` wrote. Nothing in the file is executed; TorchScript archives, whose reading may
    run code, are refused. Raises `InputError`."""
    if not path.is_file():
        raise InputError(f"there is no reference file '{path}'")
    found = _read(path)
    if not isinstance(found, dict) or not found:
        raise InputError(f"'{path}' holds no dictionary of tensors")
    for key, value in found.items():
        if not isinstance(value, torch.Tensor):
            raise InputError(f"'{path}': '{key}' is a {type(value).__name__}, not a tensor")
    return {str(key): value for key, value in found.items()}


def _read(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of archives before it refuses them
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        raise InputError(
            f"'{path}' is no file of saved tensors: {reason}; a reference is what "
            "torch.save writes of a dictionary of tensors"
        ) from None
