"""Combinations of the elements of vectors, matrices put together as blocks, powers, and places by number."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from .._tensor import Tensor, method
from ..dtypes import int64
from ._call import require_tensors, tensor_of
from ._dims import shape_of
from .creation import zeros
from .from_data import from_numpy, scalar_tensor
from .joining import cat, meshgrid, stack
from .products import matmul
from .ranges import eye

__all__ = ["block_diag", "cartesian_prod", "combinations", "matrix_power", "unravel_index", "vander"]


def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix with matrices along its diagonal and zeros elsewhere; vectors count as rows, numbers as 1x1.

    Raises
    ------
    RuntimeError
        If a tensor has more than two dimensions.
    """
    require_tensors("block_diag", *tensors)
    large = next((x for x in tensors if x.ndim > 2), None)
    if large is not None:
        raise RuntimeError(f"block_diag: input tensors must have two or fewer dimensions, got {large.ndim}")
    blocks = [x.reshape(1, -1) if x.ndim < 2 else x for x in tensors]  # type: ignore[attr-defined]
    shapes = [shape_of(b) for b in blocks]
    width, before, rows = sum(columns for _, columns in shapes), 0, []
    for b, (height, columns) in zip(blocks, shapes, strict=True):
        after = width - before - columns
        row = [zeros(height, before, dtype=b.dtype), b] if before else [b]
        if after:
            row.append(zeros(height, after, dtype=b.dtype))
        rows.append(cat(row, 1) if len(row) > 1 else b)
        before += columns
    return cat(rows, 0) if rows else zeros(1, 0)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All tuples of one element of each vector, a row each; a single vector is returned as it is."""
    require_tensors("cartesian_prod", *tensors)
    if len(tensors) == 1:
        return tensors[0]
    return stack([grid.reshape(-1) for grid in meshgrid(*tensors, indexing="ij")], 1)  # type: ignore[attr-defined]


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of `r` elements of a vector, in its order, a row each.

    Raises
    ------
    RuntimeError
        If the input is no vector, or `r` is negative.
    """
    if tensor_of(input, "combinations").ndim != 1 or r < 0:
        raise RuntimeError(f"combinations: expected a vector and r >= 0, got {input.ndim}D and r = {r}")
    if not r:
        return input[:0]
    return input[from_numpy(_choices(len(input), r, with_replacement))]


def _choices(n: int, r: int, with_replacement: bool) -> np.ndarray:
    """The places of all choices of `r` from `n`, a row each."""
    if r == 2:
        return np.argwhere(~np.tri(n, k=-1 if with_replacement else 0, dtype=bool))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return np.array([*choose(range(n), r)], np.int64).reshape(-1, r)


@method
def matrix_power(input: Tensor, n: int) -> Tensor:
    """The product of `n` square matrices, by repeated squaring; the identity for 0, that of inverses below.

    Raises
    ------
    RuntimeError
        If the matrices are not square.
    LinAlgError
        If `n` is negative and a matrix singular.
    """
    shape = tuple(tensor_of(input, "matrix_power").shape)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise RuntimeError(f"matrix_power: expected square matrices, got {shape}")
    if n < 0:
        from ..linalg import inv

        return matrix_power(inv(input), -n)
    if not n:
        return eye(shape[-1], dtype=input.dtype).expand(shape).clone()  # type: ignore[attr-defined]
    result = None
    power = input
    while n:
        if n & 1:
            result = power if result is None else matmul(result, power)
        n >>= 1
        power = matmul(power, power) if n else power
    assert result is not None
    return result.clone() if result is input else result  # type: ignore[attr-defined]


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers ``x ** (N - 1), ..., x ** 1, x ** 0`` of a vector's elements, a row each."""
    count = tensor_of(x, "vander").shape[-1] if N is None else N
    steps = range(count) if increasing else range(count - 1, -1, -1)
    return stack([x**k for k in steps], -1) if count else x.reshape(*x.shape, 1)[..., :0]  # type: ignore[attr-defined]


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates of elements given by their numbers in an array of that shape, one tensor a dimension.

    Raises
    ------
    TypeError
        If the indices are not int64.
    """
    if tensor_of(indices, "unravel_index").dtype is not int64:
        raise TypeError(f"unravel_index: expected int64 indices, got {indices.dtype.name}; use .long()")
    found: list[Tensor] = []
    rest = indices
    for size in reversed([shape] if hasattr(shape, "__index__") else [*shape]):
        size = scalar_tensor(size, dtype=int64)
        found.append(rest % size)  # type: ignore[operator]
        rest = rest // size  # type: ignore[operator]
    return tuple(reversed(found))
