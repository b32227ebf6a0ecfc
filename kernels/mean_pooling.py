"""The mean of every window.

Attribute words after those of `kernels.windows`: whether elements of the padding count, and the number that
all sums are divided by; 0 when that is the count of each window.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi
from .operands import array_kernel
from .stage import Vec
from .table import array_op
from .window_walks import Block, Holder, Tap, walk_inputs, walk_outputs
from .windows import (
    AXES,
    AXIS_WORDS,
    FIRST_AXIS_WORD,
    Axis,
    Pool,
    at_least,
    at_most,
)

COUNTS_PADDING = FIRST_AXIS_WORD + AXES * AXIS_WORDS
DIVISOR = COUNTS_PADDING + 1


class _Evenly:
    """What sums over adaptive windows are divided by."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def along(self, axis: Axis, o: Vec) -> Vec:
        """Elements that count of a window, along one axis."""
        return axis.window(o)[1]

    def of(self, at: tuple[Vec, Vec, Vec], dtype: int) -> Vec:
        """The divisor of the outputs at these coordinates."""
        z, y, x = (self.along(axis, o) for axis, o in zip(self.pool.axes, at, strict=True))
        return (x * (z * y)).to(dtype)

    def before(self, holder: Holder, dtype: int) -> Vec:
        """An output's share of a gradient, before the sum."""
        return holder.read(2, dtype) / self.of(holder.at, dtype)

    def after(self, total: Vec) -> Vec:
        """The gradient, from the sum."""
        return total


class _Counted(_Evenly):
    """What sums over windows of one size are divided by: one number for all, or one for each."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self.padded = Vec(pool.one, pool.arrays.word(COUNTS_PADDING), abi.INT64) != 0
        self.given = Vec(pool.one, pool.arrays.word(DIVISOR), abi.INT64)

    def along(self, axis: Axis, o: Vec) -> Vec:
        start, count = axis.window(o)
        stop = start + count
        most = at_most(stop, stop.like(axis.size + axis.padding)) - start
        real = at_most(stop, stop.like(axis.size)) - at_least(start, 0)
        return self.padded.select(most, real)

    def of(self, at: tuple[Vec, Vec, Vec], dtype: int) -> Vec:
        number = super().of(at, dtype)
        return (self.given != 0).select(number.like(self.given), number)

    def before(self, holder: Holder, dtype: int) -> Vec:
        scope, b = holder.scope, holder.scope.b
        g = holder.read(2, dtype)
        cell = scope.variable(g.value.type)
        b.store(g.value, cell)
        with b.if_then((self.given == 0).value):
            b.store((g / super().of(holder.at, dtype)).value, cell)
        return Vec(scope, b.load(cell), dtype)

    def after(self, total: Vec) -> Vec:
        return total / total.like((self.given != 0).select(self.given, 1))


def _build(symbol: str, dtype: int, adaptive: bool) -> ir.Module:
    """Arrays x, y."""
    module, arrays, part, parts = array_kernel(symbol)
    b = arrays.b
    pool = Pool(arrays, 0, 1, adaptive)
    counts = _Evenly(pool) if adaptive else _Counted(pool)
    result = arrays.pointer(1, dtype)

    def visit(block: Block) -> None:
        scope = block.scope
        total = scope.variable(scope.type(dtype))
        b.store(scope.constant(dtype, 0.0).value, total)

        def tap(tap: Tap) -> None:
            value = tap.valid.select(tap.value, scope.constant(dtype, 0.0))
            b.store((Vec(scope, b.load(total), dtype) + value).value, total)

        block.taps(tap)
        mean = Vec(scope, b.load(total), dtype) / counts.of(block.at, dtype)
        scope.store(mean, scope.at(result, block.number.value), block.exists.value)

    walk_outputs(pool, dtype, (part, parts), visit)
    b.ret_void()
    return module


def _build_backward(symbol: str, dtype: int, adaptive: bool) -> ir.Module:
    """Arrays x (its shape), y (-), g, gx."""
    module, arrays, part, parts = array_kernel(symbol)
    pool = Pool(arrays, 0, 2, adaptive)
    counts = _Evenly(pool) if adaptive else _Counted(pool)

    def contribution(holder: Holder) -> Vec:
        start, count = pool.axes[2].window(holder.at[2])
        x = holder.within[2]
        held = holder.valid & (x >= start) & (x < start + count)
        return held.select(counts.before(holder, dtype), holder.scope.constant(dtype, 0.0))

    walk_inputs(pool, dtype, (part, parts), {2: dtype}, 3, contribution, counts.after)
    arrays.b.ret_void()
    return module


def build_avg_pool(symbol: str, dtype: int) -> ir.Module:
    """Windows of one size."""
    return _build(symbol, dtype, False)


def build_avg_pool_backward(symbol: str, dtype: int) -> ir.Module:
    """The gradient of `build_avg_pool`."""
    return _build_backward(symbol, dtype, False)


def build_adaptive(symbol: str, dtype: int) -> ir.Module:
    """Windows that divide the input among the outputs."""
    return _build(symbol, dtype, True)


def build_adaptive_backward(symbol: str, dtype: int) -> ir.Module:
    """The gradient of `build_adaptive`."""
    return _build_backward(symbol, dtype, True)


array_op("avg_pool", ("x",), build_avg_pool, backward=build_avg_pool_backward, gradients={"x": ()})
array_op("adaptive_avg_pool", ("x",), build_adaptive, backward=build_adaptive_backward, gradients={"x": ()})
