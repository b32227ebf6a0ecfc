"""The negative log likelihood of classes from logarithms of their probabilities: of every target, and the mean.

The likelihoods lie in a matrix (N, C) or, for those of every target, also in images (N, C, S), which need not be copied
into rows for that. Attributes: the target that counts for nothing, and the report's address.
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
from .table import CLASSES, DROP_SECOND, SCALAR, array_op


def _targets(arrays: Arrays) -> Targets:
    return Targets(arrays, 1, arrays.word(0), arrays.size(0, 1))


class _Sites:
    """The places of each sample that have a target: S in images (N, C, S), one in a matrix (N, C)."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays, self.b = arrays, arrays.b
        self._many = self.b.icmp_signed("==", arrays.dims(0), I64(3))
        self.count = self._of_images(arrays.size(0, 2), 1)

    def _of_images(self, found: ir.Value, otherwise: int) -> ir.Value:
        return self.b.select(self._many, found, I64(otherwise))

    def offset(self, k: int, sample: ir.Value, site: ir.Value, target: ir.Value | None = None) -> ir.Value:
        """Where the number of a site lies in array `k`, and of a class where there is one for each."""
        b, arrays = self.b, self.arrays
        after = 1 if target is None else 2
        at = b.mul(sample, arrays.stride(k, 0))
        at = b.add(at, b.mul(site, self._of_images(arrays.stride(k, after), 0)))
        return at if target is None else b.add(at, b.mul(target, arrays.stride(k, 1)))


def _picked(arrays: Arrays, dtype: int, row: ir.Value, target: ir.Value) -> Vec:
    """The row's logarithm of the probability of its target."""
    b, one = arrays.b, arrays.scope
    at = b.add(b.mul(row, arrays.stride(0, 0)), b.mul(target, arrays.stride(0, 1)))
    return one.load(one.at(arrays.pointer(0, dtype), at), dtype)


def build_nll(symbol: str, dtype: int) -> ir.Module:
    """``y[n, s] = -logp[n, target[n, s], s]``, 0 for targets that do not count; arrays logp, target, y."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    targets, sites = _targets(arrays), _Sites(arrays)
    logp, out = arrays.pointer(0, dtype), arrays.pointer(2, dtype)
    begin, end = share(one, arrays.size(0, 0), part, parts, 1)
    with one.loop(begin, end) as sample, one.loop(I64(0), sites.count) as site:
        target = b.load(one.at(targets.pointer, sites.offset(1, sample, site)))
        place = one.at(out, b.add(b.mul(sample, sites.count), site))
        one.store(one.constant(dtype, 0.0), place)
        with b.if_then(targets.counts(target)), b.if_else(targets.valid(target)) as (good, bad):
            with good:
                one.store(-one.load(one.at(logp, sites.offset(0, sample, site, target)), dtype), place)
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
    """``glogp[n, target[n, s], s] = -g[n, s]``, or a share of `g`, else 0; arrays logp (shape), target, y, g, glogp."""
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    samples, classes = arrays.size(0, 0), arrays.size(0, 1)
    targets, sites = _targets(arrays), _Sites(arrays)
    g, out = arrays.pointer(3, dtype), arrays.pointer(4, dtype)
    begin, end = share(one, samples, part, parts, 1)
    if mean:
        whole = one.load(g, dtype).to(abi.FLOAT64)
        shared = (whole / Vec(one, b.sitofp(targets.total(samples), F64), abi.FLOAT64)).to(dtype)

    def clear(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
        scope.store(scope.constant(dtype, 0.0), scope.at(out, i), mask)

    lanes, size = host().lanes(abi.ITEM_SIZES[dtype]), b.mul(classes, sites.count)
    spread(b, lanes, b.mul(begin, size), b.mul(end, size), clear)
    with one.loop(begin, end) as sample, one.loop(I64(0), sites.count) as site:
        target = b.load(one.at(targets.pointer, sites.offset(1, sample, site)))
        with b.if_then(b.and_(targets.counts(target), targets.valid(target))):
            value = shared if mean else one.load(one.at(g, sites.offset(3, sample, site)), dtype)
            at = b.add(b.mul(b.add(b.mul(sample, classes), target), sites.count), site)
            one.store(-value, one.at(out, at))
    b.ret_void()
    return module


def build_nll_backward(symbol: str, dtype: int) -> ir.Module:
    """Back from the losses of the targets."""
    return _build_backward(symbol, dtype, mean=False)


def build_nll_mean_backward(symbol: str, dtype: int) -> ir.Module:
    """Back from their mean."""
    return _build_backward(symbol, dtype, mean=True)


def reference_nll(logp: np.ndarray, target: np.ndarray) -> np.ndarray:
    """NumPy's negative log likelihood of each target."""
    return -np.take_along_axis(logp, target[:, None], 1)[:, 0]


array_op(
    "nll_gather",
    ("logp", "target"),
    build_nll,
    backward=build_nll_backward,
    gradients={"logp": ("target",)},
    vjp={"logp": vjps.nll_logp},
    operand_dtypes={"target": abi.INT64},
    rule=DROP_SECOND,
    reference=reference_nll,
    reports=CLASSES,
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
    reports=CLASSES,
)
