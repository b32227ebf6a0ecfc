"""The greatest or smallest element of every line along one dimension, and where it is.

A line is folded in vectors first, and then searched for the place where the value stands: the first of equals, or
the first nan, which is beyond any number. Lines that lie side by side are taken one a lane, with their places.
Attribute word 0 is the dimension; a result has it with size 1, or lacks it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir

from . import abi
from .operands import Arrays, Line, array_kernel, each_line
from .stage import I1, I64, MASK, Vec

Better = Callable[[Vec, Vec], Vec]


def _in_memory(dtype: int) -> int:
    """The dtype as which elements are read: booleans are bytes, so that they can be compared."""
    return abi.UINT8 if dtype == abi.BOOL else dtype


def _worst(dtype: int, greatest: bool) -> float:
    """The value that no other is behind."""
    if dtype in (abi.FLOAT32, abi.FLOAT64):
        return -math.inf if greatest else math.inf
    bounds = np.iinfo(abi.NUMPY_DTYPES[dtype])
    return int(bounds.min if greatest else bounds.max)


def _both(a: Vec, b: Vec) -> Vec:
    return Vec(a.scope, a.scope.b.and_(a.value, b.value), MASK)


def _either(a: Vec, b: Vec) -> Vec:
    return Vec(a.scope, a.scope.b.or_(a.value, b.value), MASK)


def _better(greatest: bool) -> Better:
    """``better(x, best)``: whether `x` takes the place of `best`, which stood before it."""

    def better(x: Vec, best: Vec) -> Vec:
        beyond = x > best if greatest else x < best
        # with best nan the comparison is false already
        return _either(beyond, _both(x != x, best == best)) if x.is_float else beyond

    return better


def _place_of(line: Line, best: Vec) -> ir.Value:
    """The first place of a value, or of a nan, in a line that has it."""
    scope, b = line.scope, line.b
    place = scope.variable(I64)
    b.store(I64(0), place)
    head, body, next_, found, after = (
        b.append_basic_block(n) for n in ("search", "look", "next", "found", "after")
    )
    before = b.block
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(I64)
    i.add_incoming(I64(0), before)
    b.cbranch(b.icmp_signed("<", i, line.size), body, after)
    b.position_at_end(body)
    mask = scope.tail_mask(b.sub(line.size, i)) if scope.lanes > 1 else None
    x = line.load(0, i, mask)
    hit = x == best
    hit = (_either(hit, x != x) if x.is_float else hit).value
    bits = ir.IntType(scope.lanes)
    set_ = b.bitcast(hit if mask is None else b.and_(hit, mask), bits)
    b.cbranch(b.icmp_unsigned("!=", set_, bits(0)), found, next_)
    b.position_at_end(next_)
    i.add_incoming(b.add(i, I64(scope.lanes)), b.block)
    b.branch(head)
    b.position_at_end(found)
    lane: ir.Value = I64(0)
    if scope.lanes > 1:
        lane = scope.call(f"llvm.cttz.i{scope.lanes}", bits, [set_, I1(1)])
        lane = b.zext(lane, I64) if scope.lanes < 64 else lane
    b.store(b.add(i, lane), place)
    b.branch(after)
    b.position_at_end(after)
    return b.load(place)


def _one_line(line: Line, dtype: int, greatest: bool) -> tuple[Vec, Vec]:
    """Place and value of the extreme of a line, as scalars."""
    better = _better(greatest)
    best = line.fold(
        _worst(dtype, greatest),
        lambda a, x: better(x, a).select(x, a),
        lambda i, mask: line.load(0, i, mask),
    )
    place = _place_of(line, best)
    # the very element: a zero has a sign
    one = line.scope.scalar
    value = one.load(one.at(line.pointers[0], line.b.mul(place, line.strides[0])), dtype)
    return Vec(one, place, abi.INT64), value


def _lines_beside(line: Line, greatest: bool) -> tuple[Vec, Vec]:
    """Places and values of the extremes of lines side by side."""
    scope, mask = line.scope, line.mask
    better = _better(greatest)
    start = [line.load(0, I64(0), mask), scope.constant(abi.INT64, 0)]
    with scope.carried(I64(1), line.size, 1, start) as (i, (best, place), carry):
        x = line.load(0, i, mask)
        wins = better(x, best)
        carry.next(wins.select(x, best), wins.select(scope.splat(i, abi.INT64), place))
    best, place = carry.final
    return place, best


def build_extreme(symbol: str, dtype: int, greatest: bool, values: bool) -> ir.Module:
    """Arrays x, the places, and with `values` the values."""
    kind = _in_memory(dtype)
    module, arrays, part, parts = array_kernel(symbol)

    def body(line: Line) -> None:
        found = _lines_beside(line, greatest) if line.beside else _one_line(line, kind, greatest)
        # results are contiguous: they are in the order of the lines
        for k, value in enumerate(found if values else found[:1]):
            pointer = arrays.pointer(1 + k, value.dtype)
            value.scope.store(value, value.scope.at(pointer, line.number), line.mask)

    each_line(arrays, (0,), (kind,), arrays.word(0), (part, parts), body)
    arrays.b.ret_void()
    return module


def _of_result(arrays: Arrays, k: int, dtype: int, dim: ir.Value, line: Line) -> Vec:
    """What a result holds for a line, or for lines side by side, of the gradient, which is array 5."""
    b, scope = arrays.b, line.scope if line.beside else line.scope.scalar
    dims = arrays.dims(k)
    skip = b.select(b.icmp_signed("==", dims, arrays.dims(5)), dim, I64(-1))
    (offset,) = arrays.offset((k,), dims, skip, line.number)
    pointer = scope.at(arrays.pointer(k, dtype), offset)
    if not line.beside:
        return scope.load(pointer, dtype)
    return scope.gather(pointer, arrays.stride(k, arrays.last_dim(k)), dtype, line.mask)


def build_extreme_backward(symbol: str, dtype: int) -> ir.Module:
    """Send each line's cotangent to the chosen element; arrays x, places, values, cotangents of both, gradient."""
    kind = _in_memory(dtype)
    module, arrays, part, parts = array_kernel(symbol)
    b, dim, present = arrays.b, arrays.word(0), arrays.present(4)

    def beside(line: Line) -> None:
        scope = line.scope
        zero = scope.constant(kind, 0)
        given = scope.variable(scope.type(kind))
        place = _of_result(arrays, 1, abi.INT64, dim, line)
        b.store(zero.value, given)
        with b.if_then(present):
            b.store(_of_result(arrays, 4, kind, dim, line).value, given)
        g = Vec(scope, b.load(given), kind)
        line.each(
            lambda i, mask: line.store(0, i, (place == scope.splat(i, abi.INT64)).select(g, zero), mask)
        )

    def alone(line: Line) -> None:
        line.each(lambda i, mask: line.store(0, i, line.scope.constant(kind, 0), mask))
        with b.if_then(present):
            place = _of_result(arrays, 1, abi.INT64, dim, line)
            g = _of_result(arrays, 4, kind, dim, line)
            one = g.scope
            one.store(g, one.at(line.pointers[0], b.mul(place.value, line.strides[0])))

    def body(line: Line) -> None:
        (beside if line.beside else alone)(line)

    each_line(arrays, (5,), (kind,), dim, (part, parts), body)
    b.ret_void()
    return module
