"""Inverses, solutions and LU factors that report where there is none instead of raising."""

from __future__ import annotations

from typing import NamedTuple

from .._tensor import Tensor, wrap
from ..dtypes import int32
from ..functions._checks import is_reported, refusal, within
from ..functions._dims import shape_of
from ..functions._launch import run
from ..functions._pairs import shown_as
from ..kernels import BY_NAME
from ..store import store
from ._checks import LinAlgError, matrices, raise_info
from ._inverses import NO_REPORT, inverted, solve_with_factors
from ._lu import lu_factor

_ZERO_PIVOT = BY_NAME["zero_pivot"]
_ZERO = "the diagonal element {} of U is zero: the matrix is singular"
_NO_INVERSE = refusal(LinAlgError, "linalg.inv_ex: Singular matrix")
_NO_SOLUTION = refusal(LinAlgError, "linalg.solve_ex: Singular matrix")
_check_pivots = within(
    0,
    0,
    LinAlgError,
    "linalg.lu_factor_ex: U has a zero on its diagonal, by which `lu_solve` would divide",
    1,
)


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
    found, factors = inverted(A, _NO_INVERSE if check_errors else NO_REPORT)
    info = _first_zero(factors)
    if check_errors and is_reported():
        raise_info("inv_ex", info, _ZERO)
    return InvEx(found, info)


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> SolveEx:
    """`solve`, and for each matrix whether there is a solution: see `cholesky_ex`."""
    number = _NO_SOLUTION if check_errors else NO_REPORT
    found, factors = solve_with_factors("solve_ex", A, B, left, number)
    info = _first_zero(factors)
    if check_errors and is_reported():
        raise_info("solve_ex", info, _ZERO)
    return SolveEx(found, info)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> LUFactorEx:
    """`lu_factor`, and for each matrix whether it can be used to solve equations: see `cholesky_ex`."""
    packed, pivots = lu_factor(A, pivot=pivot)
    info = _first_zero(packed)
    if check_errors and store.recording is None:
        raise_info("lu_factor_ex", info, "U[{0},{0}] is zero, by which `lu_solve` would divide")
    elif check_errors:
        _check_pivots(info.to(packed.dtype))  # type: ignore[attr-defined]
    return LUFactorEx(packed, pivots, info)


def _first_zero(packed: Tensor) -> Tensor:
    """The number, from 1, of the first zero among the pivots of each matrix, or 0."""
    return wrap(run(_ZERO_PIVOT, (packed.detach(),), int32, shape_of(packed)[:-2], ()))  # type: ignore[attr-defined]
