"""Sums of squares over elements that lie side by side, in vectors by blocks, and over blocks in float64."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from . import abi
from .host import host
from .nest import spread
from .reports import accumulate
from .softmax import add
from .stage import I64, Scope, Vec

BLOCK_VECTORS = 512  # vectors summed before their total goes into the float64 sum
CHAINS = 4  # sums side by side: one addition waits for the one before it, four do not

Read = Callable[[Scope, ir.Value, ir.Value | None], Vec]  # elements from a place on, under a mask


def sum_squares(b: ir.IRBuilder, dtype: int, read: Read, numel: ir.Value, total: ir.Value) -> None:
    """Add the squares of so many elements to a float64 cell."""
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    wide = Scope(b, lanes)
    zero = wide.constant(dtype, 0.0)
    turn = lanes * CHAINS

    def square(scope: Scope, i: ir.Value, mask: ir.Value | None) -> Vec:
        x = read(scope, i, mask)
        return x * x

    whole = b.and_(numel, I64(-turn))
    with wide.loop(I64(0), whole, lanes * BLOCK_VECTORS) as start:
        stop = b.add(start, I64(lanes * BLOCK_VECTORS))
        stop = b.select(b.icmp_signed("<", stop, whole), stop, whole)
        with wide.carried(start, stop, turn, [zero] * CHAINS) as (i, sums, carry):
            places = [b.add(i, I64(c * lanes)) for c in range(CHAINS)]
            carry.next(*(s + square(wide, p, None) for s, p in zip(sums, places, strict=True)))
        w, u, v, z = carry.final
        accumulate(b, total, ((w + u) + (v + z)).reduce(add))

    def rest(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        accumulate(b, total, square(scope, i, mask).reduce(add))

    spread(b, lanes, whole, numel, rest)
