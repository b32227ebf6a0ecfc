"""The loop of histograms with parts of equal width, for Numba; see `kernels.histograms`."""

from __future__ import annotations

import math
from typing import Any

from .abi import ARRAY_ADDRESS, ARRAY_NUMEL, INT64
from .matrices import tell
from .plain import accessors, attributes, clear_bytes, described, helper, number_of, word, word_as_float

PARTS, LOW, HIGH, REPORT, REFUSAL = range(5)  # attributes


def histc(dtype: int) -> Any:
    """The elements of each part, of which the last has its upper edge, too; arrays x, y, counts.

    Places are computed in the elements' dtype, as a difference times the number of parts by the width.
    """
    load, store = accessors(dtype)
    load_count, store_count = accessors(INT64)
    number = number_of(dtype)

    @helper
    def limits(x, numel, low, high):
        """The given limits, or those of the elements; nan if an element is nan."""
        if low != high or numel == 0:
            return low, high
        low, high = float(load(x, 0)), float(load(x, 0))
        for k in range(numel):
            value = float(load(x, k))
            if value != value:
                return value, value
            low, high = min(low, value), max(high, value)
        return low, high

    @helper
    def count(x, numel, counts, parts, low, high):
        first, last, many, width = number(low), number(high), number(float(parts)), number(high - low)
        for k in range(numel):
            value = load(x, k)
            if value >= first and value <= last:
                at = min(int((value - first) * many / width), parts - 1)
                store_count(counts, at, load_count(counts, at) + 1)

    def kernel(record, part, parts):
        if part != 0:
            return
        words, array = attributes(record), described(record, 0)
        x, numel, many = word(array, ARRAY_ADDRESS), word(array, ARRAY_NUMEL), word(words, PARTS)
        y, counts = word(described(record, 1), ARRAY_ADDRESS), word(described(record, 2), ARRAY_ADDRESS)
        clear_bytes(counts, many * 8)
        low, high = limits(x, numel, word_as_float(word(words, LOW)), word_as_float(word(words, HIGH)))
        if not (abs(low) < math.inf and abs(high) < math.inf):
            tell(word(words, REPORT), word(words, REFUSAL))
        else:
            if low == high:
                low, high = low - 1.0, high + 1.0
            count(x, numel, counts, many, low, high)
        for k in range(many):
            store(y, k, number(float(load_count(counts, k))))

    return kernel
