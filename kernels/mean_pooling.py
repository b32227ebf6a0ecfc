"""The mean of every window of one size.

Attribute words after those of `kernels.windows`: whether elements of the padding count, and the number that all
sums are divided by; 0 when that is the count of each window.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi, vjps
from .batch import samples_first
from .operands import array_kernel
from .stage import Vec
from .table import array_op
from .window_walks import Block, Holder, Tap, walk_inputs, walk_outputs
from .windows import AXES, AXIS_WORDS, FIRST_AXIS_WORD, Axis, Pool, at_least, at_most

COUNTS_PADDING = FIRST_AXIS_WORD + AXES * AXIS_WORDS
DIVISOR = COUNTS_PADDING + 1


class _Divisors:
    """What sums are divided by: one number for all, or one for each."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.padded = Vec(pool.one, pool.arrays.word(COUNTS_PADDING), abi.INT64) != 0
        self.given = Vec(pool.one, pool.arrays.word(DIVISOR), abi.INT64)

    def _along(self, axis: Axis, o: Vec) -> Vec:
        """Elements that count of a window, along one axis."""
        start, count = axis.window(o)
        stop = start + count
        most = at_most(stop, stop.like(axis.size + axis.padding)) - start
        real = at_most(stop, stop.like(axis.size)) - at_least(start, 0)
        return self.padded.select(most, real)

    def divide(self, value: Vec, at: tuple[Vec, Vec, Vec], dtype: int) -> Vec:
        """A sum over the windows at these output coordinates, or a cotangent of theirs, divided by their counts.

        Where all are divided by one number, that is left to `finish`.
        """
        scope, b = value.scope, value.scope.b
        cell = scope.variable(value.value.type)
        b.store(value.value, cell)
        with b.if_then((self.given == 0).value):
            z, y, x = (self._along(axis, o) for axis, o in zip(self.pool.axes, at, strict=True))
            b.store((value / (x * (z * y)).to(dtype)).value, cell)
        return Vec(scope, b.load(cell), dtype)

    def finish(self, total: Vec) -> Vec:
        """A sum divided by the one number for all, if there is one."""
        return total / total.like((self.given != 0).select(self.given, 1))


def build_avg_pool(symbol: str, dtype: int) -> ir.Module:
    """Arrays x, y."""
    module, arrays, part, parts = array_kernel(symbol)
    b = arrays.b
    pool = Pool(arrays, 0, 1, False)
    divisors = _Divisors(pool)
    result = arrays.pointer(1, dtype)

    def visit(block: Block) -> None:
        scope = block.scope
        total = scope.variable(scope.type(dtype))
        b.store(scope.constant(dtype, 0.0).value, total)

        def tap(tap: Tap) -> None:
            value = tap.valid.select(tap.value, scope.constant(dtype, 0.0))
            b.store((Vec(scope, b.load(total), dtype) + value).value, total)

        block.taps(tap)
        mean = divisors.finish(divisors.divide(Vec(scope, b.load(total), dtype), block.at, dtype))
        scope.store(mean, scope.at(result, block.number.value), block.exists.value)

    walk_outputs(pool, dtype, (part, parts), visit)
    b.ret_void()
    return module


def build_avg_pool_backward(symbol: str, dtype: int) -> ir.Module:
    """Arrays x (its shape), y (-), g, gx."""
    module, arrays, part, parts = array_kernel(symbol)
    pool = Pool(arrays, 0, 2, False)
    divisors = _Divisors(pool)

    def contribution(holder: Holder) -> Vec:
        start, count = pool.axes[2].window(holder.at[2])
        x = holder.within[2]
        held = holder.valid & (x >= start) & (x < start + count)
        g = divisors.divide(holder.read(2, dtype), holder.at, dtype)
        return held.select(g, holder.scope.constant(dtype, 0.0))

    walk_inputs(pool, dtype, (part, parts), {2: dtype}, 3, contribution, divisors.finish)
    arrays.b.ret_void()
    return module


array_op(
    "avg_pool",
    ("x",),
    build_avg_pool,
    backward=build_avg_pool_backward,
    gradients={"x": ()},
    vjp={"x": vjps.avg_pool_x},
    batch=samples_first("x", "y"),
)
