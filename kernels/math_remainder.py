"""What a division leaves: remainders of staged vectors, exact for operands of any size."""

from __future__ import annotations

from . import abi
from .host import host
from .math_basic import floor_quotient, trunc
from .math_core import (
    FORMATS,
    INFINITY,
    NAN,
    Number,
    Vec,
    give_sign,
    magnitude,
    outlined,
    rarely,
    repeated,
    split,
    unify,
)

# a quotient above is taken in stages; two such factors leave none that overflows, whatever the operands
STAGE = {abi.FLOAT32: 2.0**100, abi.FLOAT64: 2.0**1000}


def fmod(a: Number, b: Number) -> Vec:
    """What the division of `a` by `b` towards zero leaves, with the sign of `a`; exact.

    An integer divided by zero leaves itself, a float nan.
    """
    a, b = unify(a, b)
    if not a.is_float:
        left = a - floor_quotient(a, b) * b  # this has the divisor's sign
        return ((left != 0) & ((left < 0) ^ (a < 0))).select(left - b, left)
    return give_sign(_rest(magnitude(a), magnitude(b)), a)


def remainder(a: Number, b: Number) -> Vec:
    """What the division of `a` by `b` downwards leaves, with the sign of `b`; rounded once, where a sum needs it.

    An integer divided by zero leaves itself, a float nan.
    """
    a, b = unify(a, b)
    if not a.is_float:
        return a - floor_quotient(a, b) * b
    left = fmod(a, b)
    return ((left != 0) & ((left < 0) ^ (b < 0))).select(left + b, left)


def _rest(x: Vec, y: Vec) -> Vec:
    """``x mod y`` of numbers that are not negative.

    Large quotients are rare: their code is jumped over while no lane needs it.
    """
    q = x / y
    left = _less(x, trunc(q), y)
    common = (x < y).select(x, (left < 0).select(left + y, left))  # the quotient may have been rounded up
    return rarely(q >= 2.0 ** _bits(x), [common], lambda: _outlined(x, y))[0]


def _bits(x: Vec) -> int:
    """How many bits of a quotient one turn of the division may take."""
    mantissa = FORMATS[x.dtype].mantissa
    return mantissa if host().fma else mantissa // 2


def _less(x: Vec, q: Vec, y: Vec) -> Vec:
    """``x - q * y`` for a quotient of as many bits as one turn may take; then it needs no rounding."""
    if host().fma:
        return x.scope.intrinsic("fma", -q, y, x)
    high, low = split(y)
    return (x - q * high) - q * low


def _outlined(x: Vec, y: Vec) -> list[Vec]:
    name = f"remainder_of_large_quotient_{abi.DTYPE_NAMES[x.dtype]}"
    return outlined(name, lambda x, y: [_long_division(x, y)], [x, y], [x.dtype])


def _long_division(x: Vec, y: Vec) -> Vec:
    """The same for quotients of any size.

    Each turn leaves less by as many bits as it takes, of either sign until the end. Multiples of `y` go first, where
    quotients would overflow otherwise.
    """
    step = STAGE[x.dtype]
    x = ((x < INFINITY) & (y > 0)).select(x, NAN)  # no turn is taken for a nan
    for divisor in ((y * step) * step, y * step, y):
        (x,) = repeated(
            lambda x, d=divisor: magnitude(x) >= d,
            lambda x, d=divisor: [(magnitude(x) >= d).select(_less(x, _short(x / d), d), x)],
            [x],
        )
    return (x < 0).select(x + y, x)


def _short(q: Vec) -> Vec:
    """The integral part of a quotient, of its leading bits only if one turn may not take all."""
    return trunc(q if host().fma else split(q)[0])
