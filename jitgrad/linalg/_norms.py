"""Norms of vectors and matrices, and products along a dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor
from ..functions import cross as any_cross
from ..functions import norm as any_norm
from ..functions._dims import one_dim
from ..functions._numpy_names import takes_axis
from ..functions._out import takes_out, write_out
from ._checks import matrices
from ._factors import svdvals
from ._inverses import inv

_BY_SINGULAR_VALUES = {2: lambda s: s.amax(-1), -2: lambda s: s.amin(-1), "nuc": lambda s: s.sum(-1)}


@takes_axis
def vector_norm(
    x: Tensor, ord: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """``(sum |x| ** ord) ** (1 / ord)`` of all elements or along dimensions; see `jitgrad.norm`."""
    if isinstance(ord, str) or ord is None:
        raise TypeError(f"linalg.vector_norm: expected ord to be a number, got {ord!r}")
    return any_norm(x, ord, dim, keepdim, dtype=dtype)


@takes_axis
def matrix_norm(
    input: Tensor,
    ord: Any = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """A norm of matrices.

    Parameters
    ----------
    ord : {"fro", "nuc", 1, -1, 2, -2, inf, -inf}
        Frobenius, sum of the singular values, greatest or least sum of a column's magnitudes, greatest or least
        singular value, greatest or least sum of a row's.
    dim : pair of int
        Where the rows and the columns are counted.
    """
    x = input if dtype is None else input.to(dtype)  # type: ignore[attr-defined]
    matrices("matrix_norm", x)
    if not isinstance(dim, tuple | list) or len(dim) != 2:
        raise RuntimeError(f"linalg.matrix_norm: dim must be a pair of dimensions, got {dim!r}")
    rows, columns = (one_dim(d, x.ndim, "linalg.matrix_norm") for d in dim)
    if rows == columns:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got {tuple(dim)}")
    if ord in (1, 2, math.inf) and 0 in (x.shape[rows], x.shape[columns]):
        found = x.sum((rows, columns))  # type: ignore[attr-defined]
    elif ord == "fro":
        found = any_norm(x, 2, (rows, columns))
    elif ord in (1, -1, math.inf, -math.inf):
        added, kept = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = x.abs().sum(added, keepdim=True)  # type: ignore[attr-defined]
        found = (sums.amax if ord > 0 else sums.amin)((added, kept))
    elif ord in _BY_SINGULAR_VALUES:
        found = _BY_SINGULAR_VALUES[ord](svdvals(x.movedim((rows, columns), (-2, -1))))  # type: ignore[attr-defined]
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported")
    if not keepdim:
        return found
    first, second = sorted((rows, columns))
    return found.unsqueeze(first).unsqueeze(second)


@takes_axis
def norm(
    input: Tensor,
    ord: Any = None,
    dim: Any = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    dtype: Any = None,
) -> Tensor:
    """`vector_norm` or, with an order and matrices or two dimensions, `matrix_norm`."""
    if out is not None:
        return write_out("linalg.norm", norm(input, ord, dim, keepdim, dtype=dtype), out, same_dtype=True)
    two = isinstance(dim, tuple | list) and len(dim) == 2
    as_matrix = ord is not None and (two or (dim is None and input.ndim == 2))
    if ord is not None and dim is None and input.ndim > 2:
        raise RuntimeError(
            f"linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {input.ndim}D."
        )
    if isinstance(ord, str) and not (as_matrix or (dim is None and input.ndim >= 2)):
        raise RuntimeError(
            f"linalg.norm: order {ord!r} is one of matrices; expected two dimensions, got dim={dim}"
        )
    if as_matrix or isinstance(ord, str):
        return matrix_norm(input, ord, tuple(dim) if two else (-2, -1), keepdim, dtype=dtype)
    return vector_norm(input, 2 if ord is None else ord, dim, keepdim, dtype=dtype)


def cond(input: Tensor, p: Any = None) -> Tensor:
    """The norm of a matrix times that of its inverse; of the singular values, greatest by least, if not given.

    That of a matrix without elements is 0.
    """
    matrices("cond", input, square=p not in (None, 2, -2))
    if not input.numel():
        return input.new_zeros(input.shape[:-2])  # type: ignore[attr-defined]
    if p in (None, 2, -2):
        s = svdvals(input)
        return s[..., 0] / s[..., -1] if p != -2 else s[..., -1] / s[..., 0]
    return matrix_norm(input, p) * matrix_norm(inv(input), p)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonals of matrices, a view."""
    return A.diagonal(offset, dim1, dim2)  # type: ignore[attr-defined]


@takes_out
@takes_axis
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The cross products of vectors along a dimension of size 3; the other dimensions broadcast."""
    return any_cross(input, other, dim)


@takes_axis
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sums of ``x * y`` along a dimension."""
    return (x * y).sum(dim)  # type: ignore[attr-defined, operator]
