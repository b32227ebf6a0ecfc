"""The loops that take images at places, for Numba; places are computed in the dtype of the images.

Where a place lies is as in PyTorch (``aten/src/ATen/native/GridSamplerUtils.h``). Whether it is inside, and to which
side it is rounded, is chosen without branches: for places in no order, those would be foreseen wrongly. Places are
found in blocks, which are then read channel after channel: the cache does not hold what all channels have at a place.
"""

from __future__ import annotations

from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_SHAPE, ARRAY_STRIDES
from .grids import BEYOND
from .matrix_rows import room_for
from .plain import accessors, attributes, clear_bytes, described, helper, quotient, set_word, share_of, word

ZEROS, BORDER, REFLECTION = range(len(BEYOND))
S_NEAREST, S_BEYOND, S_ALIGNED = range(3)
BLOCK = 128  # places that are found at once, before one channel after the other is read there
WORDS = 6  # that are kept of a place: its four corners and two shares


@helper
def corner(row, column, width):
    """Where the element of a row and a column lies in an image, or -1 when one of them is outside."""
    return row * width + column if (row | column) >= 0 else -1


def _site_of(dtype: int) -> Any:
    """``site(grid, k, width, height, words)``: where point `k` of a grid lies in images of a size.

    Returns the elements around it, nw, ne, sw, se, see `corner`, the shares of those to the right and below, and the
    slopes of its position in elements along x and y.
    """
    load, _ = accessors(dtype)
    number = abi.NUMPY_DTYPES[dtype].type
    none, half, one, two = number(0), number(0.5), number(1), number(2)
    far = number(1 << 30)

    @helper
    def reflected(x, low, span):
        distance, slope = x - low, one
        if distance < none:
            distance, slope = -distance, -one
        if not distance < far:  # where there are no fractions left
            return low, none
        turns = int(distance / span)
        rest = distance - number(turns) * span
        if turns & 1:
            return low + span - rest, -slope
        return low + rest, slope

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
            inside = (x > none) & (x < last)
            slope = slope if inside else none
            x = x if inside else last if x >= last else none  # what is no number is at the first end
        return x, slope

    @helper
    def taps(x, size, nearest):
        x = x if (x > -two) & (x < number(size + 1)) else -two  # what is no number is not inside
        low = int(x)
        low -= int(number(low) > x)
        share = x - number(low)
        if nearest:
            low += int(share > half) | (int(share == half) & low & 1)
            return low if low < size else -1, -1, none
        return low if low < size else -1, low + 1 if low + 1 < size else -1, share

    @helper
    def site(grid, k, width, height, words):
        nearest = word(words, S_NEAREST) != 0
        x, slope_x = place(load(grid, 2 * k), width, words)
        y, slope_y = place(load(grid, 2 * k + 1), height, words)
        west, east, right = taps(x, width, nearest)
        north, south, below = taps(y, height, nearest)
        nw, ne = corner(north, west, width), corner(north, east, width)
        sw, se = corner(south, west, width), corner(south, east, width)
        return nw, ne, sw, se, right, below, slope_x, slope_y

    return site


def _element_of(load: Any, none: Any) -> Any:
    """``element(image, at)``: an element of an image, zero for -1; the image has a first element."""

    @helper
    def element(image, at):
        value = load(image, max(at, 0))
        return value if at >= 0 else none

    return element


def sampled(dtype: int) -> Any:
    """Images at the places of a grid; arrays x (N, C, H, W), grid (N, h, w, 2), y (N, C, h, w)."""
    load, store = accessors(dtype)
    site = _site_of(dtype)
    item, number = abi.ITEM_SIZES[dtype], abi.NUMPY_DTYPES[dtype].type
    none, one = number(0), number(1)

    element = _element_of(load, none)

    @helper
    def interpolated(image, at):
        right, below = load(at + 4 * abi.WORD, 0), load(at + 5 * abi.WORD, 0)
        left, above = one - right, one - below
        total = element(image, word(at, 0)) * (left * above)
        total += element(image, word(at, 1)) * (right * above)
        total += element(image, word(at, 2)) * (left * below)
        return total + element(image, word(at, 3)) * (right * below)

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
        room = room_for(BLOCK * WORDS)
        k, end = share_of(word(x, ARRAY_SHAPE) * points, part, parts)
        while k < end:
            n = quotient(k, points)
            count = min(BLOCK, end - k, (n + 1) * points - k)
            for i in range(count):
                nw, ne, sw, se, right, below, _x, _y = site(
                    word(grid, ARRAY_ADDRESS), k + i, width, height, words
                )
                at = room + i * WORDS * abi.WORD
                set_word(at, 0, nw)
                set_word(at, 1, ne)
                set_word(at, 2, sw)
                set_word(at, 3, se)
                store(at + 4 * abi.WORD, 0, right)
                store(at + 5 * abi.WORD, 0, below)
            image = word(x, ARRAY_ADDRESS) + n * channels * height * width * item
            to = word(y, ARRAY_ADDRESS) + (n * (channels - 1) * points + k) * item
            for _c in range(channels):
                if nearest:
                    for i in range(count):
                        store(to, i, element(image, word(room, i * WORDS)))
                else:
                    for i in range(count):
                        store(to, i, interpolated(image, room + i * WORDS * abi.WORD))
                image += height * width * item
                to += points * item
            k += count

    return kernel


def sampled_back(dtype: int) -> Any:
    """Back from them, image by image; arrays x, grid, y (not there), g, and the gradients of x and of the grid."""
    load, store = accessors(dtype)
    site = _site_of(dtype)
    item, number = abi.ITEM_SIZES[dtype], abi.NUMPY_DTYPES[dtype].type
    none, one = number(0), number(1)
    element = _element_of(load, none)

    @helper
    def spread(image, at, value):
        if at >= 0:
            store(image, at, load(image, at) + value)

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
                nw, ne, sw, se, right, below, slope_x, slope_y = site(
                    word(grid, ARRAY_ADDRESS), k, width, height, words
                )
                left, above = one - right, one - below
                row = quotient(p, columns)
                first = n * word(g, ARRAY_STRIDES) + row * word(g, ARRAY_STRIDES + 2)
                first += (p - row * columns) * word(g, ARRAY_STRIDES + 3)
                along_x, along_y = none, none
                for c in range(channels):
                    value = load(word(g, ARRAY_ADDRESS), first + c * word(g, ARRAY_STRIDES + 1))
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
