r"""Block-bidiagonal matrices: the linear algebra of a chunk of m time steps.

With blocks A `(m, *batch, n, n)` on the diagonal and B `(m - 1, *batch, n, n)` below it,
$(J x)_k = A_k x_k + B_{k-1} x_{k-1}$. Divided by the diagonal, $c = A^{-1} v$ and
$G = A^{-1} B$, the system $J x = v$ is the recursion $x_k = c_k - G_{k-1} x_{k-1}$. The
transposed one is a recursion backwards with $G^T$, divided by $A^T$ at the end.

The factorisations differ in how they run the recursion only. A block that is singular or not
finite spoils the results of its own batch entry and of no other, and raises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from neml2fe.errors import InputError, ModelError

InverseOperator = Callable[[torch.Tensor, torch.Tensor], "BidiagonalFactorization"]
Factorization = TypeVar("Factorization", bound="BidiagonalFactorization")


class BidiagonalOperator:
    """Base: the blocks A and B, checked."""

    def __init__(self, A: torch.Tensor, B: torch.Tensor) -> None:
        n, m = A.shape[-1] if A.ndim else 0, len(A) if A.ndim else 0
        batch = A.shape[1:-2]
        if A.ndim < 3 or m == 0 or A.shape[-2] != n or B.shape != (m - 1, *batch, n, n):
            raise ModelError(
                "a bidiagonal matrix of m steps needs diagonal blocks (m, *batch, n, n) and "
                f"subdiagonal blocks (m - 1, *batch, n, n), not {tuple(A.shape)} and "
                f"{tuple(B.shape)}"
            )
        self.A, self.B = A, B
        self.n_steps, self.batch, self.n = m, batch, n

    def _flat(self, blocks: torch.Tensor) -> torch.Tensor:
        """Blocks as `(m, b, n, n)` or `(m - 1, b, n, n)`."""
        return blocks.reshape(len(blocks), math.prod(self.batch), self.n, self.n)

    def _columns(self, v: torch.Tensor, extra: int) -> torch.Tensor:
        """`v` `(m, *batch, n)`, or with one more dimension if `extra`, as `(m, b, n, k)`."""
        expected = (self.n_steps, *self.batch, self.n)
        if v.shape[: v.ndim - extra] != expected:
            wanted = ", ".join(map(str, expected)) + (", k" if extra else "")
            raise ModelError(
                f"expected a right-hand side of shape ({wanted}), not {tuple(v.shape)}"
            )
        return v.reshape(self.n_steps, math.prod(self.batch), self.n, v.shape[-1] if extra else 1)


class BidiagonalForwardOperator(BidiagonalOperator):
    """J itself. `inverse_operator` makes the factorisation that `inverse` returns."""

    def __init__(
        self,
        A: torch.Tensor,
        B: torch.Tensor,
        inverse_operator: InverseOperator | None = None,
    ) -> None:
        super().__init__(A, B)
        self.inverse_operator = inverse_operator or BidiagonalThomasFactorization

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """J v of v `(m, *batch, n)`."""
        self._columns(v, 0)
        out = _product(self.A, v)
        return torch.cat([out[:1], out[1:] + _product(self.B, v[:-1])])

    def vecmat(self, v: torch.Tensor) -> torch.Tensor:
        """J^T v of v `(m, *batch, n)`."""
        self._columns(v, 0)
        out = _product(self.A.mT, v)
        return torch.cat([out[:-1] + _product(self.B.mT, v[1:]), out[-1:]])

    def inverse(self) -> BidiagonalFactorization:
        """J^-1, for as many right-hand sides as are needed."""
        return self.inverse_operator(self.A, self.B)

    def to_dense(self) -> torch.Tensor:
        """J as `(*batch, m n, m n)`."""
        m, n = self.n_steps, self.n
        dense = self.A.new_zeros(*self.batch, m, n, m, n)
        for k in range(m):
            dense[..., k, :, k, :] = self.A[k]
            if k:
                dense[..., k, :, k - 1, :] = self.B[k - 1]
        return dense.reshape(*self.batch, m * n, m * n)


class BidiagonalFactorization(BidiagonalOperator):
    """J^-1: LU factors of the diagonal blocks, and the recursion. Differentiable."""

    def __init__(self, A: torch.Tensor, B: torch.Tensor) -> None:
        super().__init__(A, B)
        # Without checks, as these would raise for a single batch entry. Both now, not when they
        # are needed: this decides whether gradients are recorded.
        factors, pivots, _ = torch.linalg.lu_factor_ex(self._flat(A))
        self._factors: tuple[torch.Tensor, torch.Tensor] | None = (factors, pivots)
        self._propagation = torch.linalg.lu_solve(factors[1:], pivots[1:], self._flat(B))  # G

    @classmethod
    def reduced(cls: type[Factorization], G: torch.Tensor) -> Factorization:
        """For blocks G `(m - 1, *batch, n, n)` that are divided by the diagonal already: A = 1."""
        if G.ndim < 3:
            raise ModelError(
                f"expected divided blocks of shape (m - 1, *batch, n, n), not {tuple(G.shape)}"
            )
        one = torch.eye(G.shape[-1], dtype=G.dtype, device=G.device)
        self = cls.__new__(cls)
        BidiagonalOperator.__init__(self, one.expand(len(G) + 1, *G.shape[1:-2], *one.shape), G)
        self._factors, self._propagation = None, self._flat(G)
        return self

    def matvec(self, v: torch.Tensor) -> torch.Tensor:
        """The solution of J x = v, `(m, *batch, n)`."""
        return self._forwards(self._columns(v, 0)).reshape(v.shape)

    def vecmat(self, v: torch.Tensor) -> torch.Tensor:
        """The solution of J^T x = v, `(m, *batch, n)`."""
        return self._backwards(self._columns(v, 0)).reshape(v.shape)

    def matmat(self, V: torch.Tensor) -> torch.Tensor:
        """The solution of J X = V for k right-hand sides, `(m, *batch, n, k)`."""
        return self._forwards(self._columns(V, 1)).reshape(V.shape)

    def transposed_matmat(self, V: torch.Tensor) -> torch.Tensor:
        """The solution of J^T X = V for k right-hand sides, `(m, *batch, n, k)`."""
        return self._backwards(self._columns(V, 1)).reshape(V.shape)

    def _forwards(self, v: torch.Tensor) -> torch.Tensor:
        if self._factors is not None:
            v = torch.linalg.lu_solve(*self._factors, v)
        return self._recursion(self._propagation, v)

    def _backwards(self, v: torch.Tensor) -> torch.Tensor:
        w = self._transposed_recursion(self._propagation, v)
        if self._factors is not None:
            w = torch.linalg.lu_solve(*self._factors, w, adjoint=True)
        return w

    def _recursion(self, G: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """x_k = c_k - G_{k-1} x_{k-1} for c `(m, b, n, k)`."""
        raise NotImplementedError

    def _transposed_recursion(self, G: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """w_k = c_k - G_k^T w_{k+1}: the recursion of the steps in reversed order."""
        return self._recursion(G.mT.flip(0), c.flip(0)).flip(0)


class BidiagonalThomasFactorization(BidiagonalFactorization):
    """Step by step (Thomas' algorithm): the fewest operations, for many batch entries."""

    def _recursion(self, G: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return torch.stack(_in_sequence(G.unbind(), c.unbind()))

    def _transposed_recursion(self, G: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        # Lists of views are reversed for nothing, where `flip` would copy the blocks.
        w = _in_sequence(G.mT.unbind()[::-1], c.unbind()[::-1])
        return torch.stack(w[::-1])


class BidiagonalPCRFactorization(BidiagonalFactorization):
    r"""All steps at once, in about $\log_2 m$ levels, for few batch entries and many steps.

    A level eliminates every other step, which leaves a recursion half as long, and gets the
    eliminated ones from it (cyclic reduction; Hockney 1965). In contrast to a scan at distances
    1, 2, 4, ... over all steps, it needs m products of blocks in all, not m log2 m.
    """

    sequential = 1  # a recursion of so many steps is not halved any more

    def _recursion(self, G: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        m = len(c)
        if m <= self.sequential:
            return torch.stack(_in_sequence(G.unbind(), c.unbind()))
        into_odd, into_even = G[::2], G[1::2]
        # x_{k+1} = (c_{k+1} - G_k c_k) + G_k G_{k-1} x_{k-1} for odd k + 1.
        odd_c = _less(c[1::2], into_odd, c[: m - 1 : 2])
        odd_G = -_bmm(into_odd[1:], into_even[: len(into_odd) - 1])
        odd = self._recursion(odd_G, odd_c)
        even = torch.cat([c[:1], _less(c[2::2], into_even, odd[: len(into_even)])])
        paired = torch.stack([even[: len(odd)], odd], dim=1).flatten(0, 1)
        return torch.cat([paired, even[len(odd) :]])


class BidiagonalHybridFactorization:
    """Makes factorisations that halve the recursion while it has more than `min_size` steps and
    go on step by step: `BidiagonalPCRFactorization` for 1, Thomas' algorithm from m on.

    Called with (A, B), or `reduced` with divided blocks.
    """

    def __init__(self, min_size: int = 1) -> None:
        if min_size < 0:
            raise InputError(f"min_size must be at least 0, got {min_size}")
        self.min_size = max(min_size, 1)

    def __call__(self, A: torch.Tensor, B: torch.Tensor) -> BidiagonalPCRFactorization:
        return self._set(BidiagonalPCRFactorization(A, B))

    def reduced(self, G: torch.Tensor) -> BidiagonalPCRFactorization:
        """For blocks G `(m - 1, *batch, n, n)` that are divided by the diagonal already: A = 1."""
        return self._set(BidiagonalPCRFactorization.reduced(G))

    def _set(self, made: BidiagonalPCRFactorization) -> BidiagonalPCRFactorization:
        made.sequential = self.min_size
        return made


def _in_sequence(G: Sequence[torch.Tensor], c: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    x = [c[0]]
    for block, right in zip(G, c[1:], strict=True):
        x.append(torch.baddbmm(right, block, x[-1], alpha=-1))
    return x


def _less(c: torch.Tensor, G: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """c - G x, step by step, of `(m, b, n, k)`."""
    shape = c.shape
    flat = torch.baddbmm(c.flatten(0, 1), G.flatten(0, 1), x.flatten(0, 1), alpha=-1)
    return flat.reshape(shape)


def _bmm(G: torch.Tensor, H: torch.Tensor) -> torch.Tensor:
    return torch.bmm(G.flatten(0, 1), H.flatten(0, 1)).reshape(G.shape)


def _product(blocks: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (blocks @ v.unsqueeze(-1)).squeeze(-1)
