"""Equations with a triangular matrix, and with the matrix whose Cholesky factor it is."""

from __future__ import annotations

from .._tensor import Tensor, wrap
from ..autograd.formulas import units
from ..functions._dims import shape_of
from ..functions._launch import run
from ..functions.expansion import broadcast_shapes
from ..kernels import BY_NAME
from ._checks import matrices

_SOLVE = BY_NAME["solve_triangular"]


def same_batch(name: str, A: Tensor, B: Tensor, left: bool = True) -> tuple[Tensor, Tensor]:
    """A square matrix and right-hand sides, with the same dimensions in front.

    Raises
    ------
    RuntimeError
        If the dtypes differ, A is not square, or the sizes do not fit.
    """
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"linalg.{name}: expected A and B of one dtype, got {A.dtype.name} and {B.dtype.name}"
        )
    own, given = shape_of(A), shape_of(B)
    if own[-2] != own[-1]:
        raise RuntimeError(
            f"linalg.{name}: A must be batches of square matrices, but they are {own[-2]} by {own[-1]} matrices"
        )
    if given[-2 if left else -1] != own[-1]:
        raise RuntimeError(
            f"linalg.{name}: Incompatible shapes of A and B for the equation {'AX' if left else 'XA'} = B: "
            f"{own} and {given}"
        )
    if own[:-2] == given[:-2]:
        return A, B
    front = broadcast_shapes(own[:-2], given[:-2])
    return A.expand(*front, *own[-2:]), B.expand(*front, *given[-2:])  # type: ignore[attr-defined]


def solve_triangular(
    input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """The X with ``input X = B``, or with ``X input = B`` when not `left`, for one triangle of `input`.

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
        Only the triangle is read. A zero on its diagonal makes the result infinite or nan.
    B : Tensor, shape (..., n, k), or (..., k, n) when not `left`
        The dimensions in front broadcast.
    upper : bool
        Which triangle it is.
    left : bool, default True
    unitriangular : bool, default False
        Take the diagonal for ones, whatever is there.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.
    """
    matrices("solve_triangular", input, B)
    a, b = same_batch("solve_triangular", input, B, left)
    words = (1 if upper else 0, 1 if unitriangular else 0)
    if left:
        return wrap(run(_SOLVE, (a, b), b.dtype, shape_of(b), words))
    b = b.mT
    return wrap(run(_SOLVE, (a.mT, b), b.dtype, shape_of(b), (1 - words[0], words[1]))).mT


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """The solution X of ``A X = B`` for the Cholesky factor `L` of A.

    Parameters
    ----------
    B : Tensor, shape (..., n, k)
    L : Tensor, shape (..., n, n)
        A lower triangle, or an upper one if `upper`; zeros on its diagonal make the result infinite or nan.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.
    """
    matrices("cholesky_solve", B, L)
    factor, b = same_batch("cholesky_solve", L, B)
    shape, kind = shape_of(b), b.dtype
    first, then = (factor.mT, factor) if upper else (factor, factor.mT)
    half = wrap(run(_SOLVE, (first, b), kind, shape, (0, 0)))
    return wrap(run(_SOLVE, (then, half), kind, shape, (1, 0)))


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of the matrix that `L` is the Cholesky factor of."""
    matrices("cholesky_inverse", L, square=True)
    return cholesky_solve(units(L), L, upper)
