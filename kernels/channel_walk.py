"""Units of a contiguous array (N, C, ...) that are normalised together, and walks over their elements.

A *unit* of batch normalisation is a channel: N *segments* of contiguous elements, one a sample. A unit of group
normalisation is some channels of one sample, each a segment. One set of numbers describes both (`Geometry`), so
what is done with a unit is written once. Where a segment is one element and units lie side by side, as in a matrix
of samples and channels, `Across` takes a unit a lane. Where segments of one element lie one behind the other, as
those of a group of such a matrix, `Joined` takes them for one.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from . import abi
from .formula import sqrt
from .host import host
from .nest import share
from .operands import Arrays
from .rows_walk import Long, everywhere, first_lane
from .squared_loss import contiguous
from .stage import F64, I64, Scope, Vec

Element = Callable[[ir.Value, ir.Value | None], Vec]  # of a place within the segment, and a mask
Segment = Callable[[ir.Value], Element]  # of a segment's number

WORDS = (
    "units",
    "segments",
    "segment_step",
    "unit_step",
    "span",
    "modulus",
    "unit_channels",
    "segment_channels",
)
EPSILON = len(WORDS)  # the attribute that follows


class Geometry:
    """Where the elements of units lie; attributes of the record, in the order of `WORDS`.

    Segment j of unit u begins at element ``u * unit_step + j * segment_step``, has `span` elements and belongs to
    channel ``u % modulus * unit_channels + j * segment_channels``.
    """

    def __init__(self, arrays: Arrays, dtype: int, share_of: tuple[ir.Value, ir.Value]) -> None:
        self.arrays, self.b, self.one, self.dtype = arrays, arrays.b, arrays.scope, dtype
        self.share_of = share_of
        self.lanes = host().lanes(abi.ITEM_SIZES[dtype])
        (
            self.units, self.segments, self.segment_step, self.unit_step,
            self.span, self.modulus, self.unit_channels, self.segment_channels,
        ) = (arrays.word(k) for k in range(len(WORDS)))  # fmt: skip
        self.epsilon = arrays.number(EPSILON).to(dtype)
        count = self.b.sitofp(self.b.mul(self.segments, self.span), F64)
        self.one_nth = (1.0 / Vec(self.one, count, abi.FLOAT64)).to(dtype)

    def pointer(self, k: int) -> ir.Value:
        """Pointer to element 0 of array `k`."""
        return self.arrays.pointer(k, self.dtype)

    def each(self, body: Callable[[Unit], None], near: bool = True, side_by_side: bool = True) -> None:
        """Write `body` for the units of this part, in the forms that there are.

        Parameters
        ----------
        near : bool
            False to take elements one by one, for cotangents with any strides.
        side_by_side : bool
            Whether units can lie side by side: those of batch normalisation.
        """
        b, one = self.b, self.one
        wide = Scope(b, self.lanes if near else 1)

        def one_by_one(kind: type[Along]) -> None:
            begin, end = share(one, self.units, *self.share_of, 1)
            with one.loop(begin, end) as u:
                body(kind(self, wide, u))

        def along() -> None:
            one_by_one(Along)

        def across() -> None:
            blocks = b.sdiv(b.add(self.units, I64(self.lanes - 1)), I64(self.lanes))
            begin, end = share(one, blocks, *self.share_of, 1)
            with one.loop(begin, end) as block:
                body(Across(self, wide, b.mul(block, I64(self.lanes))))

        if not near:
            along()
            return
        with b.if_else(b.icmp_signed("==", self.span, I64(1))) as (matrix, other):
            with matrix:
                across() if side_by_side else one_by_one(Joined)
            with other:
                along()


class Unit:
    """A unit, or several side by side; see `Along`, `Joined` and `Across`."""

    def __init__(self, geometry: Geometry, scope: Scope, number: ir.Value) -> None:
        self.geometry, self.scope, self.number = geometry, scope, number
        self.b, self.dtype = geometry.b, geometry.dtype
        self._start = self.b.mul(number, geometry.unit_step)

    def place(self, segment: ir.Value) -> ir.Value:
        """Offset of a segment's first element."""
        return self.b.add(self._start, self.b.mul(segment, self.geometry.segment_step))

    def reader(self, pointer: ir.Value) -> Segment:
        """Reads a contiguous array of the operand's shape."""
        s = self.scope

        def of(segment: ir.Value) -> Element:
            start = s.at(pointer, self.place(segment))
            return lambda i, mask: s.load(s.at(start, i), self.dtype, mask)

        return of

    def far_reader(self, k: int) -> Segment:
        """Reads array `k`, which has any strides, element by element."""
        s, arrays = self.scope, self.geometry.arrays

        def of(segment: ir.Value) -> Element:
            start = self.place(segment)

            def element(i: ir.Value, mask: ir.Value | None) -> Vec:
                (at,) = arrays.offset([k], arrays.dims(k), I64(-1), self.b.add(start, i))
                return s.load(s.at(arrays.pointer(k, self.dtype), at), self.dtype, mask)

            return element

        return of

    def parameters(self, k: int, default: float, segment: ir.Value) -> Element:
        """The numbers in operand `k` beside this segment's elements, or `default` where that is absent."""
        value = self.parameter(k, default, segment)
        return lambda i, mask: value

    def parameter(self, k: int, default: float, segment: ir.Value) -> Vec:
        """The number of this segment's channel in operand `k`, or `default` where that is absent."""
        raise NotImplementedError

    def _first_channel(self) -> ir.Value:
        g = self.geometry
        return self.b.mul(self.b.urem(self.number, g.modulus), g.unit_channels)

    def cotangent(self, k: int, near: bool) -> Segment:
        """Reads array `k`, contiguous when `near`."""
        return self.reader(self.geometry.pointer(k)) if near else self.far_reader(k)


class Along(Unit):
    """One unit: vectors of neighbours."""

    def totals(self, segment: Callable[[ir.Value], list[Element]], count: int) -> list[Vec]:
        """Sums over the unit of the elements that ``segment(j)`` gives, in every lane or a lane each."""
        line = Long(self.scope, self.geometry.span, self.dtype)
        with self.scope.carried(I64(0), self.geometry.segments, 1, line.zeros(count)) as (j, before, carry):
            carry.next(*line.lane_totals(segment(j), before))
        return [everywhere(v) for v in carry.final]

    def write(self, segment: Segment, pointer: ir.Value) -> None:
        """Store the elements that ``segment(j)`` gives."""
        line = Long(self.scope, self.geometry.span, self.dtype)
        with self.scope.loop(I64(0), self.geometry.segments) as j:
            line.store(segment(j), self.scope.at(pointer, self.place(j)))

    def load(self, pointer: ir.Value) -> Vec:
        """The units' numbers in an array of one for each unit."""
        return self._everywhere(self.b.load(self.geometry.one.at(pointer, self.number)))

    def store(self, value: Vec, pointer: ir.Value) -> None:
        """Set the units' numbers in an array of one for each unit."""
        self.geometry.one.store(first_lane(value), self.geometry.one.at(pointer, self.number))

    def reciprocal_root(self, value: Vec) -> Vec:
        """``1 / sqrt(value)``, of a number of the unit."""
        return self._everywhere((1.0 / sqrt(first_lane(value))).value)

    def parameter(self, k: int, default: float, segment: ir.Value) -> Vec:
        """The number of this segment's channel in operand `k`, or `default` where that is absent."""
        b, g = self.b, self.geometry
        channel = b.add(self._first_channel(), b.mul(segment, g.segment_channels))
        there = g.arrays.present(k)
        value = g.one.load(g.one.at(g.pointer(k), channel), self.dtype, there).value
        return self._everywhere(b.select(there, value, ir.Constant(value.type, default)))

    def _everywhere(self, value: ir.Value) -> Vec:
        return self.scope.splat(value, self.dtype)


class Joined(Along):
    """One unit whose segments have one element, each of the channel behind the one before: one long segment."""

    def totals(self, segment: Callable[[ir.Value], list[Element]], count: int) -> list[Vec]:
        """Sums over the unit of the elements that ``segment(0)`` gives, in every lane."""
        line = Long(self.scope, self.geometry.segments, self.dtype)
        return [everywhere(v) for v in line.lane_totals(segment(I64(0)), line.zeros(count))]

    def write(self, segment: Segment, pointer: ir.Value) -> None:
        """Store the elements that ``segment(0)`` gives."""
        line = Long(self.scope, self.geometry.segments, self.dtype)
        line.store(segment(I64(0)), self.scope.at(pointer, self.place(I64(0))))

    def parameters(self, k: int, default: float, segment: ir.Value) -> Element:
        """The numbers of the unit's channels in operand `k`, or `default` where that is absent."""
        g, s, b = self.geometry, self.scope, self.b
        there = g.arrays.present(k)
        # where there is none, what is read in its place is an element of the unit, and left
        first = b.select(there, self._first_channel(), self.place(I64(0)))
        base = b.select(there, g.pointer(k), g.pointer(0))
        start, missing = s.at(base, first), s.constant(self.dtype, default).value

        def element(i: ir.Value, mask: ir.Value | None) -> Vec:
            value = s.load(s.at(start, i), self.dtype, mask).value
            return Vec(s, b.select(there, value, missing), self.dtype)

        return element


class Across(Unit):
    """Units side by side, one a lane; their segments have one element."""

    def __init__(self, geometry: Geometry, scope: Scope, number: ir.Value) -> None:
        super().__init__(geometry, scope, number)
        self._mask = scope.tail_mask(self.b.sub(geometry.units, number))

    def totals(self, segment: Callable[[ir.Value], list[Element]], count: int) -> list[Vec]:
        """Sums over the unit of the elements that ``segment(j)`` gives, in every lane or a lane each."""
        zeros = [self.scope.constant(self.dtype, 0.0)] * count
        with self.scope.carried(I64(0), self.geometry.segments, 1, zeros) as (j, before, carry):
            carry.next(*(t + v(I64(0), self._mask) for t, v in zip(before, segment(j), strict=True)))
        return list(carry.final)

    def write(self, segment: Segment, pointer: ir.Value) -> None:
        """Store the elements that ``segment(j)`` gives."""
        s = self.scope
        with s.loop(I64(0), self.geometry.segments) as j:
            s.store(segment(j)(I64(0), self._mask), s.at(pointer, self.place(j)), self._mask)

    def load(self, pointer: ir.Value) -> Vec:
        """The units' numbers in an array of one for each unit."""
        return self.scope.load(self.scope.at(pointer, self.number), self.dtype, self._mask)

    def store(self, value: Vec, pointer: ir.Value) -> None:
        """Set the units' numbers in an array of one for each unit."""
        self.scope.store(value, self.scope.at(pointer, self.number), self._mask)

    def reciprocal_root(self, value: Vec) -> Vec:
        """``1 / sqrt(value)``, of a number of the unit."""
        return 1.0 / sqrt(value)

    def parameter(self, k: int, default: float, segment: ir.Value) -> Vec:
        """The number of this segment's channel in operand `k`, or `default` where that is absent."""
        g, s = self.geometry, self.scope
        there = g.arrays.present(k)
        mask = self.b.select(there, self._mask, ir.Constant(self._mask.type, None))
        value = s.load(s.at(g.pointer(k), self.number), self.dtype, mask).value
        return Vec(s, self.b.select(there, value, s.constant(self.dtype, default).value), self.dtype)


def by_cotangent(arrays: Arrays, write: Callable[[bool], None]) -> None:
    """Call ``write(near)`` for a cotangent, which is array 6, that is contiguous, and for others."""
    with arrays.b.if_else(contiguous(arrays, (6,))) as (near, far):
        with near:
            write(True)
        with far:
            write(False)
