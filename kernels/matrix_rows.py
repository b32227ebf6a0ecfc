"""Sums over rows of matrices, for Numba's loops: vectors are explicit here, as `kernels.compiler` looks for none.

Addresses are in bytes; steps and counts are in elements. Rows lie without gaps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import abi
from .host import host
from .lean import jit as helper
from .plain import accessors

TALL, WIDE = 4, 2  # rows and vectors of a block whose sums are under way at once
SIDE_BY_SIDE = 4  # vectors whose sums are under way at once: one alone would wait for its own multiply-adds
I64 = ir.IntType(64)


class Rows(NamedTuple):
    """What is done with rows of one dtype.

    Attributes
    ----------
    less, more : callable
        ``less(target, count, source, step, factors, factor_step, terms)`` takes from a row the sum of `terms` rows,
        `step` apart, each times its factor; `more` adds it. Every element's terms are added in order.
    less_block : callable
        ``less_block(target, pitch, rows, count, source, step, factors, factor_pitch, factor_step, terms)``: `less` for
        several rows, `pitch` apart, of the same source. TALL of them share what is read.
    divide : callable
        ``divide(target, count, number)``.
    dot : callable
        ``dot(a, b, count)``: the sum of the products of two rows.
    along : callable
        ``along(a, b, step, count)``: `dot`, where the elements of b are `step` apart.
    gap : callable
        ``gap(a, b, count)``: the sum of the squares of their differences.
    part : callable
        ``part(target, other, a, b, count, number)`` adds their differences, times a number, to a row and takes them
        from another.
    gaps : callable
        ``gaps(target, own, count, source, step, factors, factor_step, terms)``: `more`, of the differences of a row
        from those of `source`.
    transpose : callable
        ``transpose(matrix, n)``: exchange the rows and columns of a square matrix.
    """

    less: Any
    more: Any
    less_block: Any
    divide: Any
    dot: Any
    along: Any
    gap: Any
    part: Any
    gaps: Any
    transpose: Any


class RowWriter:
    """Vectors of one dtype in a function that is being written."""

    def __init__(self, builder: ir.IRBuilder, dtype: int) -> None:
        self.b, self.size = builder, abi.ITEM_SIZES[dtype]
        self.kind = ir.FloatType() if dtype == abi.FLOAT32 else ir.DoubleType()
        self.lanes = host().lanes(self.size)

    def vector(self, width: int) -> ir.Type:
        """The type of a vector, or of one number."""
        return self.kind if width == 1 else ir.VectorType(self.kind, width)

    def pointer(self, address: ir.Value, index: ir.Value, width: int = 1) -> ir.Value:
        """The place of element `index`, of which `width` are read at once."""
        base = self.b.inttoptr(address, self.kind.as_pointer())
        return self.b.bitcast(self.b.gep(base, [index]), self.vector(width).as_pointer())

    def load(self, address: ir.Value, index: ir.Value, width: int = 1) -> ir.Value:
        """Some elements from `index` on."""
        return self.b.load(self.pointer(address, index, width), align=self.size)

    def store(self, value: ir.Value, address: ir.Value, index: ir.Value, width: int = 1) -> None:
        """Write elements from `index` on."""
        self.b.store(value, self.pointer(address, index, width), align=self.size)

    def splat(self, value: ir.Value, width: int) -> ir.Value:
        """A vector of one number."""
        if width == 1:
            return value
        kind = self.vector(width)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def multiply_add(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """``x * y + z``, rounded once where the machine can."""
        letter = "f32" if self.size == 4 else "f64"
        vector = f"v{x.type.count}" if isinstance(x.type, ir.VectorType) else ""
        name = f"llvm.fmuladd.{vector}{letter}"
        function = cgutils.get_or_insert_function(self.b.module, ir.FunctionType(x.type, [x.type] * 3), name)
        return self.b.call(function, [x, y, z])

    def added_up(self, x: ir.Value) -> ir.Value:
        """The sum of a vector's lanes: halves onto halves, as one after the other each would wait for the last."""
        width = self.lanes
        while width > 1:
            width //= 2
            i32 = ir.IntType(32)
            low, high = (
                ir.Constant(ir.VectorType(i32, width), [first + k for k in range(width)])
                for first in (0, width)
            )
            nothing = ir.Constant(x.type, ir.Undefined)
            x = self.b.fadd(self.b.shuffle_vector(x, nothing, low), self.b.shuffle_vector(x, nothing, high))
        return self.b.extract_element(x, ir.IntType(32)(0)) if self.lanes > 1 else x

    def widths(self, beside: int = SIDE_BY_SIDE) -> list[tuple[int, int]]:
        """Elements of a vector and vectors at once, down to single elements."""
        whole = [(self.lanes, beside)]
        width = self.lanes
        while width:
            whole.append((width, 1))
            width //= 2
        return whole

    @contextmanager
    def turns(self, place: ir.Value, count: ir.Value, size: int) -> Iterator[ir.Value]:
        """A loop while `size` elements are left from the place in memory on, which moves by so many."""
        b = self.b
        head, body, behind = (b.append_basic_block(n) for n in ("turn", "elements", "behind"))
        b.branch(head)
        b.position_at_end(head)
        at = b.load(place)
        end = b.add(at, I64(size))
        b.cbranch(b.icmp_signed("<=", end, count), body, behind)
        b.position_at_end(body)
        yield at
        b.store(end, place)
        b.branch(head)
        b.position_at_end(behind)


def _sum_of_rows(w: RowWriter, args: list[ir.Value], sign: float) -> None:
    target, count, source, step, factors, factor_step, terms = args
    zero = I64(0)
    _sums(w, [target, zero, count, source, step, factors, zero, factor_step, terms], sign, 1, SIDE_BY_SIDE)


def _sum_of_gaps(w: RowWriter, args: list[ir.Value]) -> None:
    target, own, count, source, step, factors, factor_step, terms = args
    zero = I64(0)
    _sums(
        w, [target, zero, count, source, step, factors, zero, factor_step, terms], 1.0, 1, SIDE_BY_SIDE, own
    )


def _sums(
    w: RowWriter, args: list[ir.Value], sign: float, tall: int, wide: int, own: ir.Value | None = None
) -> None:
    """Sums for `tall` rows, `wide` vectors of each at once; of differences from the row `own`, if it is given."""
    target, pitch, count, source, step, factors, factor_pitch, factor_step, terms = args
    b = w.b
    place = cgutils.alloca_once_value(b, I64(0))
    rows = [b.mul(pitch, I64(r)) for r in range(tall)]
    above = [b.mul(factor_pitch, I64(r)) for r in range(tall)]
    for width, beside in w.widths(wide):
        with w.turns(place, count, width * beside) as at:
            starts = [b.add(at, I64(k * width)) for k in range(beside)]
            places = [b.add(row, start) for row in rows for start in starts]
            sums = [cgutils.alloca_once(b, w.vector(width)) for _ in places]
            for start, total in zip(places, sums, strict=True):
                b.store(w.load(target, start, width), total)
            origins = [w.load(own, start, width) for start in starts] if own is not None else []
            with cgutils.for_range(b, terms) as loop:
                row, along = b.mul(loop.index, step), b.mul(loop.index, factor_step)
                values = [w.load(source, b.add(row, start), width) for start in starts]
                if own is not None:
                    values = [b.fsub(x, y) for x, y in zip(origins, values, strict=True)]
                for r in range(tall):
                    factor = w.load(factors, b.add(above[r], along))
                    factor = w.splat(b.fneg(factor) if sign < 0 else factor, width)
                    for k, value in enumerate(values):
                        total = sums[r * beside + k]
                        b.store(w.multiply_add(factor, value, b.load(total)), total)
            for start, total in zip(places, sums, strict=True):
                w.store(b.load(total), target, start, width)


def _quotients(w: RowWriter, args: list[ir.Value]) -> None:
    target, count, number = args
    place = cgutils.alloca_once_value(w.b, I64(0))
    for width, beside in w.widths():
        if beside == 1:
            with w.turns(place, count, width) as at:
                by = w.splat(number, width)
                w.store(w.b.fdiv(w.load(target, at, width), by), target, at, width)


def _parted(w: RowWriter, args: list[ir.Value]) -> None:
    target, other, first, second, count, number = args
    b = w.b
    place = cgutils.alloca_once_value(b, I64(0))
    for width, beside in w.widths():
        if beside == 1:
            with w.turns(place, count, width) as at:
                by = w.splat(number, width)
                gap = b.fmul(b.fsub(w.load(first, at, width), w.load(second, at, width)), by)
                w.store(b.fadd(w.load(target, at, width), gap), target, at, width)
                w.store(b.fsub(w.load(other, at, width), gap), other, at, width)


def _dot(w: RowWriter, args: list[ir.Value], of_gaps: bool = False) -> ir.Value:
    first, second, count = args
    b = w.b

    def pair(at: ir.Value, width: int) -> tuple[ir.Value, ir.Value]:
        x, y = w.load(first, at, width), w.load(second, at, width)
        return (b.fsub(x, y),) * 2 if of_gaps else (x, y)

    place = cgutils.alloca_once_value(b, I64(0))
    total = cgutils.alloca_once_value(b, w.kind(0.0))
    lanes = w.vector(w.lanes)
    sums = [cgutils.alloca_once_value(b, ir.Constant(lanes, [0.0] * w.lanes)) for _ in range(SIDE_BY_SIDE)]
    for beside in (SIDE_BY_SIDE, 1):
        with w.turns(place, count, w.lanes * beside) as at:
            for k in range(beside):
                start = b.add(at, I64(k * w.lanes))
                b.store(w.multiply_add(*pair(start, w.lanes), b.load(sums[k])), sums[k])
    whole = functools.reduce(b.fadd, [b.load(s) for s in sums])
    b.store(w.added_up(whole), total)
    with w.turns(place, count, 1) as at:
        b.store(w.multiply_add(*pair(at, 1), b.load(total)), total)
    return b.load(total)


def written(dtype: int, write: Callable[[RowWriter, list[ir.Value]], Any], signature: Any) -> Any:
    """A function for Numba's loops whose instructions `write` writes."""
    result = signature.return_type

    def generate(context: Any, builder: Any, found: Any, args: Any) -> Any:
        made = write(RowWriter(builder, dtype), list(args))
        return context.get_dummy_value() if result == types.none else made

    return lambda *_: (signature, generate)


@functools.cache
def rows_of(dtype: int) -> Rows:
    """What is done with rows of a dtype."""
    number, word = (types.float32 if dtype == abi.FLOAT32 else types.float64), types.int64
    sums, quotients = types.none(*[word] * 7), types.none(word, word, number)
    blocks = types.none(*[word] * 9)
    write_block = written(dtype, lambda w, args: _sums(w, args, -1.0, TALL, WIDE), blocks)
    write_less = written(dtype, lambda w, args: _sum_of_rows(w, args, -1.0), sums)
    write_more = written(dtype, lambda w, args: _sum_of_rows(w, args, 1.0), sums)
    write_quotients = written(dtype, _quotients, quotients)
    write_dot = written(dtype, _dot, number(word, word, word))
    write_gap = written(dtype, lambda w, args: _dot(w, args, True), number(word, word, word))
    write_part = written(dtype, _parted, types.none(*[word] * 5, number))
    write_gaps = written(dtype, _sum_of_gaps, types.none(*[word] * 8))
    load, store = accessors(dtype)
    item = abi.ITEM_SIZES[dtype]

    @intrinsic
    def less_rows(context, target, count, source, step, factors, factor_step, terms):
        return write_less()

    @intrinsic
    def more_rows(context, target, count, source, step, factors, factor_step, terms):
        return write_more()

    @intrinsic
    def less_tall(context, target, pitch, count, source, step, factors, factor_pitch, factor_step, terms):
        return write_block()

    @intrinsic
    def quotients_of(context, target, count, by):
        return write_quotients()

    @intrinsic
    def dot_of(context, a, b, count):
        return write_dot()

    @intrinsic
    def gap_of(context, a, b, count):
        return write_gap()

    @intrinsic
    def parted(context, target, other, a, b, count, by):
        return write_part()

    @intrinsic
    def sum_of_gaps(context, target, own, count, source, step, factors, factor_step, terms):
        return write_gaps()

    @helper
    def less(target, count, source, step, factors, factor_step, terms):
        less_rows(target, count, source, step, factors, factor_step, terms)

    @helper
    def more(target, count, source, step, factors, factor_step, terms):
        more_rows(target, count, source, step, factors, factor_step, terms)

    @helper
    def less_block(target, pitch, rows, count, source, step, factors, factor_pitch, factor_step, terms):
        row = 0
        while row + TALL <= rows:
            own, by = target + row * pitch * item, factors + row * factor_pitch * item
            less_tall(own, pitch, count, source, step, by, factor_pitch, factor_step, terms)
            row += TALL
        while row < rows:
            own, by = target + row * pitch * item, factors + row * factor_pitch * item
            less(own, count, source, step, by, factor_step, terms)
            row += 1

    @helper
    def divide(target, count, by):
        quotients_of(target, count, by)

    @helper
    def dot(a, b, count):
        return dot_of(a, b, count)

    @helper
    def along(a, b, step, count):
        if step == 1:
            return dot_of(a, b, count)
        total = 0.0
        for k in range(count):
            total += load(a, k) * load(b, k * step)
        return total

    @helper
    def gap(a, b, count):
        return gap_of(a, b, count)

    @helper
    def part(target, other, a, b, count, by):
        parted(target, other, a, b, count, by)

    @helper
    def gaps(target, own, count, source, step, factors, factor_step, terms):
        sum_of_gaps(target, own, count, source, step, factors, factor_step, terms)

    @helper
    def transpose(matrix, n):
        for i in range(n):
            for j in range(i):
                below = load(matrix, i * n + j)
                store(matrix + (i * n + j) * item, 0, load(matrix, j * n + i))
                store(matrix, j * n + i, below)

    return Rows(less, more, less_block, divide, dot, along, gap, part, gaps, transpose)


@intrinsic
def room_for(typing_context, words):
    """The address of `words` words of memory, for as long as the kernel runs: ask once, not in a loop."""

    def generate(context, builder, signature, args):
        return builder.ptrtoint(builder.alloca(I64, size=args[0]), I64)

    return types.int64(types.int64), generate
