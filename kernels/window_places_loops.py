"""The loop that lists where the elements of windows lie, for Numba."""

from __future__ import annotations

from typing import Any

from numba import types

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_NUMEL
from .plain import accessors, attributes, described, helper, quotient, share_of, word

W_NUMBERS, W_FIRST, W_SECOND, W_THIRD = 0, 1, 5, 9
D_SIZE, D_WINDOW, D_COUNT, D_NUMBER = range(4)


def places(dtype: int) -> Any:
    """Arrays of the random numbers, and of the places."""
    load, _ = accessors(dtype)
    _, store = accessors(abi.INT64)
    real = types.float64 if dtype == abi.FLOAT64 else types.float32

    @helper
    def start(words, dim, samples, line, k):
        size, window = word(words, dim + D_SIZE), word(words, dim + D_WINDOW)
        count = word(words, dim + D_COUNT)
        if k == count - 1:
            return size - window
        step = real((size - window) / (count - 1))
        u = load(samples, line * word(words, W_NUMBERS) + word(words, dim + D_NUMBER))
        return int((real(k) + u) * step) - int(u * step)

    def kernel(record, part, parts):
        words = attributes(record)
        samples, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        lines = quotient(word(described(record, 0), ARRAY_NUMEL), word(words, W_NUMBERS))
        height, width = word(words, W_SECOND + D_SIZE), word(words, W_THIRD + D_SIZE)
        counts = (
            word(words, W_FIRST + D_COUNT),
            word(words, W_SECOND + D_COUNT),
            word(words, W_THIRD + D_COUNT),
        )
        deep, high, wide = (
            word(words, W_FIRST + D_WINDOW), word(words, W_SECOND + D_WINDOW), word(words, W_THIRD + D_WINDOW)
        )  # fmt: skip
        begin, end = share_of(lines, part, parts)
        to = begin * counts[0] * counts[1] * counts[2] * deep * high * wide
        for line in range(begin, end):
            for i in range(counts[0]):
                a = start(words, W_FIRST, samples, line, i)
                for j in range(counts[1]):
                    b = start(words, W_SECOND, samples, line, j)
                    for k in range(counts[2]):
                        c = start(words, W_THIRD, samples, line, k)
                        for da in range(a, a + deep):
                            for db in range(b, b + high):
                                for dc in range(c, c + wide):
                                    store(y, to, (da * height + db) * width + dc)
                                    to += 1

    return kernel
