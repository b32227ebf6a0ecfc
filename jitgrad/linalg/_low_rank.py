"""The greatest singular values and principal components of large matrices, by random projections."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor
from ..functions import matmul, randn
from ._checks import matrices
from ._factors import svd
from ._qr import qr


def _range_of(A: Any, count: int, niter: int) -> Any:
    """Orthonormal columns that nearly span what `count` singular vectors do: algorithm 4.4 of Halko and others."""
    q = qr(matmul(A, randn(*A.shape[:-2], A.shape[-1], count, dtype=A.dtype))).Q
    for _ in range(niter):
        q = qr(matmul(A.mT, q)).Q
        q = qr(matmul(A, q)).Q
    return q


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The greatest singular values of a matrix, nearly, and their vectors.

    Parameters
    ----------
    A : Tensor, shape (..., m, n)
    q : int, default 6
        How many; some more than the rank that is looked for. There are never more than m or n.
    niter : int, default 2
        Turns of subspace iteration; more of them come closer.
    M : Tensor, optional
        Broadcasts to the shape of A, and is taken from it.

    Returns
    -------
    U, S, V : Tensor, shape (..., m, q), (..., q), (..., n, q)
        With ``U diag(S) V'`` near A; they depend on random numbers.

    Raises
    ------
    ValueError
        If `q` or `niter` is negative.
    RuntimeError
        If these are no floating matrices.

    Notes
    -----
    Halko, Martinsson and Tropp, "Finding structure with randomness", 2011, algorithms 4.4 and 5.1.
    """
    matrices("svd_lowrank", A)
    x: Any = A if M is None else A - M
    count, turns = 6 if q is None else q, 2 if niter is None else niter
    rows, columns = x.shape[-2:]
    if count < 0 or turns < 0:
        raise ValueError(f"svd_lowrank: expected q and niter of at least 0, got q={q} and niter={niter}")
    # the projection is of the longer side, so that what is decomposed is small
    tall = rows >= columns
    x = x if tall else x.mT
    basis = _range_of(x, count, turns)
    u, s, vh = svd(matmul(basis.mT, x), False)
    left, right = matmul(basis, u), vh.mT  # type: ignore[attr-defined]
    return (left, s, right) if tall else (right, s, left)


def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components, nearly: `svd_lowrank` of rows from which their mean is taken.

    Parameters
    ----------
    A : Tensor, shape (..., samples, features)
    q : int, optional
        How many; by default 6, or fewer for smaller matrices.
    center : bool, default True
        Whether to take the mean of the rows away.
    niter : int, default 2
        See `svd_lowrank`.

    Returns
    -------
    U, S, V : Tensor
        See `svd_lowrank`; the columns of V are the directions, and ``A @ V`` the components.

    Raises
    ------
    ValueError
        If `q` is greater than one of the sides or negative, or `niter` is negative.
    RuntimeError
        If these are no floating matrices.
    """
    matrices("pca_lowrank", A)
    count = min(6, *A.shape[-2:]) if q is None else q
    if not 0 <= count <= min(A.shape[-2:]):
        raise ValueError(
            f"pca_lowrank: expected q from 0 to the smaller side of {'x'.join(map(str, A.shape[-2:]))}, got {q}"
        )
    mean = A.mean(-2, keepdim=True) if center else None  # type: ignore[attr-defined]
    return svd_lowrank(A, count, niter, mean)
