"""Elementwise operations without gradients: comparison, classification, logic and bits."""

from __future__ import annotations

import math

import numpy as np

from . import abi
from .formula import absolute, like, where
from .table import ALL, FLOATS, INTEGERS, elementwise


def _within(a, count):
    """Whether `count` is a number of bits that `a` has; machines shift by others as they like."""
    return (count >= 0) & (count < 8 * abi.ITEM_SIZES[a.dtype])


def shift_left(a, count):
    """``a << count``; by negative counts, and beyond all bits, 0."""
    within = _within(a, count)
    return where(within, a << where(within, count, like(count, 0)), like(a, 0))


def shift_right(a, count):
    """``a >> count``; by negative counts, and beyond all bits, what the sign bit fills."""
    within = _within(a, count)
    return where(within, a >> where(within, count, like(count, 0)), where(a < 0, like(a, -1), like(a, 0)))


# comparison and classification
elementwise("eq", lambda a, b: a == b, dtypes=ALL, result=abi.BOOL, reference=np.equal)
elementwise(  # an extreme and the elements that have it: nan is as nan is
    "ties",
    lambda a, b: (a == b) | ((a != a) & (b != b)),
    dtypes=FLOATS,
    result=abi.BOOL,
    reference=lambda a, b: (a == b) | (np.isnan(a) & np.isnan(b)),
)
elementwise("ne", lambda a, b: a != b, dtypes=ALL, result=abi.BOOL, reference=np.not_equal)
elementwise("lt", lambda a, b: a < b, dtypes=ALL, result=abi.BOOL, reference=np.less)
elementwise("le", lambda a, b: a <= b, dtypes=ALL, result=abi.BOOL, reference=np.less_equal)
elementwise("gt", lambda a, b: a > b, dtypes=ALL, result=abi.BOOL, reference=np.greater)
elementwise("ge", lambda a, b: a >= b, dtypes=ALL, result=abi.BOOL, reference=np.greater_equal)
elementwise("isnan", lambda x: x != x, dtypes=FLOATS, result=abi.BOOL, reference=np.isnan)
elementwise("isinf", lambda x: absolute(x) == math.inf, dtypes=FLOATS, result=abi.BOOL, reference=np.isinf)
elementwise(
    "isfinite",
    lambda x: absolute(x) < math.inf,
    dtypes=FLOATS,
    result=abi.BOOL,
    reference=np.isfinite,
)
elementwise(
    "logical_and",
    lambda a, b: (a != 0) & (b != 0),
    dtypes=ALL,
    result=abi.BOOL,
    reference=np.logical_and,
)
elementwise(
    "logical_or",
    lambda a, b: (a != 0) | (b != 0),
    dtypes=ALL,
    result=abi.BOOL,
    reference=np.logical_or,
)
elementwise(
    "logical_xor",
    lambda a, b: (a != 0) ^ (b != 0),
    dtypes=ALL,
    result=abi.BOOL,
    reference=np.logical_xor,
)
elementwise("logical_not", lambda x: x == 0, dtypes=ALL, result=abi.BOOL, reference=np.logical_not)

# bits
BITS = (abi.BOOL, *INTEGERS)
elementwise("bitwise_and", lambda a, b: a & b, dtypes=BITS, reference=np.bitwise_and)
elementwise("bitwise_or", lambda a, b: a | b, dtypes=BITS, reference=np.bitwise_or)
elementwise("bitwise_xor", lambda a, b: a ^ b, dtypes=BITS, reference=np.bitwise_xor)
elementwise("bitwise_not", lambda x: ~x, dtypes=BITS, reference=np.bitwise_not)
elementwise("left_shift", lambda a, b: shift_left(a, b), dtypes=INTEGERS, reference=np.left_shift)
elementwise("right_shift", lambda a, b: shift_right(a, b), dtypes=INTEGERS, reference=np.right_shift)
