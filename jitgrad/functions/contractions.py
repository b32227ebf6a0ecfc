"""Products over chosen dimensions, of blocks, and of chains of matrices: tensordot, kron, chain_matmul."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from .._tensor import Tensor, method
from ._call import require_tensors
from .losses import checked_dim
from .products import matmul

__all__ = ["chain_matmul", "kron", "tensordot"]


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Return the sums of products over pairs of dimensions.

    Parameters
    ----------
    a, b : Tensor
    dims : int or pair of sequences of int
        The last `dims` dimensions of `a` with the first of `b`; or which of `a` and which of `b`.

    Raises
    ------
    RuntimeError
        If two paired dimensions differ in size, or their numbers differ.
    """
    require_tensors("tensordot", a, b)
    first, second = _paired_dims(a, b, dims)
    for i, j in zip(first, second, strict=True):
        if a.shape[i] != b.shape[j]:
            raise RuntimeError(
                f"tensordot: contracted dimensions need to match, but first has size {a.shape[i]} in dim {i} "
                f"and second has size {b.shape[j]} in dim {j}"
            )
    rest_a = [d for d in range(a.ndim) if d not in first]
    rest_b = [d for d in range(b.ndim) if d not in second]
    shape_a, shape_b = [a.shape[d] for d in rest_a], [b.shape[d] for d in rest_b]
    depth = math.prod(a.shape[i] for i in first)
    left = a.permute(*rest_a, *first).reshape(math.prod(shape_a), depth)
    right = b.permute(*second, *rest_b).reshape(depth, math.prod(shape_b))
    return matmul(left, right).reshape(shape_a + shape_b)


def _paired_dims(a: Tensor, b: Tensor, dims: Any) -> tuple[list[int], list[int]]:
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(
                f"tensordot: expects dims >= 0 and at most {min(a.ndim, b.ndim)}, but got dims={dims}"
            )
        return list(range(a.ndim - dims, a.ndim)), list(range(dims))
    first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(first) != len(second):
        raise RuntimeError(
            f"tensordot: both dimension lists should have same length, got {first} and {second}"
        )
    first = [checked_dim("tensordot", a, d) for d in first]
    return first, [checked_dim("tensordot", b, d) for d in second]


@method
def kron(input: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product: every element of `input` times all of `other`, block by block."""
    require_tensors("kron", input, other)
    dims = max(input.ndim, other.ndim)
    left = (1,) * (dims - input.ndim) + tuple(input.shape)
    right = (1,) * (dims - other.ndim) + tuple(other.shape)
    spread = [n for m in left for n in (m, 1)]
    blocks = [n for m in right for n in (1, m)]
    product = input.reshape(spread) * other.reshape(blocks)
    return product.reshape([m * n for m, n in zip(left, right, strict=True)])


def chain_matmul(*matrices: Tensor) -> Tensor:
    """Return the product of a chain of matrices, multiplied in the order that takes the fewest operations.

    The order is found by dynamic programming (Cormen et al., Introduction to Algorithms, 15.2).
    """
    require_tensors("chain_matmul", *matrices)
    if not matrices:
        raise RuntimeError("chain_matmul: Expecting at least one matrix, got none")
    for x in matrices:
        if x.ndim != 2:
            raise RuntimeError(
                f"chain_matmul: every tensor must be a matrix, but got {tuple(x.shape)}; matmul takes other "
                "numbers of dimensions"
            )
    best = _cuts((matrices[0].size(0), *(x.size(1) for x in matrices)))

    def product(i: int, j: int) -> Tensor:
        if i == j:
            return matrices[i]
        k = best[i, j][1]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, len(matrices) - 1) if len(matrices) > 1 else matrices[0].clone()  # type: ignore[attr-defined]


@lru_cache(256)
def _cuts(sizes: tuple[int, ...]) -> dict[tuple[int, int], tuple[int, int]]:
    """Of matrices with these sizes, for each part of the chain: its operations, and behind which matrix to cut it."""
    count = len(sizes) - 1
    best: dict[tuple[int, int], tuple[int, int]] = {(i, i): (0, i) for i in range(count)}
    for span in range(1, count):
        for i in range(count - span):
            j = i + span
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return best
