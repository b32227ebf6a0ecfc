"""Losses of class scores as one number: the kernels that they have in common.

A loss is one kernel forward and one backward: no array in between is stored. They read the logits again on the way back
instead of keeping a softmax: for rows of ten classes that costs less than storing and loading it would through a
second output. Programs that go both ways at once have a third, which takes the exponentials once. The sum is taken in
float64 by one thread, so the result does not depend on the number of threads; the gradients are shared out.

Arrays: x, target, any more operands, y; on the way back also g and gx. Attributes 0 and 1: the ignored target and the
report's address.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from llvmlite import ir

from .class_rows import BlockTargets, Targets, each_form, leave_unless_fit, logit_row, row_pointers
from .math_core import any_lane
from .math_exp import decay
from .nest import share
from .operands import Arrays, Line, array_kernel
from .reports import BAD_TARGET, Report, leave_to_one
from .rows_beside import Rows, blocks
from .softmax import add, top_of
from .stage import I64, Scope, Vec


class BlockSum(Protocol):
    """What blocks of rows add to a loss."""

    def add(self, targets: BlockTargets, own: Vec, top: Vec, total: Vec) -> None:
        """Take in the next block; `own` are the scores of the targets that are known, 0 for the others."""

    def finish(self) -> None:
        """Add what the lanes have."""


class Sum(Protocol):
    """The loss in the making, a row or a block of rows at a time.

    A row comes with its largest score and the sum of the exponentials of the scores less that one.
    """

    def add_row(self, line: Line, target: ir.Value, own: Vec, top: Vec, total: Vec) -> None:
        """Take in a row that counts, and whose target is a class with the score `own`."""

    def of_blocks(self, block: Rows) -> BlockSum:
        """The same for blocks of rows."""

    def spoil(self) -> None:
        """Make it nan."""

    def write(self, out: ir.Value, divisor: ir.Value | None = None) -> None:
        """Store the loss; of some of the rows what they add to that of all, which has this divisor."""


class Gradient(Protocol):
    """The gradient of the scores; also where x has some of the batch's rows only, and all targets are here."""

    targets: Targets  # of the rows that are here
    divisor: ir.Value  # of the sum, a float64

    def factors(self, block: Rows, first: ir.Value, inverse: Vec) -> Vec:
        """By what the exponentials of a block's rows are multiplied; `inverse` of their sums."""

    def factor(self, line: Line, target: ir.Value, inverse: Vec) -> Vec:
        """The same for a row."""

    def element(self, scope: Scope, grown: Vec, i: ir.Value, mask: ir.Value | None, near: bool) -> Vec:
        """The gradient of scores that are not the target's, from the exponentials times the factor.

        `near` where operands beside the scores are contiguous.
        """

    def of_target(self, target: ir.Value) -> Vec:
        """By how much the target's is less."""


class ClassLoss(NamedTuple):
    """How the kernels of a loss differ from those of others."""

    operands: int
    loss: Callable[[Arrays, Targets, int], Sum]
    gradient: Callable[[Arrays, int], Gradient]
    # whether operands beside the scores are contiguous, too
    is_near: Callable[[Arrays], ir.Value] | None = None


def exponentials(line: Line, put_by: bool = True) -> tuple[Vec, Vec]:
    """The largest of the scores and the sum of their exponentials, which are put by for the gradient."""
    top = top_of(line)
    shift = line.keep(top)

    def grow(i: ir.Value, mask: ir.Value | None) -> Vec:
        value = decay(line.load(0, i, mask) - shift())
        if put_by:
            line.put_by(1, i, value, mask)
        return value

    return top, line.fold(0.0, add, grow)


# the loss -------------------------------------------------------------------------------------------


class _Loss:
    """A loss in the making: rows that do not count are left out, and targets that are no class reported."""

    def __init__(self, loss: Sum, targets: Targets, report: Report) -> None:
        self.loss, self.targets, self.report, self.b = loss, targets, report, targets.b

    def add_row(self, line: Line, target: ir.Value, top: Vec, total: Vec) -> None:
        """Take in a row that counts."""
        with self.b.if_else(self.targets.valid(target)) as (good, bad):
            with good:
                place = line.scope.scalar.at(line.pointers[0], self.b.mul(target, line.strides[0]))
                own = line.scope.scalar.load(place, line.dtypes[0])
                self.loss.add_row(line, target, own, top, total)
            with bad:
                self._refuse(target)

    def add_block(self, sums: BlockSum, block: Rows, first: ir.Value, top: Vec, total: Vec) -> None:
        """Take in a block of rows."""
        b, targets = self.b, BlockTargets(self.targets, block, first)
        sums.add(targets, targets.scores(self.targets.arrays, block.dtypes[0]), top, total)
        with b.if_then(any_lane(targets.counted & ~targets.known), likely=False), block.each_row() as k:
            wrong = self.targets.load(b.add(first, k))
            with b.if_then(b.and_(self.targets.counts(wrong), b.not_(self.targets.valid(wrong)))):
                self._refuse(wrong)

    def _refuse(self, target: ir.Value) -> None:
        self.report.write(BAD_TARGET, target)
        self.loss.spoil()


def build_loss(kind: ClassLoss, symbol: str, dtype: int) -> ir.Module:
    """The loss alone."""
    module, arrays, part, _parts = array_kernel(symbol)
    b, one, y = arrays.b, arrays.scope, kind.operands
    leave_to_one(b, part)
    report = Report.at(arrays, 1)
    leave_unless_fit(arrays, report, dtype, y)
    rows = arrays.size(0, 0)
    targets = Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
    made = _Loss(kind.loss(arrays, targets, dtype), targets, report)

    def write_block(block: Rows) -> None:
        sums = made.loss.of_blocks(block)
        with blocks(block, I64(0), rows, row_pointers(arrays, (0,), dtype)) as first:
            made.add_block(sums, block, first, *exponentials(block, put_by=False))
        sums.finish()

    def write(scope: Scope, form: str) -> None:
        with one.loop(I64(0), rows) as row:
            target = targets.load(row)
            with b.if_then(targets.counts(target)):
                line = logit_row(arrays, (0,), dtype, row, scope, form)
                made.add_row(line, target, *exponentials(line, put_by=False))

    each_form(arrays, dtype, write, write_block, is_near=_is_near(kind, arrays))
    made.loss.write(arrays.pointer(y, dtype))
    b.ret_void()
    return module


# the gradient ---------------------------------------------------------------------------------------


def _write_elements(
    gradient: Gradient, line: Line, factor: Callable[..., Vec], i: ir.Value, mask: ir.Value | None
) -> None:
    grown = line.take_back(1, i, mask) * factor()
    line.store(1, i, gradient.element(line.scope, grown, i, mask, line.near), mask)


def _write_row(gradient: Gradient, line: Line, target: ir.Value, inverse: Vec) -> None:
    """Write the gradient of a row that counts, whose exponentials are put by."""
    b, one, targets = line.b, line.scope.scalar, gradient.targets
    line.each(partial(_write_elements, gradient, line, line.keep(gradient.factor(line, target, inverse))))
    with b.if_then(targets.valid(target)):
        place = one.at(line.pointers[1], target)
        one.store(one.load(place, line.dtypes[1]) - gradient.of_target(target), place)


def _write_block(gradient: Gradient, block: Rows, first: ir.Value, inverse: Vec) -> None:
    """Write the gradient of a block's rows, whose exponentials are put by."""
    b, one, targets = block.b, block.one, gradient.targets
    kept = block.keep(gradient.factors(block, first, inverse))
    with block.each_row() as k:
        target = targets.load(b.add(first, k))
        with b.if_else(targets.counts(target)) as (counted, ignored):
            with counted:
                block.each_element(partial(_write_elements, gradient, block, kept))
                with b.if_then(targets.valid(target)):
                    # read from where whole vectors were put by: the row's own stores are not done yet
                    grown = Vec(one, b.load(block.place_by(target)), block.dtypes[1]) * kept(one)
                    mine = gradient.element(one, grown, target, None, near=False)
                    one.store(mine - gradient.of_target(target), one.at(block.pointers[1], target))
            with ignored:
                zero = block.scope.constant(block.dtypes[1], 0.0)
                block.each_element(lambda i, mask: block.store(1, i, zero, mask))


def _clear_row(line: Line) -> None:
    """Write the gradient of a row that does not count."""
    zero = line.scope.constant(line.dtypes[1], 0.0)
    line.each(lambda i, mask: line.store(1, i, zero, mask))


def build_backward(kind: ClassLoss, symbol: str, dtype: int) -> ir.Module:
    """The gradient of the scores."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one, gx = arrays.b, arrays.scope, kind.operands + 2
    gradient = kind.gradient(arrays, dtype)
    begin, end = share(one, arrays.size(0, 0), part, parts, 1)

    def write_block(block: Rows) -> None:
        # what a part does need not be whole blocks: a row's gradient is the same in any
        with blocks(block, begin, end, row_pointers(arrays, (0, gx), dtype)) as first:
            _, total = exponentials(block)
            _write_block(gradient, block, first, 1.0 / total)

    def write(scope: Scope, form: str) -> None:
        with one.loop(begin, end) as row:
            target = gradient.targets.load(row)
            # the gradient's rows are contiguous, so array 1 of the line steps by one in either form
            line = logit_row(arrays, (0, gx), dtype, row, scope, form)
            with b.if_else(gradient.targets.counts(target)) as (counted, ignored):
                with counted:
                    _, total = exponentials(line)
                    _write_row(gradient, line, target, 1.0 / total)
                with ignored:
                    _clear_row(line)

    each_form(arrays, dtype, write, write_block, 1, is_near=_is_near(kind, arrays))
    b.ret_void()
    return module


# both -----------------------------------------------------------------------------------------------


def build_both(kind: ClassLoss, symbol: str, dtype: int) -> ir.Module:
    """The loss and its gradient: the exponentials serve both. Arrays and attributes are those of the gradient."""
    module, arrays, part, _parts = array_kernel(symbol)
    b, one, y, gx = arrays.b, arrays.scope, kind.operands, kind.operands + 2
    leave_to_one(b, part)
    rows = arrays.size(0, 0)
    gradient = kind.gradient(arrays, dtype)
    targets = gradient.targets
    report = Report.at(arrays, 1)
    made = _Loss(kind.loss(arrays, targets, dtype), targets, report)

    def write_block(block: Rows) -> None:
        sums = made.loss.of_blocks(block)
        with blocks(block, I64(0), rows, row_pointers(arrays, (0, gx), dtype)) as first:
            top, total = exponentials(block)
            made.add_block(sums, block, first, top, total)
            _write_block(gradient, block, first, 1.0 / total)
        sums.finish()

    def write(scope: Scope, form: str) -> None:
        with one.loop(I64(0), rows) as row:
            target = targets.load(row)
            line = logit_row(arrays, (0, gx), dtype, row, scope, form)
            with b.if_else(targets.counts(target)) as (counted, ignored):
                with counted:
                    top, total = exponentials(line)
                    made.add_row(line, target, top, total)
                    _write_row(gradient, line, target, 1.0 / total)
                with ignored:
                    _clear_row(line)

    each_form(arrays, dtype, write, write_block, 1, is_near=_is_near(kind, arrays))
    made.loss.write(arrays.pointer(y, dtype), gradient.divisor)
    b.ret_void()
    return module


def _is_near(kind: ClassLoss, arrays: Arrays) -> ir.Value | None:
    return None if kind.is_near is None else kind.is_near(arrays)
