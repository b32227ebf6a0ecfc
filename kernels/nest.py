"""Walking a nest record: the part of a kernel that is the same for every formula.

`Nest` reads sizes and strides from the record and writes the loops over all dimensions but the innermost;
`spread` writes the innermost loop, in whole vectors with the rest either masked or one by one, whichever
the machine does well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from . import abi
from .host import host
from .stage import F64, I64, Scope, Vec

# a share of a split loop begins at a multiple of this many elements: no two threads write one cache line
SHARE_GRAIN = 64
# vectors that go together, for bodies of up to so many instructions: short ones wait for the loop around them, and in
# longer ones each step waits for the one before; the longest keep the arithmetic units busy by themselves
GROUP = 4
GROUPS = ((20, GROUP), (64, 2))


class Nest:
    """The loop nest of a record.

    Attributes
    ----------
    scope : Scope
        Scalar scope of the function being written.
    record : ir.Value
        Pointer to the record's words.
    numel, dims, layout : ir.Value
        Iteration points, dimensions and layout class, as i64.
    """

    def __init__(self, b: ir.IRBuilder, record: ir.Value, dtypes: list[int]) -> None:
        self.scope = Scope(b, 1, outer=True)
        self.b = b
        self.record = record
        self.dtypes = dtypes
        word = self.scope.word
        self.numel = word(record, abi.R_NUMEL)
        self.dims = word(record, abi.R_DIMS)
        self.layout = word(record, abi.R_LAYOUT)
        self._attributes = word(record, abi.R_ATTRS)
        self.pointers = [
            self.scope.pointer(word(record, self._stream(s)), dtype) for s, dtype in enumerate(dtypes)
        ]

    def _stream(self, s: int) -> int:
        return abi.N_STREAMS + s * abi.STREAM_WORDS

    def size(self, dim: ir.Value) -> ir.Value:
        """Extent of a dimension."""
        return self.scope.word(self.record, self.b.add(dim, I64(abi.N_SIZES)))

    def stride(self, s: int, dim: ir.Value) -> ir.Value:
        """Stride of stream `s` along a dimension, in elements."""
        return self.scope.word(self.record, self.b.add(dim, I64(self._stream(s) + 1)))

    def attribute_word(self, index: int) -> ir.Value:
        """The integer attribute number `index`."""
        return self.scope.word(self.record, self.b.add(self._attributes, I64(index)))

    def attribute(self, index: int) -> Vec:
        """The floating attribute number `index`, a float64 scalar."""
        return Vec(self.scope, self.b.bitcast(self.attribute_word(index), F64), abi.FLOAT64)

    @contextmanager
    def walk(
        self, first: ir.Value, last: ir.Value, begin: ir.Value, end: ir.Value
    ) -> Iterator[list[ir.Value]]:
        """Visit the points ``begin <= t < end`` of dimensions ``first <= d < last`` in row-major order.

        Yields, for each stream, the pointer's offset in elements at that point. The index is kept as an
        odometer, so a step costs an addition and a comparison, not a division.
        """
        b = self.b
        index = self.scope.variable(ir.ArrayType(I64, abi.MAX_DIMS))
        offsets = [self.scope.variable(I64) for _ in self.dtypes]
        self._set_odometer(first, last, begin, index, offsets)
        with self.scope.loop(begin, end):
            yield [b.load(o) for o in offsets]
            self._step_odometer(first, last, index, offsets)

    def _cell(self, index: ir.Value, dim: ir.Value) -> ir.Value:
        return self.b.gep(index, [I64(0), dim])

    def _set_odometer(
        self, first: ir.Value, last: ir.Value, point: ir.Value, index: ir.Value, offsets: list
    ) -> None:
        b = self.b
        for o in offsets:
            b.store(I64(0), o)
        rest = self.scope.variable(I64)
        b.store(point, rest)
        count = b.sub(last, first)
        with self.scope.loop(I64(0), count) as k:
            d = b.sub(b.sub(last, I64(1)), k)
            size, left = self.size(d), b.load(rest)
            size = b.select(b.icmp_signed("==", size, I64(0)), I64(1), size)  # no point, but no trap either
            digit = b.urem(left, size)
            b.store(b.udiv(left, size), rest)
            b.store(digit, self._cell(index, d))
            for s, o in enumerate(offsets):
                b.store(b.add(b.load(o), b.mul(digit, self.stride(s, d))), o)

    def _step_odometer(self, first: ir.Value, last: ir.Value, index: ir.Value, offsets: list) -> None:
        b = self.b
        dim = self.scope.variable(I64)
        b.store(b.sub(last, I64(1)), dim)
        head, turn, over, carry, after = (
            b.append_basic_block(n) for n in ("odometer", "turn", "over", "carry", "after")
        )
        b.branch(head)
        b.position_at_end(head)
        d = b.load(dim)
        b.cbranch(b.icmp_signed(">=", d, first), turn, after)
        b.position_at_end(turn)
        digit = b.add(b.load(self._cell(index, d)), I64(1))
        size = self.size(d)
        b.store(digit, self._cell(index, d))
        for s, o in enumerate(offsets):
            b.store(b.add(b.load(o), self.stride(s, d)), o)
        b.cbranch(b.icmp_signed("<", digit, size), after, over)
        b.position_at_end(over)
        b.store(I64(0), self._cell(index, d))
        for s, o in enumerate(offsets):
            b.store(b.sub(b.load(o), b.mul(size, self.stride(s, d))), o)
        b.branch(carry)
        b.position_at_end(carry)
        b.store(b.sub(d, I64(1)), dim)
        b.branch(head)
        b.position_at_end(after)

    def extent(self, first: ir.Value, last: ir.Value) -> ir.Value:
        """The number of points of dimensions ``first <= d < last``."""
        total = self.scope.variable(I64)
        self.b.store(I64(1), total)
        with self.scope.loop(first, last) as d:
            self.b.store(self.b.mul(self.b.load(total), self.size(d)), total)
        return self.b.load(total)


def share(
    scope: Scope, total: ir.Value, part: ir.Value, parts: ir.Value, grain: int
) -> tuple[ir.Value, ir.Value]:
    """The range of ``0 .. total`` that belongs to `part` of `parts`, cut at multiples of `grain`."""
    b = scope.b

    def cut(k: ir.Value) -> ir.Value:
        edge = b.mul(b.sdiv(b.mul(blocks, k), parts), I64(grain))
        return b.select(b.icmp_signed("<", edge, total), edge, total)

    # a row that is not shared is spared the divisions, which take longer than a row of a few elements
    before = b.block
    with b.if_then(b.icmp_signed("!=", parts, I64(1))):
        blocks = b.sdiv(b.add(total, I64(grain - 1)), I64(grain))
        cuts = cut(part), cut(b.add(part, I64(1)))
        inside = b.block
    begin, end = b.phi(I64), b.phi(I64)
    for phi, mine, whole in zip((begin, end), cuts, (I64(0), total), strict=True):
        phi.add_incoming(mine, inside)
        phi.add_incoming(whole, before)
    return begin, end


def compute_lanes(dtypes: list[int]) -> int:
    """Lanes of a loop over these dtypes: as many as fill a register with the widest of them."""
    return host().lanes(max(4, *(abi.ITEM_SIZES[d] for d in dtypes)))


def spread(
    b: ir.IRBuilder,
    lanes: int,
    begin: ir.Value,
    end: ir.Value,
    body: Callable[[Scope, ir.Value, ir.Value | None], None],
) -> None:
    """Call ``body(scope, i, mask)`` over ``begin <= i < end`` in vectors.

    With AVX-512 every turn is masked, which leaves no remainder and no second copy of the body. Elsewhere whole
    vectors come first, without a mask, and then single elements.
    """
    if host().vector_bytes != 64:
        return whole_first(b, lanes, begin, end, body)
    wide = Scope(b, lanes)
    with wide.loop(begin, end, lanes) as i:
        body(wide, i, wide.tail_mask(b.sub(end, i)))


def instructions(b: ir.IRBuilder) -> int:
    """How many instructions the function being written has so far."""
    return sum(len(block.instructions) for block in b.function.blocks)


def whole_first_by_length(
    b: ir.IRBuilder,
    lanes: int,
    begin: ir.Value,
    end: ir.Value,
    body: Callable[[Scope, ir.Value, ir.Value | None], None],
) -> None:
    """As `whole_first`, with as many vectors together as `GROUPS` has; what is left of them goes as in `spread`."""
    length = 0

    def measured(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        nonlocal length
        before = instructions(b)
        body(scope, i, mask)
        length = instructions(b) - before

    # the rest is written first, because it tells the length
    before, rest = b.block, b.append_basic_block("rest")
    b.position_at_end(rest)
    start = b.phi(I64)
    spread(b, lanes, start, end, measured)
    after = b.block
    b.position_at_end(before)
    together = next((count for most, count in GROUPS if length <= most), 1)
    start.add_incoming(_whole(b, together * lanes, begin, end, body), b.block)
    b.branch(rest)
    b.position_at_end(after)


def _whole(
    b: ir.IRBuilder,
    lanes: int,
    begin: ir.Value,
    end: ir.Value,
    body: Callable[[Scope, ir.Value, ir.Value | None], None],
    inward: bool = False,
) -> ir.Value:
    """Call the body over whole vectors, without a mask; returns where they end.

    `inward` goes up to the middle, and then from the end down to it.
    """
    size = b.and_(b.sub(end, begin), I64(-lanes))
    whole = b.add(begin, size)
    wide = Scope(b, lanes)
    if not inward:
        with wide.loop(begin, whole, lanes) as i:
            body(wide, i, None)
        return whole
    half = b.add(b.and_(b.lshr(size, I64(1)), I64(-lanes)), I64(lanes))
    with wide.loop(I64(0), size, lanes) as up:
        down = b.sub(b.add(half, b.sub(size, I64(lanes))), up)
        place = b.select(b.icmp_signed("<", up, half), up, down)
        body(wide, b.add(begin, place), None)
    return whole


def whole_first(
    b: ir.IRBuilder,
    lanes: int,
    begin: ir.Value,
    end: ir.Value,
    body: Callable[[Scope, ir.Value, ir.Value | None], None],
    together: int = 1,
    inward: bool = False,
) -> None:
    """As `spread`, but whole vectors come first, without a mask, several `together` while there are so many.

    For bodies that keep the arithmetic units busy, which masks would share, and for those that store what the
    next turn loads. The steps of a long body wait for one another, so vectors should go side by side.

    What lies beyond an edge may belong to another thread, and the machine fetches ahead whatever comes next. A walk
    `inward` goes from both edges to the middle, so that it takes no lines away that the other is about to write.
    """
    for count in dict.fromkeys((together * lanes, lanes)):
        begin = _whole(b, count, begin, end, body, inward)
    if host().vector_bytes == 64:
        return spread(b, lanes, begin, end, body)
    single = Scope(b, 1)
    with single.loop(begin, end) as i:
        body(single, i, None)
