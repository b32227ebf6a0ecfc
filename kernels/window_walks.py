"""The walks of pooling: over outputs, visiting the elements of each window, and over inputs, visiting the outputs.

The walk over inputs visits, for each element, the outputs whose windows may hold it. So gradients are gathered:
each is written once, by whom it belongs to, and nothing has to be cleared first. Planes are shared out among the
parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from . import abi
from .stage import I32, I64, Scope, Vec
from .windows import AXES, STEP_TWO, Axis, Pool, Row, at_least, forms, inside, read_shared, read_spread


@dataclass
class Tap:
    """One element of a window, of the windows of all lanes at once.

    Attributes
    ----------
    value : Vec
        The element, zero where it is not valid.
    valid : Vec
        Whether the lane has a window, and the window has this element.
    place : Vec
        Its number within the plane.
    """

    value: Vec
    valid: Vec
    place: Vec


@dataclass
class Block:
    """Neighbouring outputs, one a lane.

    Attributes
    ----------
    number : Vec
        That of lane 0 within a contiguous output.
    exists : Vec
        The lanes that there are.
    at : tuple of Vec
        Output coordinates: scalars for depth and height, lanes for width.
    """

    scope: Scope
    number: Vec
    exists: Vec
    at: tuple[Vec, Vec, Vec]
    pool: Pool
    plane: ir.Value
    form: int
    dtype: int

    def taps(self, visit: Callable[[Tap], None]) -> None:
        """Call ``visit(tap)`` for the elements of the windows, in the order of their places."""
        pool, scope = self.pool, self.scope
        deep, high, wide = pool.axes
        sd, sh, sw = (pool.stride(0, a) for a in range(AXES))
        (z0, nz), (y0, ny), (x0, nx) = (axis.window(o) for axis, o in zip(pool.axes, self.at, strict=True))
        lane_zero = self._first_column()
        with each(pool, z0, nz, deep) as z, each(pool, y0, ny, high) as y:
            start = pool.one.at(self.plane, (z * sd + y * sh).value)
            row = Row(start, self.dtype, wide.size, sw)
            count = wide.most()
            with pool.one.loop(I64(0), count.value) as k:
                step = Vec(pool.one, k, abi.INT64)
                column = x0 + step * wide.dilation
                valid = self.exists & inside(column, wide.size)
                if wide.adaptive:
                    valid = valid & (column < x0 + nx)
                first = lane_zero + step * wide.dilation
                value = read_spread(scope, row, first, column, valid, self.form)
                place = (column + (z * high.size + y) * wide.size).to(abi.INT32)  # one lane may be int64
                visit(Tap(value, valid, place))

    def _first_column(self) -> Vec:
        """Column of the first element of lane 0's window; of no use where windows are not evenly spaced."""
        wide = self.pool.axes[2]
        lane = self.at[2].value
        if self.scope.lanes > 1:
            lane = self.scope.b.extract_element(lane, I32(0))
        return Vec(self.pool.one, lane, abi.INT32).to(abi.INT64) * wide.stride - wide.padding


class each:
    """A loop over the elements of a window along an outer axis, those outside left out; yields positions."""

    def __init__(self, pool: Pool, start: Vec, count: Vec, axis: Axis) -> None:
        self._pool, self._start, self._count, self._axis = pool, start, count, axis

    def __enter__(self) -> Vec:
        one = self._pool.one
        self._loop = one.loop(I64(0), self._count.value)
        k = self._loop.__enter__()
        position = self._start + Vec(one, k, abi.INT64) * self._axis.dilation
        self._guard: Any = one.b.if_then(inside(position, self._axis.size).value)
        self._guard.__enter__()
        return position

    def __exit__(self, *error: Any) -> None:
        self._guard.__exit__(*error)
        self._loop.__exit__(*error)


def walk_outputs(
    pool: Pool,
    dtype: int,
    share_of: tuple[ir.Value, ir.Value],
    visit: Callable[[Block], None],
) -> None:
    """Call ``visit(block)`` for all outputs of a share of the planes of array 0."""
    one, b = pool.one, pool.b
    deep, high, wide = pool.axes
    begin, end = pool.mine(*share_of)

    def write(scope: Scope, form: int) -> None:
        with one.loop(begin, end) as plane:
            source = pool.plane(0, plane, dtype)
            with one.loop(I64(0), deep.outputs.value) as oz, one.loop(I64(0), high.outputs.value) as oy:
                z, y = (Vec(one, v, abi.INT64) for v in (oz, oy))
                row = pool.row(plane, z, y, True)
                with one.loop(I64(0), wide.outputs.value, scope.lanes) as ox:
                    lane = Vec(one, ox, abi.INT64)
                    x = scope.splat(b.trunc(ox, I32), abi.INT32) + scope.iota(abi.INT32)
                    visit(Block(scope, row + lane, x < wide.outputs, (z, y, x), pool, source, form, dtype))

    stride = None if wide.adaptive else wide.stride
    forms(dtype, [pool.stride(0, 2)], stride, write)


@dataclass
class Holder:
    """One output whose window may hold an input element, for all lanes at once.

    Attributes
    ----------
    read : callable
        ``read(array, dtype)``: that array's elements at these outputs.
    valid : Vec
        The lanes for which there is such an output.
    at : tuple of Vec
        Output coordinates: scalars for depth and height, lanes for width.
    place : Vec
        Number within the plane of the lane's input element.
    within : tuple of Vec
        Coordinates of the input element, likewise.
    """

    scope: Scope
    read: Callable[[int, int], Vec]
    valid: Vec
    at: tuple[Vec, Vec, Vec]
    place: Vec
    within: tuple[Vec, Vec, Vec]


def walk_inputs(
    pool: Pool,
    dtype: int,
    share_of: tuple[ir.Value, ir.Value],
    arrays: dict[int, int],
    target: int,
    contribution: Callable[[Holder], Vec],
    finish: Callable[[Vec], Vec] = lambda total: total,
) -> None:
    """Write into array `target`, for each element, the sum of ``contribution(holder)`` over its possible holders.

    Parameters
    ----------
    arrays : dict of int to int
        The arrays of the output's shape that are read, and their dtypes.
    finish : callable
        Makes the gradient from the sum.
    """
    one, b = pool.one, pool.b
    deep, high, wide = pool.axes
    begin, end = pool.mine(*share_of)
    out = pool.arrays.pointer(target, dtype)
    span = wide.span().value

    def write(scope: Scope, form: int) -> None:
        # with a step of two, lanes are paired so that both of a pair ask for the same output
        shift = wide.padding & 1 if form == STEP_TWO else one.constant(abi.INT64, 0)
        total = scope.variable(scope.type(dtype))
        with one.loop(begin, end) as plane:
            sources = {k: pool.plane(k, plane, d) for k, d in arrays.items()}
            with one.loop((-shift).value, wide.size.value, scope.lanes) as ix:
                x = scope.splat(b.trunc(ix, I32), abi.INT32) + scope.iota(abi.INT32)
                exists = inside(x, wide.size)
                last = wide.last_holder(at_least(x, 0))
                nearest = Vec(one, ix, abi.INT64) + wide.padding
                nearest = nearest.logical_shift(1) if form == STEP_TWO else nearest
                with one.loop(I64(0), deep.size.value) as iz, one.loop(I64(0), high.size.value) as iy:
                    z, y = (Vec(one, v, abi.INT64) for v in (iz, iy))
                    place = (x + (z * high.size + y) * wide.size).to(abi.INT32)
                    b.store(scope.constant(dtype, 0.0).value, total)

                    def visit(oz: Vec, oy: Vec, back: Vec) -> None:
                        ox = last - back
                        valid = exists & inside(ox, wide.outputs)

                        def read(k: int, kind: int) -> Vec:
                            sd, sh, sw = (pool.stride(k, a) for a in range(AXES))
                            start = one.at(sources[k], (oz * sd + oy * sh).value)
                            row = Row(start, kind, wide.outputs, sw)
                            return read_shared(scope, row, nearest - back, ox, valid, form)

                        holder = Holder(scope, read, valid, (oz, oy, ox), place, (z, y, x))
                        value = contribution(holder)
                        b.store((Vec(scope, b.load(total), dtype) + value).value, total)

                    (z_low, z_high), (y_low, y_high) = deep.holders(z), high.holders(y)
                    with (
                        one.loop(z_low.value, z_high.value) as oz,
                        one.loop(y_low.value, y_high.value) as oy,
                        one.loop(I64(0), span) as back,
                    ):
                        visit(*(Vec(one, v, abi.INT64) for v in (oz, oy, back)))
                    number = pool.row(plane, z, y, False).value
                    place_out = one.at(out, b.add(number, ix))
                    scope.store(finish(Vec(scope, b.load(total), dtype)), place_out, exists.value)

    stride = None if wide.adaptive else wide.stride
    forms(dtype, [pool.stride(k, 2) for k in arrays], stride, write)
