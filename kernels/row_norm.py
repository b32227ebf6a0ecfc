"""Layer normalisation and its form without a mean: every row to unit variance, then weight and bias by element.

The operand is contiguous, its rows are its last ``width`` elements at a time. The rows' means and reciprocal
deviations are the second output: the walk back reads them instead of summing again. The gradients of weight and
bias are sums over rows in one order, whatever the number of threads: columns are shared out, rows are not.

With x' = (x - mean) r and h = g w: gx = r (h - sum(h) / n - x' sum(h x') / n), gw = sum(g x'), gb = sum(g);
without a mean the middle term of gx is not there. Attributes: rows, width, epsilon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from llvmlite import ir

from . import abi, norm_vjps
from .batch import Batch, Strip
from .host import host
from .nest import share
from .operands import Arrays, array_kernel
from .rows_walk import CHAINS, SHORT, Beside, Long, Short
from .squared_loss import contiguous
from .stage import F64, I64, Scope, Vec
from .table import array_op

Row = Short | Beside | Long


class _Record:
    """What the kernels here read of their record."""

    def __init__(self, arrays: Arrays, dtype: int, share_of: tuple[ir.Value, ir.Value]) -> None:
        self.arrays, self.b, self.one, self.dtype = arrays, arrays.b, arrays.scope, dtype
        self.rows, self.width = arrays.word(0), arrays.word(1)
        self.lanes = host().lanes(abi.ITEM_SIZES[dtype])
        self.share_of = share_of
        count = Vec(self.one, self.b.sitofp(self.width, F64), abi.FLOAT64)
        self.one_nth = (1.0 / count).to(dtype)

    def pointer(self, k: int) -> ir.Value:
        """Pointer to element 0 of array `k`."""
        return self.arrays.pointer(k, self.dtype)

    def at_row(self, pointer: ir.Value, row: ir.Value) -> ir.Value:
        """Pointer to a row."""
        return self.one.at(pointer, self.b.mul(row, self.width))

    def per_element(self, k: int, default: float) -> Callable[[Scope, ir.Value, ir.Value | None], Vec]:
        """Reads operand `k`, one number an element of a row, or `default` where the operand is absent."""
        b = self.b
        constants = ir.GlobalVariable(b.module, ir.ArrayType(_kind(self.dtype), self.lanes), f"default{k}")
        constants.linkage, constants.global_constant = "internal", True
        constants.initializer = ir.Constant(constants.value_type, [default] * self.lanes)
        there = self.arrays.present(k)
        pointer = b.select(there, self.pointer(k), b.gep(constants, [I64(0), I64(0)]))
        factor = b.sext(there, I64)  # places stay 0 in the constants
        return lambda scope, i, mask: scope.load(scope.at(pointer, b.and_(i, factor)), self.dtype, mask)

    def each_row(self, write: Callable[[Row, Callable], None]) -> None:
        """Call ``write(row, loop)`` for each form of rows; ``loop(body)`` visits this part's rows."""
        b, wide = self.b, Scope(self.b, self.lanes)
        begin, end = share(self.one, self.rows, *self.share_of, self.lanes)

        def loop(row: Row, first: ir.Value, last: ir.Value) -> None:
            def visit(body: Callable[[ir.Value], None]) -> None:
                with self.one.loop(first, last, row.step) as r:
                    body(r)

            write(row, visit)

        def choose(sizes: tuple[int, ...]) -> None:
            if not sizes:
                loop(Long(wide, self.width, self.dtype), begin, end)
                return
            fits = b.icmp_signed("<=", self.width, I64(sizes[0] * self.lanes))
            with b.if_else(fits) as (short, longer):
                with short:
                    first = begin
                    if sizes[0] == 1:
                        first = b.add(begin, b.and_(b.sub(end, begin), I64(-self.lanes)))
                        loop(Beside(wide, self.width, self.dtype), begin, first)
                    loop(Short(wide, self.width, self.dtype, sizes[0]), first, end)
                with longer:
                    choose(sizes[1:])

        choose(SHORT)


def _kind(dtype: int) -> ir.Type:
    return ir.FloatType() if dtype == abi.FLOAT32 else ir.DoubleType()


def _reader(scope: Scope, pointer: ir.Value, dtype: int):
    return lambda i, mask: scope.load(scope.at(pointer, i), dtype, mask)


def build_forward(centred: bool, symbol: str, dtype: int) -> ir.Module:
    """``y = (x - mean) r w + b``; arrays x, w, b, y, statistics (without `centred` x, w, y, statistics)."""
    module, arrays, part, parts = array_kernel(symbol)
    record = _Record(arrays, dtype, (part, parts))
    b, one = arrays.b, arrays.scope
    operands = 3 if centred else 2
    x, y, kept = (record.pointer(k) for k in (0, operands, operands + 1))
    weights = [record.per_element(1, 1.0)] + ([record.per_element(2, 0.0)] if centred else [])
    epsilon = arrays.number(2).to(dtype)

    def write(row: Row, loop: Callable) -> None:
        scope = row.scope
        affine = [row.shared(partial(w, scope)) for w in weights]

        def body(r: ir.Value) -> None:
            values = row.read(lambda k: _reader(scope, record.at_row(x, k), dtype), r)
            place = r
            if centred:
                mean = row.totals(values)[0] * record.one_nth
                row.keep(mean, one.at(kept, r))
                values = row.combine(lambda v, m: v - m, values, row.spread(mean))
                place = b.add(r, arrays.stride(operands + 1, I64(0)))
            square = row.totals(row.combine(lambda v: v * v, values))[0]
            scale = row.reciprocal_root(square, record.one_nth, epsilon)
            row.keep(scale, one.at(kept, place))
            if centred:
                result = row.combine(lambda v, f, w, c: v * f * w + c, values, row.spread(scale), *affine)
            else:
                result = row.combine(lambda v, f, w: v * f * w, values, row.spread(scale), *affine)
            row.write(result, lambda k: record.at_row(y, k), r)

        loop(body)

    record.each_row(write)
    b.ret_void()
    return module


class _Saved:
    """The saved statistics, and the normalised values that they make."""

    def __init__(self, record: _Record, k: int, centred: bool) -> None:
        self.record, self.centred = record, centred
        self.pointer = record.pointer(k)
        self.plane = record.arrays.stride(k, I64(0))

    def mean(self, scope: Scope, row: ir.Value) -> Vec:
        """The mean of a row, in every lane."""
        return self._load(scope, row)

    def scale(self, scope: Scope, row: ir.Value) -> Vec:
        """The reciprocal deviation of a row, in every lane."""
        return self._load(scope, self.record.b.add(row, self.plane) if self.centred else row)

    def _load(self, scope: Scope, place: ir.Value) -> Vec:
        value = self.record.b.load(self.record.one.at(self.pointer, place))
        return scope.splat(value, self.record.dtype)

    def normal(self, scope: Scope, row: ir.Value, x: Vec) -> Vec:
        """Elements of a row, normalised."""
        return (x - self.mean(scope, row) if self.centred else x) * self.scale(scope, row)


def build_backward(centred: bool, symbol: str, dtype: int) -> ir.Module:
    """Arrays x, w, b, y, statistics, g, -, gx, gw, gb (without `centred` no b and no gb)."""
    module, arrays, part, parts = array_kernel(symbol)
    record = _Record(arrays, dtype, (part, parts))
    b = arrays.b
    operands = 3 if centred else 2
    g, first = operands + 2, operands + 4
    saved = _Saved(record, operands + 1, centred)
    by_parameters = arrays.present(first + 1)
    if centred:
        by_parameters = b.or_(by_parameters, arrays.present(first + 2))
    with b.if_else(contiguous(arrays, (g,))) as (near, far):
        for branch, is_near in ((near, True), (far, False)):
            with branch:
                with b.if_then(arrays.present(first)):
                    _row_gradients(record, saved, g, first, is_near)
                with b.if_then(by_parameters):
                    _parameter_gradients(record, saved, g, first, is_near)
    b.ret_void()
    return module


def _cotangent(record: _Record, g: int, near: bool, scope: Scope, row: ir.Value):
    """Reads the cotangent of a row's elements."""
    pointer = record.pointer(g)
    if near:
        return _reader(scope, record.at_row(pointer, row), record.dtype)
    arrays, b = record.arrays, record.b
    start = b.mul(row, record.width)

    def read(i: ir.Value, mask: ir.Value | None) -> Vec:
        (offset,) = arrays.offset([g], arrays.dims(g), I64(-1), b.add(start, i))
        return scope.load(scope.at(pointer, offset), record.dtype, mask)

    return read


def _row_gradients(record: _Record, saved: _Saved, g: int, target: int, near: bool) -> None:
    x, out = record.pointer(0), record.pointer(target)
    weight = record.per_element(1, 1.0) if near else _plain_weight(record)

    def write(row: Row, loop: Callable) -> None:
        scope = row.scope
        weights = row.shared(partial(weight, scope))

        def body(r: ir.Value) -> None:
            scale = row.number(partial(saved.scale, scope), r)
            normal = row.read(lambda k: _reader(scope, record.at_row(x, k), record.dtype), r)
            if saved.centred:
                mean = row.number(partial(saved.mean, scope), r)
                normal = row.combine(lambda v, m: v - m, normal, mean)
            normal = row.combine(lambda v, f: v * f, normal, scale)
            cotangents = row.read(lambda k: _cotangent(record, g, near, scope, k), r)
            h = row.combine(lambda c, w: c * w, cotangents, weights)
            along = row.combine(lambda a, n: a * n, h, normal)
            if saved.centred:
                level, slope = (row.spread(t * record.one_nth) for t in row.totals(h, along))
                h = row.combine(lambda a, v: a - v, h, level)
            else:
                slope = row.spread(row.totals(along)[0] * record.one_nth)
            result = row.combine(lambda a, n, k, f: (a - n * k) * f, h, normal, slope, scale)
            row.write(result, lambda k: record.at_row(out, k), r)

        loop(body)

    if near:
        record.each_row(write)
    else:
        begin, end = share(record.one, record.rows, *record.share_of, 1)

        def loop(body: Callable[[ir.Value], None]) -> None:
            with record.one.loop(begin, end) as r:
                body(r)

        write(Long(record.one, record.width, record.dtype), loop)


def _plain_weight(record: _Record):
    """Reads the weight of an element one by one."""
    there, pointer, b = record.arrays.present(1), record.pointer(1), record.b

    def read(scope: Scope, i: ir.Value, mask: ir.Value | None) -> Vec:
        value = scope.load(scope.at(pointer, i), record.dtype, there).value
        return Vec(scope, b.select(there, value, ir.Constant(value.type, 1.0)), record.dtype)

    return read


def _parameter_gradients(record: _Record, saved: _Saved, g: int, first: int, near: bool) -> None:
    """Sum over rows, a vector of columns at a time; several rows side by side, added in one order."""
    b, arrays, one = record.b, record.arrays, record.one
    scope = Scope(b, record.lanes if near else 1)
    x = record.pointer(0)
    begin, end = share(one, record.width, *record.share_of, record.lanes)
    zero = scope.constant(record.dtype, 0.0)

    def terms(r: ir.Value, i: ir.Value, mask: ir.Value | None) -> list[Vec]:
        value = scope.load(scope.at(record.at_row(x, r), i), record.dtype, mask)
        cotangent = _cotangent(record, g, near, scope, r)(i, mask)
        return [cotangent * saved.normal(scope, r, value), cotangent][: 2 if saved.centred else 1]

    count = 2 if saved.centred else 1
    with one.loop(begin, end, scope.lanes) as i:
        mask = scope.tail_mask(b.sub(end, i)) if scope.lanes > 1 else None
        whole = b.and_(record.rows, I64(-CHAINS))
        with scope.carried(I64(0), whole, CHAINS, [zero] * (count * CHAINS)) as (r, before, carry):
            after = []
            for chain in range(CHAINS):
                found = terms(b.add(r, I64(chain)), i, mask)
                after += [before[chain * count + k] + t for k, t in enumerate(found)]
            carry.next(*after)
        chains = [carry.final[chain * count : (chain + 1) * count] for chain in range(CHAINS)]
        sums = [(w + u) + (v + z) for w, u, v, z in zip(*chains, strict=True)]
        with scope.carried(whole, record.rows, 1, sums) as (r, before, carry):
            carry.next(*(s + t for s, t in zip(before, terms(r, i, mask), strict=True)))
        for k, total in enumerate(carry.final):
            with b.if_then(arrays.present(first + 1 + k)):
                scope.store(total, scope.at(record.pointer(first + 1 + k), i), mask)


def reference_layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """NumPy's layer normalisation over the last dimension."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight + bias


def reference_rms_norm(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    """NumPy's root-mean-square normalisation over the last dimension."""
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight


def _rows(words: Sequence[int], strip: Strip) -> list[int] | None:
    """Attribute 0 is the number of rows, of which every sample must have some of its own."""
    rows, *others = words
    return None if rows % strip.batch else [rows // strip.batch * strip.samples, *others]


array_op(
    "layer_norm",
    ("x", "weight", "bias"),
    partial(build_forward, True),
    backward=partial(build_backward, True),
    gradients={"x": ("x", "weight", "y1"), "weight": ("x", "y1"), "bias": ("x", "y1")},
    outputs=2,
    vjp={
        "x": norm_vjps.layer_norm_x,
        "weight": norm_vjps.layer_norm_weight,
        "bias": norm_vjps.layer_norm_bias,
    },
    reference=reference_layer_norm,
    batch=Batch({"x": 0, "y": 0, "y1": 1}, ("weight", "bias"), attributes=_rows),
    grad_name="NativeLayerNorm",
)
array_op(
    "rms_norm",
    ("x", "weight"),
    partial(build_forward, False),
    backward=partial(build_backward, False),
    gradients={"x": ("x", "weight", "y1"), "weight": ("x", "y1")},
    outputs=2,
    vjp={"x": norm_vjps.rms_norm_x, "weight": norm_vjps.rms_norm_weight},
    reference=reference_rms_norm,
    batch=Batch({"x": 0, "y": 0, "y1": 0}, ("weight",), attributes=_rows),
    grad_name="FusedRmsNorm",
)
