"""Factorisations by NumPy and their gradients."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor
from ..autograd import Function
from ..functions import diag_embed, eye, where, zeros_like
from ..functions._pairs import shown_as
from ._checks import by_numpy, matrices

__all__ = ["eigh", "eigvalsh", "svd", "svdvals"]


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


def _differences(values: Tensor) -> Tensor:
    """``1 / (v_j - v_i)``, and 0 on the diagonal."""
    apart = values.unsqueeze(-2) - values.unsqueeze(-1)  # type: ignore[attr-defined]
    same = eye(values.shape[-1], dtype=values.dtype) == 1
    return where(same, 0.0, 1.0 / where(same, 1.0, apart))


_thin_svd = functools.partial(np.linalg.svd, full_matrices=False)


class _Eigh(Function):
    """``A = V diag(w) V'``; the gradient is that of Giles (2008), An extended collection of matrix derivatives, 3.1."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, lower: bool) -> tuple[Tensor, Tensor]:
        values, vectors = by_numpy("eigh", lambda x: np.linalg.eigh(x, "L" if lower else "U"), a)
        ctx.save_for_backward(values, vectors)
        ctx.set_materialize_grads(False)
        return values, vectors

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor, None]:
        values, vectors = ctx.saved_tensors
        of_values, of_vectors = cotangents
        inner = diag_embed(zeros_like(values) if of_values is None else of_values)
        if of_vectors is not None:
            inner = inner + _differences(values) * (vectors.mT @ of_vectors)
        found = vectors @ inner @ vectors.mT
        return 0.5 * (found + found.mT), None


class _SVD(Function):
    """``A = U diag(S) V'``; the gradient is that of Townsend (2016), Differentiating the SVD.

    What comes for the values alone is finite where values are equal, too.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u, s, vh = by_numpy("svd", _thin_svd, a)
        ctx.save_for_backward(u, s, vh)
        ctx.set_materialize_grads(False)
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Tensor:
        u, s, vh = ctx.saved_tensors
        of_u, of_s, of_vh = cotangents
        if of_u is None and of_vh is None:
            assert of_s is not None
            return u * of_s.unsqueeze(-2) @ vh
        of_u, of_s, of_vh = (
            zeros_like(x) if g is None else g for x, g in zip((u, s, vh), cotangents, strict=True)
        )
        of_v = of_vh.mT
        v, scale = vh.mT, s.unsqueeze(-2)
        apart = _differences(s * s)
        left, right = u.mT @ of_u, v.mT @ of_v
        inner = diag_embed(of_s) + apart * (left - left.mT) * scale
        inner = inner + s.unsqueeze(-1) * apart * (right - right.mT)
        found = u @ inner @ vh
        found = found + (of_u - u @ left) / scale @ vh
        return found + u / scale @ (of_v - v @ right).mT


def eigh(input: Tensor, UPLO: str = "L") -> Eigh:
    """The eigenvalues and eigenvectors of a symmetric matrix, of which one triangle is read.

    The gradient of the vectors is not finite where values are equal.
    """
    matrices("eigh", input, square=True)
    if not isinstance(UPLO, str):
        raise TypeError(f"linalg.eigh: expected UPLO to be 'L' or 'U', got {type(UPLO).__name__}")
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"linalg.eigh: Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return Eigh(*_Eigh.apply(input, UPLO.upper() == "L"))


def eigvalsh(input: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of a symmetric matrix, ascending."""
    return eigh(input, UPLO).eigenvalues


def svd(A: Tensor, full_matrices: bool = False) -> SVD:
    """The singular vectors and values of a matrix, as many as its smaller side.

    The gradient of the vectors is not finite where values are equal or 0.

    Raises
    ------
    RuntimeError
        If full matrices are asked for, whose gradient is not defined.
    """
    matrices("svd", A)
    if full_matrices and A.shape[-1] != A.shape[-2]:
        raise RuntimeError("linalg.svd: expected full_matrices=False, as the other vectors are any that fit")
    return SVD(*_SVD.apply(A))


def svdvals(A: Tensor) -> Tensor:
    """The singular values of a matrix, descending.

    The gradient is finite where values are equal, too; gradients of it are not.
    """
    matrices("svdvals", A)
    return svd(A).S
