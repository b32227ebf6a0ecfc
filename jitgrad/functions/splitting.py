"""Cutting tensors into parts, which are views."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from operator import index
from typing import Any

from .._tensor import Tensor
from ..dtypes import int64
from ..told import numbers_in
from ._call import require_tensors, tensor_of
from ._dims import axis_as_dim, dims_of, one_dim, shape_of, sizes_of
from ._numpy_names import takes_axis
from ._split_names import takes_split_names
from .slicing import narrow, select

__all__ = ["chunk", "hsplit", "split", "split_with_sizes", "tensor_split", "unbind", "vsplit"]


def unbind(input: Tensor, dim: int = 0, axis: int | None = None) -> tuple[Tensor, ...]:
    """Views of every index of a dimension."""
    shape = shape_of(tensor_of(input, "unbind"))
    if not shape:
        raise IndexError("unbind: cannot unbind a 0-dim tensor")
    if axis is not None:
        dim = axis_as_dim("unbind", dim, axis, 0)
    at = one_dim(dim, len(shape), "unbind")
    return tuple([select(input, at, k) for k in range(shape[at])])


def split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, split_size: Any = None
) -> tuple[Tensor, ...]:
    """Views of consecutive parts: of one size (the last may be smaller), or of the sizes given.

    Parameters
    ----------
    split_size
        The name that PyTorch's method has for `split_size_or_sections`.

    Raises
    ------
    RuntimeError
        When sizes do not add up to the dimension's.
    """
    if split_size is not None:
        split_size_or_sections = split_size
    shape = shape_of(tensor_of(tensor, "split"))
    if not shape:
        raise RuntimeError("split: split expects at least a 1-dimensional tensor")
    at = one_dim(dim, len(shape), "split")
    size = shape[at]
    if hasattr(split_size_or_sections, "__index__"):
        each = split_size_or_sections.__index__()
        if each < 0 or (each == 0 and size):
            raise RuntimeError(f"split: split expects split_size be positive, but got split_size={each}")
        lengths = [min(each, size - k) for k in range(0, size, each)] if size else [0]
    else:
        lengths = sizes_of((split_size_or_sections,), "split", "split_size_or_sections")
        if sum(lengths) != size or min(lengths, default=0) < 0:
            raise RuntimeError(
                "split: split_with_sizes expects split_sizes to sum exactly to "
                f"{size} (input tensor's size at dimension {at}), but got split_sizes={list(lengths)}"
            )
    return _cut(tensor, at, lengths)


def _cut(x: Tensor, dim: int, lengths: Sequence[int]) -> tuple[Tensor, ...]:
    ends = accumulate(lengths)
    return tuple([narrow(x, dim, end - length, length) for length, end in zip(lengths, ends, strict=True)])


def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split` into parts of the given sizes."""
    return split(input, sizes_of((split_sizes,), "split_with_sizes", "split_sizes"), dim)


def chunk(input: Tensor, chunks: int, dim: int = 0, axis: int | None = None) -> tuple[Tensor, ...]:
    """Views of at most `chunks` consecutive parts of one size; the last may be smaller.

    Parameters
    ----------
    input : Tensor
    chunks : int
    dim : int, default 0
    axis : int, optional
        NumPy's name of `dim`.

    Raises
    ------
    RuntimeError
        If `chunks` is not positive, or the tensor has no dimension.
    """
    shape = shape_of(tensor_of(input, "chunk"))
    if chunks <= 0:
        raise RuntimeError(f"chunk: chunk expects `chunks` to be greater than 0, got: {chunks}")
    if not shape:
        raise RuntimeError("chunk: chunk expects at least a 1-dimensional tensor")
    if axis is not None:
        dim = axis_as_dim("chunk", dim, axis, 0)
    at = one_dim(dim, len(shape), "chunk")
    size = shape[at]
    if not size:
        return tuple(narrow(input, at, 0, 0) for _ in range(chunks))
    each = -(-size // chunks)
    return tuple([narrow(input, at, k, min(each, size - k)) for k in range(0, size, each)])


@takes_axis
@partial(takes_split_names, tensors=True)
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts.

    Parameters
    ----------
    input : Tensor
    indices_or_sections : int, or sequence or Tensor of int
        How many parts, whose sizes differ by one at most; or the indices before which to cut. By name, `sections`,
        `indices`, or `tensor_indices_or_sections`.
    dim : int, default 0

    Raises
    ------
    TypeError
        If `indices_or_sections` are no integers.
    RuntimeError
        If there is to be no part, the tensor has no dimension, or indices in a tensor are not int64 in one dimension.
    """
    shape = shape_of(tensor_of(input, "tensor_split"))
    if not shape:
        raise RuntimeError(
            "tensor_split: tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    cuts = _cuts_of(indices_or_sections)
    at = one_dim(dim, len(shape), "tensor_split")
    size = shape[at]
    if isinstance(cuts, int):
        sections = cuts
        if sections <= 0:
            raise RuntimeError(f"tensor_split: number of sections must be larger than 0, got {sections}")
        small, more = divmod(size, sections)
        return _cut(input, at, [small + (k < more) for k in range(sections)])
    parts, start = [], 0
    for cut in [*cuts, size]:
        stop = min(max(cut + size if cut < 0 else cut, 0), size)
        parts.append(narrow(input, at, min(start, size), max(stop - start, 0)))
        start = stop
    return tuple(parts)


def _cuts_of(told: Any) -> int | Sequence[int]:
    """The number of parts for `tensor_split`, or the indices before which to cut."""
    if isinstance(told, Tensor):
        if told.ndim > 1 or told.dtype is not int64:
            raise RuntimeError(
                "tensor_split: expected tensor_indices_or_sections to have dtype int64 and at most one dimension, "
                f"got {told.dtype.name} and {told.ndim}; use .long() and .flatten()"
            )
        told = numbers_in(told, "tensor_indices_or_sections")
    try:
        return index(told) if hasattr(told, "__index__") else [index(cut) for cut in told]
    except TypeError:
        raise TypeError(
            f"tensor_split(): argument 'indices_or_sections' must be an int or integers, not {told!r}"
        ) from None


@takes_split_names
def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the second dimension, of vectors the first."""
    require_tensors("hsplit", input)
    return tensor_split(input, indices_or_sections, 0 if dims_of(input) == 1 else 1)


@takes_split_names
def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the first dimension."""
    return tensor_split(input, indices_or_sections, 0)


for _name in __all__:
    setattr(Tensor, _name, globals()[_name])
