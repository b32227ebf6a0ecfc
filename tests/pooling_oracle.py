"""Pooling written as loops in NumPy: one window at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np


def tuple_of(value, count):
    return (value,) * count if isinstance(value, int) else tuple(value)


def windows(size, kernel, stride, padding=0, dilation=1, ceil_mode=False):
    """Positions of every window along one dimension, those in the padding included."""
    reach = dilation * (kernel - 1)
    starts = []
    start = -padding
    while start + reach < size + padding or (
        ceil_mode and start < size and start + reach < size + padding + stride
    ):
        starts.append(start)
        start += stride
    return [[s + dilation * k for k in range(kernel)] for s in starts]


def adaptive_windows(size, count):
    return [list(range(o * size // count, -(-(o + 1) * size // count))) for o in range(count)]


def pooled(x, along, choose):
    """What `choose` makes of the positions and values of every window; `along` has those of each dimension."""
    spatial = len(along)
    lead = x.shape[: x.ndim - spatial]
    inner = x.shape[x.ndim - spatial :]
    out = np.zeros((*lead, *(len(a) for a in along)))
    places = np.zeros(out.shape, int)
    for at in np.ndindex(*out.shape):
        plane = x[at[: len(lead)]]
        positions = itertools.product(*(a[o] for a, o in zip(along, at[len(lead) :], strict=True)))
        inside = [p for p in positions if all(0 <= i < n for i, n in zip(p, inner, strict=True))]
        out[at], places[at] = choose(
            [np.ravel_multi_index(p, inner) for p in inside], [plane[p] for p in inside], at
        )
    return out, places


def first_largest(places, values, _at):
    best = 0
    for k, v in enumerate(values):
        if v > values[best] or math.isnan(v):
            best = k
    return values[best], places[best]


def largest(x, spatial, kernel, stride=None, padding=0, dilation=1, ceil_mode=False):
    options = (kernel, kernel if stride is None else stride, padding, dilation)
    rows = zip(x.shape[-spatial:], *(tuple_of(v, spatial) for v in options), strict=True)
    return pooled(x, [windows(*row, ceil_mode) for row in rows], first_largest)


def mean(x, spatial, kernel, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor=None):
    options = (kernel, kernel if stride is None else stride, padding)
    rows = list(zip(x.shape[-spatial:], *(tuple_of(v, spatial) for v in options), strict=True))
    along = [windows(*row, 1, ceil_mode) for row in rows]

    def count(at):
        total = 1
        for (size, _k, _s, pad), lines, o in zip(rows, along, at[-spatial:], strict=True):
            held = range(-pad, size + pad) if count_include_pad else range(size)
            total *= sum(i in held for i in lines[o])
        return divisor or total

    return pooled(x, along, lambda places, values, at: (sum(values) / count(at), 0))[0]
