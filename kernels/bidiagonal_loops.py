"""The loops of singular values and vectors, for Numba.

Reflections from both sides leave a diagonal and the one above it (Golub and Van Loan, Matrix Computations, algorithm
5.4.2); rotations of neighbouring columns and rows in turns then make the latter smaller, by the implicit QR method with
shifts, and without one where a value is so small that a shift would lose its digits (Demmel and Kahan 1990, Accurate
singular values of bidiagonal matrices, sections 2 and 3). Columns of a matrix, of which there are no more than rows,
and singular vectors lie in rows, where two are turned at once.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS
from .matrices import count_of, matrices_of, size_at, step_at, tell
from .matrix_rotations import (
    LEAST,
    NEGLIGIBLE,
    diagonal_by,
    load_number,
    rotation,
    rotations_of,
    store_number,
)
from .matrix_rows import room_for, rows_of
from .plain import accessors, attributes, clear_bytes, described, helper, share_of, word
from .reflection_loops import reflections_of
from .symmetric_loops import unfolded_of

STRIP = 256  # rows of a matrix that are reflected from the right at once


@functools.cache
def _bidiagonal_of(dtype: int) -> Any:
    """``bidiagonal(q, rows, x, n, d, e, taus, others, strip)``: both diagonals, and the reflections.

    Those from the left lie in `q` for `orthonormal`, those from the right in `x` for `unfolded`.
    """
    load, store = accessors(dtype)
    rows_done, item = rows_of(dtype), abi.ITEM_SIZES[dtype]
    less_block, more = rows_done.less_block, rows_done.more
    reflection, _, reflect, _ = reflections_of(dtype)

    @helper
    def from_right(q, rows, k, v, n, tau, strip):
        """Reflect the rows behind k."""
        first, columns = k + 1, n - 1 - k
        while first < rows:
            count, own = min(STRIP, rows - first), q + ((k + 1) * rows + first) * item
            clear_bytes(strip, count * item)
            more(strip, count, own, rows, v, 1, columns)
            for i in range(count):
                store(strip, i, tau * load(strip, i))
            less_block(own, rows, columns, count, strip, 0, v, 1, 0, 1)
            first += count

    @helper
    def bidiagonal(q, rows, x, n, d, e, taus, others, strip):
        for k in range(n):
            own = q + (k * rows + k) * item
            tau = reflection(own, rows - 1 - k)
            store(taus, k, tau)
            store_number(d, k, load(own, 0))
            reflect(q, rows, k, n, tau, taus + n * item)
            if k < n - 1:
                v = x + (k * n + k + 1) * item
                for j in range(k + 1, n):
                    store(v, j - k - 1, load(q, j * rows + k))
                tau = reflection(v, n - 2 - k)
                store(others, k, tau)
                store_number(e, k, load(v, 0))
                store(v, 0, 1.0)
                if tau != 0.0:
                    from_right(q, rows, k, v, n, tau, strip)

    return bidiagonal


@helper
def least_of(f, g, h):
    """The smaller singular value of ``[[f, g], [0, h]]``: the product by half the sum of sum and difference."""
    f, h = abs(f), abs(h)
    both, apart = f + h, f - h
    greater = math.sqrt(both * both + g * g) + math.sqrt(apart * apart + g * g)
    return 2.0 * f * h / greater if greater > 0.0 else 0.0


@functools.cache
def _diagonal_of(dtype: int) -> Any:
    """See `diagonal_by`: singular values in `d`, but for their signs, and the rows of `a` and `b` turned.

    A sweep upwards is one downwards through the matrix turned about its other diagonal, where left is right.
    """
    rotate, item = rotations_of(dtype).rotate, abi.ITEM_SIZES[dtype]
    negligible = NEGLIGIBLE[dtype]

    @helper
    def shift_of(d, e, first, last, step, left):
        start = abs(load_number(d, first))
        i = first
        while i != last + step:
            if abs(load_number(d, i)) <= LEAST:
                return 0.0
            i += step
        before = load_number(d, last - step)
        shift = least_of(before, load_number(e, last - step + left), load_number(d, last))
        share = shift / start
        return shift if share * share > negligible else 0.0

    @helper
    def unshifted(d, e, first, last, step, a, a_size, b, b_size, wanted):
        left = -1 if step < 0 else 0  # what is beside i and i + step is e[i + left]
        c, old_c, old_s, s, i = 1.0, 1.0, 0.0, 0.0, first
        while i != last:
            c, s, r = rotation(load_number(d, i) * c, load_number(e, i + left))
            if i != first:
                store_number(e, i - step + left, old_s * r)
            old_c, old_s, made = rotation(old_c * r, load_number(d, i + step) * s)
            store_number(d, i, made)
            if wanted:
                rotate(b + i * b_size * item, b + (i + step) * b_size * item, b_size, c, s)
                rotate(a + i * a_size * item, a + (i + step) * a_size * item, a_size, old_c, old_s)
            i += step
        rest = load_number(d, last) * c
        store_number(d, last, rest * old_c)
        store_number(e, last - step + left, rest * old_s)

    @helper
    def shifted(d, e, first, last, step, shift, a, a_size, b, b_size, wanted):
        left = -1 if step < 0 else 0
        start = load_number(d, first)
        size = abs(start)
        f, g = (size - shift) * (math.copysign(1.0, start) + shift / start), load_number(e, first + left)
        i = first
        while i != last:
            own, after, beside = load_number(d, i), load_number(d, i + step), load_number(e, i + left)
            c, s, r = rotation(f, g)
            if i != first:
                store_number(e, i - step + left, r)
            f, beside = c * own + s * beside, c * beside - s * own
            g, after = s * after, c * after
            other_c, other_s, made = rotation(f, g)
            store_number(d, i, made)
            f = other_c * beside + other_s * after
            store_number(d, i + step, other_c * after - other_s * beside)
            if i + step != last:
                behind = load_number(e, i + step + left)
                g = other_s * behind
                store_number(e, i + step + left, other_c * behind)
            if wanted:
                rotate(b + i * b_size * item, b + (i + step) * b_size * item, b_size, c, s)
                rotate(a + i * a_size * item, a + (i + step) * a_size * item, a_size, other_c, other_s)
            i += step
        store_number(e, last - step + left, f)

    @helper
    def sweep(d, e, first, last, step, a, a_size, b, b_size, wanted):
        shift = shift_of(d, e, first, last, step, -1 if step < 0 else 0)
        if shift == 0.0:
            unshifted(d, e, first, last, step, a, a_size, b, b_size, wanted)
        else:
            shifted(d, e, first, last, step, shift, a, a_size, b, b_size, wanted)

    return diagonal_by(dtype, sweep)


def svd(dtype: int) -> Any:
    """Arrays a, U', s, V'; attributes: whether vectors are wanted, where to report, what.

    A matrix has as many rows as columns or more, and U as many columns, or as many as there are rows. Where vectors are
    not wanted their memory is used all the same. A matrix without a result gets nan.
    """
    load, store = accessors(dtype)
    at, item = matrices_of(dtype).at, abi.ITEM_SIZES[dtype]
    _, swap, change_sign, scale = rotations_of(dtype)
    bidiagonal, diagonal = _bidiagonal_of(dtype), _diagonal_of(dtype)
    unfolded, orthonormal = unfolded_of(dtype), reflections_of(dtype).orthonormal

    @helper
    def swapped(x, i, j, count, strip):
        """Two rows exchanged, as many elements at a time as there is room for."""
        first = 0
        while first < count:
            some = min(STRIP, count - first)
            swap(x + (i * count + first) * item, x + (j * count + first) * item, some, strip)
            first += some

    @helper
    def ordered(d, n, q, rows, x, wanted, strip):
        """Make values positive and descending."""
        for i in range(n):
            if load_number(d, i) < 0.0:
                store_number(d, i, -load_number(d, i))
                if wanted:
                    change_sign(x + i * n * item, n)
        for i in range(n - 1):
            most = i
            for j in range(i + 1, n):
                if load_number(d, j) > load_number(d, most):
                    most = j
            if most != i:
                value = load_number(d, i)
                store_number(d, i, load_number(d, most))
                store_number(d, most, value)
                if wanted:
                    swapped(q, i, most, rows, strip)
                    swapped(x, i, most, n, strip)

    @helper
    def values(q, rows, size, x, n, d, e, taus, others, strip, wanted):
        """Leave singular values in `d`; nonzero if they are not found."""
        by = scale(q, rows * n)
        if by == 0.0:
            return 1
        bidiagonal(q, rows, x, n, d, e, taus, others, strip)
        if wanted:
            if n:
                unfolded(x, n, others)
            orthonormal(q, rows, n, size, taus)
        bad = diagonal(d, e, n, q, rows, x, n, wanted)
        ordered(d, n, q, rows, x, wanted, strip)
        if by != 1.0:
            for i in range(n):
                store_number(d, i, load_number(d, i) / by)
        return bad

    @helper
    def fill(x, count):
        for k in range(count):
            store(x, k, math.nan)

    def kernel(record, part, parts):
        words = attributes(record)
        a, left, found, right = (described(record, 0), described(record, 1), described(record, 2),
                                 described(record, 3))  # fmt: skip
        rows, size, n = size_at(left, 1), size_at(left, 2), size_at(right, 1)
        wanted = word(words, 0) != 0
        d, e, taus, others, strip = (
            room_for(n),
            room_for(n),
            room_for(n + 1),
            room_for(n + 1),
            room_for(STRIP),
        )
        begin, end = share_of(count_of(left), part, parts)
        for m in range(begin, end):
            q = word(left, ARRAY_ADDRESS) + m * size * rows * item
            x, s = word(right, ARRAY_ADDRESS) + m * n * n * item, word(found, ARRAY_ADDRESS) + m * n * item
            if n:
                source, row, column = at(a, m), step_at(a, 2), step_at(a, 1)
                for j in range(n):
                    for i in range(rows):
                        store(q, j * rows + i, load(source, i * row + j * column))
            bad = values(q, rows, size, x, n, d, e, taus, others, strip, wanted)
            for i in range(n):
                store(s, i, math.nan if bad else abs(load_number(d, i)))  # no zero with a sign
            if bad:
                tell(word(words, 1), word(words, 2))
                fill(q, size * rows)
                fill(x, n * n)

    return kernel
