"""Sums over the rows of a matrix: the gradient of a bias."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, NamedTuple

from llvmlite import ir

from .abi import ITEM_SIZES
from .gemm_transposed import shuffle
from .host import host
from .nest import share, whole_first
from .stage import I64, Scope, Vec

if TYPE_CHECKING:
    from .products import Products

CHAINS = 4  # sums side by side
VECTORS = 2  # of columns side by side: each row is one way through memory


class Rows(NamedTuple):
    """The rows of a matrix: address, strides in elements, how many there are and how long."""

    address: ir.Value
    stride: ir.Value
    column: ir.Value
    count: ir.Value
    features: ir.Value


def column_sums(one: Scope, dtype: int, target: ir.Value, rows: Rows, threads) -> None:
    """Sum the rows of a matrix into the array at a pointer, several rows side by side and then together."""
    b, lanes = one.b, host().lanes(ITEM_SIZES[dtype])
    begin, end = share(one, rows.features, *threads, lanes)
    with b.if_else(_fill_vectors(b, rows, lanes)) as (together, apart):
        with together, b.if_then(b.icmp_signed("<", begin, end)):
            _sums_of_line(Scope(b, lanes), dtype, target, rows)
        with apart:
            _sums_of_columns(one, dtype, target, rows, (begin, end))


def _fill_vectors(b: ir.IRBuilder, rows: Rows, lanes: int) -> ir.Value:
    """Whether the rows follow one another without gaps, and a vector holds several whole ones, as a bit."""
    features = rows.features
    conditions = (
        b.icmp_signed("==", rows.column, I64(1)),
        b.icmp_signed("==", rows.stride, features),
        b.icmp_signed("<", features, I64(lanes)),
        b.icmp_signed("==", b.and_(features, b.sub(features, I64(1))), I64(0)),
        b.icmp_signed("==", b.and_(b.mul(rows.count, features), I64(lanes - 1)), I64(0)),
    )
    return reduce(b.and_, conditions)


def _sums_of_line(s: Scope, dtype: int, target: ir.Value, rows: Rows) -> None:
    """Sum whole vectors, and then the lanes that belong to the same column."""
    b, source = s.b, s.pointer(rows.address, dtype)
    total = b.mul(rows.count, rows.features)
    whole = b.and_(total, I64(-CHAINS * s.lanes))
    zero = s.constant(dtype, 0.0)
    with s.carried(I64(0), whole, CHAINS * s.lanes, [zero] * CHAINS) as (i, sums, carry):
        carry.next(*(x + s.load(s.at(source, b.add(i, I64(c * s.lanes))), dtype) for c, x in enumerate(sums)))
    t, u, v, w = carry.final
    with s.carried(whole, total, s.lanes, [(t + u) + (v + w)]) as (i, (x,), carry):
        carry.next(x + s.load(s.at(source, i), dtype))
    (x,), half = carry.final, s.lanes // 2
    while half:
        other = shuffle(x, x, [lane ^ half for lane in range(s.lanes)])
        shared = b.icmp_signed("<=", rows.features, I64(half))
        x = Vec(s, b.select(shared, (x + other).value, x.value), dtype)
        half //= 2
    s.store(x, target, s.tail_mask(rows.features))


def _sums_of_columns(
    one: Scope, dtype: int, target: ir.Value, rows: Rows, columns: tuple[ir.Value, ir.Value]
) -> None:
    """Go down the rows, a few vectors of columns at a time."""
    b, (address, stride, column, count, _features) = one.b, rows
    begin, end = columns
    source = one.pointer(address, dtype)
    lanes = host().lanes(ITEM_SIZES[dtype])
    whole = b.and_(count, I64(-CHAINS))

    def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        top = scope.at(source, b.mul(i, column))

        def load(row: ir.Value) -> Vec:
            place = scope.at(top, b.mul(row, stride))
            if scope.lanes > 1 or mask is None:
                return scope.load(place, dtype, mask)
            return scope.load(place, dtype)

        zero = scope.constant(dtype, 0.0)
        with scope.carried(I64(0), whole, CHAINS, [zero] * CHAINS) as (row, sums, carry):
            carry.next(*(s + load(b.add(row, I64(c))) for c, s in enumerate(sums)))
        s, t, u, v = carry.final
        with scope.carried(whole, count, 1, [(s + t) + (u + v)]) as (row, (total,), carry):
            carry.next(total + load(row))
        scope.store(carry.final[0], scope.at(target, i), mask)

    with b.if_else(b.icmp_signed("==", column, I64(1))) as (near, far):
        with near:
            whole_first(b, lanes, begin, end, body, VECTORS)
        with far, one.loop(begin, end) as i:
            body(one, i, None)


def column_sums_by_rows(p: Products, rows: ir.Value, features: ir.Value, threads) -> None:
    """The same for the rows of array 4 that lie anywhere, one after the other."""
    b, arrays, one, dtype = p.b, p.arrays, p.arrays.scope, p.dtype
    begin, end = share(one, features, *threads, 1)
    source, target = arrays.pointer(4, dtype), arrays.pointer(7, dtype)
    step = arrays.stride(4, p.last(4, 1))
    for point, (offset,) in p.blocks((4,), rows, 1):
        first = b.icmp_signed("==", point, I64(0))
        with one.loop(begin, end) as i:
            place = one.at(target, i)
            value = one.load(one.at(source, b.add(offset, b.mul(i, step))), dtype)
            zero = one.constant(dtype, 0.0)
            before = Vec(one, b.select(first, zero.value, one.load(place, dtype).value), dtype)
            one.store(before + value, place)
