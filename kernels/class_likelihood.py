"""The negative log likelihood of classes from logarithms of their probabilities: of every row, and the mean.

Attributes: the target that counts for nothing, and the report's address.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir

from . import abi, vjps
from .class_rows import Targets, leave_unless_fit
from .host import host
from .nest import share, spread
from .operands import Arrays, array_kernel
from .reports import BAD_TARGET, Report, accumulate, leave_to_one
from .stage import F64, I64, Scope, Vec
from .table import DROP_LAST, SCALAR, array_op


def _targets(arrays: Arrays) -> Targets:
    return Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))


def _picked(arrays: Arrays, dtype: int, row: ir.Value, target: ir.Value) -> Vec:
    """The row's logarithm of the probability of its target."""
    b, one = arrays.b, arrays.scope
    at = b.add(b.mul(row, arrays.stride(0, 0)), b.mul(target, arrays.stride(0, 1)))
    return one.load(one.at(arrays.pointer(0, dtype), at), dtype)


def build_nll(symbol: str, dtype: int) -> ir.Module:
    """``y[n] = -logp[n, target[n]]``, 0 for rows that do not count; arrays logp, target, y."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    targets = _targets(arrays)
    out = arrays.pointer(2, dtype)
    begin, end = share(one, arrays.size(0, 0), part, parts, 64)
    with one.loop(begin, end) as row:
        target = targets.load(row)
        place = one.at(out, row)
        one.store(one.constant(dtype, 0.0), place)
        with b.if_then(targets.counts(target)), b.if_else(targets.valid(target)) as (good, bad):
            with good:
                one.store(-_picked(arrays, dtype, row, target), place)
            with bad:
                Report.at(arrays, 1).write(BAD_TARGET, target)
                one.store(one.constant(dtype, math.nan), place)
    b.ret_void()
    return module


def build_nll_mean(symbol: str, dtype: int) -> ir.Module:
    """The mean of the rows that count, nan when none does; arrays logp, target, y."""
    module, arrays, part, _parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    leave_to_one(b, part)
    report = Report.at(arrays, 1)
    leave_unless_fit(arrays, report, dtype)
    rows, targets = arrays.size(0, 0), _targets(arrays)
    total = one.variable(F64)
    b.store(F64(0.0), total)
    with one.loop(I64(0), rows) as row:
        target = targets.load(row)
        with b.if_then(targets.counts(target)), b.if_else(targets.valid(target)) as (good, bad):
            with good:
                accumulate(b, total, -_picked(arrays, dtype, row, target))
            with bad:
                report.write(BAD_TARGET, target)
                b.store(F64(math.nan), total)
    mean = b.fdiv(b.load(total), b.sitofp(targets.total(rows), F64))
    one.store(Vec(one, mean, abi.FLOAT64).to(dtype), arrays.pointer(2, dtype))
    b.ret_void()
    return module


def _build_backward(symbol: str, dtype: int, mean: bool) -> ir.Module:
    """``glogp[n, target[n]] = -g[n]``, or a share of `g`, else 0; arrays logp (shape only), target, y, g, glogp, -."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    rows, classes = arrays.size(0, 0), arrays.size(0, 1)
    targets = _targets(arrays)
    g, out = arrays.pointer(3, dtype), arrays.pointer(4, dtype)
    begin, end = share(one, rows, part, parts, 1)
    if mean:
        whole = one.load(g, dtype).to(abi.FLOAT64)
        shared = (whole / Vec(one, b.sitofp(targets.total(rows), F64), abi.FLOAT64)).to(dtype)

    def clear(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        scope.store(scope.constant(dtype, 0.0), scope.at(out, i), mask)

    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    spread(b, lanes, b.mul(begin, classes), b.mul(end, classes), clear)
    with one.loop(begin, end) as row:
        target = targets.load(row)
        with b.if_then(b.and_(targets.counts(target), targets.valid(target))):
            value = shared if mean else one.load(one.at(g, b.mul(row, arrays.stride(3, 0))), dtype)
            one.store(-value, one.at(out, b.add(b.mul(row, classes), target)))
    b.ret_void()
    return module


def build_nll_backward(symbol: str, dtype: int) -> ir.Module:
    """Back from the rows' losses."""
    return _build_backward(symbol, dtype, mean=False)


def build_nll_mean_backward(symbol: str, dtype: int) -> ir.Module:
    """Back from their mean."""
    return _build_backward(symbol, dtype, mean=True)


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
array_op(
    "nll_mean",
    ("logp", "target"),
    build_nll_mean,
    backward=build_nll_mean_backward,
    gradients={"logp": ("target",)},
    vjp={"logp": vjps.nll_mean_logp},
    operand_dtypes={"target": abi.INT64},
    rule=SCALAR,
    reference=lambda logp, target: reference_nll(logp, target).mean(),
)
