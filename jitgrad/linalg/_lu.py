"""The LU factorisation with exchanges of rows, and what uses it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor
from ..autograd import Function
from ..functions import arange, eye, tril, triu
from ..functions._pairs import shown_as
from ._checks import by_numpy, matrices
from ._triangular import solve_triangular


class LU(NamedTuple):
    """A permutation matrix, a lower triangular one with ones on the diagonal, and an upper triangular one."""

    P: Tensor
    L: Tensor
    U: Tensor

    __repr__ = shown_as("linalg_lu")


class LUFactor(NamedTuple):
    """Both triangles in one matrix, and the row, from 1, that each row was exchanged with."""

    LU: Tensor
    pivots: Tensor

    __repr__ = shown_as("linalg_lu_factor")


def _eliminated(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian elimination, a column at a time for the whole batch (Golub and Van Loan, algorithm 3.4.1)."""
    rows, columns = a.shape[-2:]
    flat = np.array(a, order="C").reshape(-1, rows, columns)
    batch, count = np.arange(len(flat)), min(rows, columns)
    pivots = np.empty((len(flat), count), np.int32)
    for k in range(count):
        largest = k + np.abs(flat[:, k:, k]).argmax(1)
        pivots[:, k] = largest + 1
        swapped = flat[batch, largest].copy()
        flat[batch, largest] = flat[:, k]
        flat[:, k] = swapped
        pivot = flat[:, k, k, None]
        flat[:, k + 1 :, k] /= np.where(pivot == 0, 1, pivot)
        flat[:, k + 1 :, k + 1 :] -= flat[:, k + 1 :, k, None] * flat[:, k, None, k + 1 :]
    return flat.reshape(a.shape), pivots.reshape(*a.shape[:-2], count)


def _order(pivots: np.ndarray, rows: int) -> np.ndarray:
    """Which row of the matrix is each row of the product of the triangles."""
    flat = pivots.reshape(-1, pivots.shape[-1])
    batch, order = np.arange(len(flat)), np.tile(np.arange(rows), (len(flat), 1))
    for k in range(flat.shape[1]):
        other = flat[:, k] - 1
        order[batch, k], order[batch, other] = order[batch, other], order[batch, k].copy()
    return order.reshape(*pivots.shape[:-1], rows)


def _permutation(pivots: Tensor, rows: int, kind: Any) -> Tensor:
    """P with ``A = P L U``."""
    order = by_numpy("lu", lambda x: _order(x, rows), pivots)
    return (order.unsqueeze(-1) == arange(rows)).to(kind).mT


def _triangles(packed: Any) -> tuple[Any, Any]:
    rows, columns = packed.shape[-2:]
    least = min(rows, columns)
    lower = tril(packed[..., :least], -1) + eye(rows, least, dtype=packed.dtype)
    return lower, triu(packed[..., :least, :])


class _Packed(Function):
    """The gradient of square matrices: ``P L'^-1 (low(L' G_L) + up(G_U U')) U'^-1``."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor]:
        packed, pivots = by_numpy("lu_factor", _eliminated, a)
        ctx.save_for_backward(packed, pivots)
        ctx.mark_non_differentiable(pivots)
        return packed, pivots

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        from ._inverses import inv

        packed, pivots = ctx.saved_tensors
        rows, columns = packed.shape[-2:]
        if rows != columns:
            raise RuntimeError(f"linalg.lu: the gradient needs square matrices, got {rows} by {columns}")
        lower, upper = _triangles(packed)
        g = cotangents[0]
        inner = tril(lower.mT @ tril(g, -1), -1) + triu(triu(g) @ upper.mT)
        return _permutation(pivots, rows, packed.dtype) @ inv(lower).mT @ inner @ inv(upper).mT


def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:
    """The triangles of ``A = P L U`` in one matrix, and the exchanges of rows; see `lu`."""
    _check("lu_factor", A, pivot)
    return LUFactor(*_Packed.apply(A))


def lu(A: Tensor, *, pivot: bool = True) -> LU:
    """The factors of ``A = P L U``, the diagonal of L being ones.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
        The gradient is that of square matrices.
    pivot : bool, default True
        Must be True.

    Raises
    ------
    RuntimeError
        If the matrices are not floating, or ``pivot`` is False, which no CPU library has.
    """
    _check("lu", A, pivot)
    packed, pivots = _Packed.apply(A)
    return LU(_permutation(pivots, A.shape[-2], A.dtype), *_triangles(packed))


def _check(name: str, A: Tensor, pivot: bool) -> None:
    matrices(name, A)
    if not pivot:
        raise RuntimeError(
            f"linalg.{name}: LU without pivoting is not implemented on the CPU; leave pivot=True"
        )


def lu_solve(LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """The solution X of ``A X = B`` with the factors of `lu_factor`.

    Parameters
    ----------
    LU : Tensor, shape (..., n, n)
    pivots : Tensor of int32, shape (..., n)
    B : Tensor, shape (..., n, k)
    left : bool, default True
        With False the solution of ``X A = B``.
    adjoint : bool, default False
        Whether A is transposed.

    Raises
    ------
    RuntimeError
        If a matrix is not floating, or LU not square.
    """
    matrices("lu_solve", LU, square=True)
    matrices("lu_solve", B)
    if not left:
        return lu_solve(LU, pivots, B.mT, adjoint=not adjoint).mT
    rows = LU.shape[-1]
    permutation, (lower, upper) = _permutation(pivots, rows, LU.dtype), _triangles(LU)
    if adjoint:
        found = solve_triangular(upper.mT, B, upper=False)
        return permutation @ solve_triangular(lower.mT, found, upper=True)
    found = solve_triangular(lower, permutation.mT @ B, upper=False)
    return solve_triangular(upper, found, upper=True)
