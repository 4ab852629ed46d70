"""Typed tensors against plain 3 x 3 arithmetic."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ladder import close, f64, randn, rotation

from neml2fe import types
from neml2fe.errors import ModelError
from neml2fe.types import MRP, R2, SR2, SSR4, TENSOR_TYPES, WR2, Scalar, Vec

component = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: x if abs(x) > 1e-6 else 0.0)
six = st.lists(component, min_size=6, max_size=6)
nine = st.lists(component, min_size=9, max_size=9)
three = st.lists(component, min_size=3, max_size=3)
quick = settings(max_examples=60, deadline=None)


def full(components: list[float]) -> np.ndarray:
    """3 x 3 from 11, 22, 33, 23, 13, 12."""
    a, b, c, d, e, f = components
    return np.array([[a, f, e], [f, b, d], [e, d, c]])


def sr2(components: list[float]) -> SR2:
    return SR2.fill(*components, dtype=torch.float64)


def same(typed: types.TypedTensor | torch.Tensor, expected: object, scale: float = 1.0) -> None:
    got = typed.data if isinstance(typed, types.TypedTensor) else typed
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12 * max(scale, 1.0))


# -- Mandel notation ------------------------------------------------------------------------


@quick
@given(six, six)
def test_symmetric_tensors_agree_with_matrices(a: list[float], b: list[float]) -> None:
    x, y, m, n = sr2(a), sr2(b), full(a), full(b)
    size = np.abs(m).max() * np.abs(n).max() + np.abs(m).max()
    same(x.to_r2(), m)
    same(SR2.from_r2(x.to_r2()), x.data.numpy())
    same(types.inner(x, y), np.sum(m * n), size)
    same(types.norm(x), np.linalg.norm(m))
    same(types.tr(x), np.trace(m), size)
    same(types.dev(x).to_r2(), m - np.trace(m) / 3.0 * np.eye(3), size)
    same((types.vol(x) + types.dev(x)).to_r2(), m, size)
    same(types.det(x), np.linalg.det(m), np.abs(m).max() ** 3)
    same((x - 2.0 * y).to_r2(), m - 2.0 * n, size + np.abs(n).max())
    same(types.outer(x, y) @ x, x.data.numpy() * np.sum(m * n), size * np.abs(m).max())


@quick
@given(nine, nine, three)
def test_general_tensors_agree_with_matrices(
    a: list[float], b: list[float], v: list[float]
) -> None:
    x, y = R2.fill(*a, dtype=torch.float64), R2.fill(*b, dtype=torch.float64)
    m, n, u = np.reshape(a, (3, 3)), np.reshape(b, (3, 3)), np.array(v)
    size = np.abs(m).max() * (np.abs(n).max() + np.abs(u).max()) + np.abs(m).max()
    same(x @ y, m @ n, size)
    same(x @ Vec(f64(v)), m @ u, size)
    same(x.T, m.T)
    same(types.sym(x).to_r2(), (m + m.T) / 2.0, size)
    same(types.skew(x).to_r2(), (m - m.T) / 2.0, size)
    same(types.skew(x).to_r2() + types.sym(x).to_r2(), m, size)
    same(types.tr(x), np.trace(m), size)
    same(types.inner(x, y), np.sum(m * n), size)
    w = types.skew(x)
    same(types.norm(w), np.linalg.norm((m - m.T) / 2.0), size)


@quick
@given(three, three)
def test_vectors(a: list[float], b: list[float]) -> None:
    x, y = Vec(f64(a)), Vec(f64(b))
    size = np.abs(a).max() * np.abs(b).max()
    same(types.cross(x, y), np.cross(a, b), size)
    same(types.inner(x, y), np.dot(a, b), size)
    same(WR2.fill(*a, dtype=torch.float64).to_r2() @ y, np.cross(a, b), size)


def test_mandel_components_and_order() -> None:
    x = sr2([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    root = np.sqrt(2.0)
    same(x, [1.0, 2.0, 3.0, 4.0 * root, 5.0 * root, 6.0 * root])


def test_fills_of_one_and_three_components() -> None:
    same(SR2.fill(2.0), [2.0, 2.0, 2.0, 0.0, 0.0, 0.0])
    same(SR2.fill(1.0, 2.0, 3.0).to_r2(), np.diag([1.0, 2.0, 3.0]), 1e6)
    same(R2.fill(2.0), 2.0 * np.eye(3))
    same(R2.fill(1.0, 2.0, 3.0), np.diag([1.0, 2.0, 3.0]))
    for cls in (SR2, R2):
        with pytest.raises(ModelError, match="components, got 2"):
            cls.fill(1.0, 2.0)


def test_fill_takes_batched_components() -> None:
    x = SR2.fill(f64([1.0, 2.0]), 0.0, 0.0, 0.0, 0.0, f64([3.0, 4.0]))
    assert x.batch_shape == (2,)
    same(x.to_r2()[1], full([2.0, 0.0, 0.0, 0.0, 0.0, 4.0]))


def test_fill_follows_the_default_dtype() -> None:
    assert SR2.fill(1.0).dtype is torch.get_default_dtype()
    assert SR2.fill(1.0, dtype=torch.float64).dtype is torch.float64


# -- fourth order ---------------------------------------------------------------------------


def test_fourth_order_identities() -> None:
    x = SR2(randn(5, 6))
    options = {"dtype": torch.float64}
    assert close((SSR4.identity_sym(**options) @ x).data, x.data)
    assert close((SSR4.identity_vol(**options) @ x).data, types.vol(x).data)
    assert close((SSR4.identity_dev(**options) @ x).data, types.dev(x).data)
    vol, dev = SSR4.identity_vol(**options), SSR4.identity_dev(**options)
    assert close((vol @ vol).data, vol.data) and close((dev @ dev).data, dev.data)
    assert float((vol @ dev).data.abs().max()) < 1e-15


def test_isotropic_stiffness_and_its_inverse() -> None:
    bulk, shear = Scalar(f64([3.0, 5.0])), Scalar(f64([1.0, 2.0]))
    c = SSR4.isotropic(bulk, shear)
    x = SR2(randn(2, 6))
    assert close((c @ x).data, (3.0 * bulk * types.vol(x) + 2.0 * shear * types.dev(x)).data)
    assert close((types.inv(c) @ (c @ x)).data, x.data)
    assert close(c.T.data, c.data)


def test_double_contraction_agrees_with_nine_components() -> None:
    """C_ijkl a_kl through the full 3 x 3 x 3 x 3 tensor."""
    a, b, x = SR2(randn(6)), SR2(randn(6)), SR2(randn(6))
    full4 = torch.einsum("ij,kl->ijkl", a.to_r2().data, b.to_r2().data)
    expected = torch.einsum("ijkl,kl->ij", full4, x.to_r2().data)
    assert close((types.outer(a, b) @ x).to_r2().data, expected)


def test_inverses() -> None:
    x, y = R2(randn(4, 3, 3)), SR2(randn(4, 6))
    eye = torch.eye(3, dtype=torch.float64).expand(4, 3, 3)
    assert close((types.inv(x) @ x).data, eye, 1e-11)
    assert close((types.inv(y).to_r2() @ y.to_r2()).data, eye, 1e-11)


# -- rotations ------------------------------------------------------------------------------


def test_rotation_matrices_are_proper_orthogonal() -> None:
    r = rotation(20).to_r2()
    eye = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
    assert close((r @ r.T).data, eye, 1e-14)
    assert close(types.det(r).data, torch.ones(20, dtype=torch.float64), 1e-14)


def test_axis_and_angle_give_the_rodrigues_matrix() -> None:
    axis, angle = Vec(f64([1.0, -2.0, 0.5])), 2.5
    n = axis.data.numpy() / np.linalg.norm(axis.data.numpy())
    k = np.array([[0.0, -n[2], n[1]], [n[2], 0.0, -n[0]], [-n[1], n[0], 0.0]])
    expected = np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * k @ k
    same(MRP.from_axis_angle(axis, angle).to_r2(), expected)


def test_composition_and_inverse() -> None:
    a, b = rotation(7), rotation(7)
    assert close((a @ b).to_r2().data, (a.to_r2() @ b.to_r2()).data)
    assert close(a.inverse().to_r2().data, a.to_r2().T.data)
    assert close(
        (a @ a.inverse()).to_r2().data, MRP.identity().to_r2().data.double().expand(7, 3, 3)
    )


def test_composition_past_half_a_turn_and_its_shadow() -> None:
    z = Vec(f64([0.0, 0.0, 1.0]))
    both = MRP.from_axis_angle(z, 2.5) @ MRP.from_axis_angle(z, 2.0)
    shorter = both.shadow()
    assert float(types.norm(shorter).data) <= 1.0 <= float(types.norm(both).data)
    assert close(both.to_r2().data, shorter.to_r2().data)
    assert close(both.to_r2().data, MRP.from_axis_angle(z, 4.5).to_r2().data)


def test_quaternions_and_euler_angles() -> None:
    r = rotation(5)
    assert close(MRP.from_quaternion(r.to_quaternion()).data, r.data)
    angles = (0.3, 0.8, -0.4)

    def about(axis: int, t: float) -> np.ndarray:
        c, s = np.cos(t), np.sin(t)
        i, j = (axis + 1) % 3, (axis + 2) % 3
        m = np.eye(3)
        m[i, i], m[i, j], m[j, i], m[j, j] = c, -s, s, c
        return m

    expected = about(2, angles[0]) @ about(0, angles[1]) @ about(2, angles[2])
    same(MRP.from_euler_angles(*map(f64, angles)).to_r2(), expected)
    degrees = [f64(np.degrees(a)) for a in angles]
    same(MRP.from_euler_angles(*degrees, degrees=True).to_r2(), expected)


def test_all_types_rotate_consistently() -> None:
    turn = rotation(6)
    r = turn.to_r2()
    a, b = R2(randn(6, 3, 3)), SR2(randn(6, 6))
    v, w, c = Vec(randn(6, 3)), WR2(randn(6, 3)), SSR4(randn(6, 6, 6))
    rotate = types.rotate
    assert close(rotate(a, turn).data, (r @ a @ r.T).data)
    assert close(rotate(b, turn).to_r2().data, (r @ b.to_r2() @ r.T).data)
    assert close(rotate(w, turn).to_r2().data, (r @ w.to_r2() @ r.T).data)
    assert close(rotate(a @ v, turn).data, (rotate(a, turn) @ rotate(v, turn)).data)
    assert close(rotate(c @ b, turn).data, (rotate(c, turn) @ rotate(b, turn)).data)
    assert close(rotate(b, r).data, rotate(b, turn).data)
    for x in (a, b, v, w, c):
        assert close(rotate(rotate(x, turn), turn.inverse()).data, x.data)
    with pytest.raises(TypeError, match="cannot rotate a Scalar"):
        rotate(Scalar(f64(1.0)), turn)


@pytest.mark.parametrize("cls", [Vec, R2, SR2, WR2, SSR4])
def test_one_rotation_turns_a_batch_and_a_batch_turns_one(cls: type[types.TypedTensor]) -> None:
    one, many = rotation(), rotation(4)
    x = cls(randn(4, *cls.BASE_SHAPE))
    assert close(types.rotate(x, one)[2].data, types.rotate(x[2], one).data)
    assert close(types.rotate(x[0], many)[3].data, types.rotate(x[0], many[3]).data)


# -- operators ------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", TENSOR_TYPES.values())
def test_arithmetic_within_one_type(cls: type[types.TypedTensor]) -> None:
    x, y = cls(randn(4, *cls.BASE_SHAPE)), cls(randn(4, *cls.BASE_SHAPE))
    same(x + y, (x.data + y.data).numpy())
    same(x - y, (x.data - y.data).numpy())
    same(-x, (-x.data).numpy())
    same(2.0 * x, (x * 2.0).data.numpy())
    same(x / 4.0, (0.25 * x).data.numpy())
    same(sum([x, y]), (x + y).data.numpy())
    same(0 - x, (-x).data.numpy())
    s = Scalar(f64([1.0, 2.0, 3.0, 4.0]))
    for k in range(4):
        same((s * x)[k], ((k + 1.0) * x[k]).data.numpy())
        same((x * s)[k], ((k + 1.0) * x[k]).data.numpy())
        same((x / s)[k], (x[k] / (k + 1.0)).data.numpy())


def test_scalar_arithmetic() -> None:
    s = Scalar(f64([1.0, 2.0]))
    same(1.0 + s, [2.0, 3.0])
    same(1.0 - s, [0.0, -1.0])
    same(2.0 / s, [2.0, 1.0])
    same(s**2, [1.0, 4.0])
    same(2.0**s, [2.0, 4.0])
    same(s**s, [1.0, 4.0])
    assert (s > 1.0).tolist() == [False, True] and (s <= 1.0).tolist() == [True, False]
    assert (s < s).tolist() == [False, False] and (s >= s).tolist() == [True, True]


def test_operators_that_would_be_ambiguous_are_refused() -> None:
    v, r, s, w, c = Vec.ones(), R2.ones(), SR2.ones(), WR2.ones(), SSR4.ones()
    for bad in (
        lambda: s + v,
        lambda: s + 1.0,
        lambda: 1.0 - s,
        lambda: s - r,
        lambda: s * s,
        lambda: s / s,
        lambda: 1.0 / s,
        lambda: v @ v,
        lambda: s @ s,
        lambda: w + v,
        lambda: c + s,
        lambda: s**2,
        lambda: s * torch.ones(6),
        lambda: torch.ones(6) * s,
        lambda: s + torch.ones(6),
        lambda: MRP.ones() @ v,
    ):
        with pytest.raises(TypeError):
            bad()


def test_tensors_are_immutable_and_copy() -> None:
    x = SR2(randn(2, 6))
    with pytest.raises(AttributeError, match="immutable"):
        x.data = torch.zeros(6)
    with pytest.raises(AttributeError, match="immutable"):
        x.other = 1
    for clone in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(clone) is SR2 and torch.equal(clone.data, x.data)


@pytest.mark.parametrize("cls", [t for t in TENSOR_TYPES.values() if t.BASE_SHAPE])
def test_wrong_trailing_shape_is_a_model_error(cls: type[types.TypedTensor]) -> None:
    with pytest.raises(ModelError, match=f"{cls.__name__} needs trailing dimensions"):
        cls(torch.zeros(4, 5))
    with pytest.raises(ModelError, match=f"{cls.__name__} needs trailing dimensions"):
        cls(torch.zeros(()))


def test_batches_broadcast_and_index() -> None:
    a, b = SR2(randn(3, 1, 6)), SR2(randn(4, 6))
    assert (a + b).batch_shape == (3, 4)
    assert types.inner(a, b).batch_shape == (3, 4)
    assert types.outer(a, b).batch_shape == (3, 4)
    assert (Scalar(randn(3, 1)) * b).batch_shape == (3, 4)
    assert a[1].batch_shape == (1,) and a[:, 0].batch_shape == (3,)
    assert a[..., 0].batch_shape == (3,) and b[f64([1, 0]).long()].batch_shape == (2,)
    assert types.cross(Vec(randn(2, 1, 3)), Vec(randn(5, 3))).batch_shape == (2, 5)
    assert types.stack([a, b], 0).batch_shape == (2, 3, 4)
    assert types.where(torch.tensor([True, False, True, False]), a, b).batch_shape == (3, 4)
    assert SR2.zeros(0).batch_shape == (0,) and types.norm(SR2.zeros(0)).batch_shape == (0,)


# -- kinks ----------------------------------------------------------------------------------


def orders(f: object, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First derivative in both modes (checked equal) and second derivative of a scalar f."""
    reverse, forward = torch.func.jacrev(f)(x), torch.func.jacfwd(f)(x)
    assert close(reverse, forward, 1e-15)
    return reverse, torch.func.jacrev(torch.func.jacfwd(f))(x)


@pytest.mark.parametrize("cls", [Vec, R2, SR2, WR2])
def test_norm_at_zero_has_zero_derivatives(cls: type[types.TypedTensor]) -> None:
    for d in orders(lambda x: types.norm(cls(x)).data, torch.zeros(cls.BASE_SHAPE).double()):
        assert torch.equal(d, torch.zeros_like(d))


def test_norm_away_from_zero_has_the_right_derivatives() -> None:
    x = randn(6)
    n = x / x.norm()
    first, second = orders(lambda x: types.norm(SR2(x)).data, x)
    assert close(first, n)
    assert close(second, (torch.eye(6).double() - torch.outer(n, n)) / x.norm(), 1e-12)


def test_macaulay_and_heaviside() -> None:
    x = f64([-1.0, 0.0, 2.0])
    same(types.macaulay(Scalar(x)), [0.0, 0.0, 2.0])
    same(types.heaviside(Scalar(x)), [0.0, 0.0, 1.0])
    first, second = orders(lambda x: types.macaulay(Scalar(x)).data.sum(), x)
    assert first.tolist() == [0.0, 0.0, 1.0] and not second.any()


@quick
@given(st.lists(component, min_size=2, max_size=2))
def test_elementwise_functions(pair: list[float]) -> None:
    a, b = (Scalar(f64(x)) for x in pair)
    same(types.minimum(a, b), min(pair))
    same(types.maximum(a, b), max(pair))
    same(types.clamp(a, -1.0, 2.0), min(max(pair[0], -1.0), 2.0))
    same(types.abs(a), abs(pair[0]))
    same(types.sign(a), np.sign(pair[0]))
    for name in ("sin", "cos", "tanh", "atan"):
        reference = {"atan": np.arctan}.get(name) or getattr(np, name)
        same(getattr(types, name)(a), reference(pair[0]))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, 3.0, np.pi - 1e-7, np.pi - 1e-12, np.pi])
def test_rotation_from_to(angle: float) -> None:
    """Also of opposite directions, by half a turn about any perpendicular axis."""
    start = torch.cat([torch.eye(3, dtype=torch.float64), randn(5, 3)])
    unit = start / start.norm(dim=-1, keepdim=True)
    across = torch.linalg.cross(unit, randn(8, 3))
    across = across / across.norm(dim=-1, keepdim=True)
    end = np.cos(angle) * unit + np.sin(angle) * across if angle < np.pi else -unit
    turn = MRP.rotation_from_to(Vec(2.0 * start), Vec(3.0 * end))
    assert float((types.rotate(Vec(unit), turn).data - end).abs().max()) < 1e-14
    turned = 4.0 * np.arctan(turn.data.norm(dim=-1).numpy())
    np.testing.assert_allclose(turned, angle, rtol=0.0, atol=1e-14)
