"""Reductions over some of a tensor's dimensions."""

from __future__ import annotations

import math

import numpy as np

from . import abi
from .elementwise import sign_of
from .formula import absolute, isnan, like, maximum, minimum, where
from .table import ALL, BY_NAME, FLOATS, reduction

LARGEST = {abi.INT64: np.iinfo(np.int64).max}
SMALLEST = {abi.INT64: np.iinfo(np.int64).min}


def _zero(dtype):
    return 0


def _one(dtype):
    return 1


def _lowest(dtype):
    return SMALLEST.get(dtype, -math.inf)


def _highest(dtype):
    return LARGEST.get(dtype, math.inf)


def _to_extremes(x, y, g):
    """The cotangent at every element that is the extreme; the caller divides it by their number.

    If the extreme is nan, these are the nans, and a cotangent of nan goes to all elements.
    """
    return where((x == y) | ((x != x) & (y != y)) | (g != g), g, like(g, 0))


reduction(
    "sum",
    initial=_zero,
    combine=lambda a, b: a + b,
    gradient=lambda g: g,
    dtypes=(abi.INT64, *FLOATS),
    reference=np.sum,
)
reduction(
    "nansum",
    initial=_zero,
    combine=lambda a, b: a + b,
    before=lambda x: where(isnan(x), like(x, 0), x),
    gradient=lambda x, g: where(isnan(x), like(g, 0), g),
    reference=np.nansum,
)
reduction(
    "mean",
    initial=_zero,
    combine=lambda a, b: a + b,
    after=lambda total, n: total / like(total, n),
    gradient=lambda g, n: g / n,
    reference=np.mean,
)
reduction(
    "prod",
    initial=_one,
    combine=lambda a, b: a * b,
    dtypes=(abi.INT64, *FLOATS),
    reference=np.prod,
)
reduction(
    "amax",
    initial=_lowest,
    combine=lambda a, b: maximum(a, b),
    gradient=_to_extremes,
    dtypes=ALL,
    reference=np.max,
)
reduction(
    "amin",
    initial=_highest,
    combine=lambda a, b: minimum(a, b),
    gradient=_to_extremes,
    dtypes=ALL,
    reference=np.min,
)
reduction(
    "any",
    initial=_zero,
    combine=lambda a, b: a | b,
    before=lambda x: x != 0,
    dtypes=ALL,
    result=abi.BOOL,
    reference=np.any,
)
reduction(
    "all",
    initial=_one,
    combine=lambda a, b: a & b,
    before=lambda x: x != 0,
    dtypes=ALL,
    result=abi.BOOL,
    reference=np.all,
)
reduction(
    "count_nonzero",
    initial=_zero,
    combine=lambda a, b: a + b,
    before=lambda x: x != 0,
    dtypes=ALL,
    result=abi.INT64,
    reference=np.count_nonzero,
)
reduction(
    "sum_of_squares",
    initial=_zero,
    combine=lambda a, b: a + b,
    before=lambda x: x * x,
    gradient=lambda x, g: 2 * x * g,
    reference=lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims),
)
reduction(
    "sum_of_absolutes",
    initial=_zero,
    combine=lambda a, b: a + b,
    before=lambda x: absolute(x),
    gradient=lambda x, g: sign_of(x) * g,
    reference=lambda x, axis, keepdims: np.sum(np.abs(x), axis=axis, keepdims=keepdims),
)

SUM, ADD, COPY = (BY_NAME[name].code for name in ("sum", "add", "copy"))
