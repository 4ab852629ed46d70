"""What a deck's expressions may reach: operators, functions and attributes, by name.

All of them are numeric. Nothing here opens files, imports, or gives access to Python's inside.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from neml2fe.input.limits import MAX_STEPS
from neml2fe.input.vocabulary import NUMPY

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

SPOKEN = {
    "AugAssign": "an augmented assignment (x += y)",
    "AnnAssign": "an annotated assignment",
    "Await": "await",
    "ClassDef": "a class definition",
    "Dict": "a dictionary",
    "DictComp": "a dictionary comprehension",
    "For": "a loop",
    "FunctionDef": "a function definition",
    "GeneratorExp": "a generator (write a list comprehension)",
    "Import": "import",
    "ImportFrom": "import",
    "In": "'in'",
    "Is": "'is'",
    "IsNot": "'is not'",
    "JoinedStr": "an f-string",
    "Lambda": "lambda",
    "LShift": "a bit shift",
    "NamedExpr": "':='",
    "NotIn": "'not in'",
    "RShift": "a bit shift",
    "Set": "a set",
    "SetComp": "a set comprehension",
    "While": "a loop",
    "With": "a with statement",
    "Yield": "yield",
    "YieldFrom": "yield",
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions of torch that are methods of a tensor under the same name as well.
_SHARED = _words("""
    abs absolute acos acosh add addmm all amax amin angle any argmax argmin argsort asin
    asinh atan atan2 atanh baddbmm bmm broadcast_to ceil clamp clamp_max clamp_min
    clip clone conj copysign cos cosh count_nonzero cross cummax cummin cumprod cumsum deg2rad
    det diag diag_embed diagonal diff digamma div divide dot eq erf erfc erfinv exp exp2
    expm1 fix flatten flip fliplr flipud float_power floor floor_divide fmax fmin fmod frac
    gather ge gt heaviside hypot index_select inner inverse isclose isfinite isinf isnan kron le
    lerp lgamma log log10 log1p log2 logaddexp logcumsumexp logdet logical_and logical_not
    logical_or logical_xor logsumexp lt matmul matrix_exp matrix_power max maximum
    mean median min minimum mm moveaxis movedim mul multiply mv nan_to_num nanmean nansum narrow
    ne neg negative nonzero norm numel outer permute pinverse pow prod quantile rad2deg ravel
    reciprocal relu remainder repeat_interleave reshape roll rot90 round rsqrt select sigmoid
    sign sin sinc sinh slogdet softmax sort sqrt square squeeze std sub subtract sum swapaxes t
    take take_along_dim tan tanh tile topk trace transpose tril triu true_divide trunc unflatten
    unique unsqueeze var vdot where xlogy
""")
_TORCH = _SHARED | _words("""
    arange as_tensor atleast_1d atleast_2d atleast_3d block_diag broadcast_tensors bucketize
    cartesian_prod cat cdist column_stack complex concat concatenate cumulative_trapezoid dstack
    einsum eye full full_like hstack linspace logspace meshgrid ones ones_like polar rand
    rand_like randint randn randn_like randperm searchsorted stack tensor tensordot trapezoid trapz
    tril_indices triu_indices vander vstack zeros zeros_like
    bool complex128 complex64 double e float float32 float64 inf int int32 int64 long nan pi
""")
_LINALG = _words("""
    cond cross det diagonal eigh eigvalsh inv lstsq matmul matrix_exp matrix_norm matrix_power
    matrix_rank multi_dot norm pinv qr slogdet solve svd svdvals vecdot vector_norm
""")
_MATH = _words("""
    acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh degrees dist e erf erfc exp
    expm1 fabs floor fmod fsum gamma gcd hypot inf isclose isfinite isinf isnan lgamma log log10
    log1p log2 nan pi pow radians remainder sin sinh sqrt tan tanh tau trunc
""")
TENSOR = _SHARED | _words("""
    T bool contiguous data detach device dim double dtype expand expand_as float int item long mT
    ndim repeat reshape_as shape size sum_to_size to type_as view view_as
""")
# Of neml2fe's typed tensors: attributes, and constructors of the classes.
TYPED = _words("""
    T batch batch_shape data detach device dtype dynamic_batch inverse shadow shape sub_batch
    sub_batch_ndim sub_batch_shape to to_quaternion to_r2 with_sub_batch_ndim
""")
VIEW = _words("expand expand_at flatten ndim retag shape squeeze unsqueeze")
CONSTRUCTORS = _words("""
    empty fill from_axis_angle from_axis_angle_standard from_euler_angles from_matrix
    from_quaternion from_r2 full identity identity_C1 identity_C2 identity_C3 identity_dev
    identity_sym identity_vol isotropic linspace logspace ones rand rotation_from_to zeros
    zeros_like arange
""")


class Library:
    """A module of which only the `allowed` names can be reached, `own` ones before its own."""

    def __init__(self, module: ModuleType, allowed: frozenset[str], **own: object) -> None:
        self.module, self.allowed, self.own = module, allowed, own


def _manual_seed(seed: int) -> None:
    torch.manual_seed(seed)  # its generator stays here


LIBRARIES = {
    "torch": Library(
        torch,
        _TORCH,
        linalg=Library(torch.linalg, _LINALG),
        manual_seed=_manual_seed,
        from_numpy=NUMPY["asarray"],
    ),
    "np": Library(torch, _SHARED | _words("arange eye full ones pi inf nan"), **NUMPY),
    "math": Library(math, _MATH),
}


def _range(*bounds: int) -> range:
    values = range(*bounds)
    if len(values) > MAX_STEPS:
        raise ValueError(f"a range of more than {MAX_STEPS} items")
    return values


def _round(value: float, digits: int | None = None) -> float:
    # Python's round of an integer to -10**9 digits would build 10**(10**9).
    return round(value) if digits is None else round(float(value), digits)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "bool": bool,
    "enumerate": lambda values: list(enumerate(values)),
    "float": float,
    "int": int,
    "len": len,
    "list": list,
    "max": max,
    "min": min,
    "range": _range,
    "round": _round,
    "sorted": sorted,
    "sum": lambda values: sum(values),  # no start value: it would join lists
    "tuple": tuple,
    "zip": lambda *values: list(zip(*values, strict=False)),
}

ITERATING = {*FUNCTIONS.values()} - {len, abs, bool, float, int}
