"""The loops that take images at places, for Numba; places are computed in the dtype of the images.

Where a place lies is as in PyTorch (``aten/src/ATen/native/GridSamplerUtils.h``).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_SHAPE, ARRAY_STRIDES
from .grids import BEYOND
from .plain import accessors, attributes, clear_bytes, described, helper, quotient, share_of, word

ZEROS, BORDER, REFLECTION = range(len(BEYOND))
S_NEAREST, S_BEYOND, S_ALIGNED = range(3)


class _Places(NamedTuple):
    """How places are found.

    Attributes
    ----------
    place : callable
        ``place(at, size, words)``: from -1 .. 1 to a position in elements, and its slope.
    taps : callable
        ``taps(x, size, nearest)``: the element below a position (-1 where it is outside), the one above, and the
        share of the one above.
    """

    place: Any
    taps: Any


def _places(dtype: int) -> _Places:
    number = abi.NUMPY_DTYPES[dtype].type
    none, half, one, two = number(0), number(0.5), number(1), number(2)
    far = number(1 << 30)

    @helper
    def even(x):
        return math.floor(x / two) * two == x

    @helper
    def reflected(x, low, span):
        distance, slope = x - low, one
        if distance < none:
            distance, slope = -distance, -one
        if not distance < far:  # where there are no fractions left
            return low, none
        turns = number(math.floor(distance / span))
        rest = distance - turns * span
        if even(turns):
            return low + rest, slope
        return low + span - rest, -slope

    @helper
    def place(at, size, words):
        last, beyond = number(size - 1), word(words, S_BEYOND)
        if word(words, S_ALIGNED) != 0:
            slope = half * last
            x = (at + one) * slope
        else:
            slope = half * number(size)
            x = ((at + one) * number(size) - one) * half
        if beyond == REFLECTION:
            turn = one
            if word(words, S_ALIGNED) == 0:
                x, turn = reflected(x, -half, number(size))
            elif size > 1:
                x, turn = reflected(x, none, last)
            else:
                x = none
            slope *= turn
        if beyond != ZEROS:
            if not x > none:
                x, slope = none, none
            elif not x < last:
                x, slope = last, none
        return x, slope

    @helper
    def taps(x, size, nearest):
        if not -two < x < number(size + 1):  # what is no number is not inside
            return -1, -1, none
        low = int(x)
        if number(low) > x:
            low -= 1
        share = x - number(low)
        if nearest:
            if share > half or (share == half and low & 1):
                low += 1
            return low if low < size else -1, -1, none
        return low if low < size else -1, low + 1 if low + 1 < size else -1, share

    return _Places(place, taps)


@helper
def corner(row, column, width):
    """Where the element of a row and a column lies in an image, or -1 when one of them is outside."""
    return row * width + column if row >= 0 and column >= 0 else -1


def sampled(dtype: int) -> Any:
    """Arrays x, grid, y."""
    load, store = accessors(dtype)
    place, taps = _places(dtype)
    item, number = abi.ITEM_SIZES[dtype], abi.NUMPY_DTYPES[dtype].type
    none, one = number(0), number(1)

    @helper
    def interpolated(image, nw, ne, sw, se, right, below):
        total = none
        if nw >= 0:
            total += load(image, nw) * ((one - right) * (one - below))
        if ne >= 0:
            total += load(image, ne) * (right * (one - below))
        if sw >= 0:
            total += load(image, sw) * ((one - right) * below)
        if se >= 0:
            total += load(image, se) * (right * below)
        return total

    def kernel(record, part, parts):
        words = attributes(record)
        x, grid, y = described(record, 0), described(record, 1), described(record, 2)
        channels, height, width = (
            word(x, ARRAY_SHAPE + 1),
            word(x, ARRAY_SHAPE + 2),
            word(x, ARRAY_SHAPE + 3),
        )
        nearest = word(words, S_NEAREST) != 0
        points = word(grid, ARRAY_SHAPE + 1) * word(grid, ARRAY_SHAPE + 2)
        begin, end = share_of(word(x, ARRAY_SHAPE) * points, part, parts)
        for k in range(begin, end):
            n = quotient(k, points)
            at_x, _slope = place(load(word(grid, ARRAY_ADDRESS), 2 * k), width, words)
            at_y, _slope = place(load(word(grid, ARRAY_ADDRESS), 2 * k + 1), height, words)
            west, east, right = taps(at_x, width, nearest)
            north, south, below = taps(at_y, height, nearest)
            nw, ne = corner(north, west, width), corner(north, east, width)
            sw, se = corner(south, west, width), corner(south, east, width)
            image = word(x, ARRAY_ADDRESS) + n * channels * height * width * item
            to = word(y, ARRAY_ADDRESS) + (n * (channels - 1) * points + k) * item
            for c in range(channels):
                store(to, c * points, interpolated(image, nw, ne, sw, se, right, below))
                image += height * width * item

    return kernel


def sampled_back(dtype: int) -> Any:
    """Arrays x, grid, y (-), g, gradients of x and of grid."""
    load, store = accessors(dtype)
    place, taps = _places(dtype)
    item, number = abi.ITEM_SIZES[dtype], abi.NUMPY_DTYPES[dtype].type
    none, one = number(0), number(1)

    @helper
    def spread(image, at, value):
        if at >= 0:
            store(image, at, load(image, at) + value)

    @helper
    def element(image, at):
        return load(image, at) if at >= 0 else none

    def kernel(record, part, parts):
        words = attributes(record)
        x, grid, g = described(record, 0), described(record, 1), described(record, 3)
        to_x, to_grid = word(described(record, 4), ARRAY_ADDRESS), word(described(record, 5), ARRAY_ADDRESS)
        channels, height, width = (
            word(x, ARRAY_SHAPE + 1),
            word(x, ARRAY_SHAPE + 2),
            word(x, ARRAY_SHAPE + 3),
        )
        nearest = word(words, S_NEAREST) != 0
        rows, columns = word(grid, ARRAY_SHAPE + 1), word(grid, ARRAY_SHAPE + 2)
        size = height * width * item
        begin, end = share_of(word(x, ARRAY_SHAPE), part, parts)
        for n in range(begin, end):
            if to_x != 0:
                clear_bytes(to_x + n * channels * size, channels * size)
            for p in range(rows * columns):
                k = n * rows * columns + p
                at_x, slope_x = place(load(word(grid, ARRAY_ADDRESS), 2 * k), width, words)
                at_y, slope_y = place(load(word(grid, ARRAY_ADDRESS), 2 * k + 1), height, words)
                west, east, right = taps(at_x, width, nearest)
                north, south, below = taps(at_y, height, nearest)
                nw, ne = corner(north, west, width), corner(north, east, width)
                sw, se = corner(south, west, width), corner(south, east, width)
                left, above = one - right, one - below
                row = quotient(p, columns)
                from_ = n * word(g, ARRAY_STRIDES) + row * word(g, ARRAY_STRIDES + 2)
                from_ += (p - row * columns) * word(g, ARRAY_STRIDES + 3)
                along_x, along_y = none, none
                for c in range(channels):
                    value = load(word(g, ARRAY_ADDRESS), from_ + c * word(g, ARRAY_STRIDES + 1))
                    if to_x != 0:
                        image = to_x + (n * channels + c) * size
                        spread(image, nw, value * (left * above))
                        spread(image, ne, value * (right * above))
                        spread(image, sw, value * (left * below))
                        spread(image, se, value * (right * below))
                    if to_grid != 0 and not nearest:
                        image = word(x, ARRAY_ADDRESS) + (n * channels + c) * size
                        a, b = element(image, nw), element(image, ne)
                        d, e = element(image, sw), element(image, se)
                        along_x += value * ((b - a) * above + (e - d) * below)
                        along_y += value * ((d - a) * left + (e - b) * right)
                if to_grid != 0:
                    store(to_grid, 2 * k, along_x * slope_x)
                    store(to_grid, 2 * k + 1, along_y * slope_y)

    return kernel
