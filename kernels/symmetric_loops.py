"""The loops of the eigenvalues and eigenvectors of symmetric matrices, for Numba.

Reflections from both sides leave a matrix with two equal diagonals beside its own (Golub and Van Loan, Matrix
Computations, algorithm 8.3.1); rotations of neighbours then make these smaller, by the QR method with implicit shifts
(Wilkinson's; section 8.3.5 there, with the sums of Reinsch 1971, A stable, rational QR algorithm), from the end where
the numbers are greater to the other one. Eigenvectors lie in rows, where two are turned at once.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS
from .matrices import count_of, matrices_of, size_at, step_at, tell, wanted_of
from .matrix_rotations import diagonal_by, load_number, rotation, rotations_of, store_number
from .matrix_rows import TALL, room_for, rows_of
from .plain import accessors, attributes, clear_bytes, copy_bytes, described, helper, place, share_of, word
from .reflection_loops import reflections_of


@functools.cache
def unfolded_of(dtype: int) -> Any:
    """``unfolded(x, n, taus)``: the product of reflections, transposed, where they lie.

    Row k has the v of reflection k behind its diagonal, with the 1. Behind `taus` there is room for one number more.
    """
    load, store = accessors(dtype)
    turn, item = reflections_of(dtype).turn, abi.ITEM_SIZES[dtype]

    @helper
    def unfolded(x, n, taus):
        clear_bytes(x + (n - 1) * n * item, n * item)
        store(x, n * n - 1, 1.0)
        for back in range(n - 1):
            k = n - 2 - back
            v, tau = x + (k * n + k + 1) * item, load(taus, k)
            for i in range(k + 1, n):
                y = x + (i * n + k + 1) * item
                if i == k + 1 and back:
                    clear_bytes(y, (n - 1 - k) * item)
                    store(y, 0, 1.0)
                elif back:
                    store(y, 0, 0.0)
                if tau != 0.0:
                    turn(y, v, n - 2 - k, n, tau, taus + n * item)
        clear_bytes(x, n * item)
        store(x, 0, 1.0)
        for i in range(1, n):
            store(x, i * n, 0.0)

    return unfolded


@functools.cache
def _tridiagonal_of(dtype: int) -> Any:
    """``tridiagonal(x, n, d, e, taus, pair)``: the diagonal, the one beside it, and reflections for `unfolded`.

    `pair` has room for two rows.
    """
    load, store = accessors(dtype)
    rows, item = rows_of(dtype), abi.ITEM_SIZES[dtype]
    less, less_block, more, dot = rows.less, rows.less_block, rows.more, rows.dot
    reflection = reflections_of(dtype).reflection

    @helper
    def tridiagonal(x, n, d, e, taus, pair):
        other, factor = pair + n * item, taus + n * item
        for k in range(n - 1):
            v, rest = x + (k * n + k + 1) * item, n - 1 - k
            tau = reflection(v, rest - 1)
            store(taus, k, tau)
            store_number(d, k, load(x, k * (n + 1)))
            store_number(e, k, load(v, 0))
            store(v, 0, 1.0)
            if tau != 0.0:
                behind = v + n * item
                copy_bytes(pair, v, rest * item)
                clear_bytes(other, rest * item)
                more(other, rest, behind, n, v, 1, rest)
                for i in range(rest):
                    store(other, i, tau * load(other, i))
                store(factor, 0, tau * dot(other, v, rest) / 2)
                less(other, rest, v, n, factor, 1, 1)
                less_block(behind, n, rest, rest, pair, n, other, 1, -n, 2)
        store_number(d, n - 1, load(x, n * n - 1))

    return tridiagonal


@functools.cache
def _diagonal_of(dtype: int) -> Any:
    """See `diagonal_by`: eigenvalues in `d`, and the rows of `a` turned."""
    rotate, item = rotations_of(dtype).rotate, abi.ITEM_SIZES[dtype]

    @helper
    def shifted(d, first, last, beside):
        """The number at `first` less the eigenvalue of the last two that is nearer to the last."""
        end = load_number(d, last)
        if beside == 0.0:
            return load_number(d, first) - end
        half = (load_number(d, last + (1 if first > last else -1)) - end) / 2
        greater = max(abs(half), abs(beside))  # squares of the numbers themselves may be zero
        half_share, share = half / greater, beside / greater
        root = greater * math.sqrt(half_share * half_share + share * share)
        below = half + root if half >= 0.0 else half - root
        return load_number(d, first) - end + (beside / below) * beside

    @helper
    def sweep(d, e, first, last, step, x, n, _x, _n, wanted):
        left = -1 if step < 0 else 0  # what is beside i and i + step is e[i + left]
        g = shifted(d, first, last, load_number(e, last - step + left))
        c, s, p, i = 1.0, 1.0, 0.0, first
        while i != last:
            beside = load_number(e, i + left)
            f, b = s * beside, c * beside
            c, s, r = rotation(g, f)
            if i != first:
                store_number(e, i - step + left, r)
            g = load_number(d, i) - p
            r = (load_number(d, i + step) - g) * s + 2.0 * c * b
            p = s * r
            store_number(d, i, g + p)
            g = c * r - b
            if wanted:
                rotate(x + i * n * item, x + (i + step) * n * item, n, c, s)
            i += step
        store_number(d, last, load_number(d, last) - p)
        store_number(e, last - step + left, g)

    return diagonal_by(dtype, sweep)


def eigh(dtype: int) -> Any:
    """Arrays a, w, V'; attributes: upper, whether V is wanted, where to report, what.

    Where V is not wanted its memory is used all the same. A matrix without a result gets nan.
    """
    load, store = accessors(dtype)
    at, item = matrices_of(dtype).at, abi.ITEM_SIZES[dtype]
    _, swap, _, scale = rotations_of(dtype)
    tridiagonal, diagonal, unfolded = _tridiagonal_of(dtype), _diagonal_of(dtype), unfolded_of(dtype)

    @helper
    def ordered(d, n, x, wanted, room):
        for i in range(n - 1):
            least = i
            for j in range(i + 1, n):
                if load_number(d, j) < load_number(d, least):
                    least = j
            if least != i:
                value = load_number(d, i)
                store_number(d, i, load_number(d, least))
                store_number(d, least, value)
                if wanted:
                    swap(x + i * n * item, x + least * n * item, n, room)

    @helper
    def values(x, n, d, e, taus, pair, wanted):
        """Leave eigenvalues in `d`; nonzero if they are not found."""
        by = scale(x, n * n)
        if by == 0.0:
            return 1
        tridiagonal(x, n, d, e, taus, pair)
        if wanted:
            unfolded(x, n, taus)
        bad = diagonal(d, e, n, x, n, x, n, wanted)
        ordered(d, n, x, wanted, pair)
        if by != 1.0:
            for i in range(n):
                store_number(d, i, load_number(d, i) / by)
        return bad

    @helper
    def mirrored(x, n, source, row, column):
        for i in range(n):
            for j in range(i + 1):
                value = load(source, i * row + j * column)
                store(x, i * n + j, value)
                store(x, j * n + i, value)

    def kernel(record, part, parts):
        words = attributes(record)
        a, found, vectors = described(record, 0), described(record, 1), described(record, 2)
        n, row, column = size_at(a, 1), step_at(a, 2), step_at(a, 1)
        if word(words, 0):
            row, column = column, row
        wanted = word(words, 1) != 0
        d, e, taus, pair = room_for(n), room_for(n), room_for(n + 1), room_for(2 * n)
        begin, end = share_of(count_of(vectors), part, parts)
        for m in range(begin, end):
            x = word(vectors, ARRAY_ADDRESS) + m * n * n * item
            mirrored(x, n, at(a, m), row, column)
            bad = values(x, n, d, e, taus, pair, wanted)
            if bad:
                tell(word(words, 2), word(words, 3))
            for i in range(n):
                store(word(found, ARRAY_ADDRESS), m * n + i, math.nan if bad else load_number(d, i))
            if bad:
                for k in range(n * n):
                    store(x, k, math.nan)

    return kernel


def eigh_backward(dtype: int) -> Any:
    """``V (diag(g) + V' G / differences) V'``, symmetric, see `vjps_factors.eigh_a`; arrays a, w, V', g, G', ga.

    Everything is done in the memory of the gradient, row by row.
    """
    load, store = accessors(dtype)
    rows, parts_of, item = rows_of(dtype), matrices_of(dtype), abi.ITEM_SIZES[dtype]
    less_block, along, transpose, at = rows.less_block, rows.along, rows.transpose, parts_of.at

    @helper
    def inner(x, n, w, v, g, g_step, g1, row, column):
        """What stands between the vectors, with the other sign."""
        for i in range(n):
            for j in range(n):
                value = 0.0
                if i == j:
                    value = load(g, i * g_step) if g else 0.0
                elif g1:
                    found = along(v + i * n * item, g1 + j * row * item, column, n)
                    value = found / (load(w, j) - load(w, i))
                store(x, i * n + j, 0.0 - value)

    @helper
    def by_vectors(x, n, v, own):
        """``-X V'`` in the place of X."""
        for first in range(0, n, TALL):
            target, tall = x + first * n * item, min(TALL, n - first)
            copy_bytes(own, target, tall * n * item)
            clear_bytes(target, tall * n * item)
            less_block(target, n, tall, n, v, n, own, n, 1, n)

    def kernel(record, part, parts):
        values, vectors = described(record, 1), described(record, 2)
        of_values, of_vectors, gradient = described(record, 3), described(record, 4), described(record, 5)
        n = size_at(vectors, 1)
        own = room_for(TALL * n)
        begin, end = share_of(wanted_of(gradient), part, parts)
        g, g_step, g1, row, column = 0, 0, 0, 0, 0
        for m in range(begin, end):
            x = word(gradient, ARRAY_ADDRESS) + m * n * n * item
            v = word(vectors, ARRAY_ADDRESS) + m * n * n * item
            if word(of_values, ARRAY_ADDRESS):
                g_step = step_at(of_values, 1)
                g = (
                    word(of_values, ARRAY_ADDRESS)
                    + place(of_values, word(of_values, ARRAY_DIMS) - 1, m) * item
                )
            if word(of_vectors, ARRAY_ADDRESS):
                g1, row, column = at(of_vectors, m), step_at(of_vectors, 2), step_at(of_vectors, 1)
            inner(x, n, word(values, ARRAY_ADDRESS) + m * n * item, v, g, g_step, g1, row, column)
            by_vectors(x, n, v, own)
            transpose(x, n)
            for k in range(n * n):
                store(x, k, 0.0 - load(x, k))
            by_vectors(x, n, v, own)
            for i in range(n):
                for j in range(i + 1):
                    mean = (load(x, i * n + j) + load(x, j * n + i)) * 0.5
                    store(x, i * n + j, mean)
                    store(x, j * n + i, mean)

    return kernel
