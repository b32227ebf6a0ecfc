"""Linear maps along one dimension in which every element of the result is a weighted sum of a few of the input's.

Padding, resampling and their gradients are such maps. A map is two tables with a row for every tap and a column
for every element of the result: places, where -1 says that there are no more taps, and weights. What has no tap at
all gets a fixed value. The way back is the transposed map, given likewise, so a gradient too is gathered
element by element, and nothing has to be cleared.

Attribute words: the dimension, counted from the front, and the value of what has no tap.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from . import abi, vjps
from .host import host
from .nest import share
from .operands import Arrays, array_kernel
from .stage import I64, Scope, Vec
from .table import array_op

NOTHING = -0.0  # where sums begin: the one number that changes no other, not even the sign of a zero


@dataclass
class _Map:
    """One map: which arrays are the source, the target and the tables."""

    arrays: Arrays
    dtype: int
    source: int
    target: int
    places: int
    weights: int
    rest: Vec  # the value of what has no tap, a scalar

    def taps(self) -> ir.Value:
        """Rows of the tables."""
        return self.arrays.size(self.places, 0)

    def table(self, k: int, dtype: int, tap: ir.Value, column: ir.Value) -> ir.Value:
        """Pointer to an element of a table; tables are contiguous."""
        b = self.arrays.b
        place = b.add(b.mul(tap, self.arrays.size(k, 1)), column)
        return self.arrays.scope.at(self.arrays.pointer(k, dtype), place)

    def offsets(self, dim: ir.Value, point: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Pointers to the lines at a point of the other dimensions, in source and target."""
        arrays, ks = self.arrays, (self.source, self.target)
        # source and target differ in size only along the dimension that is left out
        found = arrays.offset(ks, arrays.dims(self.source), dim, point)
        first, second = (
            arrays.scope.at(arrays.pointer(k, self.dtype), o) for k, o in zip(ks, found, strict=True)
        )
        return first, second


def _along_lines(m: _Map, dim: ir.Value, part: ir.Value, parts: ir.Value) -> None:
    """The map along the last dimension: lanes are neighbours in the result, each with its own places."""
    arrays, b, one = m.arrays, m.arrays.b, m.arrays.scope
    lanes = host().lanes(abi.ITEM_SIZES[m.dtype]) if host().vector_bytes == 64 else 1
    scope = Scope(b, lanes)
    result = arrays.size(m.target, dim)
    stride = Vec(one, arrays.stride(m.source, dim), abi.INT64)
    lines = b.udiv(arrays.numel(m.target), _positive(b, result))
    begin, end = share(one, lines, part, parts, 1)
    total = scope.variable(scope.type(m.dtype))
    with one.loop(begin, end) as line:
        source, target = m.offsets(dim, line)
        with one.loop(I64(0), result, lanes) as column:
            exists = scope.tail_mask(b.sub(result, column))
            b.store(scope.constant(m.dtype, NOTHING).value, total)
            with one.loop(I64(0), m.taps()) as tap:
                # masked lanes read as place 0: the mask has to leave them out
                place = scope.load(m.table(m.places, abi.INT32, tap, column), abi.INT32, exists)
                valid = place >= 0
                valid = Vec(scope, b.and_(valid.value, exists), valid.dtype)
                with b.if_then(_any(b, valid)):
                    weight = scope.load(m.table(m.weights, m.dtype, tap, column), m.dtype, exists)
                    offsets = place.to(abi.INT64) * stride
                    x = scope.gather_at(source, offsets, m.dtype, valid.value)
                    before = Vec(scope, b.load(total), m.dtype)
                    b.store(valid.select(before + weight * x, before).value, total)
            first = scope.load(m.table(m.places, abi.INT32, I64(0), column), abi.INT32, exists)
            value = (first >= 0).select(
                Vec(scope, b.load(total), m.dtype), scope.splat(m.rest.value, m.dtype)
            )
            scope.store(value, one.at(target, column), exists)


def _across_lines(m: _Map, dim: ir.Value, part: ir.Value, parts: ir.Value) -> None:
    """The map along another dimension: lanes are neighbours along the last one and share places and weights."""
    arrays, b, one = m.arrays, m.arrays.b, m.arrays.scope
    lanes = host().lanes(abi.ITEM_SIZES[m.dtype])
    last = arrays.last_dim(m.source)
    width = arrays.size(m.source, last)
    result = arrays.size(m.target, dim)
    step = arrays.stride(m.source, dim)
    out = arrays.stride(m.target, dim)
    rows = b.udiv(arrays.numel(m.target), _positive(b, b.mul(width, result)))
    begin, end = share(one, rows, part, parts, 1)
    unit = b.icmp_signed("==", arrays.stride(m.source, last), I64(1))

    def write(near: bool) -> None:
        scope = Scope(b, lanes if near or host().vector_bytes == 64 else 1)
        total = scope.variable(scope.type(m.dtype))
        with one.loop(begin, end) as row:
            source, target = m.offsets(dim, b.mul(row, width))
            with one.loop(I64(0), result) as o, one.loop(I64(0), width, scope.lanes) as column:
                mask = scope.tail_mask(b.sub(width, column))
                b.store(scope.constant(m.dtype, NOTHING).value, total)
                with one.loop(I64(0), m.taps()) as tap:
                    place = one.load(m.table(m.places, abi.INT32, tap, o), abi.INT32)
                    with b.if_then((place >= 0).value):
                        weight = one.load(m.table(m.weights, m.dtype, tap, o), m.dtype)
                        start = one.at(source, b.mul(place.to(abi.INT64).value, step))
                        x = _lanes_from(m, scope, start, column, last, mask, near)
                        b.store((Vec(scope, b.load(total), m.dtype) + x * weight).value, total)
                with b.if_then((one.load(m.table(m.places, abi.INT32, I64(0), o), abi.INT32) < 0).value):
                    b.store(scope.splat(m.rest.value, m.dtype).value, total)
                place_out = one.at(target, b.add(b.mul(o, out), column))
                scope.store(Vec(scope, b.load(total), m.dtype), place_out, mask)

    with b.if_else(unit) as (near, far):
        with near:
            write(True)
        with far:
            write(False)


def _lanes_from(
    m: _Map, scope: Scope, start: ir.Value, column: ir.Value, last: ir.Value, mask: ir.Value, near: bool
) -> Vec:
    """Neighbours along the last dimension from `column` on."""
    if near:
        return scope.load(scope.at(start, column), m.dtype, mask)
    stride = m.arrays.stride(m.source, last)
    return scope.gather(scope.at(start, scope.b.mul(column, stride)), stride, m.dtype, mask)


def _positive(b: ir.IRBuilder, size: ir.Value) -> ir.Value:
    """A size to divide by: 1 for 0, where there is nothing to do."""
    return b.select(b.icmp_signed("==", size, I64(0)), I64(1), size)


def _any(b: ir.IRBuilder, mask: Vec) -> ir.Value:
    """Whether any lane of a mask is set."""
    lanes = mask.scope.lanes
    if lanes == 1:
        return mask.value
    bits = ir.IntType(lanes)
    return b.icmp_unsigned("!=", b.bitcast(mask.value, bits), bits(0))


def _write(m: _Map, part: ir.Value, parts: ir.Value) -> None:
    arrays, b = m.arrays, m.arrays.b
    dim = arrays.word(0)
    with b.if_else(b.icmp_signed("==", dim, arrays.last_dim(m.source))) as (last, other):
        with last:
            _along_lines(m, dim, part, parts)
        with other:
            _across_lines(m, dim, part, parts)


def build_line_map(symbol: str, dtype: int) -> ir.Module:
    """Arrays x, places, weights, the transposed places and weights, y."""
    module, arrays, part, parts = array_kernel(symbol)
    _write(_Map(arrays, dtype, 0, 5, 1, 2, arrays.number(1).to(dtype)), part, parts)
    arrays.b.ret_void()
    return module


def build_line_map_backward(symbol: str, dtype: int) -> ir.Module:
    """Arrays x (-), places (-), weights (-), the transposed places and weights, y (-), g, gx, and so on (-)."""
    module, arrays, part, parts = array_kernel(symbol)
    _write(_Map(arrays, dtype, 6, 7, 3, 4, arrays.scope.constant(dtype, 0.0)), part, parts)
    arrays.b.ret_void()
    return module


array_op(
    "line_map",
    ("x", "places", "weights", "back_places", "back_weights"),
    build_line_map,
    backward=build_line_map_backward,
    gradients={"x": ("places", "weights", "back_places", "back_weights")},  # the first two for `vjp` alone
    vjp={"x": vjps.line_map_x},
    operand_dtypes={"places": abi.INT32, "back_places": abi.INT32},
)
