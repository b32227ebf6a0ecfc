"""Tensors as matrices: inverses, equations, powers of points."""

from __future__ import annotations

from math import prod
from typing import Any

from .._tensor import Tensor
from ..functions import ones_like, stack
from ..functions._call import tensor_of
from ._inverses import inv, solve


def tensorinv(input: Tensor, ind: int = 2) -> Tensor:
    """The inverse of ``tensordot(input, ., input.ndim - ind)``.

    Parameters
    ----------
    input : Tensor
        ``prod(input.shape[:ind]) == prod(input.shape[ind:])``.
    ind : int, default 2
        The number of dimensions that make up the rows.

    Returns
    -------
    Tensor, shape ``input.shape[ind:] + input.shape[:ind]``

    Raises
    ------
    RuntimeError
        If the products differ or `ind` is not positive.
    LinAlgError
        If the matrix is singular.
    """
    shape = tuple(tensor_of(input, "linalg.tensorinv").shape)
    if ind <= 0:
        raise RuntimeError(f"linalg.tensorinv: Expected a strictly positive integer for 'ind', but got {ind}")
    rows, columns = prod(shape[:ind]), prod(shape[ind:])
    if rows != columns:
        raise RuntimeError(
            f"linalg.tensorinv: Expected self to satisfy prod(self.shape[ind:]) == prod(self.shape[:ind]), but got "
            f"{columns} != {rows} for shape {shape} and ind={ind}"
        )
    return inv(input.reshape(rows, columns)).reshape(*shape[ind:], *shape[:ind])  # type: ignore[attr-defined]


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """The X with ``tensordot(A, X, X.ndim) = B``.

    Parameters
    ----------
    A : Tensor
        ``prod(A.shape[:B.ndim]) == prod(A.shape[B.ndim:])``.
    B : Tensor, shape ``A.shape[:B.ndim]``
    dims : sequence of int, optional
        Dimensions of `A` that are moved to the end first.

    Returns
    -------
    Tensor, shape ``A.shape[B.ndim:]``

    Raises
    ------
    RuntimeError
        If the products differ.
    LinAlgError
        If the matrix is singular.
    """
    A, B = tensor_of(A, "linalg.tensorsolve"), tensor_of(B, "linalg.tensorsolve", "other")
    if dims is not None:
        moved = [d % A.ndim for d in dims]
        A = A.permute(*[d for d in range(A.ndim) if d not in moved], *moved)  # type: ignore[attr-defined]
    shape = tuple(A.shape)
    rows, columns = prod(shape[: B.ndim]), prod(shape[B.ndim :])
    if rows != columns:
        raise RuntimeError(
            "linalg.tensorsolve: Expected self to satisfy prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {columns} != {rows} for shapes {shape} and {tuple(B.shape)}"
        )
    return solve(A.reshape(rows, columns), B.reshape(rows)).reshape(shape[B.ndim :])  # type: ignore[attr-defined]


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of points.

    Parameters
    ----------
    x : Tensor, shape (..., n)
        Of integers or floating-point numbers; n takes the place of `N` where that is not given.

    Returns
    -------
    Tensor, shape (..., n, N)

    Raises
    ------
    RuntimeError
        If there are fewer than two powers, or `x` holds bools.
    """
    points = tensor_of(x, "linalg.vander")
    if points.dtype.name == "bool":
        raise RuntimeError("linalg.vander supports floating point and integer tensors, but got bool")
    if not points.dtype.is_floating_point:
        points = points.long()  # type: ignore[attr-defined]
    count = (points.shape[-1] if points.ndim else 1) if N is None else N
    if count <= 1:
        raise RuntimeError(f"linalg.vander: N must be greater than 1, got {count}")
    powers = [ones_like(points)]
    for _ in range(count - 1):
        powers.append(powers[-1] * points)
    made = stack(powers, -1)
    return made if points.ndim else made.unsqueeze(0)  # type: ignore[attr-defined]
