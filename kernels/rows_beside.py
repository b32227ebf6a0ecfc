"""Short lines that lie in memory as rows: as many at a time as a vector has lanes.

A row's sum or largest element takes as many instructions as a row of sixteen numbers has multiplications, when
each row is folded by itself. Here the vectors of a block of rows are folded together, by transposing, into one
vector with one number a row; so are logarithms and quotients of these numbers taken. The code for a row is that
for any `Line`. A row's result is the same, bit for bit, as when it is taken alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

from . import abi
from .host import host
from .nest import share
from .operands import Arrays, Combine, Line, each_line
from .rows_walk import lane_by_lane
from .stage import ELEMENT, I64, MASK, Scope, Vec

VECTORS = (1, 2)  # of a short row: written out
MOST = 8  # vectors of a row that is taken in a block, in a loop


def _transposed(scope: Scope, rows: ir.Value, dtype: int, combine: Combine) -> Vec:
    """As many vectors as they have lanes, each folded, one a lane: a function that all loops of a kernel share."""
    module, name = scope.b.module, f"fold_{combine.__name__}"
    function = module.globals.get(name)
    if function is None:
        function = ir.Function(module, ir.FunctionType(scope.type(dtype), [rows.type]), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = Scope(ir.IRBuilder(function.append_basic_block("entry")), scope.lanes)
        places = [inner.at(function.args[0], k * scope.lanes) for k in range(scope.lanes)]
        inner.b.ret(lane_by_lane([inner.load(p, dtype) for p in places], combine).value)
    return Vec(scope, scope.b.call(function, [rows]), dtype)


class Rows(Line):
    """A block of rows, each of at most so many vectors. Numbers of the rows stand one a lane.

    Parameters
    ----------
    scope : Scope
        With the lanes of the vectors; where the object is made its masks are computed.
    size : ir.Value
        Elements of a row.
    dtypes : sequence of int
        Dtype codes of the arrays, all of one size.
    vectors : int
        0 for a loop over up to `MOST` of them.
    """

    def __init__(self, scope: Scope, size: ir.Value, dtypes: Sequence[int], vectors: int) -> None:
        super().__init__(scope, size, [], [], dtypes, "unit")
        b, lanes = scope.b, scope.lanes
        self.one = scope.scalar
        self._places = [I64(v * lanes) for v in range(vectors)]
        self._masks = [scope.tail_mask(b.sub(size, place)) for place in self._places]
        self._starts = [scope.cells(I64, lanes) for _ in dtypes]
        self._scratch = scope.cells(ELEMENT[dtypes[0]], lanes * lanes)
        self._aside = scope.cells(ELEMENT[dtypes[0]], lanes * lanes * (vectors or MOST))
        zero = scope.constant(dtypes[0], 0.0)
        for k in range(lanes):
            scope.store(zero, scope.at(self._scratch, k * lanes))

    def begin(self, count: ir.Value, pointers: Callable[[ir.Value], Sequence[ir.Value]]) -> None:
        """Go to the block of `count` rows with ``pointers(k)``, one for each array, for row `k` of them."""
        self.count = count
        with self.one.loop(I64(0), count) as k:
            for start, pointer in zip(self._starts, pointers(k), strict=True):
                self.b.store(self.b.ptrtoint(pointer, I64), self.one.at(start, k))

    @contextmanager
    def each_row(self) -> Iterator[ir.Value]:
        """A loop over the rows of the block; yields the number within it."""
        with self.one.loop(I64(0), self.count) as self.row:
            self.pointers = [
                self.one.pointer(self.b.load(self.one.at(start, self.row)), dtype)
                for start, dtype in zip(self._starts, self.dtypes, strict=True)
            ]
            yield self.row

    def fold(self, initial: float, combine: Combine, element: Callable) -> Vec:
        """Fold ``element(i, mask)`` over each row: one number a lane."""
        s, lanes = self.scope, self.scope.lanes
        start = s.constant(self.dtypes[0], initial)

        def turn(total: Vec, place: ir.Value, mask: ir.Value) -> Vec:
            return Vec(s, mask, MASK).select(combine(total, element(place, mask)), total)

        with self.each_row() as row:
            total = start
            for place, mask in zip(self._places, self._masks, strict=True):
                total = turn(total, place, mask)
            if not self._places:
                with s.carried(I64(0), self.size, lanes, [start]) as (i, (before,), carry):
                    carry.next(turn(before, i, s.tail_mask(self.b.sub(self.size, i))))
                total = carry.final[0]
            s.store(total, s.at(self._scratch, self.b.mul(row, I64(lanes))))
        return _transposed(s, self._scratch, self.dtypes[0], combine)

    def keep(self, value: Vec) -> Callable[..., Vec]:
        """A number of each row, for use beside its elements, or in another scope beside it alone."""
        cells = self.scope.cells(ELEMENT[value.dtype], self.scope.lanes)
        self.scope.store(value, cells)
        return lambda scope=self.scope: scope.splat(self.b.load(self.one.at(cells, self.row)), value.dtype)

    def put_by(self, k: int, i: ir.Value, value: Vec, mask: ir.Value | None) -> None:
        """Keep elements for `take_back`; whole vectors, which are read back without waiting for memory."""
        self.scope.store(value, self.place_by(i))

    def take_back(self, k: int, i: ir.Value, mask: ir.Value | None) -> Vec:
        """Elements that `put_by` kept."""
        return self.scope.load(self.place_by(i), self.dtypes[0])

    def place_by(self, i: ir.Value) -> ir.Value:
        """Where element `i` of the row has been put by."""
        first = self.b.mul(self.row, I64((len(self._places) or MOST) * self.scope.lanes))
        return self.scope.at(self._aside, self.b.add(first, i))

    def each(self, element: Callable) -> None:
        """Call ``element(i, mask)`` over every row."""
        with self.each_row():
            self.each_element(element)

    def each_element(self, element: Callable) -> None:
        """Call ``element(i, mask)`` over the row at which an `each_row` stands."""
        for place, mask in zip(self._places, self._masks, strict=True):
            element(place, mask)
        if not self._places:
            with self.scope.loop(I64(0), self.size, self.scope.lanes) as i:
                element(i, self.scope.tail_mask(self.b.sub(self.size, i)))


def short_rows(
    b: ir.IRBuilder,
    size: ir.Value,
    dtypes: Sequence[int],
    write: Callable[[Rows], None],
    otherwise: Callable[[], None],
) -> None:
    """Call ``write(rows)`` for rows of each number of vectors, and ``otherwise()`` for longer rows."""
    lanes = host().lanes(max(abi.ITEM_SIZES[d] for d in dtypes))

    def choose(sizes: tuple[int, ...]) -> None:
        if not sizes:
            otherwise()
            return
        with b.if_else(b.icmp_signed("<=", size, I64((sizes[0] or MOST) * lanes))) as (short, longer):
            with short:
                write(Rows(Scope(b, lanes), size, dtypes, sizes[0]))
            with longer:
                choose(sizes[1:])

    choose((*VECTORS, 0) if lanes > 1 else ())


@contextmanager
def blocks(
    rows: Rows, begin: ir.Value, end: ir.Value, pointers: Callable[[ir.Value], Sequence[ir.Value]]
) -> Iterator[ir.Value]:
    """A loop over the blocks of rows ``begin .. end``; yields the number of the first row of each."""
    b, lanes = rows.b, rows.scope.lanes
    with rows.one.loop(begin, end, lanes) as first:
        left = b.sub(end, first)
        count = b.select(b.icmp_signed("<", left, I64(lanes)), left, I64(lanes))
        rows.begin(count, lambda k: pointers(b.add(first, k)))
        yield first


def each_row_or_line(
    arrays: Arrays,
    ks: Sequence[int],
    dtypes: Sequence[int],
    dim: ir.Value,
    share_of: tuple[ir.Value, ir.Value],
    body: Callable[[Line], None],
) -> None:
    """`operands.each_line`, where short rows of a matrix are taken a block at a time."""
    b, one = arrays.b, arrays.scope
    near = b.and_(b.icmp_signed("==", arrays.dims(ks[0]), I64(2)), b.icmp_signed("==", dim, I64(1)))
    for k in ks:
        near = b.and_(near, b.icmp_signed("==", arrays.stride(k, 1), I64(1)))

    def lines() -> None:
        each_line(arrays, ks, dtypes, dim, share_of, body)

    def write(rows: Rows) -> None:
        begin, end = share(one, arrays.size(ks[0], 0), *share_of, rows.scope.lanes)

        def pointers(row: ir.Value) -> list[ir.Value]:
            return [
                one.at(arrays.pointer(k, d), b.mul(row, arrays.stride(k, 0)))
                for k, d in zip(ks, dtypes, strict=True)
            ]

        with blocks(rows, begin, end, pointers):
            body(rows)

    # a stand-in for the size of lines that are no rows: longer than any short one
    size = b.select(near, arrays.size(ks[0], 1), I64(1 << 32))
    short_rows(b, size, dtypes, write, lines)
