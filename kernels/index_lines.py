"""Single elements at indices that are neighbours, as those on the flat side are; for Numba, see `index_walks`."""

from __future__ import annotations

import functools
from typing import Any

from . import abi
from .plain import accessors, helper, word

READ, WRITE, ADD, CLEAR = range(4)


@functools.cache
def adder(dtype: int) -> Any:
    """``added(a, b)``: the sum of two elements, which for bools is whether one of them is set."""
    boolean = dtype == abi.BOOL

    @helper
    def added(a, b):
        total = a + b
        if boolean and total > 1:
            total = 1
        return total

    return added


def line_mover(dtype: int, wraps: bool) -> Any:
    """``line(tensor, flat, indices, count, step, stride, size, mode)``; if it `wraps`, -1 is the last index."""
    load, store = accessors(dtype)
    added = adder(dtype)

    @helper
    def chosen(indices, j, size):
        i = word(indices, j)
        if wraps:
            i = i + size if i < 0 else i
        return i

    @helper
    def walk(tensor, flat, indices, count, step, stride, size, mode):
        if mode == READ:
            for j in range(count):
                store(flat, j, load(tensor, j * step + chosen(indices, j, size) * stride))
        elif mode == WRITE:
            for j in range(count):
                store(tensor, j * step + chosen(indices, j, size) * stride, load(flat, j))
        else:
            for j in range(count):
                to = j * step + chosen(indices, j, size) * stride
                store(tensor, to, added(load(tensor, to), load(flat, j)))

    @helper
    def line(tensor, flat, indices, count, step, stride, size, mode):
        """Move `count` elements: number j lies ``j * step + index * stride`` elements from `tensor` on."""
        if step == 0 and stride == 1:  # written out once more, without the products
            walk(tensor, flat, indices, count, 0, 1, size, mode)
        else:
            walk(tensor, flat, indices, count, step, stride, size, mode)

    return line
