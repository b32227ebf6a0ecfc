"""The loops of Householder's reflections, which make an orthonormal and a triangular factor. For Numba.

The columns of a matrix lie in rows, where those of Q will be: a reflection ``I - tau v v'`` takes a sum of products and
a multiple of v from each (Golub and Van Loan, Matrix Computations, algorithms 5.1.1, 5.2.1 and section 5.1.6). The
signs are LAPACK's.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from . import abi
from .abi import ARRAY_ADDRESS
from .matrices import STRIP, by_upper_of, count_of, matrices_of, size_at, step_at, wanted_of
from .matrix_rows import TALL, room_for, rows_of
from .plain import accessors, attribute, clear_bytes, copy_bytes, described, helper, share_of, word


class Reflections(NamedTuple):
    """What is done with reflections of one dtype.

    `factor` is the address of room for one number.

    Attributes
    ----------
    reflection : callable
        ``reflection(x, rest)``: make v of a number with `rest` behind it, and return tau. The first, which would be 1,
        is what the reflection leaves there.
    turn : callable
        ``turn(y, x, rest, step, tau, factor)``: reflect a number with `rest` behind it by such a v.
    reflect : callable
        ``reflect(q, rows, j, to, tau, factor)``: reflect the columns from behind j to `to` by column j.
    orthonormal : callable
        ``orthonormal(q, rows, columns, size, taus)``: `size` columns of the product of all reflections, where their v
        lie. Behind `taus` there is room for one number more.
    """

    reflection: Any
    turn: Any
    reflect: Any
    orthonormal: Any


@functools.cache
def reflections_of(dtype: int) -> Reflections:
    """What is done with reflections of a dtype."""
    load, store = accessors(dtype)
    rows_done, item = rows_of(dtype), abi.ITEM_SIZES[dtype]
    less, divide, dot = rows_done.less, rows_done.divide, rows_done.dot
    least, most = (1e-28, 1e36) if dtype == abi.FLOAT32 else (1e-280, 1e300)
    tiny, lift = (1e-30, 2.0**100) if dtype == abi.FLOAT32 else (1e-290, 2.0**600)

    @helper
    def length(x, count, square):
        """The root of a sum of squares, made anew of shares of the greatest where that is out of range."""
        if least < square and square < most:
            return math.sqrt(square)
        if square != square:
            return square
        top = 0.0
        for k in range(count):
            top = max(top, abs(load(x, k)))
        total = 0.0
        for k in range(count):
            share = load(x, k) / top if top > 0.0 else 0.0
            total += share * share
        return top * math.sqrt(total)

    @helper
    def reflection(x, rest):
        first = load(x, 0)
        beneath = length(x + item, rest, dot(x + item, x + item, rest))
        if beneath == 0.0:
            return 0.0
        lifted = 1.0
        if max(abs(first), beneath) < tiny:  # subnormal numbers, or sums of them, have too few digits for v
            lifted = lift
            for k in range(rest + 1):
                store(x, k, load(x, k) * lift)
            first, beneath = load(x, 0), length(x + item, rest, dot(x + item, x + item, rest))
        greater, smaller = max(abs(first), beneath), min(abs(first), beneath)
        share = smaller / greater
        norm = greater * math.sqrt(1.0 + share * share)
        made = -norm if first >= 0.0 else norm
        divide(x + item, rest, first - made)
        store(x, 0, made / lifted)
        return (made - first) / made

    @helper
    def turn(y, x, rest, step, tau, factor):
        store(factor, 0, tau * (load(y, 0) + dot(x + item, y + item, rest)))
        store(y, 0, load(y, 0) - load(factor, 0))
        less(y + item, rest, x + item, step, factor, 1, 1)

    @helper
    def reflect(q, rows, j, to, tau, factor):
        x, rest = q + (j * rows + j) * item, rows - 1 - j
        if tau != 0.0:
            for c in range(j + 1, to):
                turn(q + (c * rows + j) * item, x, rest, rows, tau, factor)

    @helper
    def orthonormal(q, rows, columns, size, taus):
        for c in range(columns, size):
            clear_bytes(q + c * rows * item, rows * item)
            store(q, c * rows + c, 1.0)
        for back in range(columns):
            j = columns - 1 - back  # from the last to the first
            own, tau = q + j * rows * item, load(taus, j)
            reflect(q, rows, j, size, tau, taus + columns * item)
            clear_bytes(own, j * item)
            store(own, j, 1.0 - tau)
            for i in range(j + 1, rows):
                store(own, i, -tau * load(own, i))

    return Reflections(reflection, turn, reflect, orthonormal)


def qr(dtype: int) -> Any:
    """Arrays a, Q', r; Q has as many columns as a, or as a has rows; attribute: whether it is wanted.

    Where Q is not wanted its memory is used all the same.
    """
    load, store = accessors(dtype)
    at, item = matrices_of(dtype).at, abi.ITEM_SIZES[dtype]
    reflection, _, reflect, orthonormal = reflections_of(dtype)

    def kernel(record, part, parts):
        a, found, triangle = described(record, 0), described(record, 1), described(record, 2)
        rows, size, columns = size_at(found, 1), size_at(found, 2), size_at(a, 1)
        row, column = step_at(a, 2), step_at(a, 1)
        taus, wanted = room_for(columns + 1), attribute(record, 0) != 0
        begin, end = share_of(count_of(found), part, parts)
        for m in range(begin, end):
            q = word(found, ARRAY_ADDRESS) + m * size * rows * item
            r = word(triangle, ARRAY_ADDRESS) + m * size * columns * item
            source = at(a, m)
            for j in range(columns):
                for i in range(rows):
                    store(q, j * rows + i, load(source, i * row + j * column))
            for j in range(columns):
                tau = reflection(q + j * (rows + 1) * item, rows - 1 - j)
                store(taus, j, tau)
                reflect(q, rows, j, columns, tau, taus + columns * item)
            for i in range(size):
                for j in range(columns):
                    store(r, i * columns + j, load(q, j * rows + i) if i <= j else 0.0)
            if wanted:
                orthonormal(q, rows, columns, size, taus)

    return kernel


def qr_backward(dtype: int) -> Any:
    """``(G_Q + Q S) R'^-1``, see `vjps_factors.qr_a`; arrays a, Q', r, their cotangents, ga.

    S lies where the first rows of the gradient will be. Each of them takes its part of S in its own place, as S is
    symmetric: ``(Q_1 S)' = S Q_1'``.
    """
    load, store = accessors(dtype)
    rows_done, parts_of, item = rows_of(dtype), matrices_of(dtype), abi.ITEM_SIZES[dtype]
    less_block, along, transpose, at = rows_done.less_block, rows_done.along, rows_done.transpose, parts_of.at
    by_upper = by_upper_of(dtype)

    @helper
    def mirrored(x, n, q, rows, r, of_q, q_row, q_column, of_r, r_row, r_column):
        """``-S``, whose upper triangle is made first."""
        beside = of_q != 0 and q_row == 1  # then rows of the cotangent are multiplied at once
        for i in range(n):
            for j in range(i + 1):
                total = 0.0
                if of_r:
                    behind = of_r + (j * r_row + i * r_column) * item
                    total += along(r + (i * n + i) * item, behind, r_column, n - i)
                if of_q and not beside:
                    total -= along(q + j * rows * item, of_q + i * q_row * item, q_column, rows)
                store(x, j * n + i, total)
        if beside:
            for j in range(0, n, TALL):
                own, factors = x + j * (n + 1) * item, q + j * rows * item
                tall = min(TALL, n - j)
                less_block(own, n, tall, n - j, of_q + j * item, q_column, factors, rows, 1, rows)
        for i in range(n):
            for j in range(i + 1):
                value = 0.0 - load(x, j * n + i)
                store(x, i * n + j, value)
                store(x, j * n + i, value)

    @helper
    def products(x, n, q, rows, own):
        """``Q S`` of the ``-S`` in the first rows, which give way to it."""
        below = x + n * n * item
        clear_bytes(below, (rows - n) * n * item)
        less_block(below, n, rows - n, n, x, n, q + n * item, 1, rows, n)
        for k in range(0, n, TALL):
            target, tall = x + k * n * item, min(TALL, n - k)
            copy_bytes(own, target, tall * n * item)
            clear_bytes(target, tall * n * item)
            less_block(target, n, tall, n, q, rows, own, n, 1, n)
        transpose(x, n)

    def kernel(record, part, parts):
        found, triangle = described(record, 1), described(record, 2)
        g, g1, gradient = described(record, 3), described(record, 4), described(record, 5)
        rows, n = size_at(found, 1), size_at(found, 2)
        own, strip = room_for(TALL * n), room_for(n * STRIP)
        has_q, has_r = word(g, ARRAY_ADDRESS) != 0, word(g1, ARRAY_ADDRESS) != 0
        q_row, q_column, r_row, r_column = 0, 0, 0, 0
        if has_q:
            q_row, q_column = step_at(g, 2), step_at(g, 1)
        if has_r:
            r_row, r_column = step_at(g1, 2), step_at(g1, 1)
        begin, end = share_of(wanted_of(gradient), part, parts)
        for m in range(begin, end):
            x = word(gradient, ARRAY_ADDRESS) + m * rows * n * item
            q, r = (
                word(found, ARRAY_ADDRESS) + m * n * rows * item,
                word(triangle, ARRAY_ADDRESS) + m * n * n * item,
            )
            of_q, of_r = at(g, m) if has_q else 0, at(g1, m) if has_r else 0
            mirrored(x, n, q, rows, r, of_q, q_row, q_column, of_r, r_row, r_column)
            products(x, n, q, rows, own)
            if has_q:
                for i in range(rows):
                    for j in range(n):
                        store(x, i * n + j, load(x, i * n + j) + load(of_q, j * q_row + i * q_column))
            by_upper(x, n, rows, r, n, n, strip)

    return kernel
