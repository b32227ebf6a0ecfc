"""Inverses, solutions and LU factors that report where there is none instead of raising."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor
from ..functions import eye, from_numpy, where
from ..functions._pairs import shown_as
from ._checks import matrices, raise_info
from ._inverses import inv, solve
from ._lu import lu_factor


class InvEx(NamedTuple):
    """The inverse, and the number (from 1) of the first pivot that is zero, or 0."""

    inverse: Tensor
    info: Tensor

    __repr__ = shown_as("linalg_inv_ex")


class SolveEx(NamedTuple):
    """The solution, and the number (from 1) of the first pivot that is zero, or 0."""

    result: Tensor
    info: Tensor

    __repr__ = shown_as("linalg_solve_ex")


class LUFactorEx(NamedTuple):
    """What `lu_factor` returns, and the number (from 1) of the first pivot that is zero, or 0."""

    LU: Tensor
    pivots: Tensor
    info: Tensor

    __repr__ = shown_as("linalg_lu_factor_ex")


def inv_ex(A: Tensor, *, check_errors: bool = False) -> InvEx:
    """`inv`, and for each matrix whether there is an inverse: see `cholesky_ex`."""
    matrices("inv_ex", A, square=True)
    info = _of_each(A, _first_pivot)
    if check_errors:
        raise_info("inv_ex", info, "the diagonal element {} of U is zero: the matrix is singular")
    return InvEx(_without_result(inv(_made_regular(A, info)), info), info)


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """`solve`, and for each matrix whether there is a solution: see `cholesky_ex`."""
    matrices("solve_ex", A, square=True)
    info = _of_each(A, _first_pivot)
    if check_errors:
        raise_info("solve_ex", info, "the diagonal element {} of U is zero: the matrix is singular")
    found = solve(_made_regular(A, info), B, left=left)
    vectors = found.ndim < A.ndim or B.ndim == 1
    return SolveEx(_without_result(found, info, 1 if vectors else 2), info)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """`lu_factor`, and for each matrix whether it can be used to solve equations: see `cholesky_ex`."""
    packed, pivots = lu_factor(A, pivot=pivot)
    info = _of_each(A, _first_pivot)
    if check_errors:
        raise_info("lu_factor_ex", info, "U[{0},{0}] is zero, by which `lu_solve` would divide")
    return LUFactorEx(packed, pivots, info)


def _of_each(A: Tensor, look: Any) -> Tensor:
    """What `look` says of each matrix, as int32."""
    values = A.numpy(force=True)
    front = values.shape[:-2]
    found = np.zeros(front, np.int32)
    for at in np.ndindex(front):
        found[at] = look(values[at])
    return from_numpy(found)


def _first_pivot(a: np.ndarray) -> int:
    """The number of the first pivot of the LU factors that is zero, or 0."""
    packed = lu_factor(from_numpy(np.ascontiguousarray(a)))[0].numpy()
    zeros = np.flatnonzero(np.diagonal(packed) == 0)
    return int(zeros[0]) + 1 if zeros.size else 0


def _made_regular(A: Tensor, info: Tensor) -> Tensor:
    """The matrices, with the identity in place of those for which there is no result."""
    if not info.numpy().any():
        return A
    return where(_over(info, 2), eye(A.shape[-1], dtype=A.dtype), A)


def _without_result(found: Tensor, info: Tensor, dims: int = 2) -> Tensor:
    return where(_over(info, dims), np.nan, found) if info.numpy().any() else found


def _over(info: Tensor, dims: int) -> Tensor:
    return (info != 0).reshape(*info.shape, *[1] * dims)  # type: ignore[attr-defined]
