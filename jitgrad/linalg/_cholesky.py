"""Cholesky's factor of a positive definite matrix."""

from __future__ import annotations

from typing import NamedTuple

from .._tensor import Tensor, wrap
from ..dtypes import int32
from ..functions._arrays import run_arrays
from ..functions._checks import is_reported, raise_reported, refusal
from ..functions._dims import shape_of
from ..functions._pairs import shown_as
from ..functions.losses import REPORT_ADDRESS
from ..kernels import BY_NAME
from ._checks import LinAlgError, matrices, raise_info

_CHOLESKY = BY_NAME["cholesky"]
_NOT_DEFINITE = refusal(LinAlgError, "linalg.cholesky: Matrix is not positive definite")
_MINOR = "the leading minor of order {} is not positive-definite"
_BAD_MINOR = refusal(LinAlgError, "linalg.cholesky_ex: a leading minor is not positive-definite")


class CholeskyEx(NamedTuple):
    """The factor, and the order of the first leading minor that is not positive, or 0."""

    L: Tensor
    info: Tensor

    __repr__ = shown_as("linalg_cholesky_ex")


def _factor(A: Tensor, upper: bool, cell: int, number: int) -> tuple[Tensor, Tensor]:
    shape = shape_of(A)
    words = (1 if upper else 0, cell, number)
    slots = run_arrays(_CHOLESKY, (A,), [(A.dtype, shape), (int32, shape[:-2])], words)
    return wrap(slots[0]), wrap(slots[1])


def cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with ``input = L L'`` of a positive definite matrix, or the upper one, its transpose.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
        Only the triangle that the factor has is read; the gradient is symmetric.
    upper : bool, default False
        Whether the factor is the upper triangle.

    Raises
    ------
    LinAlgError
        If the matrix is not positive definite.
    """
    matrices("cholesky", input, square=True)
    factor, _ = _factor(input, upper, REPORT_ADDRESS, _NOT_DEFINITE)
    raise_reported()
    return factor


def cholesky_ex(input: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyEx:
    """`cholesky`, and for each matrix whether there is a factor.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
    upper : bool, default False
        Whether the factor is the upper triangle.
    check_errors : bool, default False
        Raise LinAlgError where `info` is not 0.

    Returns
    -------
    L : Tensor, shape (..., n, n)
        Nan where there is no factor; such a matrix has a gradient of zeros.
    info : Tensor of int32, shape (...)
    """
    matrices("cholesky_ex", input, square=True)
    found = CholeskyEx(*_factor(input, upper, REPORT_ADDRESS if check_errors else 0, _BAD_MINOR))
    if check_errors and is_reported():
        raise_info("cholesky_ex", found.info, _MINOR)
    return found
