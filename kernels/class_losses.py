"""Cross-entropy of class scores, as one number.

It is one kernel forward and one backward: no array in between is stored. It reads the logits again on the way back
instead of keeping a softmax: for rows of ten classes that costs less than storing and loading it would through a
second output. Programs that go both ways at once have a third, which takes the exponentials once. The sum is taken in
float64 by one thread, so the result does not depend on the number of threads; the gradients are shared out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from llvmlite import ir

from . import abi, vjps
from .batch import Batch, Strip
from .class_rows import Targets, each_form, leave_unless_fit, logit_row, row_pointers
from .formula import log
from .math_core import any_lane, outlined
from .math_exp import decay
from .nest import share
from .operands import Arrays, Line, array_kernel
from .reports import BAD_TARGET, Report, accumulate, leave_to_one
from .rows_beside import Rows, blocks
from .softmax import add, top_of
from .stage import F64, I64, MASK, Scope, Vec
from .table import SCALAR, array_op

LARGE_PRODUCT = 2.0**900  # a factor of up to 2**64 more still fits into a float64


# the mean -------------------------------------------------------------------------------------------


class _Mean:
    """The mean of the rows' losses in the making, a row or a block of rows at a time.

    A row's loss is its largest score and the logarithm of a factor, less the score of its target. A logarithm of a
    product is a sum of logarithms: one serves many rows. Each factor, a sum of exponentials of which the largest is
    1, is from 1 to the number of classes, so many fit into a float64.
    """

    def __init__(self, arrays: Arrays, targets: Targets, report: Report) -> None:
        self.arrays, self.targets, self.report = arrays, targets, report
        self.b, self.one = arrays.b, arrays.scope
        self.total, self.product = self.one.variable(F64), self.one.variable(F64)
        self.count = self.one.variable(I64)
        for cell, value in ((self.total, F64(0.0)), (self.product, F64(1.0)), (self.count, I64(0))):
            self.b.store(value, cell)

    def add_row(self, line: Line, target: ir.Value, top: Vec, factor: Vec) -> None:
        """Take in a row that counts."""
        one, b = self.one, self.b
        b.store(b.add(b.load(self.count), I64(1)), self.count)
        with b.if_else(self.targets.valid(target)) as (good, bad):
            with good:
                place = one.at(line.pointers[0], b.mul(target, line.strides[0]))
                accumulate(b, self.total, line.first(top) - one.load(place, line.dtypes[0]))
                grown = b.fmul(b.load(self.product), line.first(factor).to(abi.FLOAT64).value)
                b.store(grown, self.product)
                with b.if_then(b.fcmp_ordered(">", grown, F64(LARGE_PRODUCT))):
                    self._take_logarithm()
            with bad:
                self.refuse(target)

    def refuse(self, target: ir.Value) -> None:
        """Report a target that is no class."""
        self.report.write(BAD_TARGET, target)
        self.b.store(F64(math.nan), self.total)

    def _take_logarithm(self) -> None:
        accumulate(self.b, self.total, log(Vec(self.one, self.b.load(self.product), abi.FLOAT64)))
        self.b.store(F64(1.0), self.product)

    def write(self, out: ir.Value, dtype: int, counted: ir.Value | None = None) -> None:
        """Store the mean; of some of the rows what they add to that of all, of which so many are `counted`."""
        self._take_logarithm()
        b = self.b
        mean = b.fdiv(b.load(self.total), counted or b.sitofp(b.load(self.count), F64))
        self.one.store(Vec(self.one, mean, abi.FLOAT64).to(dtype), out)


class _BlockMean:
    """What blocks of rows add to a mean: each lane has a sum and a product of its own."""

    def __init__(self, mean: _Mean, block: Rows) -> None:
        self.mean, self.block, self.b = mean, block, block.b
        scope = block.scope
        zero, self._unit = (scope.constant(abi.FLOAT64, value) for value in (0.0, 1.0))
        self._sums, self._products = (scope.variable(zero.value.type) for _ in range(2))
        self.b.store(zero.value, self._sums)
        self.b.store(self._unit.value, self._products)

    def add(self, first: ir.Value, top: Vec, factor: Vec) -> None:
        """Take in the block that begins at row `first`."""
        mean, b, scope, targets = self.mean, self.b, self.block.scope, self.mean.targets
        dtype, arrays = self.block.dtypes[0], self.mean.arrays
        inside = Vec(scope, scope.tail_mask(self.block.count), MASK)
        target = targets.lanes(scope, first, inside)
        counted = inside & (target != targets.ignored_lanes(scope))
        known = counted & (target >= 0) & (target < targets.class_lanes(scope))
        rows = scope.iota() + scope.splat(first, abi.INT64)
        places = rows * scope.splat(arrays.stride(0, 0), abi.INT64) + target
        own = scope.gather_at(arrays.pointer(0, dtype), places, dtype, known.value)
        loss = known.select(top - own, 0.0).to(abi.FLOAT64)
        b.store((self._loaded(self._sums) + loss).value, self._sums)
        grown = self._loaded(self._products) * known.select(factor, 1.0).to(abi.FLOAT64)
        b.store(grown.value, self._products)
        with b.if_then(any_lane(grown > LARGE_PRODUCT)):
            self._take_logarithms()
        found = counted.select(scope.constant(abi.INT64, 1), 0).reduce(add)
        b.store(b.add(b.load(mean.count), found.value), mean.count)
        with b.if_then(any_lane(counted & ~known), likely=False), self.block.each_row() as k:
            wrong = targets.load(b.add(first, k))
            with b.if_then(b.and_(targets.counts(wrong), b.not_(targets.valid(wrong)))):
                mean.refuse(wrong)

    def finish(self) -> None:
        """Add what the lanes have."""
        self._take_logarithms()
        accumulate(self.b, self.mean.total, self._loaded(self._sums).reduce(add))

    def _loaded(self, cell: ir.Value) -> Vec:
        return Vec(self.block.scope, self.b.load(cell), abi.FLOAT64)

    def _take_logarithms(self) -> None:
        factors = [self._loaded(self._products)]
        (logs,) = outlined("logarithms", lambda x: [log(x)], factors, [abi.FLOAT64])
        self.b.store((self._loaded(self._sums) + logs).value, self._sums)
        self.b.store(self._unit.value, self._products)


# the gradient ---------------------------------------------------------------------------------------


class _Gradient:
    """The gradient of a mean: ``(softmax(x) - onehot(target)) g / count``, 0 for rows that do not count.

    Arrays x, target, y, g, gx, -. All targets are here, because they are counted, also where x has some of the
    batch's rows only: attribute 2 is the number of the first.
    """

    def __init__(self, arrays: Arrays, dtype: int) -> None:
        self.arrays, self.dtype = arrays, dtype
        self.b, self.one = arrays.b, arrays.scope
        all_targets = Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
        self.counted = self.b.sitofp(all_targets.total(arrays.size(1, 0)), F64)
        self.targets = all_targets.beginning_at(arrays.word(2))
        g = self.one.load(arrays.pointer(3, dtype), dtype).to(abi.FLOAT64)
        self.scale = (g / Vec(self.one, self.counted, abi.FLOAT64)).to(dtype)

    def write_block(self, block: Rows, first: ir.Value, factor: Vec) -> None:
        """Write a block's rows, whose exponentials are put by and whose sums have the inverses `factor`."""
        kept = block.keep(factor * self.scale)
        with block.each_row() as k:
            target = self.targets.load(self.b.add(first, k))
            with self.b.if_else(self.targets.counts(target)) as (counted, ignored):
                with counted:
                    block.each_element(partial(_shrink, block, kept))
                    with self.b.if_then(self.targets.valid(target)):
                        # read from where whole vectors were put by: the row's own stores are not done yet
                        mine = Vec(self.one, self.b.load(block.place_by(target)), self.dtype) * kept(self.one)
                        self.one.store(mine - self.scale, self.one.at(block.pointers[1], target))
                with ignored:
                    zero = block.scope.constant(self.dtype, 0.0)
                    block.each_element(lambda i, mask: block.store(1, i, zero, mask))

    def write_row(self, line: Line, target: ir.Value, factor: Vec) -> None:
        """Write a row that counts."""
        line.each(partial(_shrink, line, line.keep(factor * line.whole(self.scale))))
        with self.b.if_then(self.targets.valid(target)):
            place = self.one.at(line.pointers[1], target)
            self.one.store(self.one.load(place, self.dtype) - self.scale, place)

    def clear_row(self, line: Line) -> None:
        """Write a row that does not count."""
        zero = line.scope.constant(self.dtype, 0.0)
        line.each(lambda i, mask: line.store(1, i, zero, mask))


def _exponentials(line: Line, put_by: bool = True) -> tuple[Vec, Vec]:
    """The largest of the scores and the sum of their exponentials, which are put by for the gradient."""
    top = top_of(line, 0)
    shift = line.keep(top)

    def grow(i: ir.Value, mask: ir.Value | None) -> Vec:
        value = decay(line.load(0, i, mask) - shift())
        if put_by:
            line.put_by(1, i, value, mask)
        return value

    return top, line.fold(0.0, add, grow)


def _shrink(line: Line, factor: Callable[..., Vec], i: ir.Value, mask: ir.Value | None) -> None:
    line.store(1, i, line.take_back(1, i, mask) * factor(), mask)


# the kernels ----------------------------------------------------------------------------------------


def build_cross_entropy(symbol: str, dtype: int) -> ir.Module:
    """Mean over the rows that count of ``log(sum(exp(x))) - x[target]``; arrays x, target, y.

    Attributes: the ignored target, the report's address.
    """
    module, arrays, part, _parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    leave_to_one(b, part)
    report = Report.at(arrays, 1)
    leave_unless_fit(arrays, report, dtype)
    rows = arrays.size(0, 0)
    targets = Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
    mean = _Mean(arrays, targets, report)

    def write_block(block: Rows) -> None:
        sums = _BlockMean(mean, block)
        with blocks(block, I64(0), rows, row_pointers(arrays, (0,), dtype)) as first:
            sums.add(first, *_exponentials(block, put_by=False))
        sums.finish()

    def write(scope: Scope, form: str) -> None:
        with one.loop(I64(0), rows) as row:
            target = targets.load(row)
            with b.if_then(targets.counts(target)):
                line = logit_row(arrays, (0,), dtype, row, scope, form)
                mean.add_row(line, target, *_exponentials(line, put_by=False))

    each_form(arrays, dtype, write, write_block)
    mean.write(arrays.pointer(2, dtype), dtype)
    b.ret_void()
    return module


def build_cross_entropy_backward(symbol: str, dtype: int) -> ir.Module:
    """The gradient of the scores: see `_Gradient`."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    gradient = _Gradient(arrays, dtype)
    begin, end = share(one, arrays.size(0, 0), part, parts, 1)

    def write_block(block: Rows) -> None:
        # what a part does need not be whole blocks: a row's gradient is the same in any
        with blocks(block, begin, end, row_pointers(arrays, (0, 4), dtype)) as first:
            _, total = _exponentials(block)
            gradient.write_block(block, first, 1.0 / total)

    def write(scope: Scope, form: str) -> None:
        with one.loop(begin, end) as row:
            target = gradient.targets.load(row)
            # the gradient's rows are contiguous, so array 1 of the line steps by one in either form
            line = logit_row(arrays, (0, 4), dtype, row, scope, form)
            with b.if_else(gradient.targets.counts(target)) as (counted, ignored):
                with counted:
                    _, total = _exponentials(line)
                    gradient.write_row(line, target, 1.0 / total)
                with ignored:
                    gradient.clear_row(line)

    each_form(arrays, dtype, write, write_block, 1)
    b.ret_void()
    return module


def build_cross_entropy_both(symbol: str, dtype: int) -> ir.Module:
    """The mean and its gradient: the exponentials serve both. Arrays and attributes are those of the gradient."""
    module, arrays, part, _parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    leave_to_one(b, part)
    rows = arrays.size(0, 0)
    gradient = _Gradient(arrays, dtype)
    targets = gradient.targets
    mean = _Mean(arrays, targets, Report.at(arrays, 1))

    def write_block(block: Rows) -> None:
        sums = _BlockMean(mean, block)
        with blocks(block, I64(0), rows, row_pointers(arrays, (0, 4), dtype)) as first:
            top, total = _exponentials(block)
            sums.add(first, top, total)
            gradient.write_block(block, first, 1.0 / total)
        sums.finish()

    def write(scope: Scope, form: str) -> None:
        with one.loop(I64(0), rows) as row:
            target = targets.load(row)
            line = logit_row(arrays, (0, 4), dtype, row, scope, form)
            with b.if_else(targets.counts(target)) as (counted, ignored):
                with counted:
                    top, total = _exponentials(line)
                    mean.add_row(line, target, top, total)
                    gradient.write_row(line, target, 1.0 / total)
                with ignored:
                    gradient.clear_row(line)

    each_form(arrays, dtype, write, write_block, 1)
    mean.write(arrays.pointer(2, dtype), dtype, gradient.counted)
    b.ret_void()
    return module


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
    both=build_cross_entropy_both,
    gradients={"x": ("x", "target")},
    vjp={"x": vjps.cross_entropy_x},
    operand_dtypes={"target": abi.INT64},
    rule=SCALAR,
    reference=reference_cross_entropy,
    grad_name="CrossEntropyMean",
    batch=Batch({"x": 0}, ("target", "g"), attributes=_some_rows),
)
