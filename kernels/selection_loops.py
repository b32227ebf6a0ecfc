"""The loops behind `kernels.selection`, compiled by Numba.

Every kernel works on the lines of an operand along one dimension. Outputs have it with size 1, or lack it.
"""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from .abi import INT64, ITEM_SIZES
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


def _finder(dtype: int, greatest: bool) -> Callable:
    """``find(address, stride, count)``: the first place of the extreme value; nan is beyond any number."""
    load, _store = accessors(dtype)

    @njit
    def find(address, stride, count):
        best = load(address, 0)
        place = 0
        for j in range(1, count):
            if best != best:
                break
            value = load(address, j * stride)
            better = value > best if greatest else value < best
            if better or value != value:
                best = value
                place = j
        return place

    return find


def argument(dtype: int, greatest: bool) -> Callable:
    """The index of the greatest or smallest element of every line."""
    find = _finder(dtype, greatest)
    _load, store = accessors(INT64)
    item = ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        dim = attribute(record, 0)
        begin, end = share_of(lines_of(record, 0, dim), part, parts)
        x, y = address_of(record, 0), address_of(record, 1)
        for line in range(begin, end):
            at = x + offset_without(record, 0, dim, line) * item
            place = find(at, stride_of(record, 0, dim), size_of(record, 0, dim))
            store(y, result_offset(record, 1, dim, line, dims_of(record, 0)), place)

    return kernel


def extreme(dtype: int, greatest: bool) -> Callable:
    """The index (output 0) and the value (output 1) of the greatest or smallest element of every line."""
    find = _finder(dtype, greatest)
    load, store = accessors(dtype)
    _load, store_index = accessors(INT64)
    item = ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        dim = attribute(record, 0)
        begin, end = share_of(lines_of(record, 0, dim), part, parts)
        x, indices, values = address_of(record, 0), address_of(record, 1), address_of(record, 2)
        step = stride_of(record, 0, dim)
        for line in range(begin, end):
            at = x + offset_without(record, 0, dim, line) * item
            place = find(at, step, size_of(record, 0, dim))
            store_index(indices, result_offset(record, 1, dim, line, dims_of(record, 0)), place)
            store(values, result_offset(record, 2, dim, line, dims_of(record, 0)), load(at, place * step))

    return kernel


def extreme_backward(dtype: int) -> Callable:
    """Send each line's cotangent to the element that was chosen."""
    load, store = accessors(dtype)
    load_index, _store = accessors(INT64)

    def kernel(record, part, parts):
        # x, indices, values, their cotangents, gradient of x
        dim = attribute(record, 0)
        begin, end = share_of(lines_of(record, 5, dim), part, parts)
        indices, g, out = address_of(record, 1), address_of(record, 4), address_of(record, 5)
        count, step = size_of(record, 5, dim), stride_of(record, 5, dim)
        for line in range(begin, end):
            at = offset_without(record, 5, dim, line)
            for j in range(count):
                store(out, at + j * step, 0.0)
            if g != 0:
                place = load_index(indices, result_offset(record, 1, dim, line, dims_of(record, 5)))
                store(
                    out, at + place * step, load(g, result_offset(record, 4, dim, line, dims_of(record, 5)))
                )

    return kernel


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
