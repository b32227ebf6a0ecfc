"""Eigenvalues of symmetric matrices, singular values, their vectors, and the gradients of all of them.

Kernels find them for matrices up to `SIDE`, which a compiled step replays; NumPy finds those of larger ones, eagerly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor, wrap
from ..autograd import Function, formulas
from ..autograd.modes import records
from ..functions import diag_embed, eye, where, zeros_like
from ..functions._arrays import run_arrays
from ..functions._checks import raise_reported, refusal
from ..functions._dims import shape_of
from ..functions._pairs import shown_as
from ..functions.losses import REPORT_ADDRESS
from ..kernels import BY_NAME
from ..kernels.vjps_factors import eigh_a
from ._checks import LinAlgError, by_numpy, matrices
from ._qr import qr

__all__ = ["eigh", "eigvalsh", "svd", "svdvals"]

SIDE = 256  # of the smaller side; beyond, LAPACK's blocks outrun rotations one after the other
TALL = 4  # times as many rows as columns: their triangular factor is made first, and has the same values
LITTLE = 4096  # elements; for no more, another call takes longer than it saves
_EIGH, _SVD = BY_NAME["eigh"], BY_NAME["svd"]
_WHY = "the matrix has elements that are not finite, or the iteration did not converge"
_NO_EIGENVALUES = refusal(LinAlgError, f"linalg.eigh: no eigenvalues were found: {_WHY}")
_NO_SINGULAR = refusal(LinAlgError, f"linalg.svd: no singular values were found: {_WHY}")


class Eigh(NamedTuple):
    """Eigenvalues, ascending, and eigenvectors in the columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor

    __repr__ = shown_as("linalg_eigh")


class SVD(NamedTuple):
    """Left singular vectors, singular values, descending, and right singular vectors in the rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor

    __repr__ = shown_as("linalg_svd")


def _finite(name: str, x: Any) -> Any:
    """The values, where NumPy would find no numbers and not say so."""
    if not np.isfinite(x).all():
        raise np.linalg.LinAlgError(f"no {name} were found: {_WHY}")
    return x


def _eigen(a: Tensor, lower: bool, vectors: bool) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors, if these are wanted; without history where NumPy finds them."""
    *front, n = shape_of(a)[:-1]
    if n > SIDE:
        return by_numpy("eigh", lambda x: np.linalg.eigh(_finite("eigenvalues", x), "L" if lower else "U"), a)
    words = (int(not lower), int(vectors), REPORT_ADDRESS, _NO_EIGENVALUES)
    found, rows = run_arrays(_EIGH, (a,), [(a.dtype, (*front, n)), (a.dtype, (*front, n, n))], words)
    raise_reported()
    return wrap(found), wrap(rows).mT


def _singular(a: Tensor, full: bool, vectors: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values and vectors, if these are wanted, without history."""
    *front, rows, columns = shape_of(a)
    if min(rows, columns) > SIDE:
        return by_numpy("svd", lambda x: np.linalg.svd(_finite("singular values", x), full), a)
    if rows < columns:
        v, s, uh = _singular(a.mT, full, vectors)  # type: ignore[attr-defined]
        return uh.mT, s, v.mT  # type: ignore[attr-defined]
    if rows > TALL * columns and rows * columns > LITTLE and not full:
        q, r = qr(a.detach(), "reduced" if vectors else "r")  # type: ignore[attr-defined]
        u, s, vh = _singular(r, False, vectors)
        return (q @ u if vectors else u), s, vh
    kind, size = a.dtype, rows if full else columns
    shapes = [(*front, size, rows), (*front, columns), (*front, columns, columns)]
    words = (int(vectors), REPORT_ADDRESS, _NO_SINGULAR)
    uh, s, vh = map(wrap, run_arrays(_SVD, (a,), [(kind, shape) for shape in shapes], words))
    raise_reported()
    return uh.mT, s, vh


def _differences(values: Tensor) -> Tensor:
    """``1 / (v_j - v_i)``, and 0 on the diagonal."""
    apart = values.unsqueeze(-2) - values.unsqueeze(-1)  # type: ignore[attr-defined]
    same = eye(values.shape[-1], dtype=values.dtype) == 1
    return where(same, 0.0, 1.0 / where(same, 1.0, apart))


class _Eigen(Function):
    """What NumPy has found, with the gradient of the operation in the table."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, lower: bool) -> tuple[Tensor, Tensor]:
        values, vectors = _eigen(a, lower, True)
        ctx.save_for_backward(values, vectors)
        ctx.set_materialize_grads(False)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor, None]:
        values, vectors = ctx.saved_tensors
        of_values, of_vectors = cotangents
        of_rows = None if of_vectors is None else of_vectors.mT
        return eigh_a(formulas, values, vectors.mT, of_values, of_rows), None


class _Singular(Function):
    """``A = U diag(S) V'``; the gradient is that of Townsend (2016), Differentiating the SVD.

    What comes for the values alone is finite where values are equal, too. Vectors beyond the values are any that fit,
    and what comes for them is left out.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
        u, s, vh = _singular(a, full, True)
        ctx.save_for_backward(u, s, vh)
        ctx.set_materialize_grads(False)
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor, None]:
        u, s, vh = ctx.saved_tensors
        of_u, of_s, of_vh = cotangents
        count, scale = s.shape[-1], s.unsqueeze(-2)
        u, vh = u[..., :count], vh[..., :count, :]
        if of_u is None and of_vh is None:
            assert of_s is not None
            return u * of_s.unsqueeze(-2) @ vh, None
        apart, beyond = _differences(s * s), []  # across the space of the vectors that there are
        inner = diag_embed(zeros_like(s) if of_s is None else of_s)
        if of_u is not None:
            of_u = of_u[..., :count]
            left = u.mT @ of_u
            inner = inner + apart * (left - left.mT) * scale
            if u.shape[-2] > count:
                beyond.append((of_u - u @ left) / scale @ vh)
        if of_vh is not None:
            of_vh = of_vh[..., :count, :]
            right = vh @ of_vh.mT
            inner = inner + s.unsqueeze(-1) * apart * (right - right.mT)
            if vh.shape[-1] > count:
                beyond.append(u / scale @ (of_vh - right.mT @ vh))
        return sum(beyond, u @ inner @ vh), None


def _has_history(x: Tensor) -> bool:
    return records() and x.requires_grad


def eigh(input: Tensor, UPLO: str = "L") -> Eigh:
    """The eigenvalues and eigenvectors of a symmetric matrix, of which one triangle is read.

    The gradient of the vectors is not finite where values are equal.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
    UPLO : {"L", "U"}
        The triangle that is read. The gradient is symmetric.

    Returns
    -------
    eigenvalues : Tensor, shape (..., n)
        Ascending.
    eigenvectors : Tensor, shape (..., n, n)
        In the columns, of length 1; the sign of each is any.

    Raises
    ------
    LinAlgError
        If an element is not finite, or the iteration does not converge.
    """
    lower = _lower("eigh", input, UPLO)
    return Eigh(*_eigen_of(input, lower, True))


def _eigen_of(a: Tensor, lower: bool, vectors: bool) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors with their history, for which the vectors are wanted in any case."""
    recorded = _has_history(a)
    if recorded and a.shape[-1] > SIDE:
        return _Eigen.apply(a, lower)
    return _eigen(a, lower, vectors or recorded)


def _lower(name: str, input: Tensor, UPLO: str) -> bool:
    matrices(name, input, square=True)
    if not isinstance(UPLO, str):
        raise TypeError(f"linalg.{name}: expected UPLO to be 'L' or 'U', got {type(UPLO).__name__}")
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.{name}: Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper() == "L"


def eigvalsh(input: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a symmetric matrix, ascending; see `eigh`."""
    lower = _lower("eigvalsh", input, UPLO)
    return _eigen_of(input, lower, False)[0]


def svd(A: Tensor, full_matrices: bool = True) -> SVD:
    """The singular vectors and values of a matrix: ``A = U diag(S) Vh``, with k values for its smaller side.

    The gradient of the vectors is not finite where values are equal or 0. Vectors beyond the first k are any that fit,
    and have no gradient.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    full_matrices : bool, default True
        Whether there are as many vectors as fit, or k.

    Returns
    -------
    U : Tensor, shape (..., m, m) or (..., m, k)
    S : Tensor, shape (..., k)
        Descending.
    Vh : Tensor, shape (..., n, n) or (..., k, n)
        The sign of a pair of vectors is any.

    Raises
    ------
    LinAlgError
        If an element is not finite, or the iteration does not converge.
    """
    matrices("svd", A)
    full = bool(full_matrices)
    return SVD(*(_Singular.apply(A, full) if _has_history(A) else _singular(A, full, True)))


def svdvals(A: Tensor) -> Tensor:
    """The singular values of a matrix, descending; see `svd`.

    The gradient is finite where values are equal, too; gradients of it are not.
    """
    matrices("svdvals", A)
    return (_Singular.apply(A, False) if _has_history(A) else _singular(A, False, False))[1]
