"""Rotations of two rows, by which eigenvalues and singular values are found one after the other. For Numba.

The numbers that the rotations make smaller are few and lie in float64, whatever the matrix: what they lead to is as
exact as the matrix, and an exponent of float32 is never too small for a square.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import abi
from .lean import jit as helper
from .matrix_rows import RowWriter, written
from .plain import accessors, copy_bytes

TURNS = 30  # sweeps for each value, of which two or three are the rule, until a matrix counts as one without
LEAST = 1e-290  # below this, squares have lost digits to subnormal numbers
# of float32 and float64: what does not count beside one; the least and the greatest magnitude that the largest element
# may have; a power of two that leads from smaller ones into that range, and one from greater ones
NEGLIGIBLE = {abi.FLOAT32: 2.0**-26, abi.FLOAT64: 2.0**-53}
_RANGES = {
    abi.FLOAT32: (1e-12, 1e12, 2.0**100, 2.0**-80),
    abi.FLOAT64: (1e-140, 1e140, 2.0**600, 2.0**-600),
}
load_number, store_number = accessors(abi.FLOAT64)


@helper
def rotation(f, g):
    """The cosine, sine and result of the rotation that leaves nothing of g: ``c f + s g = r``, ``c g - s f = 0``.

    Golub and Van Loan, Matrix Computations, section 5.1.8.
    """
    if g == 0.0:
        return 1.0, 0.0, f
    if f == 0.0:
        return 0.0, 1.0, g
    square = f * f + g * g
    if square > LEAST:
        r = math.sqrt(square)
        inverse = 1.0 / r
        return f * inverse, g * inverse, r
    big = max(abs(f), abs(g))
    f_share, g_share = f / big, g / big
    r = math.sqrt(f_share * f_share + g_share * g_share)
    return f_share / r, g_share / r, r * big


class Rotations(NamedTuple):
    """What is done with rows of one dtype.

    Attributes
    ----------
    rotate : callable
        ``rotate(x, y, count, c, s)``: ``c x + s y`` in place of x and ``c y - s x`` in place of y.
    swap : callable
        ``swap(x, y, count, room)``.
    change_sign : callable
        ``change_sign(x, count)``.
    scale : callable
        ``scale(x, count)``: multiply elements by the power of two that keeps their squares in range, and return it:
        nearly always 1, and 0 if one of them is not finite.
    """

    rotate: Any
    swap: Any
    change_sign: Any
    scale: Any


def _rotated(w: RowWriter, args: list[ir.Value]) -> None:
    first, second, count, cosine, sine = args
    b = w.b
    place = cgutils.alloca_once_value(b, ir.IntType(64)(0))
    for width, beside in w.widths():
        if beside == 1:
            with w.turns(place, count, width) as at:
                c, s = w.splat(cosine, width), w.splat(sine, width)
                x, y = w.load(first, at, width), w.load(second, at, width)
                w.store(w.multiply_add(c, x, b.fmul(s, y)), first, at, width)
                w.store(b.fneg(w.multiply_add(s, x, b.fneg(b.fmul(c, y)))), second, at, width)


@functools.cache
def rotations_of(dtype: int) -> Rotations:
    """What is done with rows of a dtype."""
    load, store = accessors(dtype)
    item = abi.ITEM_SIZES[dtype]
    number, word = (types.float32 if dtype == abi.FLOAT32 else types.float64), types.int64
    write_rotated = written(dtype, _rotated, types.none(*[word] * 3, number, number))
    low, high, up, down = _RANGES[dtype]

    @intrinsic
    def rotated(context, x, y, count, c, s):
        return write_rotated()

    @helper
    def rotate(x, y, count, c, s):
        rotated(x, y, count, c, s)

    @helper
    def swap(x, y, count, room):
        copy_bytes(room, x, count * item)
        copy_bytes(x, y, count * item)
        copy_bytes(y, room, count * item)

    @helper
    def change_sign(x, count):
        for k in range(count):
            store(x, k, -load(x, k))

    @helper
    def scale(x, count):
        top, finite = 0.0, True
        for k in range(count):
            size = abs(load(x, k))
            finite = finite and size - size == 0.0
            top = max(top, size)
        if not finite:
            return 0.0
        if top == 0.0 or (low < top and top < high):
            return 1.0
        by = up if top < 1.0 else down
        for k in range(count):
            store(x, k, load(x, k) * by)
        return by

    return Rotations(rotate, swap, change_sign, scale)


def diagonal_by(dtype: int, sweep: Any) -> Any:
    """``diagonal(d, e, n, a, a_size, b, b_size, wanted)``: sweeps until next to nothing is left beside a diagonal.

    Parameters
    ----------
    dtype : int
        Of the matrix; its diagonal `d` and what is beside it, `e`, are float64.
    sweep : callable
        ``sweep(d, e, first, last, step, a, a_size, b, b_size, wanted)`` makes what is beside number `last` smaller, and
        turns the rows of `a` and `b` if they are wanted. It goes from the greater numbers to the smaller ones: where
        that is upwards, `a` and `b` have changed places.

    Returns
    -------
    callable
        Its result is nonzero if there is no end of it.
    """
    negligible = NEGLIGIBLE[dtype]

    @helper
    def beginning(d, e, hi):
        """The first of the numbers up to `hi` that are not apart from it."""
        lo = hi
        while lo > 0:
            around = abs(load_number(d, lo)) + abs(load_number(d, lo - 1))
            if abs(load_number(e, lo - 1)) <= negligible * around + LEAST:
                store_number(e, lo - 1, 0.0)
                return lo
            lo -= 1
        return 0

    @helper
    def diagonal(d, e, n, a, a_size, b, b_size, wanted):
        hi, begun, step, left = n - 1, -1, 1, TURNS * n
        while hi > 0:
            lo = beginning(d, e, hi)
            if lo == hi:
                hi, begun = hi - 1, -1
                continue
            if left == 0:
                return hi + 1
            left -= 1
            if lo != begun:
                step = 1 if abs(load_number(d, lo)) >= abs(load_number(d, hi)) else -1
                begun = lo
            if step > 0:
                sweep(d, e, lo, hi, 1, a, a_size, b, b_size, wanted)
            else:
                sweep(d, e, hi, lo, -1, b, b_size, a, a_size, wanted)
        return 0

    return diagonal
