"""The loops of cumulative kernels, for Numba. Sums and products of floats run in float64, as PyTorch's do.

Each kernel is what it does with one line: ``walk(x, y, at, n, step)`` forward, from the first element on, and
``walk(x, y, g, at, n, step)`` backward, from the last one, over a gradient that starts as the cotangent.
Addresses are those of whole arrays, `at` is an element's place and `step` leads to the next one.
"""

from __future__ import annotations

import math
from typing import Any

from .abi import ARRAY_ADDRESS, ARRAY_DIMS, FLOAT32, INT64
from .index_walks import loops, step_of
from .plain import accessors, attributes, described, helper, place, word


def _forward(walk: Any) -> Any:
    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        if part != 0 or n == 0:
            return
        for o in range(outer):
            for i in range(inner):
                walk(x, y, o * n * inner + i, n, inner)

    return kernel


def _backward(dtype: int, walk: Any) -> Any:
    copy_all = loops(dtype).copy_all

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        gradient = described(record, 3)
        address = word(gradient, ARRAY_ADDRESS)
        if part != 0 or address == 0:
            return
        copy_all(gradient, described(record, 2))
        for o in range(outer):
            for i in range(inner):
                walk(x, y, address, (o * n + n - 1) * inner + i, n, inner)

    return kernel


def _running(dtype: int, first: Any, combine: Any) -> Any:
    load, store = accessors(dtype)

    @helper
    def walk(x, y, at, n, step):
        total = first
        for _ in range(n):
            total = combine(total, load(x, at))
            store(y, at, total)
            at += step

    return _forward(walk)


def _zero(dtype: int) -> Any:
    return 0.0 if dtype >= FLOAT32 else 0


def cumsum(dtype: int) -> Any:
    """``y[k] = x[0] + .. + x[k]``."""

    @helper
    def add(a, b):
        return a + b

    return _running(dtype, _zero(dtype), add)


def cumprod(dtype: int) -> Any:
    """``y[k] = x[0] * .. * x[k]``."""

    @helper
    def multiply(a, b):
        return a * b

    return _running(dtype, _zero(dtype) + 1, multiply)


def logcumsumexp(dtype: int) -> Any:
    """``y[k] = log(exp(x[0]) + .. + exp(x[k]))``."""

    @helper
    def log_add(a, b):
        high, low = (a, b) if a > b else (b, a)
        if high == low or a != a:  # also two infinities, whose difference is no number
            return a + math.log(2.0) if a == high and high - low == 0.0 else a
        if low == -math.inf or high == math.inf:
            return high
        return high + math.log1p(math.exp(low - high))

    return _running(dtype, -math.inf, log_add)


def cumsum_backward(dtype: int) -> Any:
    """The cotangent summed from the end."""
    load, store = accessors(dtype)

    @helper
    def walk(x, y, g, at, n, step):
        total = 0.0
        for _ in range(n):
            total += load(g, at)
            store(g, at, total)
            at -= step

    return _backward(dtype, walk)


def cumprod_backward(dtype: int) -> Any:
    """``dx[k] = y[k - 1] s[k]``, ``s[k] = g[k] + x[k + 1] s[k + 1]``: right also where factors are zero."""
    load, store = accessors(dtype)

    @helper
    def walk(x, y, g, at, n, step):
        behind = 0.0
        for back in range(n):
            behind += load(g, at)
            before = 1.0
            if back < n - 1:
                before = 1.0 * load(y, at - step)
            store(g, at, before * behind)
            behind *= load(x, at)
            at -= step

    return _backward(dtype, walk)


def logcumsumexp_backward(dtype: int) -> Any:
    """``dx[k] = exp(x[k] - y[k]) s[k]`` with ``s[k] = g[k] + exp(y[k] - y[k + 1]) s[k + 1]``."""
    load, store = accessors(dtype)

    @helper
    def walk(x, y, g, at, n, step):
        behind = 0.0
        for back in range(n):
            own = 1.0 * load(y, at)
            behind += load(g, at)
            weight = 0.0
            if own != -math.inf:
                weight = math.exp(load(x, at) - own)
            store(g, at, weight * behind)
            if back < n - 1 and own != -math.inf:
                behind *= math.exp(load(y, at - step) - own)
            at -= step

    return _backward(dtype, walk)


def _extreme(dtype: int, sign: int) -> Any:
    """The greatest (`sign` 1) or least element so far and its index, the last of equals; nan counts as extreme."""
    load, store = accessors(dtype)
    _load, set_index = accessors(INT64)

    @helper
    def walk(x, y, places, at, n, step):
        best, place = load(x, at), 0
        for k in range(n):
            value = load(x, at)
            behind = value < best if sign > 0 else value > best
            # of two that cannot be compared one is nan: it stays, and a later one takes its place
            if not behind and (best == best or value != value):
                best, place = value, k
            store(y, at, best)
            set_index(places, at, place)
            at += step

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        places = word(described(record, 2), ARRAY_ADDRESS)
        if part != 0 or n == 0:
            return
        for o in range(outer):
            for i in range(inner):
                walk(x, y, places, o * n * inner + i, n, inner)

    return kernel


def cummax(dtype: int) -> Any:
    """The greatest element so far, and where it is."""
    return _extreme(dtype, 1)


def cummin(dtype: int) -> Any:
    """The least element so far, and where it is."""
    return _extreme(dtype, -1)


def extreme_backward(dtype: int) -> Any:
    """The cotangents, added where the extremes stand; arrays x, y, places, cotangents of both, gradient."""
    load, store = accessors(dtype)
    clear_all = loops(dtype).clear_all

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        places, g, gradient = described(record, 2), described(record, 3), described(record, 5)
        to, of = word(gradient, ARRAY_ADDRESS), word(g, ARRAY_ADDRESS)
        chosen = word(places, ARRAY_ADDRESS)
        if part != 0 or to == 0:
            return
        clear_all(gradient)
        dims = word(g, ARRAY_DIMS)
        dense = step_of(g)
        for o in range(outer):
            for k in range(n):
                for i in range(inner):
                    at = (o * n + k) * inner + i
                    there = (o * n + word(chosen, at)) * inner + i
                    here = at * dense if dense >= 0 else place(g, dims, at)
                    store(to, there, load(to, there) + load(of, here))

    return kernel
