"""Max pooling with windows of 2x2 that do not overlap: two rows are read as they lie, and paired by shuffles.

The hot case of small convolutional networks. A vector of outputs costs four loads, four shuffles and three
comparisons; the way back writes the four gradients of each window side by side. An operation of its own, so
that such networks do not compile the general kernels.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi, vjps
from .batch import samples_first
from .host import host
from .narrow_pooling import choose, exceeds, write_narrow, write_narrow_backward
from .operands import array_kernel
from .stage import I64, Scope, Vec
from .table import array_op
from .windows import Pool, Row, load_columns, pick


def _larger(a: tuple[Vec, Vec], b: tuple[Vec, Vec]) -> tuple[Vec, Vec]:
    """Of two values with their places the larger, `a` when they are equal, `b` when it is nan."""
    take = exceeds(b[0], a[0])
    return take.select(b[0], a[0]), take.select(b[1], a[1])


def _write_pairs(pool: Pool, dtype: int, share_of: tuple[ir.Value, ir.Value]) -> None:
    """The forward kernel: arrays x, y, place."""
    one, b = pool.one, pool.b
    deep, high, wide = pool.axes
    scope = Scope(b, host().lanes(abi.ITEM_SIZES[dtype]))
    lanes = scope.lanes
    result, places = pool.arrays.pointer(1, dtype), pool.arrays.pointer(2, abi.INT32)
    even, odd = (list(range(k, 2 * lanes, 2)) for k in (0, 1))
    sd, sh = pool.stride(0, 0), pool.stride(0, 1)
    begin, end = pool.mine(*share_of)
    with one.loop(begin, end) as plane:
        source = pool.plane(0, plane, dtype)
        with one.loop(I64(0), deep.outputs.value) as oz, one.loop(I64(0), high.outputs.value) as oy:
            z, y = (Vec(one, v, abi.INT64) for v in (oz, oy))
            number = pool.row(plane, z, y, True)
            top = z * sd + y * sh * 2
            corner = (z * high.size + y * 2) * wide.size
            with one.loop(I64(0), wide.outputs.value, lanes) as ox:
                x = Vec(one, ox, abi.INT64)

                def across(start: Vec, place: Vec) -> tuple[Vec, Vec]:
                    row = Row(one.at(source, start.value), dtype, wide.size, one.constant(abi.INT64, 1))
                    low = load_columns(scope, row, x + x)
                    far = load_columns(scope, row, x + x + lanes)
                    first = scope.iota(abi.INT32) * 2 + (place + x + x)
                    left, right = pick(scope, low, far, even), pick(scope, low, far, odd)
                    return _larger((left, first), (right, first + 1))

                value, place = _larger(across(top, corner), across(top + sh, corner + wide.size))
                mask = scope.tail_mask((wide.outputs - x).value)
                at = b.add(number.value, ox)
                scope.store(value, one.at(result, at), mask)
                scope.store(place, one.at(places, at), mask)


def _write_pairs_backward(pool: Pool, dtype: int, share_of: tuple[ir.Value, ir.Value]) -> None:
    """The backward kernel: arrays x (its shape), y (-), place, g, -, gx."""
    one, b = pool.one, pool.b
    deep, high, wide = pool.axes
    scope = Scope(b, host().lanes(abi.ITEM_SIZES[dtype]))
    lanes = scope.lanes
    out = pool.arrays.pointer(5, dtype)
    zero = scope.constant(dtype, 0.0)
    both = [k // 2 + (lanes if k % 2 else 0) for k in range(2 * lanes)]
    begin, end = pool.mine(*share_of)
    with one.loop(begin, end) as plane:
        places, cotangents = pool.plane(2, plane, abi.INT32), pool.plane(3, plane, dtype)
        with one.loop(I64(0), deep.size.value) as oz, one.loop(I64(0), high.size.value, 2) as iy:
            z, y = (Vec(one, v, abi.INT64) for v in (oz, iy))
            oy = y.logical_shift(1)
            number = pool.row(plane, z, y, False)
            corner = (z * high.size + y) * wide.size
            # a last row or column without a window gets zeros: no output is read for it
            outputs = (oy < high.outputs).select(wide.outputs, one.constant(abi.INT64, 0))
            last = (y + 1 < high.size).value
            with one.loop(I64(0), wide.size.value, 2 * lanes) as ix:
                x = Vec(one, ix, abi.INT64)

                def outputs_of(k: int, start: ir.Value, kind: int) -> Vec:
                    sd, sh = pool.stride(k, 0), pool.stride(k, 1)
                    first = one.at(start, (z * sd + oy * sh).value)
                    mask = scope.tail_mask((outputs - x.logical_shift(1)).value)
                    start_at = one.at(first, b.mul(b.lshr(ix, I64(1)), pool.stride(k, 2).value))
                    if k == 2:  # an output of ours, so contiguous
                        return scope.load(start_at, kind, mask)
                    cell = scope.variable(scope.type(kind))
                    with b.if_else((pool.stride(k, 2) == 1).value) as (near, far):
                        with near:
                            b.store(scope.load(start_at, kind, mask).value, cell)
                        with far:
                            b.store(scope.gather(start_at, pool.stride(k, 2).value, kind, mask).value, cell)
                    return Vec(scope, b.load(cell), kind)

                place, g = outputs_of(2, places, abi.INT32), outputs_of(3, cotangents, dtype)

                def write(step: int) -> None:
                    offset = wide.size if step else one.constant(abi.INT64, 0)
                    first = scope.iota(abi.INT32) * 2 + (corner + offset + x)
                    left = (place == first).select(g, zero)
                    right = (place == first + 1).select(g, zero)
                    target = one.at(out, (number + offset + x).value)
                    for half in range(2):
                        value = pick(scope, left, right, both[half * lanes : (half + 1) * lanes])
                        mask = scope.tail_mask((wide.size - x - half * lanes).value)
                        scope.store(value, one.at(target, half * lanes), mask)

                write(0)
                with b.if_then(last):
                    write(1)


def build_pairs(symbol: str, dtype: int) -> ir.Module:
    """Arrays x, whose rows must be contiguous, y, place."""
    module, arrays, part, parts = array_kernel(symbol)
    pool = Pool(arrays, 0, 1, False)
    choose(
        pool,
        dtype,
        (0,),
        lambda width: write_narrow(pool, dtype, width, (part, parts)),
        lambda: _write_pairs(pool, dtype, (part, parts)),
    )
    arrays.b.ret_void()
    return module


def build_pairs_backward(symbol: str, dtype: int) -> ir.Module:
    """Arrays x (its shape), y (-), place, g, -, gx."""
    module, arrays, part, parts = array_kernel(symbol)
    pool = Pool(arrays, 0, 2, False)
    choose(
        pool,
        dtype,
        (3,),
        lambda width: write_narrow_backward(pool, dtype, width, (part, parts)),
        lambda: _write_pairs_backward(pool, dtype, (part, parts)),
    )
    arrays.b.ret_void()
    return module


array_op(
    "max_pool_pairs",
    ("x",),
    build_pairs,
    backward=build_pairs_backward,
    gradients={"x": ("y1",)},
    vjp={"x": vjps.max_pool_x},
    outputs=2,
    batch=samples_first("x", "y", "y1"),
)
