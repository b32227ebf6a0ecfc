"""Matrix multiply by dot products: vectors run along k, and each ends with a sum over its lanes.

In ``x @ W.T`` rows of x and columns of B are both contiguous. As dot products they are multiplied as they lie, where
tiles with vectors along the columns need B copied into row-major order first. That saves more than the sums over lanes
take when there are few rows or many terms (`gemm` decides).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from llvmlite import ir

from .gemm_plan import Plan
from .gemm_tiles import ACCUMULATE, define, multiply_add, store_tile, when
from .gemm_transposed import shuffle
from .stage import I32, I64, Scope, Vec

TERMS = 1024  # summed in one go,
ROWS = 64  # and so many rows of A at a time: together they stay in the near caches while B passes by


class _Dots:
    """Writes the function."""

    def __init__(self, b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> None:
        self.b, self.p, self.a = b, p, a
        self.one, self.wide = Scope(b, 1), Scope(b, p.lanes)
        self.rows, self.columns, self.target = (self.one.pointer(a[key], p.dtype) for key in "ABC")
        self.accumulate = b.icmp_signed("!=", b.and_(a["flags"], I64(ACCUMULATE)), I64(0))
        self.whole = b.and_(a["K"], I64(-p.lanes))  # terms in whole vectors

    def write(self) -> None:
        b = self.b
        first: ir.Value = I64(0)
        for height, *widths in self.p.dots:
            last = b.sub(self.a["M"], b.urem(b.sub(self.a["M"], first), I64(height)))
            with b.if_then(b.icmp_signed("<", first, last)):
                self._rows(first, last, height, widths)
            first = last
        b.ret_void()

    def _rows(self, first: ir.Value, last: ir.Value, height: int, widths: Sequence[int]) -> None:
        """Rows in tiles of this height, which so many columns go through one after the other."""
        b, one = self.b, self.one
        column: ir.Value = I64(0)
        for width in widths:
            with one.loop(column, b.sub(self.a["N"], I64(width - 1)), width) as n:
                bias = self._bias(n, Scope(b, width))
                with one.loop(first, last, height) as m:
                    self._tile((m, height), (n, width), bias)
            column = n

    def _bias(self, n: ir.Value, s: Scope) -> Vec:
        """The bias of the columns from `n` on; where there is none, what changes no number when it is added."""
        b, dtype, address = self.b, self.p.dtype, self.a["bias"]
        given, nothing = b.icmp_signed("!=", address, I64(0)), s.constant(dtype, -0.0)
        some = when(b, given, lambda: s.load(s.at(s.pointer(address, dtype), n), dtype).value, nothing.value)
        return Vec(s, some, dtype)

    def _tile(self, rows: tuple[ir.Value, int], columns: tuple[ir.Value, int], bias: Vec) -> None:
        """Dot products of neighbouring rows with neighbouring columns, each given by the first and their number."""
        a, s, (n, width) = self.a, self.wide, columns
        left, right = self._places(self.rows, a["rsA"], *rows), self._places(self.columns, a["csB"], *columns)
        out = [self.one.at(q, n) for q in self._places(self.target, a["rsC"], *rows)]

        def turn(k: ir.Value, mask: ir.Value | None, sums: list[Vec]) -> list[Vec]:
            xs = [s.load(s.at(q, k), self.p.dtype, mask) for q in left]
            ys = [s.load(s.at(q, k), self.p.dtype, mask) for q in right]
            return [multiply_add(y, x, z) for (x, y), z in zip(product(xs, ys), sums, strict=True)]

        zero = s.constant(self.p.dtype, 0.0)
        with s.carried(I64(0), self.whole, s.lanes, [zero] * (len(left) * width)) as (k, sums, carry):
            carry.next(*turn(k, None, sums))
        if self.p.masked:
            with s.carried(self.whole, a["K"], s.lanes, carry.final) as (k, sums, carry):
                carry.next(*turn(k, s.tail_mask(self.b.sub(a["K"], k)), sums))
        lines = _fold_lines(carry.final, width)
        if not self.p.masked:
            lines = [self._leftover(line, q, right) for line, q in zip(lines, left, strict=True)]
        store_tile(
            self.b, self.accumulate, [(line + bias, q, None) for line, q in zip(lines, out, strict=True)]
        )

    def _places(self, start: ir.Value, stride: ir.Value, first: ir.Value, count: int) -> list[ir.Value]:
        # reached from one address, as in `gemm_tiles`, they keep the addresses few
        places = [self.one.at(start, self.b.mul(first, stride))]
        while len(places) < count:
            places.append(self.one.at(places[-1], stride))
        return places

    def _leftover(self, line: Vec, row: ir.Value, columns: list[ir.Value]) -> Vec:
        """Without masks the terms that fill no vector come last, one by one."""
        s, one, dtype = line.scope, self.one, self.p.dtype
        with s.carried(self.whole, self.a["K"], 1, [line]) as (k, (total,), carry):
            x = s.splat(one.load(one.at(row, k), dtype).value, dtype)
            cells = [one.load(one.at(q, k), dtype).value for q in columns]
            carry.next(multiply_add(_gathered(s, cells, dtype), x, total))
        return carry.final[0]


def _gathered(s: Scope, cells: list[ir.Value], dtype: int) -> Vec:
    if s.lanes == 1:
        return Vec(s, cells[0], dtype)
    vector = ir.Constant(s.type(dtype), ir.Undefined)
    for j, cell in enumerate(cells):
        vector = s.b.insert_element(vector, cell, I32(j))
    return Vec(s, vector, dtype)


def build_dots(module: ir.Module, p: Plan) -> ir.Function:
    """``dots(M, N, K, A, rsA, B, csB, C, rsC, bias, flags)``: rows of A with columns of B, both contiguous.

    Each element sums k modulo the lane count, in increasing k; then the lanes are folded by halves, and
    the bias and (with ACCUMULATE) the old value are added. Without masks the k left over come last.
    """
    b, a = define(module, "dots", "M N K A rsA B csB C rsC bias flags")
    _Dots(b, p, a).write()
    return b.function


# sums over lanes ----------------------------------------------------------------------------------


def _fold_lines(sums: Sequence[Vec], width: int) -> list[Vec]:
    """Sum the lanes of each vector; the sums of `width` vectors after another are the lanes of one result."""
    s = sums[0].scope
    together = width * min(len(sums) // width, s.lanes // width)
    lines = []
    for first in range(0, len(sums), together):
        folded, owners = fold_within(list(sums[first : first + together]), s.lanes)
        for j in range(0, together, width):
            lanes = [owners.index(j + i) for i in range(width)]
            if width == 1:
                cell = s.b.extract_element(folded.value, I32(lanes[0]))
                lines.append(Vec(s.scalar, cell, folded.dtype))
            else:
                lines.append(Vec(Scope(s.b, width), shuffle(folded, folded, lanes).value, folded.dtype))
    return lines


def fold_within(sums: list[Vec], span: int) -> tuple[Vec, list[int]]:
    """Sum each `span` neighbouring lanes of at most so many vectors; the sums, and of which vector each lane is.

    Every sum adds lanes half a span apart, then a quarter, and so on, whatever the number of vectors.
    """
    vectors = [(v, [j] * v.scope.lanes) for j, v in enumerate(sums)]  # with the owner of each lane
    while span > 1:
        half = span // 2
        if len(vectors) > 1:
            middle = len(vectors) // 2
            pairs = zip(vectors[:middle], vectors[middle:], strict=True)
        else:
            pairs = [(vectors[0], vectors[0])]
        vectors = [_fold_pair(x, y, half) for x, y in pairs]
        span = half
    return vectors[0]


def _fold_pair(x: tuple[Vec, list[int]], y: tuple[Vec, list[int]], half: int) -> tuple[Vec, list[int]]:
    """Halve the lanes of each sum in two vectors and put them into one, x's sums before y's."""
    (x, x_owners), (y, y_owners) = x, y
    lanes = len(x_owners)
    first = [l if not l & half else lanes + l for l in range(lanes)]
    second = [l ^ half if not l & half else lanes + (l ^ half) for l in range(lanes)]
    owners = [(x_owners + y_owners)[l] for l in first]
    return shuffle(x, y, first) + shuffle(x, y, second), owners
