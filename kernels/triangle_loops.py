"""The loop that keeps a triangle of matrices and clears the other, for Numba."""

from __future__ import annotations

from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_NUMEL, ARRAY_SHAPE, ARRAY_STRIDES
from .plain import (
    attributes,
    bits,
    clear_bytes,
    copy_bytes,
    described,
    helper,
    place,
    quotient,
    share_of,
    word,
)


def _copy(dtype: int) -> Any:
    """``copy(target, source, step, count)``: elements that lie `step` apart, one behind the other."""
    load, store = bits(dtype)
    item = abi.ITEM_SIZES[dtype]

    @helper
    def copy(target, source, step, count):
        if step == 1:
            copy_bytes(target, source, count * item)
        else:
            for k in range(count):
                store(target, k, load(source, k * step))

    return copy


def triangle(dtype: int, back: bool) -> Any:
    """Arrays x, y; `back` x (-), y (-), g, gx: what is kept is the same both ways."""
    copy = _copy(dtype)
    item = abi.ITEM_SIZES[dtype]
    first = 2 if back else 0

    def kernel(record, part, parts):
        words = attributes(record)
        upper, diagonal = word(words, 0), word(words, 1)
        x, y = described(record, first), described(record, first + 1)
        numel, dims = word(y, ARRAY_NUMEL), word(y, ARRAY_DIMS)
        if numel == 0 or word(y, ARRAY_ADDRESS) == 0:
            return
        rows, columns = word(y, ARRAY_SHAPE + dims - 2), word(y, ARRAY_SHAPE + dims - 1)
        step = word(x, ARRAY_STRIDES + dims - 1)
        lines = quotient(numel, columns)
        begin, end = share_of(lines, part, parts)
        for line in range(begin, end):
            row = line - quotient(line, rows) * rows
            # from here on the upper triangle's columns, which begin one after the lower one's last
            edge = min(max(row + diagonal + (0 if upper else 1), 0), columns)
            source = word(x, ARRAY_ADDRESS) + place(x, dims - 1, line) * item
            target = word(y, ARRAY_ADDRESS) + line * columns * item
            if upper:
                clear_bytes(target, edge * item)
                copy(target + edge * item, source + edge * step * item, step, columns - edge)
            else:
                copy(target, source, step, edge)
                clear_bytes(target + edge * item, (columns - edge) * item)

    return kernel
