"""Cross-entropy of class scores whose classes have weights, or whose targets are smoothed: the mean, or the sum.

With weights w of C classes, W their sum, and smoothing e, the loss of a row x with target t is

    (1 - e) w[t] (lse(x) - x[t]) + e / C (W lse(x) - sum(w x)),        lse(x) = log(sum(exp(x))),

as in Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016), with weights. The mean is
their sum over the sum of w[t]. Rows with the ignored target count for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from llvmlite import ir

from . import abi, vjps
from .batch import Batch, Strip
from .class_losses import ClassLoss, build_backward, build_both, build_loss
from .class_rows import BlockTargets, Targets
from .formula import log
from .math_core import outlined
from .operands import Arrays, Line
from .reports import accumulate
from .rows_beside import Rows
from .softmax import add
from .stage import F64, I64, MASK, Scope, Vec
from .table import CLASSES, SCALAR, array_op

WEIGHT, G = 2, 4  # arrays x, target, weight, y, g, gx
SMOOTHING, IS_MEAN, FIRST_ROW = 2, 3, 4  # attributes behind those of every class loss


class _Weights:
    """The weights of the classes, 1 where the operand is absent."""

    def __init__(self, arrays: Arrays, dtype: int) -> None:
        self.b, self.one, self.dtype = arrays.b, arrays.scope, dtype
        self.present = arrays.present(WEIGHT)
        # where there are none the first row of scores is looked at and not read, which is slow at an invalid address
        self.pointer = self.b.select(self.present, *(arrays.pointer(k, dtype) for k in (WEIGHT, 0)))
        self.stride = self.b.select(self.present, arrays.stride(WEIGHT, 0), I64(0))
        one, zero = (self.one.constant(dtype, value).value for value in (1.0, 0.0))
        self._otherwise = self.b.select(self.present, zero, one)

    def load(self, scope: Scope, i: ir.Value, mask: ir.Value | None, near: bool) -> Vec:
        """Those of the classes from `i` on, contiguous if `near`."""
        there = scope.splat(self.present, MASK)
        mask = (there if mask is None else there & Vec(scope, mask, MASK)).value
        if near:
            return self._or_one(scope.load(scope.at(self.pointer, i), self.dtype, mask))
        place = scope.at(self.pointer, self.b.mul(i, self.stride))
        return self._or_one(scope.gather(place, self.stride, self.dtype, mask))

    def of(self, target: ir.Value, known: ir.Value | None = None) -> Vec:
        """That of one class; 0 or 1 if it is not `known`."""
        return self.load(self.one, target, known, near=False)

    def of_lanes(self, targets: BlockTargets) -> Vec:
        """Those of the targets of a block of rows, 0 or 1 where one is not known."""
        scope = targets.known.scope
        there = targets.known & scope.splat(self.present, MASK)
        places = targets.target * scope.splat(self.stride, abi.INT64)
        return self._or_one(scope.gather_at(self.pointer, places, self.dtype, there.value))

    def _or_one(self, found: Vec) -> Vec:
        return found + found.scope.splat(self._otherwise, self.dtype)

    def total(self, classes: ir.Value) -> Vec:
        """The sum over all classes, a float64."""
        start = self.one.constant(abi.FLOAT64, 0.0)
        with self.one.carried(I64(0), classes, 1, [start]) as (i, (before,), carry):
            carry.next(before + self.of(i).to(abi.FLOAT64))
        return carry.final[0]

    def total_of(self, targets: Targets, rows: ir.Value) -> ir.Value:
        """The sum over the targets of all rows that count, a float64."""
        b, total = self.b, self.one.variable(F64)
        b.store(F64(0.0), total)
        with self.one.loop(I64(0), rows) as row:
            target = targets.load(row)
            with b.if_then(b.and_(targets.counts(target), targets.valid(target))):
                accumulate(b, total, self.of(target))
        return b.load(total)


class _Shares:
    """What the target and all classes have of a row's loss, as float64."""

    def __init__(self, arrays: Arrays, dtype: int) -> None:
        self.b, self.weights = arrays.b, _Weights(arrays, dtype)
        one, classes = arrays.scope, arrays.size(0, 1)
        smoothing = arrays.number(SMOOTHING)
        self.is_smooth = (smoothing > 0.0).value
        self.of_class = smoothing / Vec(one, self.b.sitofp(classes, F64), abi.FLOAT64)  # of one of weight 1
        self._of_target = 1.0 - smoothing
        self._of_all = self.of_class * self.weights.total(classes)
        self._is_mean = self.b.icmp_signed("!=", arrays.word(IS_MEAN), I64(0))

    def divisor(self, targets: Targets, rows: ir.Value) -> ir.Value:
        """What the sum of the rows' losses is divided by: nan if that is 0."""
        total = self.weights.total_of(targets, rows)
        total = self.b.select(self.b.fcmp_unordered("==", total, F64(0.0)), F64(math.nan), total)
        return self.b.select(self._is_mean, total, F64(1.0))

    def of_target(self, weight: Vec) -> Vec:
        """The target's own share, by its weight."""
        return weight.to(abi.FLOAT64) * self._of_target

    def together(self, weight: Vec) -> Vec:
        """All shares of a row, by the weight of its target."""
        return self.of_target(weight) + self._of_all


# the loss -------------------------------------------------------------------------------------------


class _Loss:
    """The loss in the making."""

    def __init__(self, arrays: Arrays, targets: Targets, dtype: int) -> None:
        self.shares, self.targets, self.arrays, self.dtype = _Shares(arrays, dtype), targets, arrays, dtype
        self.b, self.one = arrays.b, arrays.scope
        self.total = self.one.variable(F64)
        self.b.store(F64(0.0), self.total)

    def add_row(self, line: Line, target: ir.Value, own: Vec, top: Vec, total: Vec) -> None:
        """See `class_losses.Sum`."""
        below = line.first(self.below(line, top))
        weight = self.shares.weights.of(target)
        accumulate(self.b, self.total, self.value(weight, own, below, line.first(top), line.first(total)))

    def value(self, weight: Vec, own: Vec, below: Vec, top: Vec, total: Vec) -> Vec:
        """The losses of rows by the weights and scores of their targets; float64."""
        shares, grown = self.shares, [total.to(abi.FLOAT64)]
        (height,) = outlined("logarithms", lambda x: [log(x)], grown, [abi.FLOAT64])
        value = shares.of_target(weight) * (top - own).to(abi.FLOAT64)
        value = value + below.to(abi.FLOAT64) * shares.of_class
        return value + shares.together(weight) * height

    def below(self, line: Line, top: Vec) -> Vec:
        """By how much the scores fall short of the largest one, times the weights; 0 if targets are not smoothed."""
        shift, weights = line.keep(top), self.shares.weights
        found = line.scope.variable(top.value.type)
        self.b.store(line.scope.constant(self.dtype, 0.0).value, found)

        def element(i: ir.Value, mask: ir.Value | None) -> Vec:
            weight = weights.load(line.scope, i, mask, line.near)
            return weight * (shift() - line.load(0, i, mask))

        with self.b.if_then(self.shares.is_smooth):  # a score of minus infinity counts only then
            self.b.store(line.fold(0.0, add, element).value, found)
        return Vec(top.scope, self.b.load(found), self.dtype)

    def of_blocks(self, block: Rows) -> _BlockLoss:
        """See `class_losses.Sum`."""
        return _BlockLoss(self, block)

    def spoil(self) -> None:
        """See `class_losses.Sum`."""
        self.b.store(F64(math.nan), self.total)

    def write(self, out: ir.Value, divisor: ir.Value | None = None) -> None:
        """See `class_losses.Sum`."""
        divisor = divisor or self.shares.divisor(self.targets, self.arrays.size(1, 0))
        loss = self.b.fdiv(self.b.load(self.total), divisor)
        self.one.store(Vec(self.one, loss, abi.FLOAT64).to(self.dtype), out)


class _BlockLoss:
    """What blocks of rows add to a loss: each lane has a sum of its own."""

    def __init__(self, loss: _Loss, block: Rows) -> None:
        self.loss, self.block, self.b = loss, block, block.b
        zero = block.scope.constant(abi.FLOAT64, 0.0).value
        self._sums = block.scope.variable(zero.type)
        self.b.store(zero, self._sums)

    def add(self, targets: BlockTargets, own: Vec, top: Vec, total: Vec) -> None:
        """See `class_losses.BlockSum`."""
        loss = self.loss
        weight = loss.shares.weights.of_lanes(targets)
        value = loss.value(weight, own, loss.below(self.block, top), top, total)
        self.b.store((self._loaded() + targets.known.select(value, 0.0)).value, self._sums)

    def finish(self) -> None:
        """See `class_losses.BlockSum`."""
        accumulate(self.b, self.loss.total, self._loaded().reduce(add))

    def _loaded(self) -> Vec:
        return Vec(self.block.scope, self.b.load(self._sums), abi.FLOAT64)


# the gradient ---------------------------------------------------------------------------------------


class _Gradient:
    """The gradient of a row: ``together softmax(x) - of_target onehot(target) - of_class w``, times g / divisor.

    All targets are here, because their weights are added up, also where x has some of the batch's rows only.
    """

    def __init__(self, arrays: Arrays, dtype: int) -> None:
        self.b, self.one, self.dtype = arrays.b, arrays.scope, dtype
        self.shares = _Shares(arrays, dtype)
        all_targets = Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
        self.divisor = self.shares.divisor(all_targets, arrays.size(1, 0))
        self.targets = all_targets.beginning_at(arrays.word(FIRST_ROW))
        g = self.one.load(arrays.pointer(G, dtype), dtype).to(abi.FLOAT64)
        self._scale = g / Vec(self.one, self.divisor, abi.FLOAT64)
        self._of_class = (self.shares.of_class * self._scale).to(dtype)

    def factors(self, block: Rows, first: ir.Value, inverse: Vec) -> Vec:
        """See `class_losses.Gradient`."""
        weight = self.shares.weights.of_lanes(BlockTargets(self.targets, block, first))
        return inverse * self._share(self.shares.together(weight))

    def factor(self, line: Line, target: ir.Value, inverse: Vec) -> Vec:
        """See `class_losses.Gradient`."""
        return inverse * line.whole(self._share(self.shares.together(self._weight(target))))

    def element(self, scope: Scope, grown: Vec, i: ir.Value, mask: ir.Value | None, near: bool) -> Vec:
        """See `class_losses.Gradient`."""
        return grown - self.shares.weights.load(scope, i, mask, near) * self._of_class

    def of_target(self, target: ir.Value) -> Vec:
        """See `class_losses.Gradient`."""
        return self._share(self.shares.of_target(self._weight(target)))

    def _weight(self, target: ir.Value) -> Vec:
        return self.shares.weights.of(target, self.targets.valid(target))

    def _share(self, share: Vec) -> Vec:
        return (share * self._scale).to(self.dtype)


# declarations ---------------------------------------------------------------------------------------


def reference_cross_entropy_weighted(
    x: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    smoothing: float = 0.0,
    mean: bool = True,
    ignore_index: int = -100,
) -> np.ndarray:
    """NumPy's cross-entropy of rows of logits, with weights of classes and smoothed targets."""
    keep = target != ignore_index
    x, target = x[keep], target[keep]
    w = np.ones(x.shape[1], x.dtype) if weight is None else weight
    shifted = x - x.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    own = w[target] * logp[np.arange(len(x)), target]
    total = -((1 - smoothing) * own + smoothing / x.shape[1] * (logp * w).sum(axis=1)).sum()
    return total / w[target].sum() if mean else total


def _some_rows(words: Sequence[int], strip: Strip) -> list[int]:
    return [*words[:FIRST_ROW], words[FIRST_ROW] + strip.first * strip.rows]


def _is_near(arrays: Arrays) -> ir.Value:
    b = arrays.b
    contiguous = b.icmp_signed("==", arrays.stride(WEIGHT, 0), I64(1))
    return b.or_(b.not_(arrays.present(WEIGHT)), contiguous)


_KIND = ClassLoss(3, _Loss, _Gradient, _is_near)
array_op(
    "cross_entropy_weighted",
    ("x", "target", "weight"),
    partial(build_loss, _KIND),
    backward=partial(build_backward, _KIND),
    both=partial(build_both, _KIND),
    gradients={"x": ("x", "target", "weight")},
    vjp={"x": vjps.cross_entropy_weighted_x},
    operand_dtypes={"target": abi.INT64},
    rule=SCALAR,
    reference=reference_cross_entropy_weighted,
    grad_name="CrossEntropyWeighted",
    batch=Batch({"x": 0}, ("target", "weight", "g"), attributes=_some_rows),
    reports=CLASSES,
)
