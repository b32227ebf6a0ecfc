"""The loops of Cholesky's factors and of equations with triangular matrices, for Numba.

A matrix is the address of its first element with the steps from row to row and from column to column, so that a
transposed one is the same with its steps exchanged. Unknowns lie in rows without gaps, `pitch` elements apart.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_NUMEL, ARRAY_SHAPE, ARRAY_STRIDES
from .matrix_rows import room_for, rows_of
from .plain import (
    accessors,
    attributes,
    clear_bytes,
    copy_bytes,
    described,
    helper,
    place,
    quotient,
    set_word,
    share_of,
    word,
)
from .reports import BAD_VALUE

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
    """``by_upper(x, pitch, count, u, step, n)``: ``X U'^-1`` in place of `count` rows, for a triangle in rows."""
    load, store = accessors(dtype)
    dot, item = rows_of(dtype).dot, abi.ITEM_SIZES[dtype]

    @helper
    def by_upper(x, pitch, count, u, step, n):
        for i in range(count):
            own = x + i * pitch * item
            for back in range(n):
                j = n - 1 - back
                at = u + (j * step + j) * item
                known = dot(own + (j + 1) * item, at + item, back)
                store(own, j, (load(own, j) - known) / load(at, 0))

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


def cholesky(symbol: str, dtype: int) -> Any:
    """Arrays a, y, info; attributes: upper, where to report (0: nowhere), what.

    Row i of the upper factor is the matrix's less the rows above, each times what it has in column i (Golub and Van
    Loan, Matrix Computations, section 4.2.5), PANEL rows at a time, which stay in the cache. A matrix without
    a factor gets nan.
    """
    load, store = accessors(dtype)
    _, store_info = accessors(abi.INT32)
    rows, item, at = rows_of(dtype), abi.ITEM_SIZES[dtype], matrices_of(dtype).at
    less, less_block, divide, transpose = rows.less, rows.less_block, rows.divide, rows.transpose

    @helper
    def panel(y, n, first, last):
        for i in range(first, last):
            own, above = y + i * (n + 1) * item, y + (first * n + i) * item
            less(own, n - i, above, n, above, n, i - first)
            pivot = load(own, 0)
            if not pivot > 0.0:
                return i + 1
            root = math.sqrt(pivot)
            divide(own, n - i, root)
            store(own, 0, root)
        return 0

    @helper
    def factor(y, n):
        first = 0
        while first < n:
            last = min(first + PANEL, n)
            i, bad = last, panel(y, n, first, last)
            if bad:
                for k in range(n * n):
                    store(y, k, math.nan)
                return bad
            while i < n:
                above, tall = y + (first * n + i) * item, min(n - i, PANEL)
                less_block(y + i * (n + 1) * item, n, tall, n - i, above, n, above, 1, n, last - first)
                i += tall
            first = last
        for i in range(1, n):  # blocks have gone over the diagonal
            clear_bytes(y + i * n * item, i * item)
        return 0

    def kernel(record, part, parts):
        words = attributes(record)
        a, found, info = described(record, 0), described(record, 1), described(record, 2)
        n, upper = size_at(found, 1), word(words, 0)
        row, column = step_at(a, 2), step_at(a, 1)
        if upper == 0:
            row, column = column, row
        begin, end = share_of(count_of(found), part, parts)
        for m in range(begin, end):
            source, y = at(a, m), word(found, ARRAY_ADDRESS) + m * n * n * item
            for i in range(n):
                for j in range(n):
                    store(y, i * n + j, load(source, i * row + j * column) if j >= i else 0.0)
            bad = factor(y, n)
            store_info(word(info, ARRAY_ADDRESS), m, bad)
            if bad:
                tell(word(words, 1), word(words, 2))
            elif upper == 0:
                transpose(y, n)
        if n == 0 and part == 0:
            for m in range(word(info, ARRAY_NUMEL)):
                store_info(word(info, ARRAY_ADDRESS), m, 0)

    return kernel


def cholesky_backward(symbol: str, dtype: int) -> Any:
    """``(S + S') / 2`` with ``S = L'^-1 low(L' G) L^-1``.

    Murray (2016), Differentiation of the Cholesky decomposition, equation 10. Arrays a, y, info, g, -, ga. Where there
    is no factor the gradient is zero.
    """
    load, store = accessors(dtype)
    load_info, _ = accessors(abi.INT32)
    rows, item, parts_of = rows_of(dtype), abi.ITEM_SIZES[dtype], matrices_of(dtype)
    more, transpose = rows.more, rows.transpose
    at, upper = parts_of.at, parts_of.upper

    @helper
    def halves(x, n):
        """Half of the lower triangle on both sides of the diagonal."""
        for i in range(n):
            for j in range(i + 1):
                half = load(x, i * n + j) / 2
                store(x, i * n + j, half)
                store(x, j * n + i, half)

    @helper
    def walk(x, n, factor, row, column, source, g_row, g_column):
        for i in range(n):
            for j in range(i + 1):
                store(x, i * n + j, load(source, i * g_row + j * g_column))
        for i in range(n):
            own, diagonal = x + i * n * item, load(factor, i * (row + column))
            for j in range(i + 1):
                store(own, j, load(own, j) * diagonal)
            more(own, i + 1, own + n * item, n, factor + ((i + 1) * row + i * column) * item, row, n - 1 - i)
        halves(x, n)
        upper(x, n, n, factor, column, row, n, False)
        transpose(x, n)
        upper(x, n, n, factor, column, row, n, False)
        for i in range(n):
            for j in range(i + 1):
                store(x, i * n + j, load(x, i * n + j) + load(x, j * n + i))
        halves(x, n)

    def kernel(record, part, parts):
        y, info, g = described(record, 1), described(record, 2), described(record, 3)
        gradient = described(record, 5)
        n, row, column = size_at(y, 1), size_at(y, 1), 1
        g_row, g_column = step_at(g, 2), step_at(g, 1)
        if word(attributes(record), 0):
            row, column, g_row, g_column = column, row, g_column, g_row
        begin, end = share_of(count_of(gradient) if word(gradient, ARRAY_ADDRESS) else 0, part, parts)
        for m in range(begin, end):
            x = word(gradient, ARRAY_ADDRESS) + m * n * n * item
            if load_info(word(info, ARRAY_ADDRESS), m):
                for k in range(n * n):
                    store(x, k, 0.0)
            else:
                factor = word(y, ARRAY_ADDRESS) + m * n * n * item
                walk(x, n, factor, row, column, at(g, m), g_row, g_column)

    return kernel


def triangular(symbol: str, dtype: int) -> Any:
    """The X with ``A X = B`` for a triangle of A; arrays a, b, x; attributes: upper, ones on the diagonal."""
    item, parts_of = abi.ITEM_SIZES[dtype], matrices_of(dtype)
    at, copy, lower, upper = parts_of.at, parts_of.copy, parts_of.lower, parts_of.upper

    def kernel(record, part, parts):
        words = attributes(record)
        a, b, found = described(record, 0), described(record, 1), described(record, 2)
        n, k, row, column = size_at(found, 2), size_at(found, 1), step_at(a, 2), step_at(a, 1)
        is_upper, unit = word(words, 0) != 0, word(words, 1) != 0
        begin, end = share_of(count_of(found), part, parts)
        for m in range(begin, end):
            x = word(found, ARRAY_ADDRESS) + m * n * k * item
            copy(x, k, b, m)
            if is_upper:
                upper(x, k, k, at(a, m), row, column, n, unit)
            else:
                lower(x, k, k, at(a, m), row, column, n, unit)

    return kernel


def triangular_backward(symbol: str, dtype: int) -> Any:
    """``H = A'^-1 G`` for b, and the triangle of ``-H X'`` for a: Giles (2008), 2.3.1, on the cotangents.

    Arrays a, b, x, g, ga, gb. Where b takes no gradient, H lies in the memory of a's, or, when it has more columns than
    that has, a's is ``-A'^-1 (G X')``.
    """
    _, store = accessors(dtype)
    item, parts_of = abi.ITEM_SIZES[dtype], matrices_of(dtype)
    at, _, copy, lower, upper, outer = parts_of
    products = products_of(dtype)

    @helper
    def back(x, pitch, k, a, row, column, n, is_upper, unit):
        if is_upper:
            lower(x, pitch, k, a, column, row, n, unit)
        else:
            upper(x, pitch, k, a, column, row, n, unit)

    @helper
    def keep(x, n, is_upper, unit):
        for i in range(n):
            for j in range(n):
                if (i > j if is_upper else i < j) or (unit and i == j):
                    store(x, i * n + j, 0.0)

    def kernel(record, part, parts):
        words = attributes(record)
        a, found, g = described(record, 0), described(record, 2), described(record, 3)
        of_a, of_b = word(described(record, 4), ARRAY_ADDRESS), word(described(record, 5), ARRAY_ADDRESS)
        n, k, row, column = size_at(a, 1), size_at(g, 1), step_at(a, 2), step_at(a, 1)
        is_upper, unit = word(words, 0) != 0, word(words, 1) != 0
        begin, end = share_of(count_of(a), part, parts)
        for m in range(begin, end):
            x = word(found, ARRAY_ADDRESS) + m * n * k * item
            own, h, pitch = of_a + m * n * n * item, of_b + m * n * k * item, k
            if of_b == 0 and k > n:
                products(own, n, g, m, x, k)
                back(own, n, n, at(a, m), row, column, n, is_upper, unit)
                keep(own, n, is_upper, unit)
                continue
            if of_b == 0:
                h, pitch = own, n
            copy(h, pitch, g, m)
            back(h, pitch, k, at(a, m), row, column, n, is_upper, unit)
            if of_a:
                outer(own, n, h, pitch, x, k, UPPER if is_upper else LOWER, 1 if unit else 0)

    return kernel
