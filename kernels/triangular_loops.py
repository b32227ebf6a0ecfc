"""The loops of Cholesky's factors and of equations with triangular matrices. For Numba."""

from __future__ import annotations

import math
from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_NUMEL
from .matrices import (
    LOWER,
    PANEL,
    UPPER,
    count_of,
    matrices_of,
    products_of,
    size_at,
    step_at,
    tell,
    wanted_of,
)
from .matrix_rows import rows_of
from .plain import (
    accessors,
    attributes,
    clear_bytes,
    described,
    helper,
    share_of,
    word,
)


def cholesky(dtype: int) -> Any:
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


def cholesky_backward(dtype: int) -> Any:
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
        begin, end = share_of(wanted_of(gradient), part, parts)
        for m in range(begin, end):
            x = word(gradient, ARRAY_ADDRESS) + m * n * n * item
            if load_info(word(info, ARRAY_ADDRESS), m):
                for k in range(n * n):
                    store(x, k, 0.0)
            else:
                factor = word(y, ARRAY_ADDRESS) + m * n * n * item
                walk(x, n, factor, row, column, at(g, m), g_row, g_column)

    return kernel


def triangular(dtype: int) -> Any:
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


def triangular_backward(dtype: int) -> Any:
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
