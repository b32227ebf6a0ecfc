"""Sums, means and maxima of bags of rows of a table: one kernel each way.

Bag number b holds the indices from ``offsets[b]`` up to ``offsets[b + 1]``, the last one those up to their end.
Indices of the padding row do not count. Gradients of the table are shared out by its rows, see `kernels.embedding`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llvmlite import ir

from . import abi, attention_vjps
from .embedding import A_BY_COUNT, A_PADDING, Indices, Rows, along, clear_rows, index_report
from .host import host
from .nest import share, whole_first
from .operands import array_kernel
from .stage import I64, Scope, Vec
from .table import array_op

WEIGHT, INDEX, OFFSETS, FACTORS, Y, CHOSEN = range(6)
G, _G_CHOSEN, G_WEIGHT, _G_INDEX, _G_OFFSETS, G_FACTORS = range(6, 12)
A_MODE = A_BY_COUNT + 1
SUM, MEAN, MAX = range(3)
TOGETHER = 4  # vectors of a sum
NOTHING = -1  # in place of a chosen row, where a bag is empty


class _Bags:
    """What both directions read from a record."""

    def __init__(self, symbol: str, dtype: int) -> None:
        self.module, self.arrays, self.part, self.parts = array_kernel(symbol)
        arrays, self.dtype = self.arrays, dtype
        self.b, self.one = arrays.b, arrays.scope
        b = self.b
        self.rows, self.width = arrays.size(WEIGHT, 0), arrays.size(WEIGHT, 1)
        self.indices = Indices(arrays, INDEX, self.rows)
        self.offsets = Indices(arrays, OFFSETS, b.add(self.indices.count, I64(1)))
        self.padding = b.sub(arrays.word(A_PADDING), I64(1))
        self.by_count = b.icmp_signed("!=", arrays.word(A_BY_COUNT), I64(0))
        self.mean, self.maximum = (b.icmp_signed("==", arrays.word(A_MODE), I64(m)) for m in (MEAN, MAX))
        self.weighted = arrays.present(FACTORS)

    def refuse_bad(self) -> None:
        """Report a bad index or offset, and return from the kernel."""
        b = self.b
        self.indices.refuse_bad()
        with self.one.loop(I64(0), self.offsets.count) as k:
            first = b.icmp_signed("==", k, I64(0))
            before = self.offsets.load(b.select(first, k, b.sub(k, I64(1))))
            offset = self.offsets.load(k)
            falls = b.or_(
                b.icmp_signed("<", offset, before), b.and_(first, b.icmp_signed("!=", offset, I64(0)))
            )
            with b.if_then(b.or_(falls, b.icmp_unsigned(">=", offset, self.offsets.rows)), likely=False):
                index_report(self.arrays, offset, self.offsets.rows)
                b.ret_void()

    def span(self, bag: ir.Value) -> tuple[ir.Value, ir.Value]:
        """First index of a bag, and the one behind its last."""
        b = self.b
        after = b.add(bag, I64(1))
        last = b.icmp_signed(">=", after, self.offsets.count)
        end = self.offsets.load(b.select(last, bag, after))
        return self.offsets.load(bag), b.select(last, self.indices.count, end)

    @contextmanager
    def members(self, bag: ir.Value) -> Iterator[tuple[ir.Value, ir.Value]]:
        """Number and row of every index of a bag that counts."""
        b = self.b
        begin, end = self.span(bag)
        with self.one.loop(begin, end) as t:
            row = self.indices.load(t)
            with b.if_then(b.icmp_signed("!=", row, self.padding)):
                yield t, row

    def counted(self, bag: ir.Value) -> ir.Value:
        """How many indices of a bag count."""
        b = self.b
        cell = self.one.variable(I64)
        b.store(I64(0), cell)
        with self.members(bag):
            b.store(b.add(b.load(cell), I64(1)), cell)
        return b.load(cell)

    def share_of(self, bag: ir.Value) -> Vec:
        """By what a bag's rows are multiplied: 1, or 1 / count for means."""
        b, one = self.b, self.one
        cell = one.variable(one.type(self.dtype))
        b.store(one.constant(self.dtype, 1.0).value, cell)
        with b.if_then(self.mean):
            count = self.counted(bag)
            some = b.select(b.icmp_signed("==", count, I64(0)), I64(1), count)
            b.store((1.0 / Vec(one, some, abi.INT64).to(self.dtype)).value, cell)
        return Vec(one, b.load(cell), self.dtype)

    def factor(self, t: ir.Value) -> Vec:
        """The weight of index number `t`."""
        b, one = self.b, self.one
        cell = one.variable(one.type(self.dtype))
        b.store(one.constant(self.dtype, 1.0).value, cell)
        with b.if_then(self.weighted):
            b.store(b.load(one.at(self.arrays.pointer(FACTORS, self.dtype), t)), cell)
        return Vec(one, b.load(cell), self.dtype)


def build_embedding_bag(symbol: str, dtype: int) -> ir.Module:
    """Arrays weight, index, offsets, factors, y, chosen; attributes report, padding, by count, mode."""
    k = _Bags(symbol, dtype)
    b, one, arrays = k.b, k.one, k.arrays
    k.refuse_bad()
    table, target = Rows(arrays, WEIGHT, dtype, k.width), arrays.pointer(Y, dtype)
    begin, end = share(one, arrays.size(Y, 0), k.part, k.parts, 1)

    def write(unit: bool) -> None:
        with one.loop(begin, end) as bag:
            place = b.mul(bag, k.width)
            out = one.at(target, place)
            with b.if_else(k.maximum) as (largest, total):
                with largest:
                    _largest(k, table, bag, out, one.at(arrays.pointer(CHOSEN, abi.INT64), place), unit)
                with total:
                    _total(k, table, bag, out, unit)

    table.forms(write)
    b.ret_void()
    return k.module


def _total(k: _Bags, table: Rows, bag: ir.Value, out: ir.Value, unit: bool) -> None:
    """The sum of a bag's rows, kept in registers for a few vectors of columns at a time."""
    b, dtype = k.b, k.dtype
    scale = k.share_of(bag)

    def columns(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        total = scope.variable(scope.type(dtype))
        b.store(scope.constant(dtype, 0.0).value, total)
        with k.members(bag) as (t, row):
            x = table.load(scope, b.mul(row, table.pitch), i, mask, unit)
            x = x * scope.splat((scale * k.factor(t)).value, dtype)
            b.store((Vec(scope, b.load(total), dtype) + x).value, total)
        scope.store(Vec(scope, b.load(total), dtype), scope.at(out, i), mask)

    whole_first(b, host().lanes(abi.ITEM_SIZES[dtype]), I64(0), k.width, columns, TOGETHER)


def _largest(k: _Bags, table: Rows, bag: ir.Value, out: ir.Value, chosen: ir.Value, unit: bool) -> None:
    """The first of the largest elements of each column, and its row."""
    b, dtype = k.b, k.dtype

    def columns(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        best, where = (scope.variable(scope.type(kind)) for kind in (dtype, abi.INT64))
        b.store(scope.constant(dtype, -math.inf).value, best)
        b.store(scope.constant(abi.INT64, NOTHING).value, where)
        with k.members(bag) as (_, row):
            x = table.load(scope, b.mul(row, table.pitch), i, mask, unit)
            most, its_row = Vec(scope, b.load(best), dtype), Vec(scope, b.load(where), abi.INT64)
            better = (x > most) | (its_row == NOTHING)
            b.store(better.select(x, most).value, best)
            b.store(better.select(scope.splat(row, abi.INT64), its_row).value, where)
        most, its_row = Vec(scope, b.load(best), dtype), Vec(scope, b.load(where), abi.INT64)
        empty = its_row == NOTHING
        scope.store(empty.select(scope.constant(dtype, 0.0), most), scope.at(out, i), mask)
        scope.store(its_row, scope.at(chosen, i), mask)

    whole_first(b, host().lanes(abi.ITEM_SIZES[dtype]), I64(0), k.width, columns)


def build_embedding_bag_backward(symbol: str, dtype: int) -> ir.Module:
    """Arrays weight, index, offsets, factors, y, chosen, g, -, gweight, -, -, gfactors."""
    k = _Bags(symbol, dtype)
    b, one, arrays = k.b, k.one, k.arrays
    bags = arrays.size(G, 0)
    source = Rows(arrays, G, dtype, k.width)
    with b.if_then(arrays.present(G_WEIGHT)):
        begin, end = share(one, k.rows, k.part, k.parts, 1)
        target = arrays.pointer(G_WEIGHT, dtype)
        clear_rows(arrays, target, dtype, b.mul(begin, k.width), b.mul(end, k.width))
        own = _own(b, begin, end)
        with b.if_else(k.maximum) as (largest, total):
            with largest:
                _largest_gradient(k, source, bags, target, own)
            with total:
                source.forms(lambda unit: _total_gradient(k, source, bags, target, own, unit))
    with b.if_then(arrays.present(G_FACTORS)):
        _factor_gradient(k, source, bags)
    b.ret_void()
    return k.module


def _own(b: ir.IRBuilder, begin: ir.Value, end: ir.Value) -> Callable[[ir.Value], ir.Value]:
    """Whether a row of the table belongs to this part."""
    return lambda row: b.and_(b.icmp_signed(">=", row, begin), b.icmp_signed("<", row, end))


def _total_gradient(k: _Bags, source: Rows, bags: ir.Value, target: ir.Value, own, unit: bool) -> None:
    b, one, dtype = k.b, k.one, k.dtype
    with one.loop(I64(0), bags) as bag:
        offset = b.mul(bag, source.pitch)
        scale = k.share_of(bag)
        with k.members(bag) as (t, row), b.if_then(own(row)):
            out = one.at(target, b.mul(row, k.width))
            cell = one.variable(one.type(dtype))
            b.store((scale * k.factor(t)).value, cell)
            with b.if_then(k.by_count):
                often = k.indices.times(row).to(dtype)
                b.store((Vec(one, b.load(cell), dtype) / often).value, cell)
            factor = b.load(cell)

            def add(scope: Scope, i: ir.Value, mask: ir.Value | None, out=out, factor=factor, offset=offset):
                place = scope.at(out, i)
                x = source.load(scope, offset, i, mask, unit) * scope.splat(factor, dtype)
                scope.store(scope.load(place, dtype, mask) + x, place, mask)

            along(b, dtype, k.width, add)


def _largest_gradient(k: _Bags, source: Rows, bags: ir.Value, target: ir.Value, own) -> None:
    b, one, dtype = k.b, k.one, k.dtype
    chosen = k.arrays.pointer(CHOSEN, abi.INT64)
    with one.loop(I64(0), bags) as bag, one.loop(I64(0), k.width) as i:
        row = b.load(one.at(chosen, b.add(b.mul(bag, k.width), i)))
        with b.if_then(own(row)):
            offset = b.add(b.mul(bag, source.pitch), b.mul(i, source.step))
            place = one.at(target, b.add(b.mul(row, k.width), i))
            g = one.load(one.at(source.pointer, offset), dtype)
            one.store(one.load(place, dtype) + g, place)


def _factor_gradient(k: _Bags, source: Rows, bags: ir.Value) -> None:
    """Of each index's weight: the inner product of its row and its bag's cotangent."""
    b, one, dtype, arrays = k.b, k.one, k.dtype, k.arrays
    target, table = arrays.pointer(G_FACTORS, dtype), Rows(arrays, WEIGHT, dtype, k.width)
    with b.if_then(b.icmp_signed("==", k.part, I64(0))):
        clear_rows(arrays, target, dtype, I64(0), k.indices.count)
        with one.loop(I64(0), bags) as bag, k.members(bag) as (t, row):
            g, w = b.mul(bag, source.pitch), b.mul(row, table.pitch)
            zero = one.constant(dtype, 0.0)
            with one.carried(I64(0), k.width, 1, [zero]) as (i, (total,), carry):
                x = one.load(one.at(source.pointer, b.add(g, b.mul(i, source.step))), dtype)
                y = one.load(one.at(table.pointer, b.add(w, b.mul(i, table.step))), dtype)
                carry.next(total + x * y)
            one.store(carry.final[0], one.at(target, t))


array_op(
    "embedding_bag",
    ("weight", "index", "offsets", "factors"),
    build_embedding_bag,
    backward=build_embedding_bag_backward,
    gradients={
        "weight": ("index", "offsets", "factors", "y1"),
        "factors": ("weight", "index", "offsets"),
    },
    vjp={
        "weight": attention_vjps.embedding_bag_weight,
        "factors": attention_vjps.embedding_bag_factors,
    },
    operand_dtypes={"index": abi.INT64, "offsets": abi.INT64},
    outputs=2,
    picks=True,
)
