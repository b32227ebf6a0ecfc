"""The mean of every window.

Attribute words after those of `kernels.windows`: whether elements of the padding count, and the number to divide
by instead of the count, or 0.
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


class _Counts:
    """The numbers that sums are divided by."""

    def __init__(self, pool: Pool) -> None:
        arrays = pool.arrays
        self.pool = pool
        self.padded = Vec(pool.one, arrays.word(COUNTS_PADDING), abi.INT64) != 0
        self.given = Vec(pool.one, arrays.word(DIVISOR), abi.INT64)

    def along(self, axis: Axis, o: Vec) -> Vec:
        """Elements that count of a window, along one axis."""
        start, count = axis.window(o)
        if axis.adaptive:
            return count
        stop = start + count
        most = at_most(stop, stop.like(axis.size + axis.padding)) - start
        real = at_most(stop, stop.like(axis.size)) - at_least(start, 0)
        return self.padded.select(most, real)

    def of(self, at: tuple[Vec, Vec, Vec], dtype: int) -> Vec:
        """The divisor of the outputs at these coordinates."""
        z, y, x = (self.along(axis, o) for axis, o in zip(self.pool.axes, at, strict=True))
        number = x * (z * y)
        return (self.given != 0).select(number.like(self.given), number).to(dtype)


def _build(symbol: str, dtype: int, adaptive: bool) -> ir.Module:
    """Arrays x, y."""
    module, arrays, part, parts = array_kernel(symbol)
    b = arrays.b
    pool = Pool(arrays, 0, 1, adaptive)
    counts = _Counts(pool) if not adaptive else _Even(pool)
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


class _Even(_Counts):
    """The counts of adaptive windows, which have no padding and no divisor of their own."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def of(self, at: tuple[Vec, Vec, Vec], dtype: int) -> Vec:
        z, y, x = (self.along(axis, o) for axis, o in zip(self.pool.axes, at, strict=True))
        return (x * (z * y)).to(dtype)


def _build_backward(symbol: str, dtype: int, adaptive: bool) -> ir.Module:
    """Arrays x (its shape), y (-), g, gx."""
    module, arrays, part, parts = array_kernel(symbol)
    pool = Pool(arrays, 0, 2, adaptive)
    counts = _Counts(pool) if not adaptive else _Even(pool)

    def contribution(holder: Holder) -> Vec:
        start, count = pool.axes[2].window(holder.at[2])
        x = holder.within[2]
        held = holder.valid & (x >= start) & (x < start + count)
        value = holder.read(2, dtype) / counts.of(holder.at, dtype)
        return held.select(value, holder.scope.constant(dtype, 0.0))

    walk_inputs(pool, dtype, (part, parts), {2: dtype}, 3, contribution)
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
