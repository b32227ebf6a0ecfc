"""The negative log likelihood of classes, row by row, from logarithms of their probabilities."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir

from . import abi, vjps
from .class_rows import Targets
from .host import host
from .nest import share, spread
from .operands import array_kernel
from .reports import BAD_TARGET, Report
from .stage import I64, Scope
from .table import DROP_LAST, array_op


def build_nll(symbol: str, dtype: int) -> ir.Module:
    """``y[n] = -logp[n, target[n]]``; arrays logp, target, y; attribute 0 is the report's address."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    rows = arrays.size(0, 0)
    targets = Targets(arrays, 1, I64(0), arrays.size(0, 1))
    source, out = arrays.pointer(0, dtype), arrays.pointer(2, dtype)
    begin, end = share(one, rows, part, parts, 64)
    with one.loop(begin, end) as row:
        target = targets.load(row)
        place = one.at(out, row)
        with b.if_else(targets.valid(target)) as (good, bad):
            with good:
                at = b.add(b.mul(row, arrays.stride(0, 0)), b.mul(target, arrays.stride(0, 1)))
                one.store(-one.load(one.at(source, at), dtype), place)
            with bad:
                Report.at(arrays, 0).write(BAD_TARGET, target)
                one.store(one.constant(dtype, math.nan), place)
    b.ret_void()
    return module


def build_nll_backward(symbol: str, dtype: int) -> ir.Module:
    """``glogp[n, target[n]] = -g[n]``, else 0; arrays logp (shape only), target, y, g, glogp, -."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    rows, classes = arrays.size(0, 0), arrays.size(0, 1)
    targets = Targets(arrays, 1, I64(0), classes)
    g, out = arrays.pointer(3, dtype), arrays.pointer(4, dtype)
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    begin, end = share(one, rows, part, parts, 1)

    def clear(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        scope.store(scope.constant(dtype, 0.0), scope.at(out, i), mask)

    spread(b, lanes, b.mul(begin, classes), b.mul(end, classes), clear)
    with one.loop(begin, end) as row:
        target = targets.load(row)
        with b.if_then(targets.valid(target)):
            value = one.load(one.at(g, b.mul(row, arrays.stride(3, 0))), dtype)
            one.store(-value, one.at(out, b.add(b.mul(row, classes), target)))
    b.ret_void()
    return module


def reference_nll(logp: np.ndarray, target: np.ndarray) -> np.ndarray:
    """NumPy's negative log likelihood of each row."""
    return -logp[np.arange(len(target)), target]


array_op(
    "nll_gather",
    ("logp", "target"),
    build_nll,
    backward=build_nll_backward,
    gradients={"logp": ("target",)},
    vjp={"logp": vjps.nll_logp},
    operand_dtypes={"target": abi.INT64},
    rule=DROP_LAST,
    reference=reference_nll,
)
