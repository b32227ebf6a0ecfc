"""Max pooling with windows that are wide, and few in a row: the elements of one window lie in the lanes.

Beside `kernels.max_pooling`, where the lanes are windows side by side, of which most would be idle here.
"""

from __future__ import annotations

import math

from llvmlite import ir

from . import abi
from .host import host
from .narrow_pooling import exceeds
from .stage import I64, MASK, Scope, Vec
from .window_walks import each
from .windows import AXES, Pool, inside


def _lanes(dtype: int) -> int:
    return host().lanes(abi.ITEM_SIZES[dtype])


def is_written() -> bool:
    """Whether the machine gathers under a mask, which this takes."""
    return host().vector_bytes == 64


def fits(pool: Pool, dtype: int) -> ir.Value:
    """Whether windows fill half a vector, and more lanes than a row has windows; a bit."""
    wide = pool.axes[2]
    return ((wide.most() * 2 >= _lanes(dtype)) & (wide.most() > wide.outputs)).value


def write_wide(pool: Pool, dtype: int, share_of: tuple[ir.Value, ir.Value]) -> None:
    """The forward kernel: arrays x, y, place."""
    one = pool.one
    deep, high, wide = pool.axes
    result, places = pool.arrays.pointer(1, dtype), pool.arrays.pointer(2, abi.INT32)
    search = _Search(pool, dtype)
    begin, end = pool.mine(*share_of)
    with one.loop(begin, end) as plane:
        source = pool.plane(0, plane, dtype)
        with (
            one.loop(I64(0), deep.outputs.value) as oz,
            one.loop(I64(0), high.outputs.value) as oy,
            one.loop(I64(0), wide.outputs.value) as ox,
        ):
            z, y, x = (Vec(one, v, abi.INT64) for v in (oz, oy, ox))
            value, place = search.window(source, (z, y, x))
            number = (pool.row(plane, z, y, True) + x).value
            one.store(value, one.at(result, number))
            one.store(place, one.at(places, number))


class _Search:
    """Finding the largest element of a window: in each lane for itself, and then among the lanes."""

    def __init__(self, pool: Pool, dtype: int) -> None:
        self._pool, self._dtype = pool, dtype
        self._one, self._wide = pool.one, Scope(pool.b, _lanes(dtype))
        self._best, self._place = (self._wide.variable(self._wide.type(d)) for d in (dtype, abi.INT32))
        self._top, self._at = (self._one.variable(self._one.type(d)) for d in (dtype, abi.INT32))

    def window(self, plane: ir.Value, output: tuple[Vec, Vec, Vec]) -> tuple[Vec, Vec]:
        """Value and place of the largest element of an output's window."""
        pool, one, scope = self._pool, self._one, self._wide
        deep, high, wide = pool.axes
        sd, sh, sw = (pool.stride(0, a) for a in range(AXES))
        (z0, nz), (y0, ny), (x0, nx) = (axis.window(o) for axis, o in zip(pool.axes, output, strict=True))
        scope.b.store(scope.constant(self._dtype, -math.inf).value, self._best)
        scope.b.store(scope.constant(abi.INT32, -1).value, self._place)
        with each(pool, z0, nz, deep) as z, each(pool, y0, ny, high) as y:
            start = one.at(plane, (z * sd + y * sh).value)
            row = (z * high.size + y) * wide.size
            with one.loop(I64(0), nx.value, scope.lanes) as k:
                first = x0 + Vec(one, k, abi.INT64) * wide.dilation
                steps = scope.iota(abi.INT32) * wide.dilation.to(abi.INT32)
                column = steps + first.to(abi.INT32)
                exists = Vec(scope, scope.tail_mask(scope.b.sub(nx.value, k)), MASK)
                valid = exists & inside(column, wide.size)
                at = one.at(start, (first * sw).value)
                value = scope.gather(at, (wide.dilation * sw).value, self._dtype, valid.value)
                self._take(value, column + row.to(abi.INT32), valid)
        return self._among_lanes()

    def _take(self, value: Vec, place: Vec, valid: Vec) -> None:
        scope, b = self._wide, self._wide.b
        known, at = Vec(scope, b.load(self._best), self._dtype), Vec(scope, b.load(self._place), abi.INT32)
        take = valid & (exceeds(value, known) | (at < 0))
        b.store(take.select(value, known).value, self._best)
        b.store(take.select(place, at).value, self._place)

    def _among_lanes(self) -> tuple[Vec, Vec]:
        """Of equal elements the first, of nan the last."""
        one, b = self._one, self._one.b
        kinds = self._dtype, abi.INT32
        of = [
            b.bitcast(cell, one.type(kind).as_pointer())
            for cell, kind in zip((self._best, self._place), kinds, strict=True)
        ]
        b.store(one.constant(self._dtype, -math.inf).value, self._top)
        b.store(one.constant(abi.INT32, -1).value, self._at)
        with one.loop(I64(0), I64(self._wide.lanes)) as lane:
            value, place = (
                Vec(one, b.load(b.gep(p, [lane])), kind) for p, kind in zip(of, kinds, strict=True)
            )
            known, at = self._found()
            beyond = (value > known) | ((value == known) & (place < at))
            is_nan = (value != value) & ((known == known) | (place > at))
            take = (place >= 0) & ((at < 0) | beyond | is_nan)
            b.store(take.select(value, known).value, self._top)
            b.store(take.select(place, at).value, self._at)
        return self._found()

    def _found(self) -> tuple[Vec, Vec]:
        b = self._one.b
        return Vec(self._one, b.load(self._top), self._dtype), Vec(self._one, b.load(self._at), abi.INT32)
