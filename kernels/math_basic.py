"""Rounding, comparison and sign functions of staged vectors, for floating and integer lanes."""

from __future__ import annotations

from . import abi
from .host import host
from .math_core import (
    FORMATS,
    INFINITY,
    NAN,
    Number,
    Vec,
    give_sign,
    is_plain,
    magnitude,
    two_product,
    unify,
)
from .stage import MASK


def absolute(x: Vec) -> Vec:
    """``|x|``; exact. The smallest integer stays itself."""
    return magnitude(x) if x.is_float else (x < 0).select(-x, x)


def sqrt(x: Vec) -> Vec:
    """The square root, correctly rounded; nan below zero."""
    return x.scope.intrinsic("sqrt", x)


def rsqrt(x: Vec) -> Vec:
    """``1 / sqrt(x)``; largest errors 1.5 and 1.5 ulp."""
    return 1 / sqrt(x)


def isnan(x: Vec) -> Vec:
    """A mask of the lanes that are nan."""
    return x != x if x.is_float else x.scope.constant(MASK, 0)


def copysign(x: Number, y: Number) -> Vec:
    """``|x|`` with the sign of `y`, also where that is a zero or nan."""
    return give_sign(*unify(x, y))


def minimum(a: Number, b: Number) -> Vec:
    """The smaller of two values; nan if either is."""
    return _extreme(a, b, Vec.__lt__)


def maximum(a: Number, b: Number) -> Vec:
    """The larger of two values; nan if either is."""
    return _extreme(a, b, Vec.__gt__)


def _extreme(a: Number, b: Number, wins) -> Vec:
    if is_plain(b):
        a, b = b, a
    known = is_plain(a)
    first, second = unify(a, b)
    # x86 has this comparison and choice as one instruction; nan in `second` comes through it by itself
    best = wins(first, second).select(first, second)
    if known or not first.is_float:
        return best
    return isnan(first).select(first, best)


def floor(x: Vec) -> Vec:
    """The largest integer that is not above `x`; exact."""
    return _round(x, "floor")


def ceil(x: Vec) -> Vec:
    """The smallest integer that is not below `x`; exact."""
    return _round(x, "ceil")


def trunc(x: Vec) -> Vec:
    """`x` without its fraction; exact."""
    return _round(x, "trunc")


def rint(x: Vec) -> Vec:
    """The nearest integer, ties to even; exact."""
    return _round(x, "rint")


def _round(x: Vec, direction: str) -> Vec:
    if not x.is_float:
        return x
    machine = host()
    # x86 before SSE 4.1 has no rounding instruction, and LLVM would call libm once a lane
    bare = machine.vector_bytes == 16 and machine.vector_registers == 16
    if not bare or "+sse4.1" in machine.features.split(","):
        return x.scope.intrinsic(direction, x)
    return _round_by_addition(x, direction)


def _round_by_addition(x: Vec, direction: str) -> Vec:
    size = magnitude(x)
    whole = 2.0 ** FORMATS[x.dtype].mantissa
    n = (size + whole) - whole
    if direction == "trunc":
        n = (n > size).select(n - 1, n)
    else:
        n = give_sign(n, x)
        if direction == "floor":
            n = (n > x).select(n - 1, n)
        elif direction == "ceil":
            n = (n < x).select(n + 1, n)
    # numbers this large are integers already; the comparison is false for nan, which stays too
    return (size < whole).select(give_sign(n, x), x)


def floor_quotient(a: Number, b: Number) -> Vec:
    """``floor(a / b)``, right also where the quotient rounds up to an integer, as 1 / 0.1 does.

    An integer divided by zero gives zero, a float what ``a / b`` gives; an infinite float gives nan.
    """
    a, b = unify(a, b)
    return _floor_quotient_float(a, b) if a.is_float else _floor_quotient_integer(a, b)


def _floor_quotient_float(a: Vec, b: Vec) -> Vec:
    q = floor(a / b)
    product, error = two_product(q, b)
    left = (magnitude(b) < INFINITY).select((a - product) - error, a)
    # the remainder has the divisor's sign, unless the quotient was rounded past the next integer
    q = ((left != 0) & ((left < 0) ^ (b < 0))).select(q - 1, q)
    return ((magnitude(a) < INFINITY) | (b == 0)).select(q, NAN)


def _floor_quotient_integer(a: Vec, b: Vec) -> Vec:
    if a.dtype != abi.INT64:
        # float64 holds these integers, and tells their quotients apart
        exact = floor(a.to(abi.FLOAT64) / (b == 0).select(1, b).to(abi.FLOAT64))
        return (b == 0).select(0, exact.to(abi.INT64).to(a.dtype))
    # the processor traps on division by zero and on the smallest integer divided by -1
    plain = (b == 0) | (b == -1)
    divisor = plain.select(1, b)
    q = a / divisor
    left = a - q * divisor
    q = ((left != 0) & ((left < 0) ^ (b < 0))).select(q - 1, q)
    return plain.select((b == 0).select(0, -a), q)
