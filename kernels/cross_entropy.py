"""Cross-entropy of class scores: the mean over the rows, of one weight each."""

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
from .math_core import any_lane, outlined
from .operands import Arrays, Line
from .reports import accumulate
from .rows_beside import Rows
from .softmax import add
from .stage import F64, I64, Scope, Vec
from .table import CLASSES, SCALAR, array_op

LARGE_PRODUCT = 2.0**900  # a factor of up to 2**64 more still fits into a float64


# the mean -------------------------------------------------------------------------------------------


class _Mean:
    """The mean of the rows' losses in the making, a row or a block of rows at a time.

    A row's loss is its largest score and the logarithm of a factor, less the score of its target. A logarithm of a
    product is a sum of logarithms: one serves many rows. Each factor, a sum of exponentials of which the largest is
    1, is from 1 to the number of classes, so many fit into a float64.
    """

    def __init__(self, arrays: Arrays, targets: Targets, dtype: int) -> None:
        self.dtype = dtype
        self.b, self.one = arrays.b, arrays.scope
        self.total, self.product = self.one.variable(F64), self.one.variable(F64)
        self.count = self.one.variable(I64)
        for cell, value in ((self.total, F64(0.0)), (self.product, F64(1.0)), (self.count, I64(0))):
            self.b.store(value, cell)

    def add_row(self, line: Line, target: ir.Value, own: Vec, top: Vec, total: Vec) -> None:
        """See `class_losses.Sum`."""
        b = self.b
        b.store(b.add(b.load(self.count), I64(1)), self.count)
        accumulate(b, self.total, line.first(top) - own)
        grown = b.fmul(b.load(self.product), line.first(total).to(abi.FLOAT64).value)
        b.store(grown, self.product)
        with b.if_then(b.fcmp_ordered(">", grown, F64(LARGE_PRODUCT))):
            self._take_logarithm()

    def spoil(self) -> None:
        """See `class_losses.Sum`."""
        self.b.store(F64(math.nan), self.total)

    def _take_logarithm(self) -> None:
        accumulate(self.b, self.total, log(Vec(self.one, self.b.load(self.product), abi.FLOAT64)))
        self.b.store(F64(1.0), self.product)

    def of_blocks(self, block: Rows) -> _BlockMean:
        """See `class_losses.Sum`."""
        return _BlockMean(self, block)

    def write(self, out: ir.Value, divisor: ir.Value | None = None) -> None:
        """See `class_losses.Sum`."""
        self._take_logarithm()
        b = self.b
        mean = b.fdiv(b.load(self.total), divisor or b.sitofp(b.load(self.count), F64))
        self.one.store(Vec(self.one, mean, abi.FLOAT64).to(self.dtype), out)


class _BlockMean:
    """What blocks of rows add to a mean: each lane has a sum and a product of its own."""

    def __init__(self, mean: _Mean, block: Rows) -> None:
        self.mean, self.block, self.b = mean, block, block.b
        scope = block.scope
        zero, self._unit = (scope.constant(abi.FLOAT64, value) for value in (0.0, 1.0))
        self._sums, self._products = (scope.variable(zero.value.type) for _ in range(2))
        self.b.store(zero.value, self._sums)
        self.b.store(self._unit.value, self._products)

    def add(self, targets: BlockTargets, own: Vec, top: Vec, total: Vec) -> None:
        """See `class_losses.BlockSum`."""
        mean, b, scope, known = self.mean, self.b, self.block.scope, targets.known
        loss = known.select(top - own, 0.0).to(abi.FLOAT64)
        b.store((self._loaded(self._sums) + loss).value, self._sums)
        grown = self._loaded(self._products) * known.select(total, 1.0).to(abi.FLOAT64)
        b.store(grown.value, self._products)
        with b.if_then(any_lane(grown > LARGE_PRODUCT)):
            self._take_logarithms()
        found = targets.counted.select(scope.constant(abi.INT64, 1), 0).reduce(add)
        b.store(b.add(b.load(mean.count), found.value), mean.count)

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
        self.b, self.one = arrays.b, arrays.scope
        all_targets = Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
        self.divisor = self.b.sitofp(all_targets.total(arrays.size(1, 0)), F64)
        self.targets = all_targets.beginning_at(arrays.word(2))
        g = self.one.load(arrays.pointer(3, dtype), dtype).to(abi.FLOAT64)
        self.scale = (g / Vec(self.one, self.divisor, abi.FLOAT64)).to(dtype)

    def factors(self, block: Rows, first: ir.Value, inverse: Vec) -> Vec:
        """See `class_losses.Gradient`."""
        return inverse * self.scale

    def factor(self, line: Line, target: ir.Value, inverse: Vec) -> Vec:
        """See `class_losses.Gradient`."""
        return inverse * line.whole(self.scale)

    def element(self, scope: Scope, grown: Vec, i: ir.Value, mask: ir.Value | None, near: bool) -> Vec:
        """See `class_losses.Gradient`."""
        return grown

    def of_target(self, target: ir.Value) -> Vec:
        """See `class_losses.Gradient`."""
        return self.scale


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


_KIND = ClassLoss(2, _Mean, _Gradient)
array_op(
    "cross_entropy_mean",
    ("x", "target"),
    partial(build_loss, _KIND),
    backward=partial(build_backward, _KIND),
    both=partial(build_both, _KIND),
    gradients={"x": ("x", "target")},
    vjp={"x": vjps.cross_entropy_x},
    operand_dtypes={"target": abi.INT64},
    rule=SCALAR,
    reference=reference_cross_entropy,
    grad_name="CrossEntropyMean",
    batch=Batch({"x": 0}, ("target", "g"), attributes=_some_rows),
    reports=CLASSES,
)
