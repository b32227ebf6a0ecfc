"""The loops behind `kernels.movement`, compiled by Numba."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from .abi import A_ARRAYS, ARRAY_SHAPE, ARRAY_STRIDES, ARRAY_WORDS, ITEM_SIZES, R_COUNT, WORD
from .plain import accessors, address_of, attribute, dims_of, size_of, stride_of, word


def copier(dtype: int) -> Callable:
    """``copy(dims, shape, target, target_strides, source, source_strides)`` of strided elements.

    The last four are addresses: of the first elements, and of lists of strides in elements; `shape` is the
    address of the list of sizes.
    """
    load, store = accessors(dtype)

    @njit
    def copy(dims, shape, target, target_strides, source, source_strides):
        size = ITEM_SIZES[dtype]
        inner, near, far = 1, 1, 1
        if dims > 0:
            inner = word(shape, dims - 1)
            near = word(target_strides, dims - 1)
            far = word(source_strides, dims - 1)
        rows = 1
        for d in range(dims - 1):
            rows *= word(shape, d)
        if inner == 0:
            return
        for row in range(rows):
            left, to, start = row, 0, 0
            for back in range(dims - 1):
                d = dims - 2 - back
                n = word(shape, d)
                to += left % n * word(target_strides, d)
                start += left % n * word(source_strides, d)
                left //= n
            to, start = target + to * size, source + start * size
            if near == 1 and far == 1:
                for i in range(inner):
                    store(to, i, load(start, i))
            else:
                for i in range(inner):
                    store(to, i * near, load(start, i * far))

    return copy


@njit
def shape_at(record, k):
    """Address of the list of sizes of array `k`."""
    return record + (A_ARRAYS + k * ARRAY_WORDS + ARRAY_SHAPE) * WORD


@njit
def strides_at(record, k):
    """Address of the list of strides of array `k`."""
    return record + (A_ARRAYS + k * ARRAY_WORDS + ARRAY_STRIDES) * WORD


def cat_forward(dtype: int) -> Callable:
    """Copy the operands one after the other along a dimension."""
    copy = copier(dtype)
    item = ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        count = word(record, R_COUNT) - 1
        dim = attribute(record, 0)
        step = stride_of(record, count, dim) * item
        place = address_of(record, count)
        for k in range(count):
            length = size_of(record, k, dim)
            if k % parts == part:
                copy(
                    dims_of(record, k), shape_at(record, k), place, strides_at(record, count),
                    address_of(record, k), strides_at(record, k),
                )  # fmt: skip
            place += length * step

    return kernel


def cat_backward(dtype: int) -> Callable:
    """Cut the cotangent into the operands' gradients."""
    copy = copier(dtype)
    item = ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        # operands, output, cotangent, gradients
        count = (word(record, R_COUNT) - 2) // 2
        dim = attribute(record, 0)
        g = count + 1
        step = stride_of(record, g, dim) * item
        place = address_of(record, g)
        for k in range(count):
            length = size_of(record, k, dim)
            mine = g + 1 + k
            if k % parts == part and address_of(record, mine) != 0:
                copy(
                    dims_of(record, mine), shape_at(record, mine), address_of(record, mine),
                    strides_at(record, mine), place, strides_at(record, g),
                )  # fmt: skip
            place += length * step

    return kernel


def _flip(dtype: int, source: int, target: int) -> Callable:
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        if part != 0:
            return
        mask = attribute(record, 0)
        x, y = address_of(record, source), address_of(record, target)
        dims = dims_of(record, source)
        total = 1
        for d in range(dims):
            total *= size_of(record, source, d)
        for i in range(total):
            left, to, start = i, 0, 0
            for back in range(dims):
                d = dims - 1 - back
                n = size_of(record, source, d)
                j = left % n
                left //= n
                start += j * stride_of(record, source, d)
                if (mask >> d) & 1:
                    j = n - 1 - j
                to += j * stride_of(record, target, d)
            store(y, to, load(x, start))

    return kernel


def flip_forward(dtype: int) -> Callable:
    """Reverse the dimensions whose bits are set."""
    return _flip(dtype, 0, 1)


def flip_backward(dtype: int) -> Callable:
    """Reverse the cotangent likewise."""
    return _flip(dtype, 2, 3)
