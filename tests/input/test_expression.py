"""Deck expressions: right values, float64, and nothing reachable but numbers and tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neml2fe.errors import InputError, ModelError
from neml2fe.input import allowlist, limits
from neml2fe.input.expression import evaluate
from neml2fe.types import SR2, TENSOR_TYPES, Scalar, dev

NAMES: dict[str, object] = {
    **TENSOR_TYPES,
    "dev": dev,
    "rates": Scalar(torch.tensor([1e-4, 1e-2], dtype=torch.float64)),
    "x": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
    "load-path": Scalar(torch.tensor(2.0, dtype=torch.float64)),
}


# -- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "shape"),
    [
        (
            "Scalar(torch.linspace(0.0, 2.0, 11, dtype=torch.float64).unsqueeze(-1).expand(11, 3))",
            (11, 3),
        ),
        (
            "Scalar(torch.linspace(0.0, 1.0, 5).unsqueeze(-1) * 0.02 / rates.data.unsqueeze(0))",
            (5, 2),
        ),
        (
            "SR2(torch.cat([torch.linspace(0.0, 1.0, 3), torch.linspace(0.5, -1.0, 4)])"
            ".reshape(7, 1, 1) * torch.tensor([[0.01, -0.005, -0.005, 0.0, 0.0, 0.0],"
            " [0.0, 0.0, 0.0, 0.0, 0.0, 0.02]]).unsqueeze(0))",
            (7, 2, 6),
        ),
        (
            "SR2(torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0, 1.0]).expand(4, 2, 6).contiguous())",
            (4, 2, 6),
        ),
        ("SR2.fill(0.1, -0.05, -0.05, 0.0, 0.0, 0.0)", (6,)),
        ("dev(SR2.fill(0.1, 0.0, 0.0, 0.0, 0.0, 0.0))", (6,)),
        ("Scalar.logspace(-4.0, -1.0, 4)", (4,)),
        ("SR2.zeros(3)", (3, 6)),
    ],
)
def test_driver_histories_are_typed_float64_tensors(expr: str, shape: tuple[int, ...]) -> None:
    value: Any = evaluate(expr, NAMES)
    torch.set_default_dtype(torch.float64)
    try:
        plain = eval(expr, {**NAMES, "torch": torch})
    finally:
        torch.set_default_dtype(torch.float32)
    assert type(value) is type(plain)
    assert value.data.shape == shape
    assert value.data.dtype == torch.float64
    assert torch.equal(value.data, plain.data)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("1 + 2 * 3 - 4 / 8", 6.5),
        ("-(2 ** 3) % 5 // 2", 1),
        ("1 < 2 <= 2 and not 3 == 4 or False", True),
        ("'a' if 2 > 1 else 'b'", "a"),
        ("[i * j for i in range(3) if i for j in (10, 20)]", [10, 20, 20, 40]),
        ("[a + b for a, b in zip([1, 2], [3, 4])]", [4, 6]),
        ("(1, *[2, 3])[1:]", (2, 3)),
        ("math.sqrt(2.0) * math.pi", math.sqrt(2.0) * math.pi),
        ("max(*[3, 1], 2) + len([1, 2]) + sum([1.5, 2.5])", 9.0),
        ("[0.0] * 2 + [1.0]", [0.0, 0.0, 1.0]),
        ("round(3.14159, 2)", 3.14),
        ("torch.ones(3).sum().item()", 3.0),
        ("x[x > 1.5].sum().item()", 5.0),
        ("x.shape[0]", 3),
        ("torch.meshgrid(x, x, indexing='ij')[0].shape[1]", 3),
        ("torch.einsum('i,i->', x, x).item()", 14.0),
        ("torch.linalg.norm(x).item() ** 2", pytest.approx(14.0)),
        ("tensor('load-path').data.item()", 2.0),
        ("1 +\n 2", 3),
        ("\n  a, (b, c) = 1, [2, 3]\n  result = a + b * c\n", 7),
        ("a = 1; result = a", 1),
    ],
)
def test_values(expr: str, expected: object) -> None:
    assert evaluate(expr, NAMES) == expected


def test_float64_holds_inside_only() -> None:
    assert torch.get_default_dtype() == torch.float32
    assert evaluate("torch.tensor([1.0])", {}).dtype == torch.float64  # type: ignore[attr-defined]
    assert evaluate("torch.linspace(0., 1., 5)", {}).dtype == torch.float64  # type: ignore[attr-defined]
    assert evaluate("torch.ones(2, dtype=torch.float32)", {}).dtype == torch.float32  # type: ignore[attr-defined]
    with pytest.raises(InputError):
        evaluate("torch.ones(2).reshape(3)", {})
    assert torch.get_default_dtype() == torch.float32


def test_seed_stays_inside() -> None:
    before = torch.get_rng_state()
    block = "torch.manual_seed(7)\nresult = torch.rand(4)"
    assert torch.equal(evaluate(block, {}), evaluate(block, {}))  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)


def test_entries_are_built_only_when_used() -> None:
    built: list[str] = []

    class Lazy(Mapping[str, object]):
        def __getitem__(self, name: str) -> object:
            built.append(name)
            return evaluate("torch.ones(2)", {})

        def __contains__(self, name: object) -> bool:
            return name in ("a", "b")

        def __iter__(self) -> Iterator[str]:
            return iter(("a", "b"))

        def __len__(self) -> int:
            return 2

    assert evaluate("a + 1.0", Lazy()).tolist() == [2.0, 2.0]  # type: ignore[attr-defined]
    assert built == ["a"]


def test_gradients_flow_through_an_expression() -> None:
    p = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    value = evaluate("(p * torch.ones(2)).sum() ** 2", {"p": p})
    value.backward()  # type: ignore[attr-defined]
    assert p.grad.item() == 24.0  # type: ignore[union-attr]


# -- properties -----------------------------------------------------------------------------

numbers = st.one_of(
    st.integers(-20, 20).map(str),
    st.floats(-10, 10, allow_nan=False).map(repr),
    st.sampled_from(["a", "b", "True"]),
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.builds(
            lambda p, o: f"({p[0]} {o} {p[1]})",
            pair,
            st.sampled_from(
                ["+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=", "and", "or"]
            ),
        ),
        st.builds(lambda v, n: f"({v}) ** {n}", inner, st.integers(0, 3)),
        st.builds(lambda v, o: f"({o} {v})", inner, st.sampled_from(["-", "+", "not"])),
        st.builds(lambda p, c: f"({p[0]} if {c} else {p[1]})", pair, inner),
        st.builds(lambda p: f"[{p[0]}, {p[1]}][{p[0]} > 0]", pair),
        st.builds(lambda v: f"sum([k * {v} for k in range(3)])", inner),
        st.builds(lambda p: f"max({p[0]}, {p[1]})", pair),
        st.builds(lambda v: f"math.atan({v})", inner),
        st.builds(lambda v: f"abs({v})", inner),
    )


@given(st.recursive(numbers, _grow, max_leaves=12))
@settings(max_examples=300, deadline=None)
def test_arithmetic_is_that_of_python(expr: str) -> None:
    space = {"a": 3, "b": -0.75}
    try:
        expected = eval(expr, {"math": math, **space})
    except Exception:
        with pytest.raises(InputError):
            evaluate(expr, space)
        return
    try:
        value = evaluate(expr, space)
    except InputError as error:
        assert "integer" in str(error)  # beyond the bound on integers
        return
    assert type(value) is type(expected)
    assert value == expected or (value != value and expected != expected)


roots = st.sampled_from(
    ["torch", "torch.linalg", "math", "x", "x.data", "x.sum", "rates", "rates.data", "SR2",
     "SR2.fill", "dev", "[]", "()", "1", "1.5", "'a'", "None", "True", "len", "torch.float64",
     "x.shape", "tensor", "torch.ones(2)", "x[0]", "(lambda: 0)"]
)  # fmt: skip
dunders = st.sampled_from(
    ["__class__", "__dict__", "__globals__", "__builtins__", "__subclasses__", "__init__",
     "__self__", "__func__", "__code__", "__reduce__", "__loader__", "__bases__", "__mro__",
     "__getattribute__", "__call__", "__module__", "_data", "_C"]
)  # fmt: skip
plain = st.sampled_from(["data", "sum", "T", "shape", "reshape", "format", "numpy", "fill"])


@given(roots, st.lists(plain, max_size=2), dunders, st.lists(plain | dunders, max_size=2))
@settings(max_examples=200, deadline=None)
def test_private_attributes_are_refused(
    root: str, before: list[str], dunder: str, after: list[str]
) -> None:
    with pytest.raises(InputError):
        evaluate(".".join([root, *before, dunder, *after]), NAMES)


ATTACKS = [
    "open('/etc/passwd')",
    "__import__('os').system('true')",
    "import os",
    "from os import system",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "getattr(x, 'data')",
    "setattr(x, 'data', 1)",
    "globals()",
    "locals()",
    "vars(x)",
    "input()",
    "breakpoint()",
    "print(x)",
    "type(x)",
    "object",
    "help(x)",
    "lambda: 0",
    "(lambda f: f)(1)",
    "().__class__.__bases__[0].__subclasses__()",
    "x.__class__",
    "SR2.__init__",
    "SR2.__init__.__globals__",
    "SR2.mro()",
    "'{0.__class__}'.format(x)",
    "'%s' % x",
    "f'{x}'",
    "'a' + 'b'",
    "'a' * 10",
    "'abc'.upper()",
    "b'abc'",
    "torch.load('f.pt')",
    "torch.save(x, 'f.pt')",
    "torch.hub.load('a', 'b')",
    "torch.ops.aten.add(x, x)",
    "torch.classes.load_library('a')",
    "torch.jit.load('a')",
    "torch.utils",
    "torch.os",
    "torch.sys",
    "torch.serialization",
    "torch.from_file('f', size=2)",
    "torch.Tensor",
    "torch.empty(10)",
    "torch.set_default_dtype(torch.float32)",
    "torch.linalg.torch",
    "math.__loader__",
    "np.load('f')",
    "numpy",
    "os",
    "x.numpy().tofile('f')",
    "x.numpy",
    "x.tolist()",
    "x.storage()",
    "x.untyped_storage()",
    "x.data_ptr()",
    "x.share_memory_()",
    "x.add_(1)",
    "x.zero_()",
    "x.set_(x)",
    "x.copy_(x)",
    "x.backward()",
    "x.register_hook(len)",
    "x.apply_(len)",
    "x.map_(x, len)",
    "x.requires_grad_()",
    "x.grad_fn",
    "torch.add(x, x, out=x)",
    "torch.ones(**{'size': 3})",
    "x.data = 1\nresult = x",
    "del x\nresult = 1",
    "global x\nresult = 1",
    "def f(): pass\nresult = f",
    "class A: pass\nresult = A",
    "for i in [1]: pass\nresult = 1",
    "while True: pass\nresult = 1",
    "with x: pass\nresult = 1",
    "try:\n  y = 1\nexcept: y = 2\nresult = y",
    "__builtins__ = 1\nresult = 1",
    "(y := 3)",
    "{1: 2}",
    "{1, 2}",
    "{i: i for i in [1]}",
    "{i for i in [1]}",
    "list(i for i in [1])",
    "[__import__ for i in [1]]",
    "await x",
    "yield x",
    "1 in [1]",
    "x is None",
    "int.from_bytes",
    "float.fromhex('1')",
    "rates.data.__dict__",
    "rates._data",
    "dev.__globals__",
    "dev.__code__",
    "tensor('nope')",
    "tensor.__closure__",
    "Scalar[1]",
    "'abc'[0]",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_attack_is_refused(attack: str) -> None:
    before = NAMES["x"].clone()  # type: ignore[attr-defined]
    with pytest.raises(InputError) as caught:
        evaluate(attack, NAMES, "d.i:3: [Tensors/t] expr")
    assert str(caught.value).startswith("d.i:3: [Tensors/t] expr: ")
    assert torch.equal(NAMES["x"], before)  # type: ignore[arg-type]


EXHAUSTING = [
    "10**10**10",
    "2**(10**9)",
    "[0] * 10**9",
    "10**9 * [0]",
    "[0] * torch.tensor(10**9)",
    "(0,) * 10**9",
    "[[0] * 10**5 for i in range(10**5)]",
    "[i for i in range(10**6) for j in range(10**6)]",
    "list(range(10**12))",
    "range(10**12)",
    "[1 for i in torch.zeros(10**9, 0)]",
    "torch.ones(10**9)",
    "torch.ones(10**5, 10**5)",
    "torch.zeros((10**6, 10**6))",
    "torch.full((10**9,), 1.0)",
    "torch.linspace(0., 1., 10**10)",
    "torch.arange(0.0, 1.0, 1e-12)",
    "torch.eye(10**6)",
    "torch.rand(10**10)",
    "torch.randperm(10**10)",
    "torch.ones(1).expand(10**10).contiguous()",
    "torch.ones(10**5).reshape(-1, 1) * torch.ones(10**5)",
    "torch.outer(torch.ones(10**5), torch.ones(10**5))",
    "torch.kron(torch.ones(10**5), torch.ones(10**5))",
    "torch.meshgrid(*[torch.ones(1000) for i in range(3)], indexing='ij')",
    "torch.cartesian_prod(torch.ones(10**5), torch.ones(10**5))",
    "torch.einsum('i,j->ij', torch.ones(10**5), torch.ones(10**5))",
    "torch.ones(10).repeat(10**9)",
    "torch.tile(torch.ones(10), (10**9,))",
    "torch.repeat_interleave(torch.ones(10), 10**9)",
    "torch.repeat_interleave(torch.ones(2), torch.tensor([10**10, 10**10]))",
    "torch.ones(10**5)[torch.zeros(10**9 // 2, 1, dtype=torch.int64)]",
    "torch.cat([torch.ones(1).expand(10**7)] * 50)",
    "torch.tensor([[0.0] * 10**4] * 10**4)",
    "Scalar(torch.ones(10**9))",
    "SR2.zeros(10**9)",
    "SR2.full(1.0, 10**9)",
    "torch.ones(10**5).reshape([1] * 60 + [-1]).expand([1] * 59 + [2000, 10**5])",
    "a = [1]\n" + "\n".join("a = [a, a]" for _ in range(60)) + "\nresult = torch.tensor(a)",
    "a = 3\n" + "\n".join("a = a * a" for _ in range(60)) + "\nresult = a",
    "-" * 50_000 + "1",
    "1" + "+1" * 50_000,
    "(" * 5_000 + "1" + ")" * 5_000,
    "[" * 150 + "]" * 150 + "[0]" * 500,
    "9" * 10_000,
    "1," * 200_000,
]


@pytest.mark.parametrize("expr", EXHAUSTING, ids=lambda e: e[:40])
@pytest.mark.timeout(60)
def test_work_and_memory_are_bounded(expr: str) -> None:
    with pytest.raises(InputError):
        evaluate(expr, NAMES)


def test_all_tensors_of_an_evaluation_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TOTAL_ELEMENTS", 10_000)
    assert evaluate("torch.ones(4000).sum().item()", {}) == 4000.0
    with pytest.raises(InputError, match="more than 10000 elements in all"):
        evaluate("[torch.ones(4000) * i for i in range(10)]", {})


def test_rounding_to_a_billion_digits_ends() -> None:
    assert evaluate("round(1, -10**9)", {}) == 0.0


def test_listed_names_exist() -> None:
    assert all(hasattr(torch, name) for name in allowlist._TORCH)
    assert all(hasattr(torch.linalg, name) for name in allowlist._LINALG)
    assert all(hasattr(math, name) for name in allowlist._MATH)
    assert all(hasattr(torch.Tensor, name) for name in allowlist.TENSOR)
    listed = allowlist._TORCH | allowlist.TENSOR | allowlist._LINALG
    assert not [name for name in listed if name.startswith("_") or name.endswith("_")]


# -- messages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("1 + torch.load('x')", "'load' of torch is not open to decks, in 'torch.load' (column 5); "
                                "pass --trust"),
        ("torch.linspce(0., 1., 3)", "did you mean 'linspace'?"),
        ("ratse.data", "unknown name 'ratse', in 'ratse' (column 1); did you mean 'rates'?"),
        ("torch.ones(4).reshape(3)", "shape '[3]' is invalid for input of size 4"),
        ("a = 1\nresult = b", "(line 2, column 10)"),
        ("a = 1\nb = 2", "must put its value in 'result'"),
        ("a, b = [1, 2, 3]\nresult = a", "3 values for 2 names"),
        ("1 +", "not a Python expression"),
        ("x[", "'[' was never closed"),
        ("  ", "the expression is empty"),
        ("tensor('rate')", "no tensor 'rate'; did you mean 'rates'?"),
        ("1 / 0", "division by zero, in '1 / 0'"),
        ("x(1)", "'Tensor' cannot be called"),
    ],
)  # fmt: skip
def test_messages_say_what_where_and_what_next(expr: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluate(expr, NAMES, "d.i:3: [Tensors/t] expr")
    assert said in str(caught.value)
    assert str(caught.value).count("d.i:3") == 1


def test_errors_of_types_and_entries_keep_their_place() -> None:
    def wrong() -> None:
        raise ModelError("a wrong shape")

    with pytest.raises(InputError, match=r"^d.i:3: a wrong shape, in 'wrong\(\)'"):
        evaluate("wrong()", {"wrong": wrong}, "d.i:3")

    def elsewhere() -> None:
        raise InputError("no such column", "d.i:9")

    with pytest.raises(InputError, match=r"^d.i:9: no such column$"):
        evaluate("elsewhere()", {"elsewhere": elsewhere}, "d.i:3")


# -- trust ----------------------------------------------------------------------------------


def test_trust_is_plain_python() -> None:
    assert evaluate("(lambda a: a + len(rates.data.tolist()))(1)", NAMES, trust=True) == 3
    block = "import os\nresult = [os.sep for _ in range(2) if rates is not None]"
    assert len(evaluate(block, NAMES, trust=True)) == 2  # type: ignore[arg-type]
    value = evaluate("SR2(torch.tensor([1.0] * 6))", NAMES, trust=True)
    assert isinstance(value, SR2)
    assert value.data.dtype == torch.float64
    with pytest.raises(InputError, match=r"^d.i:3: ZeroDivisionError: division by zero"):
        evaluate("1 / 0", NAMES, "d.i:3", trust=True)
    with pytest.raises(InputError, match="'result'"):
        evaluate("a = 1\nb = 2", NAMES, trust=True)
