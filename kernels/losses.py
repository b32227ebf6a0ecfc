"""Losses that are one number, each one kernel forward and one backward: no array in between is stored.

A kernel cannot raise. What only the data can tell (a target that is no class) it reports in a cell of memory
whose address is an attribute, and makes the result NaN, so that it shows also where nobody looks at the cell.
Sums over elements are taken in float32 or float64 lanes by blocks, and over blocks in float64; one thread
takes all of a sum, so the result does not depend on the number of threads. The gradients are shared out.

Cross-entropy reads the logits again on the way back instead of keeping a softmax: for rows of ten classes
that costs less than storing and loading it would through a second output.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from . import abi
from .formula import exp, log
from .host import host
from .nest import share, spread
from .operands import Arrays, Line, each_line
from .softmax import add, top_of
from .stage import F64, I64, Scope, Vec, new_kernel, new_module
from .table import DROP_LAST, SCALAR, array_op

BLOCK_VECTORS = 512  # vectors summed before their total goes into the float64 sum
LARGE_PRODUCT = 2.0**900  # a factor of up to 2**64 more still fits into a float64
CHAINS = 4  # sums side by side: one addition waits for the one before it, four do not

# what a kernel may report in its cell
FINE, BAD_SHAPES, BAD_TARGET = 0, 1, 2  # BAD_TARGET: the target itself stands in the next word


class Report(NamedTuple):
    """The cell in which a kernel reports what is wrong with its operands."""

    scope: Scope
    pointer: ir.Value

    @classmethod
    def at(cls, arrays: Arrays, index: int) -> Report:
        """The cell whose address is attribute `index`."""
        return cls(arrays.scope, arrays.scope.pointer(arrays.word(index), abi.INT64))

    def write(self, what: int, value: ir.Value) -> None:
        """Report `what`, with a number."""
        b = self.scope.b
        b.store(I64(what), self.pointer)
        b.store(value, self.scope.at(self.pointer, 1))


# mean squared error -------------------------------------------------------------------------------


def same_shape(arrays: Arrays, j: int, k: int) -> ir.Value:
    """Whether two arrays have one shape, as a bit."""
    b, one = arrays.b, arrays.scope
    same = one.variable(ir.IntType(1))
    b.store(b.icmp_signed("==", arrays.dims(j), arrays.dims(k)), same)
    with one.loop(I64(0), arrays.dims(j)) as d:
        equal = b.icmp_signed("==", arrays.size(j, d), arrays.size(k, d))
        b.store(b.and_(b.load(same), equal), same)
    return b.load(same)


def contiguous(arrays: Arrays, ks: tuple[int, ...]) -> ir.Value:
    """Whether all these arrays lie in row-major order without gaps, as a bit."""
    b, one = arrays.b, arrays.scope
    bit = one.variable(ir.IntType(1))
    step = one.variable(I64)
    b.store(ir.IntType(1)(1), bit)
    b.store(I64(1), step)
    dims = arrays.dims(ks[0])
    with one.loop(I64(0), dims) as back:
        d = b.sub(b.sub(dims, I64(1)), back)
        size = arrays.size(ks[0], d)
        for k in ks:
            fits = b.icmp_signed("==", arrays.stride(k, d), b.load(step))
            fits = b.or_(fits, b.icmp_signed("==", size, I64(1)))
            b.store(b.and_(b.load(bit), fits), bit)
        b.store(b.mul(b.load(step), size), step)
    return b.load(bit)


def _last_dim(arrays: Arrays, k: int) -> ir.Value:
    last = arrays.b.sub(arrays.dims(k), I64(1))
    return arrays.b.select(arrays.b.icmp_signed("<", last, I64(0)), I64(0), last)


def _accumulate(b: ir.IRBuilder, cell: ir.Value, value: Vec) -> None:
    b.store(b.fadd(b.load(cell), value.to(abi.FLOAT64).value), cell)


def build_mse(symbol: str, dtype: int) -> ir.Module:
    """``mean((x - t) ** 2)``; arrays x, t, y; attribute 0 is the report's address."""
    module = new_module(symbol)
    b, record, part, _parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    one = arrays.scope
    with b.if_then(b.icmp_signed("!=", part, I64(0))):
        b.ret_void()
    out = arrays.pointer(2, dtype)
    fits = same_shape(arrays, 0, 1)
    with b.if_then(b.not_(fits)):
        Report.at(arrays, 0).write(BAD_SHAPES, I64(0))
        one.store(one.constant(dtype, math.nan), out)
        b.ret_void()
    total = one.variable(F64)
    b.store(F64(0.0), total)
    numel = arrays.numel(0)
    with b.if_else(contiguous(arrays, (0, 1))) as (flat, other):
        with flat:
            _sum_squares(arrays, dtype, numel, total)
        with other:

            def body(line: Line) -> None:
                def square(i, mask):
                    d = line.load(0, i, mask) - line.load(1, i, mask)
                    return d * d

                value = line.fold(0.0, add, square)
                # lines side by side: the lanes outside the mask have added zeros to zeros
                _accumulate(b, total, value.reduce(add) if line.beside else line.first(value))

            each_line(arrays, (0, 1), [dtype] * 2, _last_dim(arrays, 0), (I64(0), I64(1)), body)
    mean = b.fdiv(b.load(total), b.sitofp(numel, F64))
    one.store(Vec(one, mean, abi.FLOAT64).to(dtype), out)
    b.ret_void()
    return module


def _sum_squares(arrays: Arrays, dtype: int, numel: ir.Value, total: ir.Value) -> None:
    """Add the squared differences of two contiguous arrays to a float64 cell, block by block."""
    b = arrays.b
    x, t = arrays.pointer(0, dtype), arrays.pointer(1, dtype)
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    wide = Scope(b, lanes)
    zero = wide.constant(dtype, 0.0)
    turn = lanes * CHAINS

    def square(scope: Scope, i: ir.Value, mask: ir.Value | None) -> Vec:
        d = scope.load(scope.at(x, i), dtype, mask) - scope.load(scope.at(t, i), dtype, mask)
        return d * d

    whole = b.and_(numel, I64(-turn))
    with wide.loop(I64(0), whole, lanes * BLOCK_VECTORS) as start:
        stop = b.add(start, I64(lanes * BLOCK_VECTORS))
        stop = b.select(b.icmp_signed("<", stop, whole), stop, whole)
        with wide.carried(start, stop, turn, [zero] * CHAINS) as (i, sums, carry):
            places = [b.add(i, I64(c * lanes)) for c in range(CHAINS)]
            carry.next(*(s + square(wide, p, None) for s, p in zip(sums, places, strict=True)))
        w, u, v, z = carry.final
        _accumulate(b, total, ((w + u) + (v + z)).reduce(add))

    def rest(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        _accumulate(b, total, square(scope, i, mask).reduce(add))

    spread(b, lanes, whole, numel, rest)


def build_mse_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = 2 (x - t) g / n``, ``gt = -gx``; arrays x, t, y, g, gx, gt."""
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    one = arrays.scope
    numel = arrays.numel(0)
    count = Vec(one, b.sitofp(numel, F64), abi.FLOAT64)
    scale = one.constant(abi.FLOAT64, 2.0) * one.load(arrays.pointer(3, dtype), dtype).to(abi.FLOAT64) / count
    scale = scale.to(dtype)
    lanes = host().lanes(abi.ITEM_SIZES[dtype])

    def flat(target: int, factor: Vec) -> None:
        x, t, out = (arrays.pointer(k, dtype) for k in (0, 1, target))

        def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            d = scope.load(scope.at(x, i), dtype, mask) - scope.load(scope.at(t, i), dtype, mask)
            scope.store(d * scope.splat(factor.value, dtype), scope.at(out, i), mask)

        begin, end = share(one, numel, part, parts, 64)
        spread(b, lanes, begin, end, body)

    def lines(target: int, factor: Vec) -> None:
        def body(line: Line) -> None:
            def write(i, mask):
                d = line.load(0, i, mask) - line.load(1, i, mask)
                line.store(2, i, d * line.whole(factor), mask)

            line.each(write)

        each_line(arrays, (0, 1, target), [dtype] * 3, _last_dim(arrays, 0), (part, parts), body)

    plain = contiguous(arrays, (0, 1))
    for target, factor in ((4, scale), (5, -scale)):
        with b.if_then(arrays.present(target)), b.if_else(plain) as (near, far):
            with near:
                flat(target, factor)
            with far:
                lines(target, factor)
    b.ret_void()
    return module


# cross-entropy ------------------------------------------------------------------------------------


class _Targets:
    """The targets of cross-entropy, one a row."""

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


def _forms(arrays: Arrays, dtype: int, write) -> None:
    """Call ``write(scope, form)`` for logits whose rows are contiguous, and for others."""
    b = arrays.b
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    classes = arrays.size(0, 1)
    near = b.or_(b.icmp_signed("==", arrays.stride(0, 1), I64(1)), b.icmp_signed("<=", classes, I64(1)))
    with b.if_else(near) as (unit, far):
        with unit:
            write(Scope(b, lanes), "unit")
        with far:
            write(Scope(b, lanes if host().vector_bytes == 64 else 1), "far")


def build_cross_entropy(symbol: str, dtype: int) -> ir.Module:
    """Mean over the rows that count of ``log(sum(exp(x))) - x[target]``; arrays x, target, y.

    Attributes: the ignored target, the report's address.
    """
    module = new_module(symbol)
    b, record, part, _parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    one = arrays.scope
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
    targets = _Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
    total, product, count = one.variable(F64), one.variable(F64), one.variable(I64)
    b.store(F64(0.0), total)
    b.store(F64(1.0), product)
    b.store(I64(0), count)

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

    _forms(arrays, dtype, write)
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
    factor = line.first(line.fold(0.0, add, lambda i, mask: exp(line.load(0, i, mask) - top)))
    place = one.at(line.pointers[0], b.mul(target, line.strides[0]))
    _accumulate(b, total, line.first(top) - one.load(place, line.dtypes[0]))
    grown = b.fmul(b.load(product), factor.to(abi.FLOAT64).value)
    b.store(grown, product)
    with b.if_then(b.fcmp_ordered(">", grown, F64(LARGE_PRODUCT))):
        _take_logarithm(one, product, total)


def _take_logarithm(one: Scope, product: ir.Value, total: ir.Value) -> None:
    _accumulate(one.b, total, log(Vec(one, one.b.load(product), abi.FLOAT64)))
    one.b.store(F64(1.0), product)


def build_cross_entropy_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = (softmax(x) - onehot(target)) g / count``, 0 for ignored rows; arrays x, target, y, g, gx, -."""
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    one = arrays.scope
    rows = arrays.size(0, 0)
    targets = _Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))
    count = Vec(one, b.sitofp(targets.total(rows), F64), abi.FLOAT64)
    scale = (one.load(arrays.pointer(3, dtype), dtype).to(abi.FLOAT64) / count).to(dtype)
    begin, end = share(one, rows, part, parts, 1)

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

    _forms(arrays, dtype, write)
    b.ret_void()
    return module


def _row_gradient(line: Line, scale: Vec) -> None:
    """Write ``softmax(x) * scale``: array 0 is the logits, array 1 the result."""
    top = top_of(line, 0)

    def grow(i, mask):
        value = exp(line.load(0, i, mask) - top)
        line.store(1, i, value, mask)
        return value

    factor = line.whole(scale) / line.fold(0.0, add, grow)
    line.each(lambda i, mask: line.store(1, i, line.load(1, i, mask) * factor, mask))


# negative log likelihood, row by row ----------------------------------------------------------------


def build_nll(symbol: str, dtype: int) -> ir.Module:
    """``y[n] = -logp[n, target[n]]``; arrays logp, target, y; attribute 0 is the report's address."""
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    one = arrays.scope
    rows = arrays.size(0, 0)
    targets = _Targets(arrays, 1, I64(0), arrays.size(0, 1))
    source, out = arrays.pointer(0, dtype), arrays.pointer(2, dtype)
    begin, end = share(one, rows, part, parts, 64)
    with one.loop(begin, end) as row:
        target = targets.load(row)
        place = one.at(out, row)
        with b.if_else(targets.valid(target)) as (good, bad):
            with good:
                at = b.add(b.mul(row, arrays.stride(0, 0)), b.mul(target, arrays.stride(0, 1)))
                one.store(-one.load(one.at(source, at), dtype), place)
            with bad:
                Report.at(arrays, 0).write(BAD_TARGET, target)
                one.store(one.constant(dtype, math.nan), place)
    b.ret_void()
    return module


def build_nll_backward(symbol: str, dtype: int) -> ir.Module:
    """``glogp[n, target[n]] = -g[n]``, else 0; arrays logp (shape only), target, y, g, glogp, -."""
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    one = arrays.scope
    rows, classes = arrays.size(0, 0), arrays.size(0, 1)
    targets = _Targets(arrays, 1, I64(0), classes)
    g, out = arrays.pointer(3, dtype), arrays.pointer(4, dtype)
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    begin, end = share(one, rows, part, parts, 1)

    def clear(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        scope.store(scope.constant(dtype, 0.0), scope.at(out, i), mask)

    spread(b, lanes, b.mul(begin, classes), b.mul(end, classes), clear)
    with one.loop(begin, end) as row:
        target = targets.load(row)
        with b.if_then(targets.valid(target)):
            value = one.load(one.at(g, b.mul(row, arrays.stride(3, 0))), dtype)
            one.store(-value, one.at(out, b.add(b.mul(row, classes), target)))
    b.ret_void()
    return module


# declarations -------------------------------------------------------------------------------------


def reference_mse(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """NumPy's mean squared error."""
    return np.mean((x - t) ** 2)


def reference_cross_entropy(x: np.ndarray, target: np.ndarray, ignore_index: int = -100) -> np.ndarray:
    """NumPy's cross-entropy of rows of logits, averaged over the targets that count."""
    keep = target != ignore_index
    shifted = x[keep] - x[keep].max(axis=1, keepdims=True)
    rows = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(keep.sum()), target[keep]]
    return rows.mean()


def reference_nll(logp: np.ndarray, target: np.ndarray) -> np.ndarray:
    """NumPy's negative log likelihood of each row."""
    return -logp[np.arange(len(target)), target]


array_op(
    "mse_loss",
    ("x", "t"),
    build_mse,
    backward=build_mse_backward,
    gradients={"x": ("x", "t"), "t": ("x", "t")},
    rule=SCALAR,
    reference=reference_mse,
)
array_op(
    "cross_entropy_mean",
    ("x", "target"),
    build_cross_entropy,
    backward=build_cross_entropy_backward,
    gradients={"x": ("x", "target")},
    operand_dtypes={"target": abi.INT64},
    rule=SCALAR,
    reference=reference_cross_entropy,
    grad_name="CrossEntropyMean",
)
array_op(
    "nll_gather",
    ("logp", "target"),
    build_nll,
    backward=build_nll_backward,
    gradients={"logp": ("target",)},
    operand_dtypes={"target": abi.INT64},
    rule=DROP_LAST,
    reference=reference_nll,
)
