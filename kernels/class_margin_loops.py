"""The loops of margin losses, for Numba: a sample at a time, summed in float64."""

from __future__ import annotations

import math
from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_NUMEL, ARRAY_SHAPE, ARRAY_STRIDES
from .plain import accessors, attributes, clear_bytes, described, helper, share_of, word, word_as_float
from .triangular_loops import tell

M_CELL, M_NUMBER, M_POWER, M_MARGIN = range(4)


@helper
def all_within(array, least, classes):
    """Whether all targets are from `least` up to the number of classes."""
    for k in range(word(array, ARRAY_NUMEL)):
        if not least <= word(word(array, ARRAY_ADDRESS), k) < classes:
            return False
    return True


def _loss(dtype: int, least: int, one: Any) -> Any:
    """The kernel of a loss; ``one(x, target, slope, classes, words)`` is that of one sample, by addresses."""
    _load, store = accessors(dtype)
    item = abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        words = attributes(record)
        x, target = described(record, 0), described(record, 1)
        y, slope = described(record, 2), described(record, 3)
        samples, classes = word(x, ARRAY_SHAPE), word(x, ARRAY_SHAPE + 1)
        fine = all_within(target, least, classes)
        if not fine and part == 0:
            tell(word(words, M_CELL), word(words, M_NUMBER))
        targets = word(target, ARRAY_NUMEL) // max(1, samples)
        begin, end = share_of(samples, part, parts)
        for i in range(begin, end):
            row = i * classes * item
            loss = math.nan
            clear_bytes(word(slope, ARRAY_ADDRESS) + row, classes * item)
            if fine:
                own = word(target, ARRAY_ADDRESS) + i * targets * abi.WORD
                loss = one(
                    word(x, ARRAY_ADDRESS) + row, own, word(slope, ARRAY_ADDRESS) + row, classes, words
                )
            store(word(y, ARRAY_ADDRESS), i, loss)

    return kernel


def multi_margin(dtype: int) -> Any:
    """``y = sum(max(0, margin - x[t] + x[j]) ** p) / C`` over the classes ``j != t``, and its slopes."""
    load, store = accessors(dtype)

    @helper
    def one(x, target, slope, classes, words):
        own, margin = word(target, 0), word_as_float(word(words, M_MARGIN))
        square = word(words, M_POWER) == 2
        loss, total = 0.0, 0.0
        base = margin - load(x, own)
        for j in range(classes):
            gap = base + load(x, j)
            # a gap that is no number counts, so that it shows
            if j == own or gap <= 0.0:
                continue
            loss += gap * gap if square else gap
            steep = 2.0 * gap / classes if square else 1.0 / classes
            store(slope, j, steep)
            total += steep
        store(slope, own, -total)
        return loss / classes

    return _loss(dtype, 0, one)


def multilabel_margin(dtype: int) -> Any:
    """``y = sum(max(0, 1 - x[t] + x[j])) / C`` over a sample's classes t and all others j, and its slopes."""
    load, store = accessors(dtype)

    @helper
    def one(x, target, slope, classes, words):
        # slopes are whole numbers until they are divided in the end; those of a sample's own classes are below 0
        count = 0
        while count < classes and word(target, count) >= 0:
            store(slope, word(target, count), -1.0)
            count += 1
        loss = 0.0
        for k in range(count):
            own = word(target, k)
            base, hits = 1.0 - load(x, own), 0.0
            for j in range(classes):
                gap = base + load(x, j)
                if load(slope, j) >= 0.0 and not gap <= 0.0:
                    loss += gap
                    store(slope, j, load(slope, j) + 1.0)
                    hits += 1.0
            store(slope, own, load(slope, own) - hits)
        for j in range(classes):
            steep = load(slope, j)
            store(slope, j, (steep + 1.0 if steep < 0.0 else steep) / classes)
        return loss / classes

    return _loss(dtype, -1, one)


def slopes_back(dtype: int) -> Any:
    """The slopes of every sample times its cotangent; arrays x, target, y, slopes, cotangents of both, gradient."""
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        slope, g, gradient = described(record, 3), described(record, 4), described(record, 6)
        to, of = word(gradient, ARRAY_ADDRESS), word(slope, ARRAY_ADDRESS)
        if to == 0:
            return
        samples, classes = word(gradient, ARRAY_SHAPE), word(gradient, ARRAY_SHAPE + 1)
        begin, end = share_of(samples, part, parts)
        for i in range(begin, end):
            factor = load(word(g, ARRAY_ADDRESS), i * word(g, ARRAY_STRIDES))
            for j in range(i * classes, (i + 1) * classes):
                store(to, j, factor * load(of, j))

    return kernel
