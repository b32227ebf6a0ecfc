"""The loops behind `kernels.selection`, compiled by Numba.

Every kernel works on the lines of an operand along one dimension. Outputs have it with size 1, or lack it.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from .plain import (
    accessors,
    address_of,
    attribute,
    dims_of,
    offset_without,
    share_of,
    size_of,
    stride_of,
)


@njit
def lines_of(record, k, dim):
    """Number of lines of array `k` along a dimension."""
    lines = 1
    for d in range(dims_of(record, k)):
        if d != dim:
            lines *= size_of(record, k, d)
    return lines


@njit
def result_offset(record, k, dim, line, dims):
    """Offset into array `k`, a result for every line of an operand with `dims` dimensions."""
    return offset_without(record, k, dim if dims_of(record, k) == dims else -1, line)


def product(dtype: int) -> Callable:
    """The product of every line."""
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        dim = attribute(record, 0)
        begin, end = share_of(lines_of(record, 0, dim), part, parts)
        x, y = address_of(record, 0), address_of(record, 1)
        count, step = size_of(record, 0, dim), stride_of(record, 0, dim)
        for line in range(begin, end):
            at = offset_without(record, 0, dim, line)
            total = 1.0
            for j in range(count):
                total *= load(x, at + j * step)
            store(y, result_offset(record, 1, dim, line, dims_of(record, 0)), total)

    return kernel


def product_backward(dtype: int) -> Callable:
    """For each element the product of the others, times the cotangent: right with zeros too."""
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        # x, product, its cotangent, gradient of x
        dim = attribute(record, 0)
        begin, end = share_of(lines_of(record, 3, dim), part, parts)
        x, g, out = address_of(record, 0), address_of(record, 2), address_of(record, 3)
        count, step, to = size_of(record, 0, dim), stride_of(record, 0, dim), stride_of(record, 3, dim)
        for line in range(begin, end):
            at = offset_without(record, 0, dim, line)
            place = offset_without(record, 3, dim, line)
            before = 1.0
            for j in range(count):
                store(out, place + j * to, before)
                before *= load(x, at + j * step)
            after = float(load(g, result_offset(record, 2, dim, line, dims_of(record, 3))))
            for back in range(count):
                j = count - 1 - back
                store(out, place + j * to, load(out, place + j * to) * after)
                after *= load(x, at + j * step)

    return kernel
