"""Views of parts of a tensor: ranges and single indices of a dimension, diagonals, windows."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor
from ..dispatch import view_code
from ..engine.entry import entries
from ..lines import line_of
from ._call import tensor_of
from ._dims import one_dim, refuse_dim, shape_of
from .shape import NONE, plain_columns, strided_view, view_words

__all__ = ["as_strided", "diagonal", "narrow", "select"]  # fmt: skip

_SLICE, _SELECT, _DIAGONAL, _UNFOLD = map(view_code, ("slice", "select", "diagonal", "unfold"))
_VIEW, _AS_STRIDED = map(view_code, ("view", "as_strided"))


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` indices of one dimension from `start`.

    Raises
    ------
    RuntimeError
        When they do not all exist.
    """
    made = entries.narrowed(_SLICE, input, dim, start, length)
    return _narrow_stepwise(input, dim, start, length) if type(made) is int else made


def _narrow_stepwise(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
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
    columns = plain_columns(shape)
    columns[at] = (length, at, 1, NONE)
    begin = [0] * len(shape)
    begin[at] = first if length else 0
    return strided_view(input, view_words(columns, begin, "slice"), "slice")


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One index of a dimension, without that dimension."""
    made = entries.selected(_SELECT, input, dim, index)
    return _select_stepwise(input, dim, index) if type(made) is int else made


def _select_stepwise(input: Tensor, dim: int, index: int) -> Tensor:
    shape = shape_of(tensor_of(input, "select"))
    if not shape:
        raise IndexError("select: select() cannot be applied to a 0-dim tensor.")
    at = one_dim(dim, len(shape), "select")
    size = shape[at]
    if not -size <= index < size:
        raise IndexError(f"select: index {index} is out of bounds for dimension {at} with size {size}")
    columns = plain_columns(shape)
    del columns[at]
    begin = [0] * len(shape)
    begin[at] = index + size if index < 0 else index
    return strided_view(input, view_words(columns, begin, "select"), "select")


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions as the last dimension."""
    made = entries.diagonal(_DIAGONAL, input, offset, dim1, dim2)
    return _diagonal_stepwise(input, offset, dim1, dim2) if type(made) is int else made


def _diagonal_stepwise(input: Tensor, offset: int, dim1: int, dim2: int) -> Tensor:
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

    A view. Where windows share elements, each of them is in several places of it, and it cannot be written into.

    Raises
    ------
    RuntimeError
        When a window is larger than the dimension.
    """
    made = entries.windows(_UNFOLD, self, dimension, size, step)
    return _unfold_stepwise(self, dimension, size, step) if type(made) is int else made


def _unfold_stepwise(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    shape = shape_of(self)
    at = one_dim(dimension, len(shape), "unfold")
    if not shape:  # a window of a number holds one element, or none
        if size not in (0, 1) or step <= 0:
            raise RuntimeError(
                f"unfold: a tensor of no dimensions has windows of size 1, but size is {size} and step {step}"
            )
        return self.reshape(1)[:size]  # type: ignore[attr-defined]
    if size > shape[at] or size < 0 or step <= 0:
        raise RuntimeError(
            f"unfold: maximum size for tensor at dimension {at} is {shape[at]} but size is {size} "
            f"and step {step}"
        )
    count = (shape[at] - size) // step + 1
    columns = plain_columns(shape)
    columns[at] = (count, at, step, NONE)
    columns.append((size, at, 1, NONE))
    return strided_view(self, view_words(columns, [0] * len(shape), "unfold"), "unfold")


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of the elements of a tensor without gaps that steps through its memory reach.

    Parameters
    ----------
    size, stride : sequence of int
        Shape of the result, and steps in elements for each dimension.
    storage_offset : int, optional
        Elements in memory before the first; those before the tensor's own if not given.

    Raises
    ------
    RuntimeError
        If the tensor's memory has gaps or repetitions, a stride is negative, or an element outside of the tensor.
    """
    if storage_offset is None:
        made = entries.restrided(_VIEW, _AS_STRIDED, input, size, stride)
        if type(made) is not int:
            return made
    return _as_strided_stepwise(input, size, stride, storage_offset)


def _as_strided_stepwise(input: Tensor, size: Any, stride: Any, storage_offset: int | None) -> Tensor:
    line = line_of(tensor_of(input, "as_strided"))
    if line is None:
        raise RuntimeError(
            "as_strided: expected a tensor without gaps or repetitions; call contiguous() first"
        )
    if len(size) != len(stride):
        raise RuntimeError(
            f"as_strided: mismatch in length of strides and shape: {list(stride)}, {list(size)}"
        )
    if min(stride, default=0) < 0:
        raise RuntimeError(f"as_strided: Negative strides are not supported, got strides: {list(stride)}")
    own = 0 if storage_offset is None else input.storage_offset()
    first = (storage_offset or 0) - own
    last = first + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and not 0 <= first <= last < input.numel():
        raise RuntimeError(
            f"as_strided: sizes {list(size)}, strides {list(stride)} and storage offset {first + own} are out of "
            f"bounds for a tensor of {input.numel()} elements from {own} on"
        )
    columns = [(n, 0, step, NONE) for n, step in zip(size, stride, strict=True)]
    return strided_view(line, view_words(columns, [0 if 0 in size else first], "as_strided"), "as_strided")


Tensor.diagonal, Tensor.narrow, Tensor.select, Tensor.unfold = diagonal, narrow, select, unfold
Tensor.as_strided = as_strided
