"""Rows of a table at indices, and sums, means and maxima of bags of such rows.

Indices are int64 and not negative. A kernel looks at all of them before it writes anything and reports the first that
is out of range (see `index_report`). The gradient of a table is made row of the table by row, each the sum of its
cotangents in the order of the indices: threads share the rows, so it is the same for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from . import abi, attention_vjps
from .host import host
from .nest import share, spread, whole_first
from .operands import Arrays, array_kernel
from .products import Products
from .stage import I64, MASK, Scope, Vec
from .table import array_op

INTEGER_LANES = 8
# attribute words
A_REPORT, A_PADDING, A_BY_COUNT = range(3)  # A_PADDING: 1 + the row that takes no gradient, or 0


def index_report(arrays: Arrays, value: ir.Value, size: ir.Value) -> None:
    """Tell Python that an index is out of range; the words are those of `kernels.index_walks.report`."""
    one, b = arrays.scope, arrays.b
    cell = one.pointer(arrays.word(A_REPORT), abi.INT64)
    for k, word in ((1, I64(0)), (2, value), (3, size), (0, I64(1))):
        b.store(word, one.at(cell, k))


class Indices:
    """A contiguous array of indices into the rows of a table."""

    def __init__(self, arrays: Arrays, k: int, rows: ir.Value) -> None:
        self.arrays, self.b, self.one = arrays, arrays.b, arrays.scope
        self.pointer, self.count, self.rows = arrays.pointer(k, abi.INT64), arrays.numel(k), rows

    def load(self, i: ir.Value) -> ir.Value:
        """Index number `i`."""
        return self.b.load(self.one.at(self.pointer, i))

    def refuse_bad(self) -> None:
        """Report the first index that is out of range, and return from the kernel."""
        b, one = self.b, self.one
        wide = Scope(b, INTEGER_LANES)
        whole = b.and_(self.count, I64(-INTEGER_LANES))
        fine = Vec(wide, ir.Constant(wide.type(MASK), [1] * INTEGER_LANES), MASK)
        limit = wide.splat(self.rows, abi.INT64).value
        with wide.carried(I64(0), whole, INTEGER_LANES, [fine]) as (i, (good,), carry):
            values = wide.load(wide.at(self.pointer, i), abi.INT64)
            carry.next(good & Vec(wide, b.icmp_unsigned("<", values.value, limit), MASK))
        good = carry.final[0].reduce(lambda x, y: x & y)
        start = b.select(good.value, whole, I64(0))
        with one.loop(start, self.count) as i:
            value = self.load(i)
            with b.if_then(b.icmp_unsigned(">=", value, self.rows), likely=False):
                index_report(self.arrays, value, self.rows)
                b.ret_void()

    def times(self, value: ir.Value) -> Vec:
        """How many indices have a value."""
        b = self.b
        wide = Scope(b, INTEGER_LANES)
        wanted = wide.splat(value, abi.INT64)
        with wide.carried(I64(0), self.count, INTEGER_LANES, [wide.constant(abi.INT64, 0)]) as (
            i,
            (n,),
            carry,
        ):
            inside = wide.tail_mask(b.sub(self.count, i))
            same = wide.load(wide.at(self.pointer, i), abi.INT64, inside) == wanted
            hit = Vec(wide, b.and_(same.value, inside), MASK)
            carry.next(n + hit.to(abi.INT64))
        return carry.final[0].reduce(lambda x, y: x + y)


class Rows:
    """Lines along the last dimension of an array, reached by an offset."""

    def __init__(self, arrays: Arrays, k: int, dtype: int, width: ir.Value) -> None:
        self.arrays, self.b, self.k, self.dtype = arrays, arrays.b, k, dtype
        self.pointer, self.width = arrays.pointer(k, dtype), width
        self.step = arrays.stride(k, arrays.last_dim(k))
        self.pitch = arrays.stride(k, 0)

    def load(self, scope: Scope, offset: ir.Value, i: ir.Value, mask: ir.Value | None, unit: bool) -> Vec:
        """Elements from number `i` on of the line that begins at `offset`."""
        start = scope.at(self.pointer, offset)
        if unit:
            return scope.load(scope.at(start, i), self.dtype, mask)
        every = ir.Constant(scope.type(MASK), 1 if scope.lanes == 1 else [1] * scope.lanes)
        place = scope.at(start, self.b.mul(i, self.step))
        return scope.gather(place, self.step, self.dtype, every if mask is None else mask)

    def forms(self, write: Callable[[bool], None]) -> None:
        """Call ``write(unit)`` for lines that are contiguous and for others."""
        b = self.b
        near = b.or_(b.icmp_signed("==", self.step, I64(1)), b.icmp_signed("<=", self.width, I64(1)))
        with b.if_else(near) as (unit, far):
            with unit:
                write(True)
            with far:
                write(False)


def along(b: ir.IRBuilder, dtype: int, width: ir.Value, body: Callable) -> None:
    """``body(scope, i, mask)`` over a line: whole vectors without a mask, whose stores the next load may meet."""
    whole_first(b, host().lanes(abi.ITEM_SIZES[dtype]), I64(0), width, body)


def clear_rows(arrays: Arrays, target: ir.Value, dtype: int, begin: ir.Value, end: ir.Value) -> None:
    """Zero elements ``begin .. end`` of a contiguous array."""

    def clear(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        scope.store(scope.constant(dtype, 0.0), scope.at(target, i), mask)

    spread(arrays.b, host().lanes(abi.ITEM_SIZES[dtype]), begin, end, clear)


# rows -------------------------------------------------------------------------------------------------


def build_embedding(symbol: str, dtype: int) -> ir.Module:
    """``y[.., :] = weight[index[..], :]``; arrays weight, index, y."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    width = arrays.size(0, 1)
    indices = Indices(arrays, 1, arrays.size(0, 0))
    indices.refuse_bad()
    table, target = Rows(arrays, 0, dtype, width), arrays.pointer(2, dtype)
    begin, end = share(one, indices.count, part, parts, 1)

    def copy(unit: bool) -> None:
        with one.loop(begin, end) as t:
            source = b.mul(indices.load(t), table.pitch)
            out = one.at(target, b.mul(t, width))

            def move(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
                scope.store(table.load(scope, source, i, mask, unit), scope.at(out, i), mask)

            spread(b, host().lanes(abi.ITEM_SIZES[dtype]), I64(0), width, move)

    table.forms(copy)
    b.ret_void()
    return module


def build_embedding_backward(symbol: str, dtype: int) -> ir.Module:
    """The cotangents of each row, added; arrays weight (shape only), index, y, g, gweight, -."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    rows, width = arrays.size(0, 0), arrays.size(0, 1)
    indices = Indices(arrays, 1, rows)
    target, source = arrays.pointer(4, dtype), Rows(arrays, 3, dtype, width)
    padding = b.sub(arrays.word(A_PADDING), I64(1))
    by_count = b.icmp_signed("!=", arrays.word(A_BY_COUNT), I64(0))
    begin, end = share(one, rows, part, parts, 1)
    clear_rows(arrays, target, dtype, b.mul(begin, width), b.mul(end, width))
    fits, step, _count = Products(arrays, dtype).rows(3)
    dims = b.sub(arrays.dims(3), I64(1))

    def add(unit: bool, even: bool) -> None:
        with one.loop(I64(0), indices.count) as t:
            row = indices.load(t)
            own = b.and_(b.icmp_signed(">=", row, begin), b.icmp_signed("<", row, end))
            with b.if_then(b.and_(own, b.icmp_signed("!=", row, padding))):
                offset = b.mul(t, step) if even else arrays.offset((3,), dims, I64(-1), t)[0]
                out = one.at(target, b.mul(row, width))
                factor = one.variable(one.type(dtype))
                b.store(one.constant(dtype, 1.0).value, factor)
                with b.if_then(by_count):
                    b.store((1.0 / indices.times(row).to(dtype)).value, factor)
                scale = Vec(one, b.load(factor), dtype)

                def one_vector(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
                    place = scope.at(out, i)
                    g = source.load(scope, offset, i, mask, unit) * scope.splat(scale.value, dtype)
                    scope.store(scope.load(place, dtype, mask) + g, place, mask)

                along(b, dtype, width, one_vector)

    def write(unit: bool) -> None:
        with b.if_else(fits) as (even, odd):
            with even:
                add(unit, True)
            with odd:
                add(unit, False)

    source.forms(write)
    b.ret_void()
    return module


array_op(
    "embedding",
    ("weight", "index"),
    build_embedding,
    backward=build_embedding_backward,
    gradients={"weight": ("index",)},
    vjp={"weight": attention_vjps.embedding_weight},
    operand_dtypes={"index": abi.INT64},
    picks=True,
)
