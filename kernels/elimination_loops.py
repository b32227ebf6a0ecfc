"""The loops of Gaussian elimination with exchanges of rows, for Numba.

The factors L, with ones on its diagonal, and U lie in one matrix, in rows without gaps, and beside them for each row
the one that it was exchanged with, from 1. Rows are eliminated PANEL at a time: within a panel only its own columns
change, and what is behind it takes the products of the whole panel at once (Golub and Van Loan, algorithm 3.4.1 and
section 3.2.11).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_DTYPE, ARRAY_NUMEL
from .matrices import PANEL, STRIP, by_upper_of, count_of, matrices_of, size_at, step_at, wanted_of
from .matrix_rows import room_for, rows_of
from .plain import accessors, clear_bytes, described, helper, place, set_word, share_of, word


class Elimination(NamedTuple):
    """What is done with eliminated matrices of one dtype, whose exchanges have another.

    Attributes
    ----------
    factor : callable
        ``factor(a, rows, columns, exchanges)``: eliminate in place; the first column without a pivot, from 1, or 0.
    exchange : callable
        ``exchange(x, pitch, k, exchanges, count)``: the exchanges of the rows of a matrix with `k` columns.
    undo : callable
        The same, from the last to the first.
    parity : callable
        ``parity(exchanges, count)``: the determinant of the exchanges.
    """

    factor: Any
    exchange: Any
    undo: Any
    parity: Any


@functools.cache
def elimination_of(dtype: int, exchanges: int) -> Elimination:
    """What is done with eliminated matrices of a dtype."""
    load, store = accessors(dtype)
    load_row, store_row = accessors(exchanges)
    rows, item = rows_of(dtype), abi.ITEM_SIZES[dtype]
    less, less_block = rows.less, rows.less_block

    @helper
    def swap(x, y, count):
        for k in range(count):
            value = load(x, k)
            store(x, k, load(y, k))
            store(y, k, value)

    @helper
    def largest(a, rows, columns, k):
        best, row = abs(load(a, k * columns + k)), k
        for i in range(k + 1, rows):
            size = abs(load(a, i * columns + k))
            if size > best:
                best, row = size, i
        return row

    @helper
    def panel(a, rows, columns, first, last, made):
        bad = 0
        for k in range(first, last):
            row = largest(a, rows, columns, k)
            store_row(made, k, row + 1)
            own = a + k * columns * item
            if row != k:
                swap(own, a + row * columns * item, columns)
            pivot = load(own, k)
            if pivot == 0.0:
                bad = bad if bad else k + 1
                continue
            for i in range(k + 1, rows):
                at = a + (i * columns + k) * item
                store(at, 0, load(at, 0) / pivot)
                less(at + item, last - k - 1, own + (k + 1) * item, columns, at, 1, 1)
        return bad

    @helper
    def factor(a, rows, columns, made):
        bad, first, count = 0, 0, min(rows, columns)
        while first < count:
            last = min(first + PANEL, count)
            found = panel(a, rows, columns, first, last, made)
            bad = bad if bad else found
            source = a + (first * columns + last) * item
            for i in range(first + 1, last):
                factors = a + (i * columns + first) * item
                less(factors + (last - first) * item, columns - last, source, columns, factors, 1, i - first)
            factors = a + (last * columns + first) * item
            less_block(
                factors + (last - first) * item,
                columns,
                rows - last,
                columns - last,
                source,
                columns,
                factors,
                columns,
                1,
                last - first,
            )
            first = last
        return bad

    @helper
    def exchange(x, pitch, k, made, count):
        for i in range(count):
            other = int(load_row(made, i)) - 1
            if other != i:
                swap(x + i * pitch * item, x + other * pitch * item, k)

    @helper
    def undo(x, pitch, k, made, count):
        for back in range(count):
            i = count - 1 - back
            other = int(load_row(made, i)) - 1
            if other != i:
                swap(x + i * pitch * item, x + other * pitch * item, k)

    @helper
    def parity(made, count):
        sign = 1.0
        for i in range(count):
            if int(load_row(made, i)) != i + 1:
                sign = -sign
        return sign

    return Elimination(factor, exchange, undo, parity)


def lu(dtype: int) -> Any:
    """Arrays a, y, exchanges (int32)."""
    item, copy = abi.ITEM_SIZES[dtype], matrices_of(dtype).copy
    factor = elimination_of(dtype, abi.INT32).factor

    def kernel(record, part, parts):
        a, found, made = described(record, 0), described(record, 1), described(record, 2)
        rows, columns = size_at(found, 2), size_at(found, 1)
        matrices, count = count_of(found), min(rows, columns)
        begin, end = share_of(matrices, part, parts)
        for m in range(begin, end):
            y = word(found, ARRAY_ADDRESS) + m * rows * columns * item
            copy(y, columns, a, m)
            factor(y, rows, columns, word(made, ARRAY_ADDRESS) + m * count * 4)

    return kernel


def lu_backward(dtype: int) -> Any:
    """``P L'^-1 (low(L' G) + up(G U')) U'^-1``, low without the diagonal, by Giles's rules for products and inverses.

    Of a matrix with more columns than rows the others, ``U_2 = L^-1 P' A_2``, have ``P L'^-1 G_2``, and low loses
    ``G_2 U_2'``; of one with more rows the others, ``L_2 = A_2 U^-1``, have ``G_2 U'^-1``, and up loses ``L_2' G_2``.
    Arrays a, y, exchanges, g, -, ga.
    """
    load, store = accessors(dtype)
    rows_done, item, parts_of = rows_of(dtype), abi.ITEM_SIZES[dtype], matrices_of(dtype)
    less, more, dot, copy, upper = (
        rows_done.less,
        rows_done.more,
        rows_done.dot,
        parts_of.copy,
        parts_of.upper,
    )
    undo, by_upper = elimination_of(dtype, abi.INT32).undo, by_upper_of(dtype)

    @helper
    def inner(x, y, rows, columns, count):
        """In the place of G, row by row: a row needs those below only left of the diagonal, and itself right of it."""
        for i in range(count):
            own, below = x + i * columns * item, (i + 1) * columns * item
            more(own, i, x + below, columns, y + below + i * item, columns, count - 1 - i)
            for j in range(i):
                beyond = dot(own + count * item, y + (j * columns + count) * item, columns - count)
                store(own, j, load(own, j) - beyond)
            for j in range(i, count):
                at = (j * columns + j) * item
                store(own, j, dot(own + j * item, y + at, count - j))
            behind = count * columns
            less(
                own + i * item,
                count - i,
                x + (behind + i) * item,
                columns,
                y + (behind + i) * item,
                columns,
                rows - count,
            )

    def kernel(record, part, parts):
        found, made, g = described(record, 1), described(record, 2), described(record, 3)
        gradient = described(record, 5)
        rows, columns = size_at(found, 2), size_at(found, 1)
        count = min(rows, columns)
        strip = room_for(count * STRIP)
        begin, end = share_of(wanted_of(gradient), part, parts)
        for m in range(begin, end):
            x = word(gradient, ARRAY_ADDRESS) + m * rows * columns * item
            y = word(found, ARRAY_ADDRESS) + m * rows * columns * item
            copy(x, columns, g, m)
            inner(x, y, rows, columns, count)
            upper(x, columns, columns, y, 1, columns, count, True)
            by_upper(x, columns, rows, y, columns, count, strip)
            undo(x, columns, columns, word(made, ARRAY_ADDRESS) + m * count * 4, count)

    return kernel


def permutation(dtype: int) -> Any:
    """P with ``A = P L U``; arrays exchanges, y, which is float32 or float64.

    Column i has its one in the row of A that the exchanges have brought to row i. Only numbers of rows are followed.
    """
    load, _ = accessors(dtype)
    _, store_single = accessors(abi.FLOAT32)
    _, store_double = accessors(abi.FLOAT64)

    def kernel(record, part, parts):
        made, found = described(record, 0), described(record, 1)
        rows, count, step = size_at(found, 1), size_at(made, 1), step_at(made, 1)
        single = word(found, ARRAY_DTYPE) == abi.FLOAT32
        item = 4 if single else 8
        order = room_for(rows)
        begin, end = share_of(count_of(found), part, parts)
        for m in range(begin, end):
            y = word(found, ARRAY_ADDRESS) + m * rows * rows * item
            given = word(made, ARRAY_ADDRESS) + place(made, word(made, ARRAY_DIMS) - 1, m) * 4
            for i in range(rows):
                set_word(order, i, i)
            for i in range(count):
                other, held = load(given, i * step) - 1, word(order, i)
                if other >= 0 and other < rows:
                    set_word(order, i, word(order, other))
                    set_word(order, other, held)
            clear_bytes(y, rows * rows * item)
            for i in range(rows):
                if single:
                    store_single(y, word(order, i) * rows + i, 1.0)
                else:
                    store_double(y, word(order, i) * rows + i, 1.0)

    return kernel


def zero_pivot(dtype: int) -> Any:
    """The number, from 1, of the first zero on the diagonal of each matrix, or 0; arrays packed, y (int32)."""
    load, _ = accessors(dtype)
    _, store_number = accessors(abi.INT32)
    at = matrices_of(dtype).at

    def kernel(record, part, parts):
        packed, y = described(record, 0), described(record, 1)
        count, step = min(size_at(packed, 1), size_at(packed, 2)), step_at(packed, 1) + step_at(packed, 2)
        begin, end = share_of(word(y, ARRAY_NUMEL), part, parts)
        for m in range(begin, end):
            source, found = at(packed, m), 0
            for back in range(count):
                if load(source, (count - 1 - back) * step) == 0.0:
                    found = count - back
            store_number(word(y, ARRAY_ADDRESS), m, found)

    return kernel
