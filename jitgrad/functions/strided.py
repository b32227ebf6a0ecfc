"""New tensors whose elements lie in memory as strides say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor, method
from .creation import dtype_or_default, finish, make_empty, shape_words
from .shape import NONE, strided_view, view_words

__all__ = ["empty_strided"]


def empty_strided(size: Sequence[int], stride: Sequence[int], *, dtype: Any = None, layout: Any = None,
                  device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A tensor of these sizes and strides whose values are whatever the memory holds.

    Parameters
    ----------
    size : sequence of int
    stride : sequence of int
        For each dimension the step in elements from one index to the next. Elements may share memory, as with a step
        of 0; such a tensor cannot be written to.
    dtype : dtype, optional
        By default that of `get_default_dtype`.
    requires_grad : bool, default False
        Whether operations on the tensor are recorded.
    layout, device, pin_memory
        For PyTorch's sake: all memory is the CPU's.

    Raises
    ------
    TypeError
        If sizes or strides are no tuples of ints.
    RuntimeError
        If there are not as many strides as sizes, one of either is negative, there are more than 8 dimensions, or
        another device is asked for.
    """
    return _empty("empty_strided", size, stride, dtype, device, requires_grad)


@method
def new_empty_strided(self: Tensor, size: Sequence[int], stride: Sequence[int], dtype: Any = None, *,
                      layout: Any = None, device: Any = None, requires_grad: bool = False,
                      pin_memory: bool = False) -> Tensor:  # fmt: skip
    """`empty_strided` in this tensor's dtype."""
    return _empty("new_empty_strided", size, stride, dtype or self.dtype, device, requires_grad)


def _integers(name: str, argument: str, values: Sequence[int]) -> tuple[int, ...]:
    try:
        return tuple([value.__index__() for value in values])
    except (AttributeError, TypeError):
        raise TypeError(f"{name}(): argument '{argument}' must be tuple of ints, got {values!r}") from None


def _empty(
    name: str, size: Sequence[int], stride: Sequence[int], dtype: Any, device: Any, grad: bool
) -> Tensor:
    sizes, steps = _integers(name, "size", size), _integers(name, "stride", stride)
    if len(sizes) != len(steps):
        raise RuntimeError(
            f"{name}: dimensionality of sizes ({len(sizes)}) must match dimensionality of strides ({len(steps)}); "
            "give one stride for each size"
        )
    shape_words(sizes)  # refuses negative sizes, and too many
    if min(steps, default=0) < 0:
        raise RuntimeError(f"{name}: Negative strides are not supported, got strides: {list(steps)}")
    last = sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    memory = make_empty((0 if 0 in sizes else last + 1,), dtype_or_default(dtype, name))
    columns = [(n, 0, step, NONE) for n, step in zip(sizes, steps, strict=True)]
    made = strided_view(memory, view_words(columns, [0], name), name)
    # detached, it is no view of the memory's tensor, which nobody has
    return finish(made.detach(), grad, device)
