"""Matrices of described arrays, and what the loops of factorisations do with them. For Numba.

A matrix is the address of its first element with the steps from row to row and from column to column, so that a
transposed one is the same with its steps exchanged. Unknowns lie in rows without gaps, `pitch` elements apart.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_NUMEL, ARRAY_SHAPE, ARRAY_STRIDES
from .matrix_rows import room_for, rows_of
from .plain import (
    accessors,
    copy_bytes,
    helper,
    place,
    quotient,
    set_word,
    word,
)
from .reports import BAD_VALUE

STRIP = 32  # rows that are solved side by side from the right
PANEL = 16  # rows that factorisations finish before they take them from those behind
WHOLE, LOWER, UPPER = range(3)  # the part of a matrix that a gradient fills


@helper
def size_at(array, back):
    """The size of a described array's dimension `back` from behind."""
    return word(array, ARRAY_SHAPE + word(array, ARRAY_DIMS) - back)


@helper
def step_at(array, back):
    """The stride of a described array's dimension `back` from behind."""
    return word(array, ARRAY_STRIDES + word(array, ARRAY_DIMS) - back)


@helper
def count_of(array):
    """The number of matrices in a described array; 0 where they have no elements."""
    numel = word(array, ARRAY_NUMEL)
    return quotient(numel, size_at(array, 1) * size_at(array, 2)) if numel else 0


@helper
def wanted_of(gradient):
    """How many matrices of an array are to be filled: none where it is not wanted."""
    return count_of(gradient) if word(gradient, ARRAY_ADDRESS) else 0


@helper
def tell(cell, number):
    """Report `number` in a cell; 0 is none."""
    if cell != 0:
        set_word(cell, 1, number)
        set_word(cell, 0, BAD_VALUE)


class Matrices(NamedTuple):
    """What is done with matrices of one dtype.

    Attributes
    ----------
    at : callable
        ``at(array, m)``: the address of matrix `m` of a described array.
    one : callable
        ``one(array, m)``: the address of element `m` of an array that has one for each matrix.
    copy : callable
        ``copy(target, pitch, array, m)``: the elements of matrix `m`, in rows.
    lower, upper : callable
        ``lower(x, pitch, k, a, row, column, n, unit)``: solve ``A X = B`` in place of the `k` columns B, by the lower
        triangle of A; `upper` by the upper one.
    outer : callable
        ``outer(target, n, h, pitch, x, k, part, unit)``: ``-H X'`` of two matrices of `k` columns, where `part` lies,
        and zeros elsewhere. `h` may lie where the target is.
    """

    at: Any
    one: Any
    copy: Any
    lower: Any
    upper: Any
    outer: Any


@functools.cache
def matrices_of(dtype: int) -> Matrices:
    """What is done with matrices of a dtype."""
    load, store = accessors(dtype)
    rows, item = rows_of(dtype), abi.ITEM_SIZES[dtype]
    less, less_block, divide, dot = rows.less, rows.less_block, rows.divide, rows.dot

    @helper
    def at(array, m):
        return word(array, ARRAY_ADDRESS) + place(array, word(array, ARRAY_DIMS) - 2, m) * item

    @helper
    def one(array, m):
        return word(array, ARRAY_ADDRESS) + place(array, word(array, ARRAY_DIMS), m) * item

    @helper
    def copy(target, pitch, array, m):
        source, row, column = at(array, m), step_at(array, 2), step_at(array, 1)
        count = size_at(array, 1)
        for i in range(size_at(array, 2)):
            if column == 1:
                copy_bytes(target + i * pitch * item, source + i * row * item, count * item)
            else:
                for j in range(count):
                    store(target, i * pitch + j, load(source, i * row + j * column))

    @helper
    def lower(x, pitch, k, a, row, column, n, unit):
        first = 0
        while first < n:
            last, above = min(first + PANEL, n), x + first * pitch * item
            for i in range(first, last):
                own, factors = x + i * pitch * item, a + (i * row + first * column) * item
                less(own, k, above, pitch, factors, column, i - first)
                if not unit:
                    divide(own, k, load(a, i * (row + column)))
            below, factors = x + last * pitch * item, a + (last * row + first * column) * item
            less_block(below, pitch, n - last, k, above, pitch, factors, row, column, last - first)
            first = last

    @helper
    def upper(x, pitch, k, a, row, column, n, unit):
        last = n
        while last > 0:
            first = max(last - PANEL, 0)
            for back in range(last - first):
                i = last - 1 - back
                own, factors = x + i * pitch * item, a + (i * row + (i + 1) * column) * item
                less(own, k, own + pitch * item, pitch, factors, column, back)
                if not unit:
                    divide(own, k, load(a, i * (row + column)))
            below, factors = x + first * pitch * item, a + first * column * item
            less_block(x, pitch, first, k, below, pitch, factors, row, column, last - first)
            last = first

    @helper
    def outer(target, n, h, pitch, x, k, part, unit):
        shared = h == target  # then k is at most n: a row is put by before it is written over
        room = room_for(k if shared else 1)
        for i in range(n):
            own = h + i * pitch * item
            if shared:
                copy_bytes(room, own, k * item)
                own = room
            first = i + unit if part == UPPER else 0
            last = i + 1 - unit if part == LOWER else n
            for j in range(n):
                value = dot(own, x + j * k * item, k)
                store(target, i * n + j, 0.0 - value if first <= j and j < last else 0.0)

    return Matrices(at, one, copy, lower, upper, outer)


@functools.cache
def by_upper_of(dtype: int) -> Any:
    """``by_upper(x, pitch, count, u, step, n, strip)``: ``X U'^-1`` in place of `count` rows, for a triangle in rows.

    Rows are solved STRIP at a time, as the columns of `strip`: room for so many rows of n numbers.
    """
    load, store = accessors(dtype)
    upper, item = matrices_of(dtype).upper, abi.ITEM_SIZES[dtype]

    @helper
    def by_upper(x, pitch, count, u, step, n, strip):
        first = 0
        while first < count:
            own, some = x + first * pitch * item, min(STRIP, count - first)
            for i in range(some):
                for j in range(n):
                    store(strip, j * some + i, load(own, i * pitch + j))
            upper(strip, some, some, u, step, 1, n, False)
            for i in range(some):
                for j in range(n):
                    store(own, i * pitch + j, load(strip, j * some + i))
            first += some

    return by_upper


@functools.cache
def products_of(dtype: int) -> Any:
    """``products(target, n, g, m, x, k)``: ``-G X'`` of the described G's matrix `m` and the rows X."""
    load, store = accessors(dtype)
    at = matrices_of(dtype).at

    @helper
    def products(target, n, g, m, x, k):
        source, row, column = at(g, m), step_at(g, 2), step_at(g, 1)
        for i in range(n):
            for j in range(n):
                total = 0.0
                for c in range(k):
                    total += load(source, i * row + c * column) * load(x, j * k + c)
                store(target, i * n + j, -total)

    return products
