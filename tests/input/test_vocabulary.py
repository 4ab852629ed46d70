"""The words that NEML2's decks use in `type = Python` expressions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ladder import close, f64

import neml2fe
from neml2fe.types import TypedTensor

LINE = f64([0.0, 0.25, 0.5, 0.75, 1.0])
CASES: dict[str, object] = {
    "linspace(Scalar(0.0).dynamic_batch, Scalar(1.0).dynamic_batch, 5)": LINE,
    "linspace(Scalar(0.0), Scalar(1.0), 5)": LINE,
    "linspace(SR2.zeros().dynamic_batch, SR2.fill(4.0).dynamic_batch, 5)[2]": [2.0, 2, 2, 0, 0, 0],
    "linspace(Scalar.zeros(2).dynamic_batch, Scalar.ones(2).dynamic_batch, 3, dim=1)[0]": [
        0,
        0.5,
        1,
    ],
    "logspace(Scalar(-1.0).dynamic_batch, Scalar(1.0).dynamic_batch, 3)": [0.1, 1.0, 10.0],
    "logspace(Scalar(0.0), Scalar(2.0), 3, base=2.0)": [1.0, 2.0, 4.0],
    "Scalar.linspace(0, 1, 5).dynamic_batch.unsqueeze(-1).dynamic_batch.expand(5, 3)[:, 1]": LINE,
    "Scalar(torch.linspace(0, 1, 5)).dynamic_batch[1:3]": [0.25, 0.5],
    "stack([Scalar(1.0).dynamic_batch, Scalar(2.0).dynamic_batch])": [1.0, 2.0],
    "cat([Scalar.zeros(1).dynamic_batch, Scalar.ones(2).dynamic_batch])": [0.0, 1.0, 1.0],
    "sum(Scalar.ones(3).dynamic_batch)": 3.0,
    "mean(Scalar(torch.tensor([1.0, 3.0])).dynamic_batch)": 2.0,
    "diff(Scalar(torch.tensor([1.0, 3.0, 4.0])).dynamic_batch)": [2.0, 1.0],
    "Scalar.zeros((2,))": [0.0, 0.0],
    "Scalar.full(2, fill_value=3.0)": [3.0, 3.0],
    "Scalar.arange(3)": [0.0, 1.0, 2.0],
    "where(gt(Scalar(torch.tensor([-1.0, 1.0])), 0.0), Scalar.ones(2), Scalar.zeros(2))": [
        0.0,
        1.0,
    ],
    "unit(Vec.fill(0.0, 3.0, 4.0))": [0.0, 0.6, 0.8],
    "vec_component(Vec.fill(1.0, 2.0, 3.0), 1)": 2.0,
    "r2_from_wr2(WR2.fill(1.0, 2.0, 3.0))": [[0.0, -3, 2], [3, 0, -1], [-2, 1, 0]],
    "SSR4.identity()[...] @ SR2.fill(1.0)": [3.0, 3, 3, 0, 0, 0],
    "SSR4.identity_sym() @ SR2.fill(1.0, 2.0, 3.0)": [1.0, 2, 3, 0, 0, 0],
    "2.0 * SSR4.identity_C1() @ SR2.fill(1.0, 2.0, 3.0)": [2.0, 4, 6, 0, 0, 0],
    "SSR4.identity_C2() @ SR2.fill(1.0, 2.0, 3.0)": [5.0, 4, 3, 0, 0, 0],
    "rotate(Vec.fill(0, 0, 1), MRP.rotation_from_to(Vec.fill(0, 0, 1), Vec.fill(1, 0, 0)))": [
        1.0,
        0,
        0,
    ],
    "MRP.from_matrix(MRP.fill(0.1, 0.2, 0.3).to_r2())": [0.1, 0.2, 0.3],
    "rotate(Vec.fill(1, 0, 0), MRP.from_axis_angle(Vec.fill(0, 0, 1), math.pi / 2))": [0.0, 1, 0],
    "torch.from_numpy(np.array([1.0, 2.0]))": [1.0, 2.0],
    "Scalar(torch.tensor(np.linspace(0.0, 1.0, 5)))": LINE,
    "np.concatenate([np.zeros(1), np.ones(2)])": [0.0, 1.0, 1.0],
    "x = torch.zeros(3)\nx[1] = 2.0\nresult = Scalar(x)": [0.0, 2.0, 0.0],
    "x = torch.ones(2)\nx *= 3.0\nresult = Scalar(x)": [3.0, 3.0],
    "n = 3\nif n > 2:\n  result = Scalar(1.0)\nelse:\n  result = Scalar(2.0)": 1.0,
}


def value_of(folder: Path, expr: str) -> TypedTensor | torch.Tensor:
    deck = folder / "deck.i"
    deck.write_text(f"[Tensors]\n  [x]\n    type = Python\n    expr = '{expr}'\n  []\n[]\n")
    return neml2fe.load_input(deck).get_tensor("x")


@pytest.mark.parametrize("expr", sorted(CASES))
def test_values(expr: str, tmp_path: Path) -> None:
    found = value_of(tmp_path, expr)
    raw = found.data if isinstance(found, TypedTensor) else found
    expected = CASES[expr]
    expected = expected if isinstance(expected, torch.Tensor) else f64(expected)
    assert raw.dtype is torch.float64 and close(raw, expected, 1e-14)


def test_a_view_of_the_sub_batch_makes_a_sub_batch(tmp_path: Path) -> None:
    for expr in (
        "Scalar.zeros(2, 3).sub_batch.retag(1)",
        "Scalar.zeros(2).sub_batch.expand_at(3)",
        "linspace(Scalar.zeros(2).sub_batch, Scalar.ones(2).sub_batch, 3)",
    ):
        found = value_of(tmp_path, expr)
        assert isinstance(found, TypedTensor)
        assert found.batch_shape == (2,) and found.sub_batch_shape == (3,)


def test_assignments_change_no_other_tensor(tmp_path: Path) -> None:
    deck = tmp_path / "deck.i"
    deck.write_text(
        "[Tensors]\n  [a]\n    type = Python\n    expr = 'torch.zeros(2)'\n  []\n"
        "  [b]\n    type = Python\n    expr = 'c = a\n    c[0] = 1.0\n    c += 1.0\n"
        "    result = c'\n  []\n[]\n"
    )
    source = neml2fe.load_input(deck)
    assert close(source.get_tensor("b").data, f64([2.0, 1.0]))
    assert not source.get_tensor("a").data.any()


def test_random_rotations_are_rotations_all_over(tmp_path: Path) -> None:
    found = value_of(tmp_path, "torch.manual_seed(0)\nresult = MRP.rand(2000)")
    matrices = found.to_r2().data  # type: ignore[union-attr]
    one = torch.eye(3, dtype=torch.float64).expand(2000, 3, 3)
    assert close(matrices @ matrices.transpose(-1, -2), one, 1e-13)
    assert float(matrices.mean(0).abs().max()) < 0.06  # every direction as often as its opposite
