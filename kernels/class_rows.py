"""Class scores and their targets, row by row: what the losses of classes have in common."""

from __future__ import annotations

import math
from copy import copy

from llvmlite import ir

from . import abi
from .host import host
from .operands import Arrays, Line
from .reports import BAD_SHAPES, Report
from .rows_beside import Rows, short_rows
from .stage import I64, MASK, Scope, Vec


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


class BlockTargets:
    """The targets of a block of rows, one a lane.

    Attributes
    ----------
    rows, target : Vec
        The numbers of the rows, and their targets.
    counted, known : Vec
        Which rows count, and which of them have a target that is a class.
    """

    def __init__(self, targets: Targets, block: Rows, first: ir.Value) -> None:
        scope = block.scope
        inside = Vec(scope, scope.tail_mask(block.count), MASK)
        self.rows = scope.iota() + scope.splat(first, abi.INT64)
        self.target = target = targets.lanes(scope, first, inside)
        self.counted = inside & (target != targets.ignored_lanes(scope))
        self.known = self.counted & (target >= 0) & (target < targets.class_lanes(scope))

    def scores(self, arrays: Arrays, dtype: int) -> Vec:
        """The scores, array 0, of the targets that are known; 0 for the others."""
        scope = self.rows.scope
        places = self.rows * scope.splat(arrays.stride(0, 0), abi.INT64) + self.target
        return scope.gather_at(arrays.pointer(0, dtype), places, dtype, self.known.value)


def logit_row(
    arrays: Arrays, ks: tuple[int, ...], dtype: int, row: ir.Value, scope: Scope, form: str
) -> Line:
    """Row `row` of the matrices `ks` as a line."""
    b = arrays.b
    pointers = [scope.at(arrays.pointer(k, dtype), b.mul(row, arrays.stride(k, 0))) for k in ks]
    strides = [arrays.stride(k, 1) for k in ks]
    return Line(scope, arrays.size(0, 1), pointers, strides, [dtype] * len(ks), form)


def leave_unless_fit(arrays: Arrays, report: Report, dtype: int, y: int = 2) -> None:
    """Report operands that are no matrix of scores with a target for each row; their loss, array `y`, is nan then."""
    b, one = arrays.b, arrays.scope
    two, single = (b.icmp_signed("==", arrays.dims(k), I64(n)) for k, n in ((0, 2), (1, 1)))
    fits = b.and_(b.and_(two, single), b.icmp_signed("==", arrays.size(0, 0), arrays.size(1, 0)))
    with b.if_then(b.not_(fits)):
        report.write(BAD_SHAPES, I64(0))
        one.store(one.constant(dtype, math.nan), arrays.pointer(y, dtype))
        b.ret_void()


def each_form(
    arrays: Arrays, dtype: int, write, write_block, others: int = 0, is_near: ir.Value | None = None
) -> None:
    """Call ``write(scope, form)`` for logits whose rows are contiguous, if `is_near` too, and for others.

    Short contiguous rows go to ``write_block(rows)``, for as many arrays as the logits and `others` are.
    """
    b = arrays.b
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    classes = arrays.size(0, 1)
    near = b.or_(b.icmp_signed("==", arrays.stride(0, 1), I64(1)), b.icmp_signed("<=", classes, I64(1)))
    near = near if is_near is None else b.and_(near, is_near)
    with b.if_else(near) as (unit, far):
        with unit:
            short_rows(
                b, classes, [dtype] * (1 + others), write_block, lambda: write(Scope(b, lanes), "unit")
            )
        with far:
            write(Scope(b, lanes if host().vector_bytes == 64 else 1), "far")


def row_pointers(arrays: Arrays, ks: tuple[int, ...], dtype: int):
    """The pointers to a row of each of several matrices, as `blocks` wants them."""
    b, one = arrays.b, arrays.scope
    starts = [(arrays.pointer(k, dtype), arrays.stride(k, 0)) for k in ks]
    return lambda row: [one.at(pointer, b.mul(row, stride)) for pointer, stride in starts]
