"""Views of parts of a tensor: ranges and single indices of a dimension, diagonals, windows."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Any

from .._tensor import Tensor
from ._call import tensor_of
from ._dims import one_dim, refuse_dim, shape_of
from .shape import NONE, movedim, plain_columns, strided_view, view_words

__all__ = ["diagonal", "narrow", "select"]  # fmt: skip


def window(x: Tensor, dim: int, start: int, length: int, step: int, name: str) -> Tensor:
    """`length` indices of one dimension, `step` apart, from `start`; all checked by the caller."""
    return strided_view(x, _window_words(shape_of(x), dim, start, length, step), name)


@lru_cache(4096)
def _window_words(shape: tuple[int, ...], dim: int, start: int, length: int, step: int) -> array:
    columns = plain_columns(shape)
    columns[dim] = (length, dim, step, NONE)
    begin = [0] * len(shape)
    begin[dim] = start if length else 0
    return view_words(columns, begin, "slice")


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` indices of one dimension from `start`.

    Raises
    ------
    RuntimeError
        When they do not all exist.
    """
    shape = shape_of(tensor_of(input, "narrow"))
    if not shape:
        raise RuntimeError("narrow: narrow() cannot be applied to a 0-dim tensor.")
    at = one_dim(dim, len(shape), "narrow")
    first, size = int(start), shape[at]
    if not -size <= first <= size:
        raise IndexError(
            f"narrow: start out of range (expected to be in range of [{-size}, {size}], but got {first})"
        )
    first = first + size if first < 0 else first
    if length < 0 or first + length > size:
        raise RuntimeError(
            f"narrow: start ({first}) + length ({length}) exceeds dimension size ({size}) of dimension {at}"
        )
    return window(input, at, first, length, 1, "slice")


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One index of a dimension, without that dimension."""
    shape = shape_of(tensor_of(input, "select"))
    if not shape:
        raise IndexError("select: select() cannot be applied to a 0-dim tensor.")
    at = one_dim(dim, len(shape), "select")
    size = shape[at]
    if not -size <= index < size:
        raise IndexError(f"select: index {index} is out of bounds for dimension {at} with size {size}")
    return strided_view(input, select_words(shape, at, index + size if index < 0 else index), "select")


@lru_cache(4096)
def select_words(shape: tuple[int, ...], dim: int, index: int) -> array:
    columns = plain_columns(shape)
    del columns[dim]
    begin = [0] * len(shape)
    begin[dim] = index
    return view_words(columns, begin, "select")


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions as the last dimension."""
    shape = shape_of(tensor_of(input, "diagonal"))
    if len(shape) < 2:
        refuse_dim("diagonal", dim2, len(shape))
    first, second = one_dim(dim1, len(shape), "diagonal"), one_dim(dim2, len(shape), "diagonal")
    if first == second:
        raise RuntimeError(f"diagonal: diagonal dimensions cannot be identical {dim1}, {dim2}")
    below, right = max(-offset, 0), max(offset, 0)
    length = max(min(shape[first] - below, shape[second] - right), 0)
    columns = [c for d, c in enumerate(plain_columns(shape)) if d not in (first, second)]
    columns.append((length, first, 1, second))
    begin = [0] * len(shape)
    if length:
        begin[first], begin[second] = below, right
    return strided_view(input, view_words(columns, begin, "diagonal"), "diagonal")


def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Every window of `size` along a dimension, `step` apart; the windows' elements are the last dimension.

    Raises
    ------
    RuntimeError
        When a window is larger than the dimension.
    """
    shape = shape_of(self)
    at = one_dim(dimension, len(shape), "unfold")
    if size > shape[at] or size < 0 or step <= 0:
        raise RuntimeError(
            f"unfold: maximum size for tensor at dimension {at} is {shape[at]} but size is {size} "
            f"and step {step}"
        )
    count = (shape[at] - size) // step + 1
    if is_overlapping(size, step):
        pieces = [narrow(self, at, k * step, size) for k in range(count)]
        from .joining import stack

        return movedim(stack(pieces, at), at + 1, -1)
    columns = plain_columns(shape)
    columns[at] = (count, at, step, NONE)
    columns.append((size, at, 1, NONE))
    return strided_view(self, view_words(columns, [0] * len(shape), "unfold"), "unfold")


def is_overlapping(size: int, step: int) -> bool:
    """Whether windows of `size`, `step` apart, share elements."""
    return size > step


Tensor.diagonal, Tensor.narrow, Tensor.select, Tensor.unfold = diagonal, narrow, select, unfold
