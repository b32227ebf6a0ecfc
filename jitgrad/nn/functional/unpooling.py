"""The way back from the largest elements of windows to where they were found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import int64
from jitgrad.functions._call import require_tensors
from jitgrad.functions._spatial import Sizes, over, sizes


def _max_unpool(spatial: int):  # the type is that of the function inside
    """The way back from max pooling over so many dimensions."""
    name = f"max_unpool{spatial}d"

    @over(spatial, name)
    def function(
        input: Tensor,
        indices: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        """Return zeros with the elements of ``input`` at the places that `max_pool{spatial}d` gave with them.

        Parameters
        ----------
        input : Tensor
            The result of `max_pool{spatial}d`.
        indices : Tensor of int64, same shape
            The places within the planes of the output.
        kernel_size, stride, padding
            As they were given to `max_pool{spatial}d`.
        output_size : sequence of int, optional
            Size of the result, where several may have given the same input.

        Raises
        ------
        ValueError
            If `output_size` is not one of these.
        RuntimeError
            If the shapes differ, or an index is not in the output.
        """
        return _unpool(name, spatial, input, indices, kernel_size, stride, padding, output_size)

    return function


max_unpool1d, max_unpool2d, max_unpool3d = _max_unpool(1), _max_unpool(2), _max_unpool(3)


def _unpool(
    name: str,
    spatial: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Sizes,
    stride: Any,
    padding: Sizes,
    output_size: Sequence[int] | None,
) -> Tensor:
    require_tensors(name, input, indices)
    kernel = sizes(name, "kernel_size", kernel_size, spatial)
    step = kernel if stride is None else sizes(name, "stride", stride, spatial)
    pad = sizes(name, "padding", padding, spatial)
    shape = tuple(input.shape)
    if len(shape) not in (spatial + 1, spatial + 2):
        raise RuntimeError(
            f"{name}: Input should be a {spatial + 1}d or {spatial + 2}d Tensor, but got a tensor with "
            f"{len(shape)} dimensions."
        )
    if indices.dtype is not int64:
        raise RuntimeError(
            f"{name}: elements in indices should be type int64 but got: {indices.dtype.name}; use .long()"
        )
    if tuple(indices.shape) != shape:
        raise RuntimeError(
            f"{name}: Expected shape of indices to be same as that of the input tensor ({list(shape)}) but got "
            f"indices tensor with shape: {list(indices.shape)}"
        )
    full = [(n - 1) * s + k - 2 * p for n, k, s, p in zip(shape[-spatial:], kernel, step, pad, strict=True)]
    result = full if output_size is None else _unpooled(name, full, step, output_size)
    planes = shape[:-spatial]
    count = math.prod(result)
    flat = T.zeros((*planes, count), dtype=input.dtype)
    last = len(planes)
    try:
        whole = flat.scatter(last, indices.flatten(last), input.flatten(last))
    except IndexError as error:
        raise RuntimeError(
            f"{name}: Found an invalid max index for an output of size {tuple(result)}: {error}"
        ) from None
    return whole.reshape(*planes, *result)


def _unpooled(name: str, full: list[int], step: tuple[int, ...], wanted: Sequence[int]) -> list[int]:
    """The output size given, when it is one that could have led to the input."""
    spatial = len(full)
    sizes_given = list(wanted)[2:] if len(wanted) == spatial + 2 else list(wanted)
    if len(sizes_given) != spatial:
        raise ValueError(
            f"{name}: output_size should be a sequence containing {spatial} or {spatial + 2} elements, but it has "
            f"a length of '{len(wanted)}'"
        )
    for d, (n, s, given) in enumerate(zip(full, step, sizes_given, strict=True)):
        if not n - s < given < n + s:
            raise ValueError(
                f'{name}: invalid output_size "{sizes_given}" (dim {d} must be between {n - s} and {n + s})'
            )
    return sizes_given
