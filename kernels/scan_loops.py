"""The loops of cumulative kernels, for Numba. Sums and products of floats run in float64, as PyTorch's do."""

from __future__ import annotations

import math
from typing import Any

from .abi import ARRAY_ADDRESS, FLOAT32
from .index_walks import loops
from .plain import accessors, attributes, described, word


def _forward(dtype: int, first: Any, step: Any) -> Any:
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        if part != 0:
            return
        for o in range(outer):
            for i in range(inner):
                at = o * n * inner + i
                total = first
                for _ in range(n):
                    total = step(total, load(x, at))
                    store(y, at, total)
                    at += inner

    return kernel


def _zero(dtype: int) -> Any:
    return 0.0 if dtype >= FLOAT32 else 0


def cumsum(symbol: str, dtype: int) -> Any:
    """``y[k] = x[0] + .. + x[k]``."""
    from .plain import helper

    @helper
    def add(a, b):
        return a + b

    return _forward(dtype, _zero(dtype), add)


def cumprod(symbol: str, dtype: int) -> Any:
    """``y[k] = x[0] * .. * x[k]``."""
    from .plain import helper

    @helper
    def multiply(a, b):
        return a * b

    return _forward(dtype, _zero(dtype) + 1, multiply)


def logcumsumexp(symbol: str, dtype: int) -> Any:
    """``y[k] = log(exp(x[0]) + .. + exp(x[k]))``."""
    from .plain import helper

    @helper
    def log_add(a, b):
        high, low = (a, b) if a > b else (b, a)
        if high == low or a != a:  # also two infinities, whose difference is no number
            return a + math.log(2.0) if a == high and high - low == 0.0 else a
        if low == -math.inf or high == math.inf:
            return high
        return high + math.log1p(math.exp(low - high))

    return _forward(dtype, -math.inf, log_add)


def cumsum_backward(symbol: str, dtype: int) -> Any:
    """The cotangent summed from the end."""
    load, store = accessors(dtype)
    copy_all = loops(dtype)["copy_all"]

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        gradient = described(record, 3)
        address = word(gradient, ARRAY_ADDRESS)
        if part != 0 or address == 0:
            return
        copy_all(gradient, described(record, 2))
        for o in range(outer):
            for i in range(inner):
                at = (o * n + n - 1) * inner + i
                total = 0.0
                for _ in range(n):
                    total += load(address, at)
                    store(address, at, total)
                    at -= inner

    return kernel


def cumprod_backward(symbol: str, dtype: int) -> Any:
    """``dx[k] = y[k - 1] s[k]``, ``s[k] = g[k] + x[k + 1] s[k + 1]``: right also where factors are zero."""
    load, store = accessors(dtype)
    copy_all = loops(dtype)["copy_all"]

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
                at = (o * n + n - 1) * inner + i
                behind = 0.0
                for back in range(n):
                    behind += load(address, at)
                    before = 1.0
                    if back < n - 1:
                        before = 1.0 * load(y, at - inner)
                    store(address, at, before * behind)
                    behind *= load(x, at)
                    at -= inner

    return kernel


def logcumsumexp_backward(symbol: str, dtype: int) -> Any:
    """``dx[k] = exp(x[k] - y[k]) s[k]`` with ``s[k] = g[k] + exp(y[k] - y[k + 1]) s[k + 1]``."""
    load, store = accessors(dtype)
    copy_all = loops(dtype)["copy_all"]

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
                at = (o * n + n - 1) * inner + i
                behind = 0.0
                for back in range(n):
                    own = 1.0 * load(y, at)
                    behind += load(address, at)
                    weight = 0.0
                    if own != -math.inf:
                        weight = math.exp(load(x, at) - own)
                    store(address, at, weight * behind)
                    if back < n - 1 and own != -math.inf:
                        behind *= math.exp(load(y, at - inner) - own)
                    at -= inner

    return kernel


def _extreme_index(dtype: int, sign: int) -> Any:
    """Index of the greatest (`sign` 1) or least element so far, the last of equals; nan counts as extreme."""
    load, _store = accessors(dtype)
    _load, set_index = accessors(3)

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        if part != 0 or n == 0:
            return
        for o in range(outer):
            for i in range(inner):
                at = o * n * inner + i
                best, place_ = load(x, at), 0
                for k in range(n):
                    value = load(x, at)
                    better = value >= best if sign > 0 else value <= best
                    if value != value or (better and best == best):
                        best, place_ = value, k
                    set_index(y, at, place_)
                    at += inner

    return kernel


def cummax_index(symbol: str, dtype: int) -> Any:
    """Where the greatest element so far is."""
    return _extreme_index(dtype, 1)


def cummin_index(symbol: str, dtype: int) -> Any:
    """Where the least element so far is."""
    return _extreme_index(dtype, -1)
