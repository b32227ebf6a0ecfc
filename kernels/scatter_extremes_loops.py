"""The loops of extremes among elements that share an index, for Numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_NUMEL, RUNTIME_ERROR
from .index_walks import loops, report, step_of
from .plain import accessors, attributes, described, helper, place, word

S_CELL, S_DIM, S_OUTER, S_PLACES, S_SOURCES, S_INNER, S_GREATEST, S_SELF, S_COUNTING = range(9)


@helper
def all_within(index, words):
    """Whether every index is in range; reports the first that is not."""
    size = word(words, S_PLACES)
    for k in range(word(index, ARRAY_NUMEL)):
        i = word(word(index, ARRAY_ADDRESS), k)
        if i < 0 or i >= size:
            return report(word(words, S_CELL), RUNTIME_ERROR, word(words, S_DIM), i, size)
    return True


@helper
def alike(a, b):
    """Whether two elements are the same number, or both none."""
    return a == b or (a != a and b != b)


def _bounds(dtype: int) -> tuple[Any, Any]:
    """What no element is smaller than, and what none is greater than."""
    if dtype >= abi.FLOAT32:
        return -math.inf, math.inf
    bounds = np.iinfo(abi.NUMPY_DTYPES[dtype])
    return int(bounds.min), int(bounds.max)


def extremes(dtype: int) -> Any:
    """Arrays x, index, source, y, counts."""
    load, store = accessors(dtype)
    walks = loops(dtype)
    copy_all, clear_all = walks.copy_all, walks.clear_all
    least, most = _bounds(dtype)

    def kernel(record, part, parts):
        words = attributes(record)
        index = described(record, 1)
        if part != 0 or not all_within(index, words):
            return
        copy_all(described(record, 3), described(record, 0))
        clear_all(described(record, 4))
        x, source = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 2), ARRAY_ADDRESS)
        y, counts = word(described(record, 3), ARRAY_ADDRESS), word(described(record, 4), ARRAY_ADDRESS)
        to = word(index, ARRAY_ADDRESS)
        places, inner = word(words, S_PLACES), word(words, S_INNER)
        greatest, with_self = word(words, S_GREATEST) != 0, word(words, S_SELF) != 0
        counting = word(words, S_COUNTING) != 0
        for again in range(2 if counting else 1):  # at first the extremes, then how many there are of each
            k = 0
            for o in range(word(words, S_OUTER)):
                for _ in range(word(words, S_SOURCES)):
                    for i in range(inner):
                        at = (o * places + word(to, k)) * inner + i
                        value, best = load(source, k), load(y, at)
                        k += 1
                        if again == 1:
                            store(counts, at, load(counts, at) + (1 if alike(value, best) else 0))
                            continue
                        if (counting or not with_self) and load(counts, at) == 0:
                            store(counts, at, 1)
                            if not with_self:
                                best = least if greatest else most
                        behind = value <= best if greatest else value >= best
                        store(y, at, best if behind or best != best else value)
            if counting and again == 0:
                for at in range(word(described(record, 4), ARRAY_NUMEL)):
                    if load(counts, at) != 0:
                        store(counts, at, 1 if with_self and alike(load(x, at), load(y, at)) else 0)

    return kernel


def extremes_back(dtype: int) -> Any:
    """Arrays x, index, source, y, counts, cotangents of both, gradients of x, index (-) and source."""
    load, store = accessors(dtype)

    @helper
    def given(g, dims, step, at):
        return load(word(g, ARRAY_ADDRESS), at * step if step >= 0 else place(g, dims, at))

    def kernel(record, part, parts):
        words = attributes(record)
        if part != 0:
            return
        y, counts = word(described(record, 3), ARRAY_ADDRESS), word(described(record, 4), ARRAY_ADDRESS)
        g = described(record, 5)
        dims, step = word(g, ARRAY_DIMS), step_of(g)
        to_x, to_source = word(described(record, 7), ARRAY_ADDRESS), word(described(record, 9), ARRAY_ADDRESS)
        if to_x != 0:
            x, with_self = word(described(record, 0), ARRAY_ADDRESS), word(words, S_SELF) != 0
            for at in range(word(described(record, 7), ARRAY_NUMEL)):
                count, value = load(counts, at), given(g, dims, step, at)
                if count != 0:
                    wins = with_self and alike(load(x, at), load(y, at))
                    value = value / count if wins else 0.0
                store(to_x, at, value)
        if to_source != 0:
            source, to = word(described(record, 2), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
            places, inner, k = word(words, S_PLACES), word(words, S_INNER), 0
            for o in range(word(words, S_OUTER)):
                for _ in range(word(words, S_SOURCES)):
                    for i in range(inner):
                        at = (o * places + word(to, k)) * inner + i
                        value = 0.0
                        if alike(load(source, k), load(y, at)):
                            value = given(g, dims, step, at) / load(counts, at)
                        store(to_source, k, value)
                        k += 1

    return kernel
