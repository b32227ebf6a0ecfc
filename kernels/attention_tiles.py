"""What the attention kernels are made of: products with one vector of columns, and one head's operands.

A *tile* is a matrix whose rows are one vector wide and lie one behind another, on the stack. Products take their
left factor, with any strides, element by element, and multiply it into the rows of a tile: that is fast for heads
of four elements as for heads of a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from llvmlite import ir

from . import abi
from .gemm_tiles import define, multiply_add
from .host import host
from .operands import Arrays
from .stage import ELEMENT, I64, Scope, Vec

ROWS = (8, 4, 1)  # rows of the left factor that are multiplied at once
CHAINS = {4: 2, 1: 4}  # sums side by side for few rows: one multiply-add waits for the one before it

QUAD = 4  # columns that are moved at once
PRODUCT = "M K A rsA csA B C accumulate"
WIDE_PRODUCT = "M N K A rsA csA B rsB C rsC accumulate"


def build_product(module: ir.Module, dtype: int) -> ir.Function:
    """``product(M, K, A, rsA, csA, B, C, accumulate)``: the tile ``C = A B``, or ``C += A B``, of tile B."""
    b, a = define(module, "tile_product", PRODUCT)
    s = Scope(b, host().lanes(abi.ITEM_SIZES[dtype]))
    _rows(s, dtype, a | {"rsB": I64(s.lanes), "rsC": I64(s.lanes)}, I64(0), None)
    b.ret_void()
    return b.function


def build_wide_product(module: ir.Module, dtype: int) -> ir.Function:
    """``product(M, N, K, A, rsA, csA, B, rsB, C, rsC, accumulate)``: N columns, those of B and C contiguous."""
    b, a = define(module, "wide_product", WIDE_PRODUCT)
    s = Scope(b, host().lanes(abi.ITEM_SIZES[dtype]))
    whole: ir.Value = I64(0)
    if host().vector_bytes != 64:  # there a mask costs nothing
        whole = b.and_(a["N"], I64(-s.lanes))
        with s.loop(I64(0), whole, s.lanes) as j:
            _rows(s, dtype, a, j, None)
    with s.loop(whole, a["N"], s.lanes) as j:
        _rows(s, dtype, a, j, s.tail_mask(b.sub(a["N"], j)))
    b.ret_void()
    return b.function


def _rows(s: Scope, dtype: int, a: dict[str, ir.Value], column: ir.Value, mask: ir.Value | None) -> None:
    """One vector of columns for all rows: eight at a time, then fewer."""
    b = s.b
    start: ir.Value = I64(0)
    for count in ROWS:
        stop = b.sub(a["M"], I64(count - 1))
        with s.loop(start, stop, count) as m:
            _block(s, dtype, a, count, m, column, mask)
        start = m


def _block(
    s: Scope,
    dtype: int,
    a: dict[str, ir.Value],
    count: int,
    m: ir.Value,
    column: ir.Value,
    mask: ir.Value | None,
) -> None:
    b = s.b
    left = s.at(s.pointer(a["A"], dtype), b.mul(m, a["rsA"]))
    rows = [s.at(left, b.mul(I64(r), a["rsA"])) for r in range(count)]
    right = s.at(s.pointer(a["B"], dtype), column)
    chains = CHAINS.get(count, 1)
    zero = s.constant(dtype, 0.0)

    def turn(k: ir.Value, sums: Sequence[Vec]) -> list[Vec]:
        vector = s.load(s.at(right, b.mul(k, a["rsB"])), dtype, mask)
        along = b.mul(k, a["csA"])
        return [
            multiply_add(s.splat(b.load(s.at(row, along)), dtype), vector, total)
            for row, total in zip(rows, sums, strict=True)
        ]

    stop = b.sub(a["K"], I64(chains - 1))
    with s.carried(I64(0), stop, chains, [zero] * (count * chains)) as (k, sums, carry):
        parts = [turn(b.add(k, I64(c)), sums[c * count : (c + 1) * count]) for c in range(chains)]
        carry.next(*(v for part in parts for v in part))
    sums = carry.final
    if chains > 1:
        with s.carried(k, a["K"], 1, sums[:count]) as (i, first, rest):
            rest.next(*turn(i, first))
        parts = [rest.final, *(sums[c * count : (c + 1) * count] for c in range(1, chains))]
        while len(parts) > 1:
            parts = [[x + y for x, y in zip(*parts[c : c + 2], strict=True)] for c in range(0, len(parts), 2)]
        sums = parts[0]
    places = [
        s.at(s.pointer(a["C"], dtype), b.add(column, b.mul(b.add(m, I64(r)), a["rsC"]))) for r in range(count)
    ]
    with b.if_else(b.icmp_signed("!=", a["accumulate"], I64(0))) as (add, write):
        with add:
            for total, place in zip(sums, places, strict=True):
                s.store(s.load(place, dtype, mask) + total, place, mask)
        with write:
            for total, place in zip(sums, places, strict=True):
                s.store(total, place, mask)


# one head ---------------------------------------------------------------------------------------------


class Matrix(NamedTuple):
    """One head's part of an array: its first element and its strides."""

    pointer: ir.Value
    rows: ir.Value
    columns: ir.Value


class Heads:
    """The arrays of attention: leading dimensions that number the heads, rows, and the elements of a row.

    Parameters
    ----------
    row_dims : dict
        For each array, which of its dimensions numbers the rows; the leading ones are around it, in order.
    """

    def __init__(self, arrays: Arrays, row_dims: dict[int, ir.Value]) -> None:
        self.arrays, self.b, self.row_dims = arrays, arrays.b, row_dims
        b = self.b
        self.lead = b.sub(arrays.dims(0), I64(2))
        last = b.add(self.lead, I64(1))
        self.queries, self.keys = (arrays.size(k, row_dims[k]) for k in (0, 1))
        self.inner, self.values = arrays.size(0, last), arrays.size(2, last)
        # the last two leading dimensions, read once
        self._sizes = [self._outer(back, 1, lambda d: arrays.size(0, self._at(0, d))) for back in (1, 2)]
        self._strides = {
            k: [self._outer(back, 0, lambda d, k=k: arrays.stride(k, self._at(k, d))) for back in (1, 2)]
            for k in row_dims
        }
        self._rows = {k: arrays.stride(k, d) for k, d in row_dims.items()}
        self._columns = {k: arrays.stride(k, last) for k in row_dims}

    def _at(self, k: int, d: ir.Value) -> ir.Value:
        """Where leading dimension `d` stands in array `k`."""
        b = self.b
        return b.add(d, b.zext(b.icmp_signed(">=", d, self.row_dims[k]), I64))

    def _outer(self, back: int, default: int, read: Callable[[ir.Value], ir.Value]) -> ir.Value:
        b = self.b
        there = b.icmp_signed(">=", self.lead, I64(back))
        d = b.select(there, b.sub(self.lead, I64(back)), I64(0))
        return b.select(there, read(d), I64(default))

    def count(self) -> ir.Value:
        """How many heads there are in all."""
        b, one = self.b, self.arrays.scope
        total = one.variable(I64)
        b.store(I64(1), total)
        with one.loop(I64(0), self.lead) as d:
            b.store(b.mul(b.load(total), self.arrays.size(0, self._at(0, d))), total)
        return b.load(total)

    def matrices(self, kinds: dict[int, int], head: ir.Value) -> dict[int, Matrix]:
        """Head number `head` of the arrays that `kinds` lists with their dtypes."""
        b, arrays, one = self.b, self.arrays, self.arrays.scope
        rest = b.udiv(head, self._sizes[0])
        digit = b.sub(head, b.mul(rest, self._sizes[0]))
        offsets = {k: one.variable(I64) for k in kinds}
        deep = b.icmp_signed(">", self.lead, I64(2))
        first = b.select(deep, b.urem(rest, self._sizes[1]), rest)
        for k, cell in offsets.items():
            near, far = self._strides[k]
            b.store(b.add(b.mul(digit, near), b.mul(first, far)), cell)
        with b.if_then(deep):
            left = one.variable(I64)
            b.store(b.udiv(rest, self._sizes[1]), left)
            with one.loop(I64(3), b.add(self.lead, I64(1))) as back:
                d = b.sub(self.lead, back)
                size, now = arrays.size(0, self._at(0, d)), b.load(left)
                step = b.urem(now, size)
                b.store(b.udiv(now, size), left)
                for k, cell in offsets.items():
                    b.store(b.add(b.load(cell), b.mul(step, arrays.stride(k, self._at(k, d)))), cell)
        return {
            k: Matrix(one.at(arrays.pointer(k, dtype), b.load(offsets[k])), self._rows[k], self._columns[k])
            for k, dtype in kinds.items()
        }


class Tiles:
    """Tiles on the stack, and the products that work on them."""

    def __init__(self, module: ir.Module, arrays: Arrays, dtype: int) -> None:
        self.arrays, self.b, self.dtype = arrays, arrays.b, dtype
        self.wide = Scope(self.b, host().lanes(abi.ITEM_SIZES[dtype]))
        self.lanes = self.wide.lanes
        self._product = build_product(module, dtype)
        self._module = module
        self._wide_product: ir.Function | None = None

    def room(self, elements: int) -> ir.Value:
        """Stack memory."""
        return self.wide.cells(ELEMENT[self.dtype], elements)

    def row(self, tile: ir.Value, number: ir.Value) -> ir.Value:
        """Where a row of a tile begins."""
        return self.wide.at(tile, self.b.mul(number, I64(self.lanes)))

    @contextmanager
    def each_row(self, tile: ir.Value, count: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
        """Number and place of every row of a tile."""
        with self.wide.loop(I64(0), count) as r:
            yield r, self.row(tile, r)

    def product(
        self, m: ir.Value, k: ir.Value, left: Matrix, right: ir.Value, out: ir.Value, add: int
    ) -> None:
        """Tile `out` = `left` (m, k) times tile `right`, added with `add`."""
        b = self.b
        address = (b.ptrtoint(p, I64) for p in (left.pointer, right, out))
        a, r, c = address
        b.call(self._product, [m, k, a, left.rows, left.columns, r, c, I64(add)])

    def wide_product(
        self,
        sizes: tuple[ir.Value, ir.Value, ir.Value],
        left: Matrix,
        right: Matrix,
        out: Matrix,
        add: ir.Value,
    ) -> None:
        """``out = left right``: sizes m, n, k."""
        b = self.b
        if self._wide_product is None:
            self._wide_product = build_wide_product(self._module, self.dtype)
        a, r, c = (b.ptrtoint(x.pointer, I64) for x in (left, right, out))
        b.call(
            self._wide_product,
            [*sizes, a, left.rows, left.columns, r, right.rows, c, out.rows, add],
        )

    def fetch_columns(
        self,
        source: Matrix,
        first: ir.Value,
        left: ir.Value,
        count: ir.Value,
        tile: ir.Value,
        scale: Vec | None,
    ) -> None:
        """Fill a tile with the columns of a matrix: lane l of row c is ``source[first + l, c]``, times `scale`.

        Of the rows from `first` on there are `left`; lanes beyond them are zero.
        """
        b, s = self.b, self.wide
        start = s.at(source.pointer, b.mul(first, source.rows))

        def quads(c: ir.Value) -> None:
            rows = [s.at(start, b.add(b.mul(I64(r), source.rows), c)) for r in range(self.lanes)]
            for k, x in enumerate(turn(s, [Scope(b, QUAD).load(p, self.dtype) for p in rows])):
                s.store(x if scale is None else x * scale, self.row(tile, b.add(c, I64(k))))

        def single(c: ir.Value) -> None:
            place = s.at(start, b.mul(c, source.columns))
            x = s.gather(place, source.rows, self.dtype, s.tail_mask(left))
            s.store(x if scale is None else x * scale, self.row(tile, c))

        self._columns(source, left, count, quads, single)

    def put_columns(
        self,
        tile: ir.Value,
        target: Matrix,
        first: ir.Value,
        left: ir.Value,
        count: ir.Value,
        scale: Vec | None,
    ) -> None:
        """The reverse of `fetch_columns`."""
        b, s = self.b, self.wide
        start = s.at(target.pointer, b.mul(first, target.rows))

        def column(c: ir.Value) -> Vec:
            x = s.load(self.row(tile, c), self.dtype)
            return x if scale is None else x * scale

        def quads(c: ir.Value) -> None:
            rows = turn_back(s, [column(b.add(c, I64(k))) for k in range(QUAD)])
            for r, x in enumerate(rows):
                x.scope.store(x, s.at(start, b.add(b.mul(I64(r), target.rows), c)))

        def single(c: ir.Value) -> None:
            s.scatter(column(c), s.at(start, b.mul(c, target.columns)), target.rows, s.tail_mask(left))

        self._columns(target, left, count, quads, single)

    def _columns(self, matrix: Matrix, left: ir.Value, count: ir.Value, quads, single) -> None:
        """Call `quads` for four contiguous columns of as many rows as there are lanes, `single` for others."""
        b, s = self.b, self.wide
        near = b.icmp_signed("==", matrix.columns, I64(1))
        full = b.and_(near, b.icmp_signed(">=", left, I64(self.lanes)))
        whole = b.select(full, b.and_(count, I64(-QUAD)), I64(0))
        if self.lanes < QUAD:
            whole = I64(0)
        else:
            with s.loop(I64(0), whole, QUAD) as c:
                quads(c)
        with s.loop(whole, count) as c:
            single(c)

    def clear(self, tile: ir.Value, count: ir.Value) -> None:
        """Zero rows of a tile."""
        with self.each_row(tile, count) as (_, place):
            self.wide.store(self.wide.constant(self.dtype, 0.0), place)


# rows and columns -------------------------------------------------------------------------------------


def _shuffled(x: Vec, y: Vec, index: list[int], scope: Scope) -> Vec:
    """Lanes of two vectors, those of the second counted after those of the first."""
    order = ir.Constant(ir.VectorType(ir.IntType(32), len(index)), index)
    return Vec(scope, scope.b.shuffle_vector(x.value, y.value, order), x.dtype)


def _pairs(lanes: int, low: list[int]) -> list[int]:
    """An order within every four lanes of two vectors: 0 to 3 for the first's, 4 to 7 for the second's."""
    return [q + (k if k < QUAD else k - QUAD + lanes) for q in range(0, lanes, QUAD) for k in low]


def _turn_quads(s: Scope, a: list[Vec]) -> list[Vec]:
    """Exchange, in every four lanes, the number of the vector with that of the lane."""
    n = s.lanes
    low, high = _pairs(n, [0, 4, 1, 5]), _pairs(n, [2, 6, 3, 7])
    first, second = _pairs(n, [0, 1, 4, 5]), _pairs(n, [2, 3, 6, 7])
    x, y = _shuffled(a[0], a[1], low, s), _shuffled(a[2], a[3], low, s)
    z, w = _shuffled(a[0], a[1], high, s), _shuffled(a[2], a[3], high, s)
    return [
        _shuffled(x, y, first, s),
        _shuffled(x, y, second, s),
        _shuffled(z, w, first, s),
        _shuffled(z, w, second, s),
    ]


def turn(s: Scope, rows: list[Vec]) -> list[Vec]:
    """Rows of four elements, as many as `s` has lanes, as four columns."""
    packed = []
    for m in range(QUAD):
        parts = rows[m::QUAD]  # lane group g of vector m is row 4 g + m
        while len(parts) > 1:
            parts = [_joined(s, *parts[k : k + 2]) for k in range(0, len(parts), 2)]
        packed.append(parts[0])
    return _turn_quads(s, packed)


def _joined(s: Scope, x: Vec, y: Vec) -> Vec:
    lanes = 2 * x.scope.lanes
    return _shuffled(x, y, list(range(lanes)), Scope(s.b, lanes))


def turn_back(s: Scope, columns: list[Vec]) -> list[Vec]:
    """The reverse of `turn`."""
    packed, four = _turn_quads(s, columns), Scope(s.b, QUAD)
    return [
        _shuffled(packed[r % QUAD], packed[r % QUAD], [r // QUAD * QUAD + k for k in range(QUAD)], four)
        for r in range(s.lanes)
    ]
