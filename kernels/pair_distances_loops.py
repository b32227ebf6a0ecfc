"""The loops of distances of all pairs of rows, for Numba."""

from __future__ import annotations

import math
from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_SHAPE, ARRAY_STRIDES
from .matrix_rows import rows_of
from .plain import accessors, clear_bytes, described, share_of, word


def distances(dtype: int) -> Any:
    """Arrays x, y."""
    _, store = accessors(dtype)
    gap, item = rows_of(dtype).gap, abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        x, y = described(record, 0), word(described(record, 1), ARRAY_ADDRESS)
        rows, columns = word(x, ARRAY_SHAPE), word(x, ARRAY_SHAPE + 1)
        source, line = word(x, ARRAY_ADDRESS), columns * item
        i, pair = 0, 0
        while i < rows:
            if i % parts == part:  # rows in turns: the first have most pairs
                for j in range(i + 1, rows):
                    store(y, pair + j - i - 1, math.sqrt(gap(source + i * line, source + j * line, columns)))
            pair += rows - i - 1
            i += 1

    return kernel


def distances_back(dtype: int) -> Any:
    """Arrays x, y, g, gx; each part takes some columns."""
    load, _ = accessors(dtype)
    move, item = rows_of(dtype).part, abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        x, y, g = described(record, 0), word(described(record, 1), ARRAY_ADDRESS), described(record, 2)
        rows, line = word(x, ARRAY_SHAPE), word(x, ARRAY_SHAPE + 1) * item
        seeds, step = word(g, ARRAY_ADDRESS), word(g, ARRAY_STRIDES)
        begin, end = share_of(word(x, ARRAY_SHAPE + 1), part, parts)
        source = word(x, ARRAY_ADDRESS) + begin * item
        to = word(described(record, 3), ARRAY_ADDRESS) + begin * item
        for i in range(rows):
            clear_bytes(to + i * line, (end - begin) * item)
        pair = 0
        for i in range(rows):
            for j in range(i + 1, rows):
                distance = load(y, pair)
                if distance != 0:
                    a, b, share = i * line, j * line, load(seeds, pair * step) / distance
                    move(to + a, to + b, source + a, source + b, end - begin, share)
                pair += 1

    return kernel
