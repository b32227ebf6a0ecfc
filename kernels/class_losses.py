"""Cross-entropy of class scores, as one number.

It is one kernel forward and one backward: no array in between is stored. It reads the logits again on the way back
instead of keeping a softmax: for rows of ten classes that costs less than storing and loading it would through a
second output. The sum is taken in float64 by one thread, so the result does not depend on the number of threads;
the gradients are shared out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial

import numpy as np
from llvmlite import ir

from . import abi, vjps
from .batch import Batch, Strip
from .formula import log
from .host import host
from .math_core import any_lane, outlined
from .math_exp import decay
from .nest import share
from .operands import Arrays, Line, array_kernel
from .reports import BAD_SHAPES, BAD_TARGET, Report, accumulate
from .rows_beside import Rows, blocks, short_rows
from .softmax import add, top_of
from .stage import F64, I64, MASK, Scope, Vec
from .table import SCALAR, array_op

LARGE_PRODUCT = 2.0**900  # a factor of up to 2**64 more still fits into a float64


class Targets:
    """The targets of a loss of class scores, one a row."""

    def __init__(self, arrays: Arrays, k: int, ignored: ir.Value, classes: ir.Value) -> None:
        self.arrays, self.b = arrays, arrays.b
        self.pointer = arrays.pointer(k, abi.INT64)
        self.stride = arrays.stride(k, 0)
        self.ignored, self.classes = ignored, classes

    def load(self, row: ir.Value) -> ir.Value:
        """The target of a row."""
        return self.b.load(self.arrays.scope.at(self.pointer, self.b.mul(row, self.stride)))

    def counts(self, target: ir.Value) -> ir.Value:
        """Whether a row with this target counts."""
        return self.b.icmp_signed("!=", target, self.ignored)

    def valid(self, target: ir.Value) -> ir.Value:
        """Whether the target is a class."""
        return self.b.icmp_unsigned("<", target, self.classes)

    def lanes(self, scope: Scope, first: ir.Value, inside: Vec) -> Vec:
        """The targets of the rows from `first` on, one a lane."""
        place = scope.at(self.pointer, self.b.mul(first, self.stride))
        return scope.gather(place, self.stride, abi.INT64, inside.value)

    def ignored_lanes(self, scope: Scope) -> Vec:
        """The ignored target in every lane."""
        return scope.splat(self.ignored, abi.INT64)

    def class_lanes(self, scope: Scope) -> Vec:
        """The number of classes in every lane."""
        return scope.splat(self.classes, abi.INT64)

    def beginning_at(self, row: ir.Value) -> Targets:
        """These targets without those of the rows before a row."""
        other = copy(self)
        other.pointer = self.arrays.scope.at(self.pointer, self.b.mul(row, self.stride))
        return other

    def total(self, rows: ir.Value) -> ir.Value:
        """How many rows count."""
        b, one = self.b, self.arrays.scope
        start = one.constant(abi.INT64, 0)
        with one.carried(I64(0), rows, 1, [start]) as (row, (n,), carry):
            counted = b.zext(self.counts(self.load(row)), I64)
            carry.next(n + Vec(one, counted, abi.INT64))
        return carry.final[0].value


def _logit_row(
    arrays: Arrays, ks: tuple[int, ...], dtype: int, row: ir.Value, scope: Scope, form: str
) -> Line:
    """Row `row` of the matrices `ks` as a line."""
    b = arrays.b
    pointers = [scope.at(arrays.pointer(k, dtype), b.mul(row, arrays.stride(k, 0))) for k in ks]
    strides = [arrays.stride(k, 1) for k in ks]
    return Line(scope, arrays.size(0, 1), pointers, strides, [dtype] * len(ks), form)


def _forms(arrays: Arrays, dtype: int, write, write_block, others: int = 0) -> None:
    """Call ``write(scope, form)`` for logits whose rows are contiguous, and for others.

    Short contiguous rows go to ``write_block(rows)``, for as many arrays as the logits and `others` are.
    """
    b = arrays.b
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    classes = arrays.size(0, 1)
    near = b.or_(b.icmp_signed("==", arrays.stride(0, 1), I64(1)), b.icmp_signed("<=", classes, I64(1)))
    with b.if_else(near) as (unit, far):
        with unit:
            short_rows(
                b, classes, [dtype] * (1 + others), write_block, lambda: write(Scope(b, lanes), "unit")
            )
        with far:
            write(Scope(b, lanes if host().vector_bytes == 64 else 1), "far")


def build_cross_entropy(symbol: str, dtype: int) -> ir.Module:
    """Mean over the rows that count of ``log(sum(exp(x))) - x[target]``; arrays x, target, y.

    Attributes: the ignored target, the report's address.
    """
    module, arrays, part, _parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    with b.if_then(b.icmp_signed("!=", part, I64(0))):
        b.ret_void()
    out = arrays.pointer(2, dtype)
    report = Report.at(arrays, 1)
    two, single = (b.icmp_signed("==", arrays.dims(k), I64(n)) for k, n in ((0, 2), (1, 1)))
    fits = b.and_(b.and_(two, single), b.icmp_signed("==", arrays.size(0, 0), arrays.size(1, 0)))
    with b.if_then(b.not_(fits)):
        report.write(BAD_SHAPES, I64(0))
        one.store(one.constant(dtype, math.nan), out)
        b.ret_void()
    rows = arrays.size(0, 0)
    targets = Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
    total, product, count = one.variable(F64), one.variable(F64), one.variable(I64)
    b.store(F64(0.0), total)
    b.store(F64(1.0), product)
    b.store(I64(0), count)

    def write_block(block: Rows) -> None:
        _add_blocks(arrays, block, targets, report, (total, count))

    def write(scope: Scope, form: str) -> None:
        with one.loop(I64(0), rows) as row:
            target = targets.load(row)
            with b.if_then(targets.counts(target)):
                b.store(b.add(b.load(count), I64(1)), count)
                with b.if_else(targets.valid(target)) as (good, bad):
                    with good:
                        line = _logit_row(arrays, (0,), dtype, row, scope, form)
                        _add_row(line, target, total, product)
                    with bad:
                        report.write(BAD_TARGET, target)
                        b.store(F64(math.nan), total)

    _forms(arrays, dtype, write, write_block)
    _take_logarithm(one, product, total)
    mean = b.fdiv(b.load(total), b.sitofp(b.load(count), F64))
    one.store(Vec(one, mean, abi.FLOAT64).to(dtype), out)
    b.ret_void()
    return module


def _add_row(line: Line, target: ir.Value, total: ir.Value, product: ir.Value) -> None:
    """Add a row's loss to `total`, less the logarithm of the factor that goes into `product`.

    A logarithm of a product is a sum of logarithms: one serves many rows. Each factor, a sum of exponentials
    of which the largest is 1, is from 1 to the number of classes, so many fit into a float64.
    """
    one, b = line.scope.scalar, line.b
    top = top_of(line, 0)
    factor = line.first(line.fold(0.0, add, lambda i, mask: decay(line.load(0, i, mask) - top)))
    place = one.at(line.pointers[0], b.mul(target, line.strides[0]))
    accumulate(b, total, line.first(top) - one.load(place, line.dtypes[0]))
    grown = b.fmul(b.load(product), factor.to(abi.FLOAT64).value)
    b.store(grown, product)
    with b.if_then(b.fcmp_ordered(">", grown, F64(LARGE_PRODUCT))):
        _take_logarithm(one, product, total)


def _row_pointers(arrays: Arrays, ks: tuple[int, ...], dtype: int):
    """The pointers to a row of each of several matrices, as `blocks` wants them."""
    b, one = arrays.b, arrays.scope
    starts = [(arrays.pointer(k, dtype), arrays.stride(k, 0)) for k in ks]
    return lambda row: [one.at(pointer, b.mul(row, stride)) for pointer, stride in starts]


def _add_blocks(
    arrays: Arrays, block: Rows, targets: Targets, report: Report, cells: tuple[ir.Value, ...]
) -> None:
    """`_add_row` for all rows, a block at a time: each lane has a sum and a product of its own."""
    scope, b = block.scope, block.b
    dtype = block.dtypes[0]
    wide = [scope.constant(abi.FLOAT64, value) for value in (0.0, 1.0)]
    sums, products = (scope.variable(w.value.type) for w in wide)
    for cell, value in zip((sums, products), wide, strict=True):
        b.store(value.value, cell)
    total, count = cells
    rows = arrays.size(0, 0)
    logits, stride = arrays.pointer(0, dtype), arrays.stride(0, 0)

    def loaded(cell: ir.Value) -> Vec:
        return Vec(scope, b.load(cell), abi.FLOAT64)

    def take_logarithms() -> None:
        (logs,) = outlined("logarithms", lambda x: [log(x)], [loaded(products)], [abi.FLOAT64])
        b.store((loaded(sums) + logs).value, sums)
        b.store(wide[1].value, products)

    with blocks(block, I64(0), rows, _row_pointers(arrays, (0,), dtype)) as first:
        top = top_of(block, 0)
        shift = block.keep(top)
        factor = block.fold(0.0, add, lambda i, mask: decay(block.load(0, i, mask) - shift()))
        inside = Vec(scope, scope.tail_mask(block.count), MASK)
        target = targets.lanes(scope, first, inside)
        counted = inside & (target != targets.ignored_lanes(scope))
        known = counted & (target >= 0) & (target < targets.class_lanes(scope))
        places = (scope.iota() + scope.splat(first, abi.INT64)) * scope.splat(stride, abi.INT64) + target
        own = scope.gather_at(logits, places, dtype, known.value)
        loss = known.select(top - own, 0.0).to(abi.FLOAT64)
        b.store((loaded(sums) + loss).value, sums)
        grown = loaded(products) * known.select(factor, 1.0).to(abi.FLOAT64)
        b.store(grown.value, products)
        with b.if_then(any_lane(grown > LARGE_PRODUCT)):
            take_logarithms()
        found = counted.select(scope.constant(abi.INT64, 1), 0).reduce(add)
        b.store(b.add(b.load(count), found.value), count)
        with b.if_then(any_lane(counted & ~known), likely=False), block.each_row() as k:
            wrong = targets.load(b.add(first, k))
            with b.if_then(b.and_(targets.counts(wrong), b.not_(targets.valid(wrong)))):
                report.write(BAD_TARGET, wrong)
                b.store(F64(math.nan), total)
    take_logarithms()
    accumulate(b, total, loaded(sums).reduce(add))


def _take_logarithm(one: Scope, product: ir.Value, total: ir.Value) -> None:
    accumulate(one.b, total, log(Vec(one, one.b.load(product), abi.FLOAT64)))
    one.b.store(F64(1.0), product)


def build_cross_entropy_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = (softmax(x) - onehot(target)) g / count``, 0 for ignored rows; arrays x, target, y, g, gx, -.

    All targets are here, because they are counted, also where x has some of the batch's rows only: attribute 2 is
    the number of the first.
    """
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    rows = arrays.size(0, 0)
    targets = Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
    count = Vec(one, b.sitofp(targets.total(arrays.size(1, 0)), F64), abi.FLOAT64)
    targets = targets.beginning_at(arrays.word(2))
    scale = (one.load(arrays.pointer(3, dtype), dtype).to(abi.FLOAT64) / count).to(dtype)
    begin, end = share(one, rows, part, parts, 1)

    def write_block(block: Rows) -> None:
        # what a part does need not be whole blocks: a row's gradient is the same in any
        with blocks(block, begin, end, _row_pointers(arrays, (0, 4), dtype)) as first:
            factor = block.keep(_grow(block) * scale)
            with block.each_row() as k:
                target = targets.load(b.add(first, k))
                with b.if_else(targets.counts(target)) as (counted, ignored):
                    with counted:
                        block.each_element(partial(_shrink, block, factor))
                        with b.if_then(targets.valid(target)):
                            # read from where whole vectors were put by: the row's own stores are not done yet
                            mine = Vec(one, b.load(block.place_by(target)), dtype) * factor(one)
                            one.store(mine - scale, one.at(block.pointers[1], target))
                    with ignored:
                        zero = block.scope.constant(dtype, 0.0)
                        block.each_element(lambda i, mask: block.store(1, i, zero, mask))

    def write(scope: Scope, form: str) -> None:
        with one.loop(begin, end) as row:
            target = targets.load(row)
            # the gradient's rows are contiguous, so array 1 of the line steps by one in either form
            line = _logit_row(arrays, (0, 4), dtype, row, scope, form)
            with b.if_else(targets.counts(target)) as (counted, ignored):
                with counted:
                    _row_gradient(line, scale)
                    with b.if_then(targets.valid(target)):
                        place = one.at(line.pointers[1], target)
                        one.store(one.load(place, dtype) - scale, place)
                with ignored:
                    zero = scope.constant(dtype, 0.0)
                    line.each(lambda i, mask: line.store(1, i, zero, mask))

    _forms(arrays, dtype, write, write_block, 1)
    b.ret_void()
    return module


def _row_gradient(line: Line, scale: Vec) -> None:
    """Write ``softmax(x) * scale``: array 0 is the logits, array 1 the result."""
    line.each(partial(_shrink, line, line.keep(_grow(line) * line.whole(scale))))


def _grow(line: Line) -> Vec:
    """Put exponentials by; returns one over their sum."""
    top = line.keep(top_of(line, 0))

    def grow(i, mask):
        value = decay(line.load(0, i, mask) - top())
        line.put_by(1, i, value, mask)
        return value

    return 1.0 / line.fold(0.0, add, grow)


def _shrink(line: Line, factor: Callable[..., Vec], i: ir.Value, mask: ir.Value | None) -> None:
    line.store(1, i, line.take_back(1, i, mask) * factor(), mask)


# declarations ---------------------------------------------------------------------------------------


def reference_cross_entropy(x: np.ndarray, target: np.ndarray, ignore_index: int = -100) -> np.ndarray:
    """NumPy's cross-entropy of rows of logits, averaged over the targets that count."""
    keep = target != ignore_index
    shifted = x[keep] - x[keep].max(axis=1, keepdims=True)
    rows = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(keep.sum()), target[keep]]
    return rows.mean()


def _some_rows(words: Sequence[int], strip: Strip) -> list[int]:
    ignored, report, first = words
    return [ignored, report, first + strip.first * strip.rows]


array_op(
    "cross_entropy_mean",
    ("x", "target"),
    build_cross_entropy,
    backward=build_cross_entropy_backward,
    gradients={"x": ("x", "target")},
    vjp={"x": vjps.cross_entropy_x},
    operand_dtypes={"target": abi.INT64},
    rule=SCALAR,
    reference=reference_cross_entropy,
    grad_name="CrossEntropyMean",
    batch=Batch({"x": 0}, ("target", "g"), attributes=_some_rows),
)
