"""Every rule for a torch operation: values and derivatives as torch's, and its C++ in each form."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from ladder import Raw, f64
from test_library import by_casadi, by_kernel, difference

from neml2fe.kernels import Kernel, Program, Request, Untraceable, generate, traced
from neml2fe.kernels import trace as trace_module
from neml2fe.kernels.operations import RULES

aten = torch.ops.aten
NAN = math.nan
POINT = {
    "x": f64([0.3, -0.7, 0.45, 0.9]),
    "y": f64([1.7, 0.6, 2.3, 1.1]),
    "m": f64([[2.0, 0.3, -0.4], [0.1, 1.5, 0.2], [-0.3, 0.6, 1.2]]),
    "n": f64([[0.2, 1.0, -0.4], [-0.5, 0.3, 0.9], [0.8, -0.1, 0.7]]),
    "c": f64(1.4),
}
BIG = torch.eye(12, dtype=torch.float64) * 2.0 + 0.1 * torch.arange(144.0).reshape(12, 12).sin()
Case = Callable[[Any, Any, Any, Any, Any], torch.Tensor]


def put(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    added = x.index_put((torch.tensor([0, 2, 0]),), y[:3], accumulate=True)
    return added + x.index_put((torch.tensor([0, 2]),), y[0])


def put_in_place(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    out = x * 1.0
    out[torch.tensor([1, 3])] = y[:2]
    return out


def in_place(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    out = x * 2.0
    out.add_(y).mul_(y).sub_(x, alpha=0.5).div_(y).neg_()
    other = torch.empty_like(out).copy_(out)
    return other + torch.empty_like(out).fill_(3.0) + (1.0 * x).fill_(x[0])


def bent(x: torch.Tensor) -> torch.Tensor:
    """Changed in shape in place."""
    return (x * 1.0).unsqueeze_(0).squeeze_(0) * 2.0


def eigen(m: torch.Tensor, upper: str = "L") -> torch.Tensor:
    values, vectors = torch.linalg.eigh(m + m.T, UPLO=upper)
    return torch.cat([values, (vectors[:, 0].outer(vectors[:, 0])).flatten()])


def flags(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """What conditions do, as numbers."""
    a, b = x > 0.0, y <= 1.5
    found = [a & b, a | b, a ^ b, ~a, torch.logical_and(x, y), torch.logical_or(x, b)]
    found += [torch.logical_xor(a, b), torch.logical_not(a), x < y, x >= 0.3, x == 0.3, x != 0.3]
    lost = x.log()
    found += [x.isnan(), lost.isnan(), x == x, lost == lost, lost != lost, torch.isfinite(lost)]
    found += [a + b, a * b, torch.isfinite(x), x.to(torch.bool)]
    numbers = torch.stack(found).to(torch.float64)
    both = torch.stack([a.all(), a.any(), b.any(dim=0), torch.stack([a, b]).all(dim=0)[0]])
    return torch.cat([numbers.flatten(), both.to(torch.float64)])


def of_one(name: str, of: str) -> Case:
    """The function of torch of that name, of one of the two vectors."""
    function = getattr(torch, name)
    return lambda x, y, m, n, c: function(x if of == "x" else y)


ANY = ["neg", "abs", "sign", "sgn", "square", "exp", "exp2", "expm1", "sin", "cos", "tan", "asin"]
ANY += ["acos", "atan", "sinh", "cosh", "tanh", "asinh", "atanh", "erf", "floor", "ceil", "trunc"]
ANY += ["relu", "sigmoid", "reciprocal", "frac", "sinc", "nan_to_num"]
POSITIVE = ["sqrt", "rsqrt", "log", "log10", "log2", "log1p"]
CASES: dict[str, Case] = {
    # Elementwise.
    **{name: of_one(name, "x") for name in ANY},
    **{name: of_one(name, "y") for name in POSITIVE},
    "acosh": lambda x, y, m, n, c: torch.acosh(y + 1.0),
    "softplus": lambda x, y, m, n, c: torch.nn.functional.softplus(30.0 * x, 1.3),
    "arithmetic": lambda x, y, m, n, c: (
        torch.add(x, y, alpha=2.0) * torch.sub(x, y, alpha=0.5) + (1.0 - x) / y + 2.0 / y + x**2
    ),
    "rsub": lambda x, y, m, n, c: torch.rsub(x, y, alpha=3.0),
    "broadcast": lambda x, y, m, n, c: x[:3] * m + c,
    "atan2": lambda x, y, m, n, c: torch.atan2(x, y),
    "fmod": lambda x, y, m, n, c: torch.fmod(7.0 * x, y),
    "remainder": lambda x, y, m, n, c: torch.remainder(7.0 * x, y),
    "division": lambda x, y, m, n, c: (
        torch.div(7.0 * x, y, rounding_mode="trunc")
        + 10.0 * torch.div(7.0 * x, y, rounding_mode="floor")
    ),
    "power": lambda x, y, m, n, c: y**c + c**x + x**3 + y**-0.5 + 2.0**x,
    "power of zero": lambda x, y, m, n, c: (y - y.detach()).abs() ** (c + 0.0 * y) + y**c,
    "power of zero, 0.02": lambda x, y, m, n, c: torch.where(
        x > 0.0, y, torch.zeros_like(y)
    ) ** (0.02 * c / c),
    "power of zero, 0": lambda x, y, m, n, c: (0.0 * y) ** (c - c.detach()),
    "power of zero, 1": lambda x, y, m, n, c: (y - y.detach()) ** (c / c.detach()),
    "maximum": lambda x, y, m, n, c: torch.maximum(x, y) + torch.minimum(x, c),
    "tie": lambda x, y, m, n, c: torch.maximum(x, 1.0 * x + 0.0) + torch.minimum(y, 2.0 * y / 2.0),
    "clamp": lambda x, y, m, n, c: torch.clamp(x, -0.5, 0.4) + torch.clamp(y, c * x, c + x),
    "clamp one side": lambda x, y, m, n, c: x.clamp_min(0.0) + y.clamp_max(1.5) + x.clamp(max=y),
    "clamp crossed": lambda x, y, m, n, c: torch.clamp(x, 0.5, 0.2) + 0.0 * y,
    "where": lambda x, y, m, n, c: torch.where(x > 0.0, y, x) + torch.where(y > c, 1.0, x),
    "not a number": lambda x, y, m, n, c: torch.where(x > -2.0, x * y, NAN),
    "flags": lambda x, y, m, n, c: flags(x, y),
    "whole": lambda x, y, m, n, c: (10.0 * x).to(torch.int64).to(torch.float64) + x,
    "detach": lambda x, y, m, n, c: x.detach() * y + x,
    "filled": lambda x, y, m, n, c: (
        torch.full_like(x, 2.0) * x + x.new_ones(4) + x.new_full((4,), 3.0) * y + x.new_zeros(4)
    ),
    "lerp": lambda x, y, m, n, c: torch.lerp(x, y, c) + torch.addcmul(x, y, y, value=2.0),
    # Places.
    "shapes": lambda x, y, m, n, c: (
        m.T.reshape(9)[2:8:2].expand(2, 3) + m.unsqueeze(0).squeeze(0)[:2] + n.view(-1)[:3]
    ),
    "parts": lambda x, y, m, n, c: torch.cat(
        [*m.unbind(1), *n.split(2)[0], m.split([1, 2])[1][0], m.diagonal(), m.narrow(0, 1, 1)[0]]
    ),
    "moves": lambda x, y, m, n, c: (
        m.flip(0) + n.roll(1, 1) + m.tril() + n.triu() + m.permute(1, 0) + x[:3].diag_embed()
        + m.movedim(0, 1) + torch.zeros_like(m) + m.clone().contiguous()
    ),
    "select": lambda x, y, m, n, c: m[1] + m[:, 2] + m.index_select(0, torch.tensor([2]))[0],
    "repeat": lambda x, y, m, n, c: x.repeat(2, 1) + torch.stack([y, x]) + x[[3, 2, 1, 0]],
    "pad": lambda x, y, m, n, c: torch.nn.functional.pad(x, (1, 2), value=1.0),
    "pad with zero": lambda x, y, m, n, c: torch.nn.functional.pad(m, (1, 0, 0, 1)),
    "strides": lambda x, y, m, n, c: (1.0 * m).as_strided((2, 2), (3, 1), 1),
    "gather": lambda x, y, m, n, c: m.gather(1, torch.tensor([[0], [2], [1]])),
    "table": lambda x, y, m, n, c: y.gather(0, (4.0 * x.abs()).to(torch.int64)) * x,
    "put": lambda x, y, m, n, c: put(x, y),
    "put in place": lambda x, y, m, n, c: put_in_place(x, y),
    "in place": lambda x, y, m, n, c: in_place(x, y),
    "bent": lambda x, y, m, n, c: bent(x),
    "copies": lambda x, y, m, n, c: torch.view_copy(m, (9,))[:4] * aten.expand_copy(c, (4,)),
    "backwards": lambda x, y, m, n, c: (
        aten.slice_backward(x[:2], [4], 0, 1, 3, 1)
        + aten.select_backward(c, [4], 0, 2)
        + aten.diagonal_backward(x[:3], [3, 3], 0, 0, 1).sum() * y
    ),
    "shared shape": lambda x, y, m, n, c: torch.stack(torch.broadcast_tensors(c, x))[:, 0] * y[:2],
    # Reductions.
    "sums": lambda x, y, m, n, c: (
        m.sum() + m.sum(0) + m.sum((0, 1)) + n.mean(1) + n.mean() + m.sum(-1, keepdim=True)[:, 0]
    ),
    "products": lambda x, y, m, n, c: x.prod() + m.prod(0) + n.prod(1, keepdim=True)[:, 0],
    "extremes": lambda x, y, m, n, c: m.amax(1) + n.amin((0,)) + m.amax() + n.amin(),
    "extremes with ties": lambda x, y, m, n, c: torch.stack([x, 1.0 * x, x + 0.0, y]).amax(0),
    "norms": lambda x, y, m, n, c: torch.linalg.vector_norm(m, dim=1) + m.norm() + x.norm(),
    "norm of nothing": lambda x, y, m, n, c: torch.linalg.vector_norm(x - x.detach()) + x,
    # Matrices.
    "products of matrices": lambda x, y, m, n, c: (
        m @ n + torch.stack([m, n]).bmm(torch.stack([n, m]))[1] + torch.outer(m @ x[:3], n[0])
        + x[:3].dot(y[:3])
    ),
    "einsum": lambda x, y, m, n, c: torch.einsum("ij,jk,k->i", m, n, x[:3]),
    "addmm": lambda x, y, m, n, c: torch.addmm(m, n, m, beta=0.5, alpha=2.0),
    "cross": lambda x, y, m, n, c: (
        torch.linalg.cross(m, n) + torch.linalg.cross(m, n, dim=0)
    ),
    "determinants": lambda x, y, m, n, c: (
        torch.linalg.det(torch.stack([m, n])).sum() + m[:2, :2].det() + m[:1, :1].det()
    ),
    "inverses": lambda x, y, m, n, c: torch.cat(
        [
            torch.linalg.inv(torch.stack([m, n])).flatten(),
            torch.linalg.inv(m[:2, :2]).flatten(),
            torch.linalg.inv(torch.block_diag(m, n[:1, :1])[[3, 1, 2, 0]] + 0.1).flatten(),
        ]
    ),
    "a large inverse": lambda x, y, m, n, c: torch.linalg.inv(BIG.flip(0) * c),
    "a large solve": lambda x, y, m, n, c: torch.linalg.solve(BIG, c * BIG[0]),
    "solves": lambda x, y, m, n, c: (
        torch.linalg.solve(m, n) + torch.linalg.solve(n, x[:3])
    ),
    "eigenvalues": lambda x, y, m, n, c: eigen(m) + eigen(n, "U"),
    "eigenvalues of a diagonal": lambda x, y, m, n, c: eigen(m - m.detach() + m.diagonal().diag()),
    # Derivatives that torch takes inside of a law.
    "reverse": lambda x, y, m, n, c: torch.func.grad(
        lambda z: (z.exp().sqrt() * z.tanh() + z.sigmoid() / (1.0 + z * z)).sum()
    )(x),
    "forward": lambda x, y, m, n, c: torch.func.jvp(
        lambda z: z.exp() * y + z**c + z.sum(), (y,), (x,)
    )[1],
    "jacobian": lambda x, y, m, n, c: torch.func.jacrev(lambda z: z[0] * z + z.norm())(x),
    "hessian": lambda x, y, m, n, c: torch.func.hessian(
        lambda z: (m @ z).exp().sum() * z[0]
    )(x[:3]),
}  # fmt: skip


@contextmanager
def counted(hits: set[Any]) -> Iterator[None]:
    """Record which rules are asked for."""

    class Table(dict):
        def get(self, key: Any, default: Any = None) -> Any:
            if key in self:
                hits.add(key)
            return super().get(key, default)

    kept, trace_module.RULES = trace_module.RULES, Table(trace_module.RULES)
    try:
        yield
    finally:
        trace_module.RULES = kept


def whole(case: Case) -> Callable[[Raw], Raw]:
    return lambda v: {"out": case(v["x"], v["y"], v["m"], v["n"], v["c"])}


def program_of(
    functions: dict[str, Case], dtype: torch.dtype = torch.float64, hits: set[Any] | None = None
) -> Program:
    def function(v: Raw) -> Raw:
        return {k: f(v["x"], v["y"], v["m"], v["n"], v["c"]) for k, f in functions.items()}

    shapes = {n: tuple(v.shape) for n, v in POINT.items()}
    with counted(hits if hits is not None else set()):
        return traced("operations", function, shapes, dtype)


@pytest.mark.parametrize("name", sorted(CASES))
def test_values_and_derivatives_are_those_of_torch(name: str) -> None:
    program = program_of({"out": CASES[name]})
    mine, slopes = by_casadi(program, POINT)
    theirs, jacobian = whole(CASES[name])(POINT), torch.func.jacrev(whole(CASES[name]))(POINT)
    assert difference(mine["out"], theirs["out"]) <= 1e-12
    for n, expected in jacobian["out"].items():
        here = torch.isfinite(expected)
        size = 1e-3 * float(theirs["out"].abs().nan_to_num(0.0, 0.0).max())
        assert difference(slopes["out"][n][here], expected[here], size) <= 1e-11, n


# Taken apart by torch before the tracer sees them, in this version of it at least; those that
# show a number to Python are among REFUSED.
COMPOSITE = ["_efficientzerotensor", "_linalg_check_errors", "broadcast_tensors", "contiguous"]
COMPOSITE += ["flatten", "is_nonzero", "item", "lift_fresh", "lift_fresh_copy", "movedim"]
COMPOSITE += ["narrow", "new_empty", "reshape", "square", "sym_size", "to"]
REFUSED: dict[str, tuple[Case, str]] = {
    "a number": (lambda x, y, m, n, c: x * float(c), "_local_scalar_dense"),
    "a branch": (lambda x, y, m, n, c: x if bool(c > 0.0) else y, "_local_scalar_dense"),
    "a comparison": (lambda x, y, m, n, c: x if torch.equal(x, y) else y, "aten.equal"),
    "a computed mask": (lambda x, y, m, n, c: x[x > 0.0], "aten.index"),
    "a computed place": (
        lambda x, y, m, n, c: x.index_put(((4.0 * c / 2.0).long().reshape(1),), c), "aten.index_put"
    ),
    "a sorted order": (lambda x, y, m, n, c: x.sort()[0], "aten.sort"),
    "the sum norm": (lambda x, y, m, n, c: torch.linalg.vector_norm(x, 1), "vector_norm"),
    "a large inverse": (lambda x, y, m, n, c: torch.linalg.inv(torch.eye(13) * c), "13 x 13"),
    "a large determinant": (lambda x, y, m, n, c: torch.linalg.det(torch.eye(4) * c), "4 x 4"),
    "x A = b": (lambda x, y, m, n, c: torch.linalg.solve(m, n, left=False), "only A x = b"),
    "a view that is written": (lambda x, y, m, n, c: (1.0 * m)[0].add_(c), "part of another"),
    "a part that is written": (lambda x, y, m, n, c: written(torch.zeros(4), c), "part of another"),
    "bits": (lambda x, y, m, n, c: (4.0 * x).long() & 1, "bits of integers"),
    "strides of a part": (lambda x, y, m, n, c: m[1:].as_strided((2,), (1,)), "memory of"),
    "chance": (lambda x, y, m, n, c: x + torch.rand(4), "is random"),
    "a long table": (
        lambda x, y, m, n, c: torch.zeros(1001).gather(0, (4.0 * x).long()), "1000 is the most"
    ),
}  # fmt: skip


def written(out: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    out[1] = c
    return out


def test_every_rule_is_put_to_use() -> None:
    hits: set[Any] = set()
    for case in CASES.values():
        program_of({"out": case}, hits=hits)
    for case, _ in REFUSED.values():
        with pytest.raises(Untraceable):
            program_of({"out": case}, hits=hits)
    composite = {f"aten.{name}" for name in COMPOSITE} | {"prims.add", "prims.mul"}
    left = {str(r) for r in RULES if r not in hits}
    assert left <= composite, left - composite


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_has_no_expression_is_named_with_its_line(name: str) -> None:
    case, what = REFUSED[name]
    with pytest.raises(Untraceable) as caught:
        program_of({"out": case})
    assert what in str(caught.value) and "in test_operations.py:" in str(caught.value)


def test_zero_times_an_expression_is_zero() -> None:
    """Other than in torch also where the expression is infinite or no number."""
    mine, _ = by_casadi(program_of({"out": lambda x, y, m, n, c: 0.0 * (x / (c - c)) + y}), POINT)
    assert torch.equal(mine["out"], POINT["y"])


# -- as compiled code -----------------------------------------------------------------------
N = 9  # one more than the lanes of a processor
# Long, and without an operation that the others lack.
LONG = {"inverses", "solves", "hessian", "eigenvalues", "eigenvalues of a diagonal"}
SHORT = {n: c for n, c in CASES.items() if n not in LONG and "large" not in n}


def run(dtype: torch.dtype) -> tuple[Raw, dict[str, Raw]]:
    """Values and derivatives of all short cases at N points, of which all are alike."""
    program = program_of(SHORT, dtype)
    names, wrt = tuple(SHORT), tuple(POINT)
    kernel = Kernel("operations", generate(program, Request("update", names, wrt, names)), dtype)
    arguments = {n: v.to(dtype).repeat(N, *(1,) * v.ndim) for n, v in POINT.items()}
    found = kernel(N, arguments, like=arguments["x"]).arrays
    return found, {n: {x: found[f"{n}/{x}"] for x in wrt} for n in names}


def check(found: tuple[Raw, dict[str, Raw]], tolerance: float) -> None:
    for name, case in SHORT.items():
        theirs = whole(case)(POINT)["out"]
        jacobian = torch.func.jacrev(whole(case))(POINT)["out"]
        size = 1e-3 * float(theirs.abs().nan_to_num(0.0, 0.0).max())
        assert difference(found[0][name].double(), theirs.expand(N, *theirs.shape)) <= tolerance
        for x, slope in jacobian.items():
            here = torch.isfinite(slope)
            mine = found[1][name][x].double()
            for k in (0, N - 1):
                error = difference(mine[k][here], slope[here], size)
                assert error <= tolerance, f"{name} by {x}: {error:.1e}"


@pytest.mark.parametrize("flags", ["", "-DNEML2FE_SCALAR"])
def test_compiled_operations(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEML2FE_CXXFLAGS", flags)
    check(run(torch.float64), 1e-11)


@pytest.mark.parametrize("flags", ["", pytest.param("-DNEML2FE_SCALAR", marks=pytest.mark.slow)])
def test_compiled_operations_in_single_precision(
    flags: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEML2FE_CXXFLAGS", flags)
    check(run(torch.float32), 1e-4)


@pytest.mark.parametrize("name", sorted(LONG))
def test_compiled_matrices(name: str) -> None:
    mine, slopes = by_kernel(program_of({"out": CASES[name]}), POINT)
    jacobian = torch.func.jacrev(whole(CASES[name]))(POINT)["out"]
    assert difference(mine["out"], whole(CASES[name])(POINT)["out"]) <= 1e-11
    for x, slope in jacobian.items():
        here = torch.isfinite(slope)
        assert difference(slopes["out"][x][here], slope[here], 1e-3) <= 1e-11, x
