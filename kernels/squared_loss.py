"""The mean squared error as one kernel forward and one backward: no array in between is stored.

Sums over elements are taken in float32 or float64 lanes by blocks, and over blocks in float64; one thread takes
all of a sum, so the result does not depend on the number of threads. The gradients are shared out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from llvmlite import ir

from . import abi, vjps
from .batch import Batch, Strip
from .block_sums import Read, sum_squares
from .host import host
from .nest import share, spread
from .operands import Arrays, Line, array_kernel, each_line
from .reports import BAD_SHAPES, Report, accumulate, leave_to_one
from .softmax import add
from .stage import F64, I64, Scope, Vec
from .table import SCALAR, SHAPES, array_op


def same_shape(arrays: Arrays, j: int, k: int) -> ir.Value:
    """Whether two arrays have one shape, as a bit."""
    b, one = arrays.b, arrays.scope
    same = one.variable(ir.IntType(1))
    b.store(b.icmp_signed("==", arrays.dims(j), arrays.dims(k)), same)
    with one.loop(I64(0), arrays.dims(j)) as d:
        equal = b.icmp_signed("==", arrays.size(j, d), arrays.size(k, d))
        b.store(b.and_(b.load(same), equal), same)
    return b.load(same)


def contiguous(arrays: Arrays, ks: tuple[int, ...]) -> ir.Value:
    """Whether all these arrays lie in row-major order without gaps, as a bit."""
    b, one = arrays.b, arrays.scope
    bit = one.variable(ir.IntType(1))
    step = one.variable(I64)
    b.store(ir.IntType(1)(1), bit)
    b.store(I64(1), step)
    dims = arrays.dims(ks[0])
    with one.loop(I64(0), dims) as back:
        d = b.sub(b.sub(dims, I64(1)), back)
        size = arrays.size(ks[0], d)
        for k in ks:
            fits = b.icmp_signed("==", arrays.stride(k, d), b.load(step))
            fits = b.or_(fits, b.icmp_signed("==", size, I64(1)))
            b.store(b.and_(b.load(bit), fits), bit)
        b.store(b.mul(b.load(step), size), step)
    return b.load(bit)


def _difference(arrays: Arrays, dtype: int) -> Read:
    """The function of a scope, a place and a mask that reads ``x - t`` there, for contiguous arrays."""
    x, t = arrays.pointer(0, dtype), arrays.pointer(1, dtype)
    return lambda scope, i, mask: (
        scope.load(scope.at(x, i), dtype, mask) - scope.load(scope.at(t, i), dtype, mask)
    )


def _line_difference(line: Line, i: ir.Value, mask: ir.Value | None) -> Vec:
    return line.load(0, i, mask) - line.load(1, i, mask)


def build_mse(symbol: str, dtype: int) -> ir.Module:
    """``mean((x - t) ** 2)``; arrays x, t, y; attribute 0 is the report's address."""
    module, arrays, part, _parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    leave_to_one(b, part)
    fits = same_shape(arrays, 0, 1)
    with b.if_then(b.not_(fits)):
        Report.at(arrays, 0).write(BAD_SHAPES, I64(0))
        one.store(one.constant(dtype, math.nan), arrays.pointer(2, dtype))
        b.ret_void()
    _write_mean(arrays, dtype, contiguous(arrays, (0, 1)), arrays.numel(0))
    b.ret_void()
    return module


def _write_mean(arrays: Arrays, dtype: int, plain: ir.Value, everything: ir.Value) -> None:
    """Store the sum of squares divided by so many elements, of which only some may be here.

    `plain` says whether x and t are contiguous.
    """
    b, one = arrays.b, arrays.scope
    total = one.variable(F64)
    b.store(F64(0.0), total)
    numel = arrays.numel(0)
    with b.if_else(plain) as (flat, other):
        with flat:
            sum_squares(b, dtype, _difference(arrays, dtype), numel, total)
        with other:

            def body(line: Line) -> None:
                def square(i, mask):
                    d = _line_difference(line, i, mask)
                    return d * d

                value = line.fold(0.0, add, square)
                # lines side by side: the lanes outside the mask have added zeros to zeros
                accumulate(b, total, value.reduce(add) if line.beside else line.first(value))

            each_line(arrays, (0, 1), [dtype] * 2, arrays.last_dim(0), (I64(0), I64(1)), body)
    mean = b.fdiv(b.load(total), b.sitofp(everything, F64))
    one.store(Vec(one, mean, abi.FLOAT64).to(dtype), arrays.pointer(2, dtype))


def build_mse_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = 2 (x - t) g / n``, ``gt = -gx``; arrays x, t, y, g, gx, gt.

    n counts the elements of the whole batch, of whose samples only some may be here: attributes 1 and 2 say how
    many there are in all, and how many here.
    """
    module, arrays, part, parts = array_kernel(symbol)
    _write_gradients(arrays, dtype, contiguous(arrays, (0, 1)), _everything(arrays), (part, parts))
    arrays.b.ret_void()
    return module


def build_mse_both(symbol: str, dtype: int) -> ir.Module:
    """The mean and its gradients; arrays and attributes are those of the gradients."""
    module, arrays, part, _parts = array_kernel(symbol)
    leave_to_one(arrays.b, part)
    plain = contiguous(arrays, (0, 1))
    everything = _everything(arrays)
    _write_mean(arrays, dtype, plain, everything)
    _write_gradients(arrays, dtype, plain, everything, (I64(0), I64(1)))
    arrays.b.ret_void()
    return module


def _everything(arrays: Arrays) -> ir.Value:
    """How many elements the whole batch has."""
    b = arrays.b
    return b.mul(b.sdiv(arrays.numel(0), arrays.word(2)), arrays.word(1))


def _write_gradients(
    arrays: Arrays, dtype: int, plain: ir.Value, everything: ir.Value, share_of: tuple[ir.Value, ir.Value]
) -> None:
    """Write what is wanted of the gradients of a mean over so many elements; `plain` as for `_write_mean`."""
    b, one = arrays.b, arrays.scope
    numel = arrays.numel(0)
    count = Vec(one, b.sitofp(everything, F64), abi.FLOAT64)
    scale = one.constant(abi.FLOAT64, 2.0) * one.load(arrays.pointer(3, dtype), dtype).to(abi.FLOAT64) / count
    scale = scale.to(dtype)
    lanes = host().lanes(abi.ITEM_SIZES[dtype])

    def flat(target: int, factor: Vec) -> None:
        difference, out = _difference(arrays, dtype), arrays.pointer(target, dtype)

        def body(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            d = difference(scope, i, mask)
            scope.store(d * scope.splat(factor.value, dtype), scope.at(out, i), mask)

        begin, end = share(one, numel, *share_of, 64)
        spread(b, lanes, begin, end, body)

    def lines(target: int, factor: Vec) -> None:
        def body(line: Line) -> None:
            def write(i, mask):
                line.store(2, i, _line_difference(line, i, mask) * line.whole(factor), mask)

            line.each(write)

        each_line(arrays, (0, 1, target), [dtype] * 3, arrays.last_dim(0), share_of, body)

    for target, factor in ((4, scale), (5, -scale)):
        with b.if_then(arrays.present(target)), b.if_else(plain) as (near, far):
            with near:
                flat(target, factor)
            with far:
                lines(target, factor)


def reference_mse(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """NumPy's mean squared error."""
    return np.mean((x - t) ** 2)


def _some(words: Sequence[int], strip: Strip) -> list[int]:
    return [words[0], words[1] * strip.batch, words[2] * strip.samples]


array_op(
    "mse_loss",
    ("x", "t"),
    build_mse,
    backward=build_mse_backward,
    both=build_mse_both,
    gradients={"x": ("x", "t"), "t": ("x", "t")},
    vjp={"x": vjps.mse_x, "t": vjps.mse_t},
    rule=SCALAR,
    reference=reference_mse,
    batch=Batch({"x": 0, "t": 0}, ("g",), attributes=_some),
    reports=SHAPES,
)
