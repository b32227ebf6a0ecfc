"""Factorisations and inverses that report where there is none instead of raising: ``cholesky_ex`` and its kin."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor
from ..functions import eye, from_numpy, where
from ..functions._pairs import shown_as
from ._checks import LinAlgError, matrices
from ._factors import cholesky
from ._inverses import inv, solve
from ._lu import lu_factor


class CholeskyEx(NamedTuple):
    """The factor, and the order of the first leading minor that is not positive, or 0."""

    L: Tensor
    info: Tensor

    __repr__ = shown_as("linalg_cholesky_ex")


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


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """`cholesky`, and for each matrix whether there is a factor.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
    upper : bool, default False
        Whether the factor is the upper triangle.
    check_errors : bool, default False
        Raise LinAlgError where `info` is not 0.

    Returns
    -------
    L : Tensor, shape (..., n, n)
        Nan where there is no factor.
    info : Tensor of int32, shape (...)
    """
    matrices("cholesky_ex", A, square=True)
    info = _of_each(A, _first_minor)
    _check("cholesky_ex", info, check_errors, "the leading minor of order {} is not positive-definite")
    factor = cholesky(_made_regular(A, info), upper=upper)
    return CholeskyEx(_without_result(factor, info), info)


def inv_ex(A: Tensor, *, check_errors: bool = False) -> InvEx:
    """`inv`, and for each matrix whether there is an inverse: see `cholesky_ex`."""
    matrices("inv_ex", A, square=True)
    info = _of_each(A, _first_pivot)
    _check("inv_ex", info, check_errors, "the diagonal element {} of U is zero: the matrix is singular")
    return InvEx(_without_result(inv(_made_regular(A, info)), info), info)


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """`solve`, and for each matrix whether there is a solution: see `cholesky_ex`."""
    matrices("solve_ex", A, square=True)
    info = _of_each(A, _first_pivot)
    _check("solve_ex", info, check_errors, "the diagonal element {} of U is zero: the matrix is singular")
    found = solve(_made_regular(A, info), B, left=left)
    vectors = found.ndim < A.ndim or B.ndim == 1
    return SolveEx(_without_result(found, info, 1 if vectors else 2), info)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """`lu_factor`, and for each matrix whether it can be used to solve equations: see `cholesky_ex`."""
    packed, pivots = lu_factor(A, pivot=pivot)
    info = _of_each(A, _first_pivot)
    _check("lu_factor_ex", info, check_errors, "U[{0},{0}] is zero, by which `lu_solve` would divide")
    return LUFactorEx(packed, pivots, info)


def _of_each(A: Tensor, look: Any) -> Tensor:
    """What `look` says of each matrix, as int32."""
    values = A.numpy(force=True)
    front = values.shape[:-2]
    found = np.zeros(front, np.int32)
    for at in np.ndindex(front):
        found[at] = look(values[at])
    return from_numpy(found)


def _first_minor(a: np.ndarray) -> int:
    """The order of the first leading minor that is not positive definite, or 0."""
    for order in range(1, len(a) + 1):
        try:
            np.linalg.cholesky(a[:order, :order])
        except np.linalg.LinAlgError:
            return order
        if order == 1:  # usually the whole matrix has a factor
            try:
                np.linalg.cholesky(a)
            except np.linalg.LinAlgError:
                continue
            return 0
    return 0


def _first_pivot(a: np.ndarray) -> int:
    """The number of the first pivot of the LU factors that is zero, or 0."""
    packed = lu_factor(from_numpy(np.ascontiguousarray(a)))[0].numpy()
    zeros = np.flatnonzero(np.diagonal(packed) == 0)
    return int(zeros[0]) + 1 if zeros.size else 0


def _check(name: str, info: Tensor, wanted: bool, message: str) -> None:
    numbers = info.numpy().reshape(-1)
    if wanted and numbers.any():
        first = int((numbers != 0).argmax())
        element = f"(Batch element {first}): " if info.ndim else ""
        raise LinAlgError(f"linalg.{name}: {element}{message.format(int(numbers[first]))}")


def _made_regular(A: Tensor, info: Tensor) -> Tensor:
    """The matrices, with the identity in place of those for which there is no result."""
    if not info.numpy().any():
        return A
    return where(_over(info, 2), eye(A.shape[-1], dtype=A.dtype), A)


def _without_result(found: Tensor, info: Tensor, dims: int = 2) -> Tensor:
    return where(_over(info, dims), np.nan, found) if info.numpy().any() else found


def _over(info: Tensor, dims: int) -> Tensor:
    return (info != 0).reshape(*info.shape, *[1] * dims)  # type: ignore[attr-defined]
