"""The largest element of every window, and its place.

Of equal elements the first counts, and of nan the last, as in PyTorch. The place, a number within the plane, is
kept as int32 for the walk back, which then reads neither input nor result: an input element gets the cotangents of
the outputs that name its place. Windows of 2x2 side by side have kernels of their own, in `kernels.pair_pooling`, and
few wide ones a walk of their own, in `kernels.wide_pooling`.
"""

from __future__ import annotations

import math

from llvmlite import ir

from . import abi, vjps, wide_pooling
from .batch import samples_first
from .narrow_pooling import exceeds
from .operands import array_kernel
from .stage import Vec
from .table import array_op
from .window_walks import Block, Holder, Tap, walk_inputs, walk_outputs
from .windows import Pool


def _build(symbol: str, dtype: int, adaptive: bool) -> ir.Module:
    """Arrays x, y, place."""
    module, arrays, part, parts = array_kernel(symbol)
    b = arrays.b
    pool = Pool(arrays, 0, 1, adaptive)
    result, places = arrays.pointer(1, dtype), arrays.pointer(2, abi.INT32)

    def visit(block: Block) -> None:
        scope = block.scope
        best, place = scope.variable(scope.type(dtype)), scope.variable(scope.type(abi.INT32))
        b.store(scope.constant(dtype, -math.inf).value, best)
        b.store(scope.constant(abi.INT32, -1).value, place)

        def tap(tap: Tap) -> None:
            known, at = Vec(scope, b.load(best), dtype), Vec(scope, b.load(place), abi.INT32)
            take = tap.valid & (exceeds(tap.value, known) | (at < 0))
            b.store(take.select(tap.value, known).value, best)
            b.store(take.select(tap.place, at).value, place)

        block.taps(tap)
        for cell, target, kind in ((best, result, dtype), (place, places, abi.INT32)):
            value = Vec(scope, b.load(cell), kind)
            scope.store(value, scope.at(target, block.number.value), block.exists.value)

    if not wide_pooling.is_written():
        walk_outputs(pool, dtype, (part, parts), visit)
    else:
        with b.if_else(wide_pooling.fits(pool, dtype)) as (wide, other):
            with wide:
                wide_pooling.write_wide(pool, dtype, (part, parts))
            with other:
                walk_outputs(pool, dtype, (part, parts), visit)
    b.ret_void()
    return module


def _build_backward(symbol: str, dtype: int, adaptive: bool) -> ir.Module:
    """Arrays x (its shape), y (-), place, g, -, gx."""
    module, arrays, part, parts = array_kernel(symbol)
    pool = Pool(arrays, 0, 2, adaptive)

    def contribution(holder: Holder) -> Vec:
        place = holder.read(2, abi.INT32)
        hit = holder.valid & (place == holder.place)
        return hit.select(holder.read(3, dtype), holder.scope.constant(dtype, 0.0))

    walk_inputs(pool, dtype, (part, parts), {2: abi.INT32, 3: dtype}, 5, contribution)
    arrays.b.ret_void()
    return module


def build_max_pool(symbol: str, dtype: int) -> ir.Module:
    """Windows of one size."""
    return _build(symbol, dtype, False)


def build_max_pool_backward(symbol: str, dtype: int) -> ir.Module:
    """The gradient of `build_max_pool`."""
    return _build_backward(symbol, dtype, False)


def build_adaptive(symbol: str, dtype: int) -> ir.Module:
    """Windows that divide the input among the outputs."""
    return _build(symbol, dtype, True)


def build_adaptive_backward(symbol: str, dtype: int) -> ir.Module:
    """The gradient of `build_adaptive`."""
    return _build_backward(symbol, dtype, True)


array_op(
    "max_pool",
    ("x",),
    build_max_pool,
    backward=build_max_pool_backward,
    gradients={"x": ("y1",)},
    vjp={"x": vjps.max_pool_x},
    outputs=2,
    batch=samples_first("x", "y", "y1"),
)
array_op(
    "adaptive_max_pool",
    ("x",),
    build_adaptive,
    backward=build_adaptive_backward,
    gradients={"x": ("y1",)},
    vjp={"x": vjps.max_pool_x},
    outputs=2,
    batch=samples_first("x", "y", "y1"),
)
