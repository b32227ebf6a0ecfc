"""The loops of cross products, for Numba."""

from __future__ import annotations

from typing import Any

from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_NUMEL, ARRAY_SHAPE, ARRAY_STRIDES
from .plain import accessors, attributes, described, helper, place, quotient, share_of, word


@helper
def lies_apart(array):
    """Whether the elements of a described array do not lie one behind the other."""
    step = 1
    for back in range(word(array, ARRAY_DIMS)):
        d = word(array, ARRAY_DIMS) - 1 - back
        size = word(array, ARRAY_SHAPE + d)
        if size != 1 and word(array, ARRAY_STRIDES + d) != step:
            return True
        step *= size
    return False


def crosses(dtype: int) -> Any:
    """Arrays a, b, y."""
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        a, b = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        y, beside = described(record, 2), word(attributes(record), 0)
        to = word(y, ARRAY_ADDRESS)
        begin, end = share_of(quotient(word(y, ARRAY_NUMEL), 3), part, parts)
        for k in range(begin, end):
            i = k + 2 * beside * quotient(k, beside)
            j = i + beside
            m = j + beside
            store(to, i, load(a, j) * load(b, m) - load(a, m) * load(b, j))
            store(to, j, load(a, m) * load(b, i) - load(a, i) * load(b, m))
            store(to, m, load(a, i) * load(b, j) - load(a, j) * load(b, i))

    return kernel


def crosses_back(dtype: int) -> Any:
    """Arrays a, b, y (-), g, ga, gb."""
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        a, b = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        g, beside = described(record, 3), word(attributes(record), 0)
        to_a, to_b = word(described(record, 4), ARRAY_ADDRESS), word(described(record, 5), ARRAY_ADDRESS)
        seeds, apart, dims = word(g, ARRAY_ADDRESS), lies_apart(g), word(g, ARRAY_DIMS)
        begin, end = share_of(quotient(word(g, ARRAY_NUMEL), 3), part, parts)
        for k in range(begin, end):
            i = k + 2 * beside * quotient(k, beside)
            j = i + beside
            m = j + beside
            gi = load(seeds, place(g, dims, i) if apart else i)
            gj = load(seeds, place(g, dims, j) if apart else j)
            gm = load(seeds, place(g, dims, m) if apart else m)
            if to_a != 0:  # b x g
                store(to_a, i, load(b, j) * gm - load(b, m) * gj)
                store(to_a, j, load(b, m) * gi - load(b, i) * gm)
                store(to_a, m, load(b, i) * gj - load(b, j) * gi)
            if to_b != 0:  # g x a
                store(to_b, i, gj * load(a, m) - gm * load(a, j))
                store(to_b, j, gm * load(a, i) - gi * load(a, m))
                store(to_b, m, gi * load(a, j) - gj * load(a, i))

    return kernel
