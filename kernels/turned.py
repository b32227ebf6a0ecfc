"""Copying a matrix that lies transposed in memory: squares of it are turned in registers.

Reading along the rows of such a matrix picks one element from each cache line, and a machine that gathers those takes
as long as for many vectors. So short pieces of columns, which are contiguous, are read as vectors instead, as many as
they have lanes, turned, and stored as pieces of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from . import abi
from .gemm_transposed import shuffle
from .nest import Nest, share
from .stage import I64, Scope, Vec

SIDE = 8  # of a square
LEAST = 2  # rows and columns, for which a square pays


def transpose(rows: Sequence[Vec]) -> list[Vec]:
    """The transposed square of as many vectors as they have lanes.

    Single elements beside the diagonal of 2 x 2 squares change places, then squares of 2 x 2 in those of 4 x 4, and so
    on: each turn takes one shuffle for each vector.
    """
    rows, lanes, half = list(rows), len(rows), 1
    while half < lanes:
        low = [k if not k & half else lanes + k - half for k in range(lanes)]
        high = [k + half if not k & half else lanes + k for k in range(lanes)]
        after = list(rows)
        for k in range(lanes):
            if not k & half:
                after[k] = shuffle(rows[k], rows[k + half], low)
                after[k + half] = shuffle(rows[k], rows[k + half], high)
        rows, half = after, 2 * half
    return rows


class Turned:
    """A copy of stream `moved` to stream 0, in the two innermost dimensions of a nest.

    Parameters
    ----------
    nest : Nest
        Of at least one dimension.
    moved : int
        The stream that is copied.

    Attributes
    ----------
    applies : ir.Value
        Whether the stream steps by one element along one of these dimensions, and the output along the other.
    """

    def __init__(self, nest: Nest, moved: int) -> None:
        self._nest, self._moved, b = nest, moved, nest.b
        self._inner = inner = b.sub(nest.dims, I64(1))
        self._above = above = b.select(b.icmp_signed(">", inner, I64(0)), b.sub(inner, I64(1)), I64(0))
        down, up = self._unit(above, inner), self._unit(inner, above)
        self._along = b.select(down, above, inner)  # the dimension along which the stream is contiguous
        self._across = b.select(down, inner, above)
        self._rows, self._columns = nest.size(self._along), nest.size(self._across)
        worth = b.and_(
            b.icmp_signed(">=", self._rows, I64(LEAST)), b.icmp_signed(">=", self._columns, I64(LEAST))
        )
        matrix = b.and_(b.icmp_signed(">", inner, I64(0)), worth)
        strided = b.icmp_signed("==", nest.layout, I64(abi.NEST_STRIDED))
        self.applies = b.and_(b.and_(matrix, strided), b.or_(down, up))

    def _unit(self, along: ir.Value, across: ir.Value) -> ir.Value:
        """Whether the stream steps by one element `along` one dimension, and the output by one `across` it."""
        b, stride = self._nest.b, self._nest.stride
        one = b.icmp_signed("==", stride(self._moved, along), I64(1))
        return b.and_(one, b.icmp_signed("==", stride(0, across), I64(1)))

    def write(self, part: ir.Value, parts: ir.Value) -> None:
        """Write the loops: bands of rows of all matrices are shared by threads."""
        nest, b, one = self._nest, self._nest.b, self._nest.scope
        bands = b.ashr(b.add(self._rows, I64(SIDE - 1)), I64(SIDE.bit_length() - 1))
        matrices = nest.extent(I64(0), self._above)
        begin, end = share(one, b.mul(matrices, bands), part, parts, 1)
        first, last = b.sdiv(begin, bands), b.sdiv(b.add(end, b.sub(bands, I64(1))), bands)
        before = one.variable(I64)  # bands of the matrices before
        b.store(b.mul(first, bands), before)
        with nest.walk(I64(0), self._above, first, last) as offsets:
            at = b.load(before)
            low, high = b.sub(begin, at), b.sub(end, at)
            low = b.select(b.icmp_signed(">", low, I64(0)), low, I64(0))
            high = b.select(b.icmp_signed("<", high, bands), high, bands)
            with one.loop(low, high) as band:
                self._band(b.mul(band, I64(SIDE)), offsets)
            b.store(b.add(at, bands), before)

    def _band(self, row: ir.Value, offsets: list[ir.Value]) -> None:
        """Write the loop over the squares of one band, whose first row is `row`, of the matrix at `offsets`."""
        nest, b, moved = self._nest, self._nest.b, self._moved
        few, dtype = Scope(b, SIDE), nest.dtypes[0]
        pitch, step = nest.stride(0, self._along), nest.stride(moved, self._across)
        left = b.sub(self._rows, row)
        source = few.at(few.at(nest.pointers[moved], offsets[moved]), row)
        target = few.at(few.at(nest.pointers[0], offsets[0]), b.mul(row, pitch))
        rows, nothing = few.tail_mask(left), ir.Constant(few.type(-1), None)
        with few.loop(I64(0), self._columns, SIDE) as column:
            there = b.sub(self._columns, column)
            square = transpose(self._pieces(few.at(source, b.mul(column, step)), step, there, rows))
            columns, place = few.tail_mask(there), few.at(target, column)
            for r, x in enumerate(square):
                inside = b.icmp_signed(">", left, I64(r))
                few.store(Vec(few, x.value, dtype), place, b.select(inside, columns, nothing))
                # behind the last row nothing is stored, at a place that is there
                more = b.icmp_signed(">", left, I64(r + 1))
                place = few.at(place, b.select(more, pitch, I64(0)))

    def _pieces(self, place: ir.Value, step: ir.Value, left: ir.Value, mask: ir.Value) -> list[Vec]:
        """Pieces of the next columns, `left` of them; behind the last it is read again, for lanes that nobody uses."""
        b, few, pieces = self._nest.b, Scope(self._nest.b, SIDE), []
        for c in range(SIDE):
            pieces.append(few.load(place, self._nest.dtypes[0], mask))
            more = b.icmp_signed(">", left, I64(c + 1))
            place = few.at(place, b.select(more, step, I64(0)))
        return pieces
