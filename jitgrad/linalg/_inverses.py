"""Inverses, determinants, and solutions of linear equations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor
from ..autograd import Function
from ..functions import diag_embed, matmul, tensor, where
from ..functions._call import require_tensors
from ..functions._dims import shape_of
from ..functions._pairs import shown_as
from ..limits import finfo
from ._checks import by_numpy, matrices
from ._factors import svd, svdvals


class Slogdet(NamedTuple):
    """The sign of a determinant, and the logarithm of its magnitude."""

    sign: Tensor
    logabsdet: Tensor

    __repr__ = shown_as("linalg_slogdet")


class Lstsq(NamedTuple):
    """The solution of least squares; the others are empty, as PyTorch's are for its own driver."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor

    __repr__ = shown_as("linalg_lstsq")


class _Inv(Function):
    """The gradient is ``-Y' G Y'`` for the inverse Y."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        found = by_numpy("inv", np.linalg.inv, a)
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (found,) = ctx.saved_tensors
        return -(found.mT @ cotangents[0] @ found.mT)


class _Solve(Function):
    """The gradient of X with ``A X = B`` is ``H = A'^-1 G`` for B and ``-H X'`` for A."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        found = by_numpy("solve", np.linalg.solve, a, b)
        ctx.save_for_backward(a, found)
        return found

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, Tensor]:
        a, found = ctx.saved_tensors
        of_b = _Solve.apply(a.mT, cotangents[0])
        return -(of_b @ found.mT), of_b


class _Det(Function):
    """The gradient is the cofactors, made of the singular values so that those of a singular matrix are right, too."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return by_numpy("det", np.linalg.det, a)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        u, s, vh = svd(a)
        turned = by_numpy("det", np.linalg.det, matmul(u, vh))
        ones = diag_embed(s * 0 + 1)
        others = where(ones == 1, 1.0, s.unsqueeze(-2)).prod(-1)  # type: ignore[attr-defined]
        scale = (cotangents[0] * turned).unsqueeze(-1).unsqueeze(-1)  # type: ignore[attr-defined]
        return scale * matmul(u * others.unsqueeze(-2), vh)


class _Slogdet(Function):
    """The gradient of the logarithm is the inverse, transposed; the sign has none."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> tuple[Tensor, Tensor]:
        sign, logabsdet = by_numpy("slogdet", np.linalg.slogdet, a)
        ctx.save_for_backward(a)
        ctx.mark_non_differentiable(sign)
        return sign, logabsdet

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (a,) = ctx.saved_tensors
        return cotangents[1].unsqueeze(-1).unsqueeze(-1) * inv(a).mT  # type: ignore[attr-defined]


def inv(A: Tensor) -> Tensor:
    """The inverse of a square matrix.

    Raises
    ------
    LinAlgError
        If the matrix is singular.
    """
    matrices("inv", A, square=True)
    return _Inv.apply(A)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X with ``A X = B``, or with ``X A = B`` when not `left`.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
    B : Tensor, shape (..., n) or (..., n, k), or (..., k, n) when not `left`
        Vectors where it has one dimension, or one less than `A` with the same ones in front.

    Raises
    ------
    LinAlgError
        If the matrix is singular.
    """
    matrices("solve", A, square=True)
    require_tensors("linalg.solve", B)
    own, given = shape_of(A), shape_of(B)
    vector = len(given) == 1 or (len(given) == len(own) - 1 and given == own[:-1])
    right = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    matrices("solve", right)
    sizes = shape_of(right)
    if sizes[-2 if left or vector else -1] != own[-1]:
        raise RuntimeError(
            f"linalg.solve: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B: "
            f"{own} and {given}"
        )
    a, b = A, right
    if own[:-2] != sizes[:-2]:
        front = np.broadcast_shapes(own[:-2], sizes[:-2])
        a, b = (x.expand(*front, *x.shape[-2:]) for x in (A, right))  # type: ignore[attr-defined]
    found = _Solve.apply(a, b) if left else _Solve.apply(a.mT, b.mT).mT
    return found.squeeze(-1) if vector else found  # type: ignore[attr-defined]


def det(A: Tensor) -> Tensor:
    """The determinant of a square matrix."""
    matrices("det", A, square=True)
    return _Det.apply(A)


def slogdet(A: Tensor) -> Slogdet:
    """The sign of the determinant and the logarithm of its magnitude, which is -inf for a singular matrix."""
    matrices("slogdet", A, square=True)
    return Slogdet(*_Slogdet.apply(A))


def pinv(A: Tensor, *, rtol: float | None = None, atol: float = 0.0) -> Tensor:
    """The pseudoinverse (Moore-Penrose): singular values up to ``max(atol, rtol * greatest)`` count as 0.

    `rtol` is the larger side of the matrix times the dtype's eps if not given and `atol` is 0.
    """
    matrices("pinv", A)
    u, s, vh = svd(A)
    kept = s > _least(A, s, rtol, atol)
    inverse = where(kept, 1.0 / where(kept, s, 1.0), 0.0)
    return (vh.mT * inverse.unsqueeze(-2)) @ u.mT  # type: ignore[attr-defined]


def matrix_rank(A: Tensor, *, rtol: float | None = None, atol: float = 0.0) -> Tensor:
    """The number of singular values that do not count as 0: see `pinv`."""
    matrices("matrix_rank", A)
    s = svdvals(A.detach())
    return (s > _least(A, s, rtol, atol)).sum(-1)  # type: ignore[attr-defined]


def _least(A: Tensor, s: Tensor, rtol: float | None, atol: float) -> Tensor:
    if rtol is None:
        rtol = 0.0 if atol else max(A.shape[-2:]) * finfo(A.dtype).eps
    return (s.detach()[..., :1] * rtol).clamp(min=atol)  # type: ignore[attr-defined]


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Lstsq:
    """The X for which ``A X - B`` is least, by the pseudoinverse."""
    matrices("lstsq", A)
    vector = B.ndim == A.ndim - 1
    found = pinv(A, rtol=rcond) @ (B.unsqueeze(-1) if vector else B)  # type: ignore[attr-defined]
    none = tensor([])
    return Lstsq(found.squeeze(-1) if vector else found, none, none, none)
