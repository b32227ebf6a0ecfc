"""The loops of what follows from LU factors: solutions of equations, determinants. For Numba.

The factors are an output of each, for the way back: in the rows behind one another, and in one row more the exchanges.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_NUMEL
from .elimination_loops import elimination_of
from .matrices import WHOLE, count_of, matrices_of, products_of, size_at, step_at, tell, wanted_of
from .matrix_rows import room_for, rows_of
from .plain import accessors, attributes, clear_bytes, described, helper, share_of, word


@functools.cache
def _eliminate(dtype: int) -> Any:
    """``eliminate(factors, n, a, m)``: the factors of the described A's matrix `m`; as `elimination_of`'s."""
    copy, factor = matrices_of(dtype).copy, elimination_of(dtype, dtype).factor
    item = abi.ITEM_SIZES[dtype]

    @helper
    def eliminate(factors, n, a, m):
        copy(factors, n, a, m)
        return factor(factors, n, n, factors + n * n * item)

    return eliminate


@functools.cache
def _back(dtype: int) -> Any:
    """``back(x, pitch, k, factors, n)``: ``A'^-1 X`` in place of the `k` columns X."""
    parts_of, undo = matrices_of(dtype), elimination_of(dtype, dtype).undo
    lower, upper, item = parts_of.lower, parts_of.upper, abi.ITEM_SIZES[dtype]

    @helper
    def back(x, pitch, k, factors, n):
        lower(x, pitch, k, factors, 1, n, n, False)
        upper(x, pitch, k, factors, 1, n, n, True)
        undo(x, pitch, k, factors + n * n * item, n)

    return back


def solve(dtype: int) -> Any:
    """Arrays a, b, x, factors; attributes: where to report a singular matrix (0: nowhere), what. It gets nan."""
    _, store = accessors(dtype)
    parts_of, exchange = matrices_of(dtype), elimination_of(dtype, dtype).exchange
    copy, lower, upper, item = parts_of.copy, parts_of.lower, parts_of.upper, abi.ITEM_SIZES[dtype]
    eliminate = _eliminate(dtype)

    def kernel(record, part, parts):
        words = attributes(record)
        a, b, found, store_of = (
            described(record, 0),
            described(record, 1),
            described(record, 2),
            described(record, 3),
        )
        n, k = size_at(found, 2), size_at(found, 1)
        begin, end = share_of(count_of(a), part, parts)
        for m in range(begin, end):
            x = word(found, ARRAY_ADDRESS) + m * n * k * item
            factors = word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item
            if eliminate(factors, n, a, m):
                tell(word(words, 0), word(words, 1))
                for j in range(n * k):
                    store(x, j, math.nan)
            else:
                copy(x, k, b, m)
                exchange(x, k, k, factors + n * n * item, n)
                lower(x, k, k, factors, n, 1, n, True)
                upper(x, k, k, factors, n, 1, n, False)

    return kernel


def solve_backward(dtype: int) -> Any:
    """``H = A'^-1 G`` for b, and ``-H X'`` for a: Giles (2008), 2.3.1, on the cotangents.

    Of a singular matrix they are zero. Arrays a, b, x, factors, g, -, ga, gb. For where H is without a gradient of b
    see `triangular_backward`.
    """
    parts_of, item = matrices_of(dtype), abi.ITEM_SIZES[dtype]
    copy, outer, load = parts_of.copy, parts_of.outer, accessors(dtype)[0]
    back, products = _back(dtype), products_of(dtype)

    @helper
    def is_singular(factors, n):
        for i in range(n):
            if load(factors, i * (n + 1)) == 0.0:
                return True
        return False

    def kernel(record, part, parts):
        found, store_of, g = described(record, 2), described(record, 3), described(record, 4)
        of_a, of_b = word(described(record, 6), ARRAY_ADDRESS), word(described(record, 7), ARRAY_ADDRESS)
        n, k = size_at(store_of, 1), size_at(g, 1)
        begin, end = share_of(count_of(store_of), part, parts)
        for m in range(begin, end):
            x = word(found, ARRAY_ADDRESS) + m * n * k * item
            factors = word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item
            own, h, pitch = of_a + m * n * n * item, of_b + m * n * k * item, k
            if is_singular(factors, n):
                clear_bytes(own, n * n * item if of_a else 0)
                clear_bytes(h, n * k * item if of_b else 0)
                continue
            if of_b == 0 and k > n:
                products(own, n, g, m, x, k)
                back(own, n, n, factors, n)
                continue
            if of_b == 0:
                h, pitch = own, n
            copy(h, pitch, g, m)
            back(h, pitch, k, factors, n)
            if of_a:
                outer(own, n, h, pitch, x, k, WHOLE, 0)

    return kernel


def slogdet(dtype: int) -> Any:
    """Arrays a, logarithm of the magnitude, sign, factors."""
    load, store = accessors(dtype)
    eliminate, parity = _eliminate(dtype), elimination_of(dtype, dtype).parity
    item = abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        a, logarithm, sign = described(record, 0), described(record, 1), described(record, 2)
        store_of = described(record, 3)
        n, matrices = size_at(a, 1), word(logarithm, ARRAY_NUMEL)
        begin, end = share_of(matrices, part, parts)
        for m in range(begin, end):
            factors = word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item
            eliminate(factors, n, a, m)
            total, turned = 0.0, parity(factors + n * n * item, n)
            for i in range(n):
                pivot = float(load(factors, i * (n + 1)))
                if pivot == 0.0:
                    turned = 0.0
                elif pivot < 0.0:
                    turned = -turned
                total += math.log(abs(pivot)) if pivot != 0.0 else -math.inf
            store(word(logarithm, ARRAY_ADDRESS), m, total)
            store(word(sign, ARRAY_ADDRESS), m, turned + 0.0 if total == total else total)

    return kernel


def slogdet_backward(dtype: int) -> Any:
    """The inverse, transposed, times the cotangent; arrays a, -, -, factors, g, -, -, ga."""
    load, store = accessors(dtype)
    back, item = _back(dtype), abi.ITEM_SIZES[dtype]
    at_g = matrices_of(dtype).one

    def kernel(record, part, parts):
        store_of, g, gradient = described(record, 3), described(record, 4), described(record, 7)
        n = size_at(store_of, 1)
        begin, end = share_of(wanted_of(gradient), part, parts)
        for m in range(begin, end):
            x = word(gradient, ARRAY_ADDRESS) + m * n * n * item
            for i in range(n):
                for j in range(n):
                    store(x, i * n + j, load(at_g(g, m), 0) if i == j else 0.0)
            back(x, n, n, word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item, n)

    return kernel


def det(dtype: int) -> Any:
    """Arrays a, y, factors."""
    load, store = accessors(dtype)
    eliminate, parity = _eliminate(dtype), elimination_of(dtype, dtype).parity
    item = abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        a, y, store_of = described(record, 0), described(record, 1), described(record, 2)
        n, matrices = size_at(a, 1), word(y, ARRAY_NUMEL)
        begin, end = share_of(matrices, part, parts)
        for m in range(begin, end):
            factors = word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item
            eliminate(factors, n, a, m)
            found = parity(factors + n * n * item, n)
            for i in range(n):
                found *= load(factors, i * (n + 1))
            store(word(y, ARRAY_ADDRESS), m, found)

    return kernel


@functools.cache
def _cofactors(dtype: int) -> Any:
    """``cofactors(x, n, factors, scale, weights)``: the cofactors times a number, with room for a row of weights.

    The adjugate of a product is that of its factors in the other order. That of U is made without a division, so that
    it is right where matrices are singular, too: the determinants of its parts from row i to column j, which have one
    diagonal below their own, follow from those that begin further below (Laplace's expansion by the first row).
    """
    load, store = accessors(dtype)
    upper, exchanged, rows = matrices_of(dtype).upper, elimination_of(dtype, dtype), rows_of(dtype)
    undo, parity, item = exchanged.undo, exchanged.parity, abi.ITEM_SIZES[dtype]
    less, transpose = rows.less, rows.transpose

    @helper
    def adjugate(x, n, u, scale, weights):
        for back in range(n):
            i = n - 1 - back
            own = x + i * n * item
            for j in range(n):
                store(own, j, 1.0 if j == i else 0.0)
            product = 1.0
            for k in range(i + 1, n):
                store(weights, k, load(u, i * n + k) * product)
                product *= load(u, k * (n + 1))
            less(own + (i + 1) * item, back, own + (n + i + 1) * item, n, weights + (i + 1) * item, 1, back)
        behind = 1.0
        for back in range(n):
            j = n - 1 - back
            store(weights, j, behind)
            behind *= load(u, j * (n + 1))
        before = scale
        for i in range(n):
            for j in range(i, n):
                store(x, i * n + j, load(x, i * n + j) * before * load(weights, j))
            before *= load(u, i * (n + 1))

    @helper
    def cofactors(x, n, factors, scale, weights):
        adjugate(x, n, factors, scale * parity(factors + n * n * item, n), weights)
        transpose(x, n)
        upper(x, n, n, factors, 1, n, n, True)
        undo(x, n, n, factors + n * n * item, n)

    return cofactors


def det_backward(dtype: int) -> Any:
    """The cofactors times the cotangent; arrays a, -, factors, g, -, ga."""
    load, _ = accessors(dtype)
    at_g, make, item = matrices_of(dtype).one, _cofactors(dtype), abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        store_of, g, gradient = described(record, 2), described(record, 3), described(record, 5)
        n = size_at(store_of, 1)
        weights = room_for(n)
        begin, end = share_of(wanted_of(gradient), part, parts)
        for m in range(begin, end):
            x = word(gradient, ARRAY_ADDRESS) + m * n * n * item
            factors = word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item
            make(x, n, factors, float(load(at_g(g, m), 0)), weights)

    return kernel


def cofactors(dtype: int) -> Any:
    """Arrays a, y, factors."""
    eliminate, make, item = _eliminate(dtype), _cofactors(dtype), abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        a, y, store_of = described(record, 0), described(record, 1), described(record, 2)
        n, matrices = size_at(a, 1), count_of(a)
        weights = room_for(n)
        begin, end = share_of(matrices, part, parts)
        for m in range(begin, end):
            factors = word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item
            eliminate(factors, n, a, m)
            make(word(y, ARRAY_ADDRESS) + m * n * n * item, n, factors, 1.0, weights)

    return kernel


def cofactors_backward(dtype: int) -> Any:
    """``(sum(G C) C - C G' C) / det(A)``; arrays a, y, factors, g, -, ga."""
    load, store = accessors(dtype)
    at, less, item = matrices_of(dtype).at, rows_of(dtype).less, abi.ITEM_SIZES[dtype]
    parity = elimination_of(dtype, dtype).parity

    @helper
    def products(weights, n, own, source, row, column):
        """The row `own` of C times G'."""
        for j in range(n):
            total = 0.0
            for k in range(n):
                total += load(own, k) * load(source, j * row + k * column)
            store(weights, j, total)

    def kernel(record, part, parts):
        y, store_of, g = described(record, 1), described(record, 2), described(record, 3)
        gradient = described(record, 5)
        n, row, column = size_at(store_of, 1), step_at(g, 2), step_at(g, 1)
        weights = room_for(n)
        begin, end = share_of(wanted_of(gradient), part, parts)
        for m in range(begin, end):
            x, c = word(gradient, ARRAY_ADDRESS) + m * n * n * item, word(y, ARRAY_ADDRESS) + m * n * n * item
            factors, source = word(store_of, ARRAY_ADDRESS) + m * (n + 1) * n * item, at(g, m)
            det, along = parity(factors + n * n * item, n), 0.0
            for i in range(n):
                det *= load(factors, i * (n + 1))
                for j in range(n):
                    along += load(source, i * row + j * column) * load(c, i * n + j)
            for i in range(n):
                own, target = c + i * n * item, x + i * n * item
                products(weights, n, own, source, row, column)
                for j in range(n):
                    store(target, j, along * load(own, j))
                less(target, n, c, n, weights, 1, n)
                for j in range(n):
                    store(target, j, load(target, j) / det)

    return kernel
