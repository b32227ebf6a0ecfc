"""All elements of a tensor as one dimension, in the order in which they lie in memory."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from ._tensor import Tensor, wrap
from .dispatch import view
from .engine.layout import RESHAPE, STRIDED_VIEW

NONE = -1


def line_of(x: Tensor) -> Tensor | None:
    """A view of one dimension that steps through the memory of `x`; None when there are gaps or repetitions."""
    if not x.is_contiguous():
        shape = tuple(x.shape)
        order = _order_in_memory(shape, x._strides())
        if order is None:
            return None
        columns = [word for d in order for word in (shape[d], d, 1, NONE)]
        words = array("q", (len(shape), *columns, *(0,) * len(shape)))
        x = wrap(view(STRIDED_VIEW, x, words, "permute"))
    return wrap(view(RESHAPE, x, array("q", (x.numel(),)), "view"))


def _order_in_memory(shape: Sequence[int], strides: Sequence[int]) -> list[int] | None:
    """Dimensions from the longest step to the shortest, sizes of one first; None when they are not one run."""
    order = sorted(range(len(shape)), key=lambda d: (shape[d] != 1, -strides[d]))
    step = 1
    for d in reversed(order):
        if shape[d] != 1 and strides[d] != step:
            return None
        step *= shape[d]
    return order
