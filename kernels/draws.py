"""Drawing from a generator in a kernel: its state in memory, and the walk over the elements to be filled.

A generator's state is four 64-bit words: key, counter, and two for the kernels' own use. Kernels read it when they
run and leave the counter behind the numbers they took, so a replayed program draws fresh numbers every time. Each
block of 64 words of random bits is a function of the key and the block's number alone: the stream depends neither
on the vector width nor on the number of threads. It is not PyTorch's stream.

Threads that share a kernel all read the counter; the last one to have read it moves it on.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from . import abi
from .host import host
from .nest import share
from .operands import Arrays
from .philox import Words, philox
from .stage import I64, Scope, Vec

STATE_WORDS = 4
S_KEY, S_COUNTER, S_ARRIVED, S_SPARE = range(STATE_WORDS)
STATE = {"state": abi.INT64}  # its dtype, for declarations

CALLS = 16  # of Philox, four 32-bit words each, for one value of the counter


class State:
    """A generator's state in a kernel."""

    def __init__(self, arrays: Arrays, k: int, threads: tuple[ir.Value, ir.Value]) -> None:
        self.scope, self.b, self.threads = arrays.scope, arrays.b, threads
        self.words = arrays.pointer(k, abi.INT64)
        self.key = self.scope.word(self.words, S_KEY)
        self.counter = self.scope.word(self.words, S_COUNTER)

    def draw(self, scope: Scope, group: ir.Value, first: int) -> Words:
        """The words of calls ``first ..`` of a group, one call a lane."""
        b = self.b
        start = b.add(b.mul(b.add(self.counter, group), I64(CALLS)), I64(first))
        number = scope.iota() + scope.splat(start, abi.INT64)
        return philox(scope, self.key, number)

    def advance(self, groups: ir.Value) -> None:
        """Move the counter on, when every thread has read it."""
        b = self.b
        _part, parts = self.threads
        after = b.add(self.counter, groups)
        place = self.scope.at(self.words, S_COUNTER)
        with b.if_else(b.icmp_signed("==", parts, I64(1))) as (alone, together):
            with alone:
                b.store(after, place)
            with together:
                arrived = self.scope.at(self.words, S_ARRIVED)
                before = b.atomic_rmw("add", arrived, I64(1), "seq_cst")
                last = b.icmp_signed("==", before, b.sub(parts, I64(1)))
                with b.if_then(last):
                    b.store(I64(0), arrived)
                    b.store(after, place)


def call_lanes() -> int:
    """Lanes of a call of Philox: a register of 32-bit words."""
    return min(CALLS, host().lanes(4))


def fill(
    state: State, numel: ir.Value, per_call: int, write: Callable[[Words, ir.Value, int, ir.Value], None]
) -> None:
    """Call ``write(words, index, span, stop)`` for this thread's share of `numel` elements.

    A call of Philox gives `per_call` elements: element ``index + w * span`` and those after it, one a lane,
    for each w below `per_call`. Elements from `stop` on must not be written.
    """
    b, one = state.b, state.scope
    size = per_call * CALLS
    lanes = call_lanes()
    wide = Scope(b, lanes)
    groups = b.sdiv(b.add(numel, I64(size - 1)), I64(size))
    begin, end = share(one, groups, *state.threads, 1)
    with one.loop(begin, end) as group:
        base = b.mul(group, I64(size))
        for first in range(0, CALLS, lanes):
            words = state.draw(wide, group, first)
            write(words, b.add(base, I64(first)), CALLS, numel)
    state.advance(groups)


def store_lanes(
    arrays: Arrays, values: list[Vec], target: ir.Value, index: ir.Value, span: int, stop: ir.Value
) -> None:
    """Store one vector for each of a call's words, as `fill` lays them out."""
    b, scope = arrays.b, values[0].scope
    end = b.add(index, I64((len(values) - 1) * span + scope.lanes))
    places = [b.add(index, I64(w * span)) for w in range(len(values))]
    with b.if_else(b.icmp_signed("<=", end, stop)) as (whole, tail):
        with whole:
            for value, i in zip(values, places, strict=True):
                scope.store(value, scope.at(target, i))
        with tail:
            for value, i in zip(values, places, strict=True):
                scope.store(value, scope.at(target, i), scope.tail_mask(b.sub(stop, i)))
