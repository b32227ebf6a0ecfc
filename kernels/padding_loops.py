"""The loops of padding, for Numba: a row of the padded array at a time, found by where its source stands."""

from __future__ import annotations

from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_NUMEL, ARRAY_SHAPE, ARRAY_STRIDES
from .padding import MODES
from .plain import (
    accessors,
    attributes,
    bits,
    clear_bytes,
    copy_bytes,
    described,
    helper,
    quotient,
    share_of,
    word,
)

CONSTANT, REFLECT, REPLICATE, CIRCULAR = range(len(MODES))
P_REST, P_MODE, P_KEPT, P_AMOUNTS = range(4)
ABSENT = -1


@helper
def shown(mode, place, size, before, after):
    """The position in a dimension of `size` that `place` of the padded one shows, or ABSENT."""
    i = place - before
    if mode == REFLECT:
        i = -i if i < 0 else i
        return 2 * (size - 1) - i if i >= size else i
    if mode == REPLICATE:
        return min(max(i, 0), size - 1)
    if mode == CIRCULAR:
        # what is cut off one end does not come in at the other
        first, last = max(0, -before), size - max(0, -after)
        if i < first:
            return i + last - first
        return i - (last - first) if i >= last else i
    return i if 0 <= i < size else ABSENT


@helper
def source_row(small, large, words, row):
    """Where the source of a row of the padded array begins, in elements, or ABSENT."""
    offset = 0
    for back in range(word(large, ARRAY_DIMS) - 1):
        d = word(large, ARRAY_DIMS) - 2 - back
        width = word(large, ARRAY_SHAPE + d)
        rest = quotient(row, width)
        at = words + (P_AMOUNTS + 2 * d) * abi.WORD
        i = shown(
            word(words, P_MODE), row - rest * width, word(small, ARRAY_SHAPE + d), word(at, 0), word(at, 1)
        )
        if i == ABSENT:
            return ABSENT
        offset += i * word(small, ARRAY_STRIDES + d)
        row = rest
    return offset


@helper
def target_row(large, row):
    """Where a row of the padded array begins, in elements."""
    offset = 0
    for back in range(word(large, ARRAY_DIMS) - 1):
        d = word(large, ARRAY_DIMS) - 2 - back
        width = word(large, ARRAY_SHAPE + d)
        rest = quotient(row, width)
        offset += (row - rest * width) * word(large, ARRAY_STRIDES + d)
        row = rest
    return offset


@helper
def rows_of(large, words, part, parts):
    """The rows of the padded array that a part takes: all of some places of the dimensions that stay."""
    kept, rows = 1, 1
    for d in range(word(large, ARRAY_DIMS) - 1):
        if d < word(words, P_KEPT):
            kept *= word(large, ARRAY_SHAPE + d)
        else:
            rows *= word(large, ARRAY_SHAPE + d)
    begin, end = share_of(kept, part, parts)
    return begin * rows, end * rows


def padded(dtype: int, source: int, target: int) -> Any:
    """The kernel that pads array `source` into array `target`, which is row-major."""
    load, store = bits(dtype)
    item = abi.ITEM_SIZES[dtype]

    @helper
    def fill(to, begin, end, rest):
        for j in range(begin, end):
            store(to, j, rest)

    def kernel(record, part, parts):
        words = attributes(record)
        small, large = described(record, source), described(record, target)
        of = word(small, ARRAY_ADDRESS)
        if word(large, ARRAY_ADDRESS) == 0 or word(large, ARRAY_NUMEL) == 0:
            return
        last = word(large, ARRAY_DIMS) - 1
        width, size = word(large, ARRAY_SHAPE + last), word(small, ARRAY_SHAPE + last)
        step = word(small, ARRAY_STRIDES + last)
        mode, rest = word(words, P_MODE), word(words, P_REST)
        before, after = word(words, P_AMOUNTS + 2 * last), word(words, P_AMOUNTS + 2 * last + 1)
        # from `left` to `right` the row shows its source as it stands
        left = min(max(0, before), width)
        right = max(left, min(width, size + before))
        begin, end = rows_of(large, words, part, parts)
        for row in range(begin, end):
            to = word(large, ARRAY_ADDRESS) + row * width * item
            offset = source_row(small, large, words, row)
            if offset == ABSENT:
                fill(to, 0, width, rest)
                continue
            if step == 1:
                copy_bytes(to + left * item, of + (offset + left - before) * item, (right - left) * item)
            else:
                for j in range(left, right):
                    store(to, j, load(of, offset + (j - before) * step))
            if mode == CONSTANT:
                fill(to, 0, left, rest)
                fill(to, right, width, rest)
            else:
                for j in range(left):
                    store(to, j, load(of, offset + shown(mode, j, size, before, after) * step))
                for j in range(right, width):
                    store(to, j, load(of, offset + shown(mode, j, size, before, after) * step))

    return kernel


def unpadded(dtype: int, source: int, target: int) -> Any:
    """The kernel that adds the elements of array `source` where padding takes them from, in `target`, row-major."""
    load, store = accessors(dtype)
    item = abi.ITEM_SIZES[dtype]

    @helper
    def add(to, t, of, f):
        store(to, t, load(to, t) + load(of, f))

    def kernel(record, part, parts):
        words = attributes(record)
        large, small = described(record, source), described(record, target)
        to, of = word(small, ARRAY_ADDRESS), word(large, ARRAY_ADDRESS)
        if to == 0:
            return
        kept = 1
        for d in range(min(word(words, P_KEPT), word(large, ARRAY_DIMS) - 1)):
            kept *= word(small, ARRAY_SHAPE + d)
        if kept == 0:
            return
        first, behind = share_of(kept, part, parts)
        inside = quotient(word(small, ARRAY_NUMEL), kept)
        clear_bytes(to + first * inside * item, (behind - first) * inside * item)
        if word(large, ARRAY_NUMEL) == 0:
            return
        last = word(large, ARRAY_DIMS) - 1
        width, size = word(large, ARRAY_SHAPE + last), word(small, ARRAY_SHAPE + last)
        step = word(large, ARRAY_STRIDES + last)
        mode = word(words, P_MODE)
        before, after = word(words, P_AMOUNTS + 2 * last), word(words, P_AMOUNTS + 2 * last + 1)
        left = min(max(0, before), width)
        right = max(left, min(width, size + before))
        begin, end = rows_of(large, words, part, parts)
        for row in range(begin, end):
            there = source_row(small, large, words, row)
            if there == ABSENT:
                continue
            here = target_row(large, row)
            for j in range(left, right):
                add(to, there + j - before, of, here + j * step)
            if mode != CONSTANT:
                for j in range(left):
                    add(to, there + shown(mode, j, size, before, after), of, here + j * step)
                for j in range(right, width):
                    add(to, there + shown(mode, j, size, before, after), of, here + j * step)

    return kernel
