"""The LU factorisation with exchanges of rows, and what uses it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._tensor import Tensor, wrap
from ..autograd.formulas import permutation
from ..dtypes import int32
from ..functions import eye, tril, triu
from ..functions._arrays import run_arrays
from ..functions._dims import shape_of
from ..functions._pairs import shown_as
from ..kernels import BY_NAME
from ._checks import matrices
from ._triangular import solve_triangular

_LU = BY_NAME["lu_factor"]


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


def _triangles(packed: Any) -> tuple[Any, Any]:
    rows, columns = shape_of(packed)[-2:]
    least = min(rows, columns)
    left = packed if columns == least else packed[..., :least]
    above = packed if rows == least else packed[..., :least, :]
    return tril(left, -1) + eye(rows, least, dtype=packed.dtype), triu(above)


def packed_factors(A: Tensor) -> LUFactor:
    """`lu_factor` of what has been looked at."""
    shape = shape_of(A)
    slots = run_arrays(_LU, (A,), [(A.dtype, shape), (int32, (*shape[:-2], min(shape[-2:])))], ())
    return LUFactor(wrap(slots[0]), wrap(slots[1]))


def lu_factor(A: Tensor, *, pivot: bool = True) -> LUFactor:
    """The triangles of ``A = P L U`` in one matrix, and the exchanges of rows; see `lu`."""
    _check("lu_factor", A, pivot)
    return packed_factors(A)


def lu(A: Tensor, *, pivot: bool = True) -> LU:
    """The factors of ``A = P L U``, the diagonal of L being ones.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    pivot : bool, default True
        Must be True.

    Raises
    ------
    RuntimeError
        If the matrices are not floating, or ``pivot`` is False, which no CPU library has.
    """
    _check("lu", A, pivot)
    packed, pivots = packed_factors(A)
    return LU(permutation(pivots, A.shape[-2], A.dtype), *_triangles(packed))


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
    exchanged = permutation(pivots, LU.shape[-1], LU.dtype)
    if adjoint:
        found = solve_triangular(LU.mT, B, upper=False)
        return exchanged @ solve_triangular(LU.mT, found, upper=True, unitriangular=True)
    found = solve_triangular(LU, exchanged.mT @ B, upper=False, unitriangular=True)
    return solve_triangular(LU, found, upper=True)
