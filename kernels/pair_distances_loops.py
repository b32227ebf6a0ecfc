"""The loops of distances of all pairs of rows, for Numba."""

from __future__ import annotations

import math
from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_SHAPE, ARRAY_STRIDES
from .matrix_rows import room_for, rows_of
from .plain import accessors, clear_bytes, described, helper, place, quotient, share_of, word

AT_ONCE = 128  # rows whose shares of a gradient wait in memory on the stack


def distances(dtype: int) -> Any:
    """Arrays x, y."""
    _, store = accessors(dtype)
    gap, item = rows_of(dtype).gap, abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        x, y = described(record, 0), word(described(record, 1), ARRAY_ADDRESS)
        rows, columns = word(x, ARRAY_SHAPE), word(x, ARRAY_SHAPE + 1)
        source, line = word(x, ARRAY_ADDRESS), columns * item
        i, pair = 0, 0
        while i < rows:
            if i % parts == part:  # rows in turns: the first have most pairs
                for j in range(i + 1, rows):
                    store(y, pair + j - i - 1, math.sqrt(gap(source + i * line, source + j * line, columns)))
            pair += rows - i - 1
            i += 1

    return kernel


def distances_back(dtype: int) -> Any:
    """Arrays x, y, g, gx; each part takes some columns."""
    load, _ = accessors(dtype)
    move, item = rows_of(dtype).part, abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        x, y, g = described(record, 0), word(described(record, 1), ARRAY_ADDRESS), described(record, 2)
        rows, line = word(x, ARRAY_SHAPE), word(x, ARRAY_SHAPE + 1) * item
        seeds, step = word(g, ARRAY_ADDRESS), word(g, ARRAY_STRIDES)
        begin, end = share_of(word(x, ARRAY_SHAPE + 1), part, parts)
        source = word(x, ARRAY_ADDRESS) + begin * item
        to = word(described(record, 3), ARRAY_ADDRESS) + begin * item
        for i in range(rows):
            clear_bytes(to + i * line, (end - begin) * item)
        pair = 0
        for i in range(rows):
            for j in range(i + 1, rows):
                distance = load(y, pair)
                if distance != 0:
                    a, b, share = i * line, j * line, load(seeds, pair * step) / distance
                    move(to + a, to + b, source + a, source + b, end - begin, share)
                pair += 1

    return kernel


@helper
def size_from_end(array, k):
    """Size of an array's dimension `k`, counted from the last."""
    return word(array, ARRAY_SHAPE + word(array, ARRAY_DIMS) - 1 - k)


@helper
def rows_in(array):
    """How many rows there are in a stack of matrices."""
    rows = 1
    for k in range(1, word(array, ARRAY_DIMS)):
        rows *= size_from_end(array, k)
    return rows


def row_distances(dtype: int) -> Any:
    """Arrays x, z, y; each part takes some rows of x."""
    _, store = accessors(dtype)
    gap, item = rows_of(dtype).gap, abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        x, z, y = described(record, 0), described(record, 1), word(described(record, 2), ARRAY_ADDRESS)
        rows, others, columns = size_from_end(x, 1), size_from_end(z, 1), size_from_end(x, 0)
        line = columns * item
        begin, end = share_of(rows_in(x), part, parts)
        for i in range(begin, end):
            own = word(x, ARRAY_ADDRESS) + i * line
            other = word(z, ARRAY_ADDRESS) + quotient(i, rows) * others * line
            for j in range(others):
                store(y, i * others + j, math.sqrt(gap(own, other + j * line, columns)))

    return kernel


def row_distances_back(dtype: int) -> Any:
    """Arrays x, z, y, g, gx, gz; each part takes some rows of x, and of z."""
    load, store = accessors(dtype)
    add_gaps, item = rows_of(dtype).gaps, abi.ITEM_SIZES[dtype]

    @helper
    def gather(to, own, other, count, columns, y, step, seeds, seed_step, shares):
        """The gradient of one row: the differences from `count` others, each by its share of the cotangent.

        The distances and cotangents of the others are `step` and `seed_step` elements apart.
        """
        clear_bytes(to, columns * item)
        for start in range(0, count, AT_ONCE):
            terms = min(count - start, AT_ONCE)
            for k in range(terms):
                distance = load(y, (start + k) * step)
                share = load(seeds, (start + k) * seed_step)
                store(shares, k, share / distance if distance != 0 else 0)
            add_gaps(to, own, columns, other + start * columns * item, columns, shares, 1, terms)

    def kernel(record, part, parts):
        x, z, y = described(record, 0), described(record, 1), word(described(record, 2), ARRAY_ADDRESS)
        g, to_x, to_z = described(record, 3), described(record, 4), described(record, 5)
        rows, others, columns = size_from_end(x, 1), size_from_end(z, 1), size_from_end(x, 0)
        line, front = columns * item, word(g, ARRAY_DIMS) - 2
        down, across = word(g, ARRAY_STRIDES + front), word(g, ARRAY_STRIDES + front + 1)
        left, right, shares = word(x, ARRAY_ADDRESS), word(z, ARRAY_ADDRESS), room_for(AT_ONCE)
        if word(to_x, ARRAY_ADDRESS) != 0:
            begin, end = share_of(rows_in(x), part, parts)
            for i in range(begin, end):
                matrix = quotient(i, rows)
                seeds = word(g, ARRAY_ADDRESS) + (place(g, front, matrix) + (i - matrix * rows) * down) * item
                own, other, to = left + i * line, right + matrix * others * line, i * line
                to += word(to_x, ARRAY_ADDRESS)
                gather(to, own, other, others, columns, y + i * others * item, 1, seeds, across, shares)
        if word(to_z, ARRAY_ADDRESS) != 0:
            begin, end = share_of(rows_in(z), part, parts)
            for j in range(begin, end):
                matrix = quotient(j, others)
                column = j - matrix * others
                seeds = word(g, ARRAY_ADDRESS) + (place(g, front, matrix) + column * across) * item
                own, other, to = right + j * line, left + matrix * rows * line, j * line
                to += word(to_z, ARRAY_ADDRESS)
                distances_of = y + (matrix * rows * others + column) * item
                gather(to, own, other, rows, columns, distances_of, others, seeds, down, shares)

    return kernel
