"""The factors Q, with orthonormal columns, and R, upper triangular."""

from __future__ import annotations

from typing import NamedTuple

from .._tensor import Tensor, wrap
from ..functions import cat
from ..functions._arrays import run_arrays
from ..functions._dims import shape_of
from ..functions._pairs import shown_as
from ..kernels import BY_NAME
from ._checks import matrices

_QR, _COMPLETE = BY_NAME["qr"], BY_NAME["qr_complete"]


class QR(NamedTuple):
    """An orthonormal and an upper triangular factor."""

    Q: Tensor
    R: Tensor

    __repr__ = shown_as("linalg_qr")


def qr(A: Tensor, mode: str = "reduced") -> QR:
    """The factors of ``A = Q R``, by Householder's reflections.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    mode : {"reduced", "complete", "r"}
        Q has min(m, n) columns, or m, or is empty. With "r", and with "complete" where m is greater than n, the
        factors have no history: the other columns are any that fit.

    Returns
    -------
    Q : Tensor, shape (..., m, min(m, n)) or (..., m, m)
    R : Tensor, shape (..., min(m, n), n) or (..., m, n)

    Raises
    ------
    RuntimeError
        If the matrices are not floating, or there is no such mode.
    """
    matrices("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"linalg.qr: expected mode 'reduced', 'complete' or 'r', got {mode!r}")
    rows, columns = shape_of(A)[-2:]
    if mode == "r":
        return QR(A.new_empty((0,)), _factors(A.detach(), False, False).R)  # type: ignore[attr-defined]
    if rows >= columns:
        return _factors(A, mode == "complete" and rows > columns)
    # the first columns make Q, the others are seen from there
    q, first = _factors(A[..., :rows], False)  # type: ignore[index]
    return QR(q, cat([first, q.mT @ A[..., rows:]], -1))  # type: ignore[index]


def _factors(A: Tensor, complete: bool, wanted: bool = True) -> QR:
    """Both factors; of Q, where it is not wanted, the memory."""
    *front, rows, columns = shape_of(A)
    if rows < columns:
        return qr(A)
    kind, size = A.dtype, rows if complete else columns
    outputs = [(kind, (*front, size, rows)), (kind, (*front, size, columns))]
    q, r = run_arrays(_COMPLETE if complete else _QR, (A,), outputs, (int(wanted),))
    return QR(wrap(q).mT, wrap(r))
