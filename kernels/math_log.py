"""Logarithms of staged vectors."""

from __future__ import annotations

from typing import NamedTuple

from . import abi
from .math_core import (
    FORMATS,
    INFINITY,
    NAN,
    Vec,
    at_least,
    fma,
    give_sign,
    has_wide_instructions,
    is_double,
    polynomial,
    power_of_two,
    wide_instruction,
)
from .math_exp import LN2

# sqrt(2), and the bits of sqrt(1/2): between them lie significands, so that log is accurate near one
SQRT2 = 1.4142135623730951
SQRT_HALF = {abi.FLOAT32: 0x3F3504F3, abi.FLOAT64: 0x3FE6A09E667F3BCD}
# (log(1 + f) - f) / f**2 for sqrt(1/2) <= 1 + f <= sqrt(2), first term exact; error 2**-27.3 of log(1 + f)
LOG1P_FLOAT = (
    -0.5,
    *(
        0.3333333,
        -0.25000823,
        0.20001243,
        -0.16623323,
        0.14201507,
        -0.13160282,
        0.12762907,
        -0.07635627,
    ),
)
# (log((1 + s) / (1 - s)) - 2 * s) / s**3 in z = s**2 on the same range; error 2**-59.5 of the logarithm
LOG_DOUBLE = (
    0.6666666666666734,
    0.3999999999941669,
    0.2857142874200499,
    0.22222198608489402,
    0.1818356262820955,
    0.1531409146922134,
    0.14795559568072914,
)


def decompose(x: Vec) -> tuple[Vec, Vec]:
    """`x` as ``2**e * (1 + f)`` with ``1 + f`` from sqrt(1/2) to sqrt(2); returns `e` and `f`, both exact.

    Where the logarithm is infinite or nan, `e` or `f` is so already: `e` is that of zero or infinity, and
    one of the two is nan for nan and negative numbers.
    """
    return _decompose_by_instruction(x) if has_wide_instructions(x) else _decompose_by_bits(x)


def _decompose_by_instruction(x: Vec) -> tuple[Vec, Vec]:
    # significands from 1 to 2, nan for negative numbers
    significand = wide_instruction("getmant", x, 0b1100)
    e = wide_instruction("getexp", x)
    above = significand > SQRT2
    return above.select(e + 1, e), above.select(significand * 0.5, significand) - 1


def _decompose_by_bits(x: Vec) -> tuple[Vec, Vec]:
    form = FORMATS[x.dtype]
    tiny = x < form.smallest
    lift = form.mantissa + 1
    bits = tiny.select(x * 2.0**lift, x).bits() + ((form.bias << form.mantissa) - SQRT_HALF[x.dtype])
    # the biased exponent, made a number by the bits of 2**mantissa above it
    stamp = (form.bias + form.mantissa) << form.mantissa
    exponent = (bits.logical_shift(form.mantissa) | stamp).as_float()
    offset = 2.0**form.mantissa + form.bias
    e = exponent - tiny.select(x.like(offset + lift), offset)
    significand = (bits & ((1 << form.mantissa) - 1)) + SQRT_HALF[x.dtype]
    outside = (x == 0).select(x.like(-INFINITY), NAN)
    e = (x > 0).select((x < INFINITY).select(e, x), outside)
    return e, significand.as_float() - 1


def log1p_excess(f: Vec) -> Vec:
    """``log(1 + f) - f`` for a reduced `f`."""
    if not is_double(f):
        return f * f * polynomial(f, LOG1P_FLOAT)
    s = f / (f + 2)
    z = s * s
    half = f * f * 0.5
    return fma(s, fma(z, polynomial(z, LOG_DOUBLE), half), -half)


class Base(NamedTuple):
    """A base of logarithms: ``1 / ln(base)`` and ``log_base(2)``, each in two parts.

    The first part of ``log_base(2)`` has so few bits that its product with any exponent is exact, and the
    second is zero or positive, so that an infinite exponent passes through.
    """

    slope: tuple[float, float]
    octave: tuple[float, float]


BINARY = {
    abi.FLOAT32: Base((1.4426950216293335, 1.925963e-08), (1.0, 0.0)),
    abi.FLOAT64: Base((1.4426950408889634, 2.0355273740931033e-17), (1.0, 0.0)),
}
DECIMAL = {
    abi.FLOAT32: Base((0.4342944920063019, -1.010305e-08), (0.301025390625, 4.605039e-06)),
    abi.FLOAT64: Base(
        (0.4342944819032518, 1.098319650216765e-17), (0.30102999566395283, 2.8363394551044964e-14)
    ),
}


def _scaled(x: Vec, base: Base) -> Vec:
    e, f = decompose(x)
    excess = log1p_excess(f) * base.slope[0]
    if base.octave[1]:
        excess = fma(e, base.octave[1], excess)
    small = fma(f, base.slope[1], excess)
    return fma(e, base.octave[0], fma(f, base.slope[0], small))


def log(x: Vec) -> Vec:
    """The natural logarithm; largest errors 0.93 and 0.86 ulp."""
    e, f = decompose(x)
    high, low = LN2[x.dtype]
    return fma(e, high, f + fma(e, low, log1p_excess(f)))


def log2(x: Vec) -> Vec:
    """The logarithm of base 2; largest errors 1.1 and 1.1 ulp."""
    return _scaled(x, BINARY[x.dtype])


def log10(x: Vec) -> Vec:
    """The logarithm of base 10; largest errors 1.1 and 1.0 ulp."""
    return _scaled(x, DECIMAL[x.dtype])


def log1p(x: Vec) -> Vec:
    """``log(1 + x)``, accurate also for small `x`; largest errors 1.6 and 1.3 ulp."""
    u = x + 1
    e, f = decompose(u)
    # what was lost in 1 + x, in units of u's octave; where 2**-e would be too small, nothing was
    lost = (x < 1).select(x - (u - 1), 1 - (u - x))
    f = f + lost * power_of_two(at_least(-e, -FORMATS[x.dtype].bias))
    high, low = LN2[x.dtype]
    y = fma(e, high, f + fma(e, low, log1p_excess(f)))
    return give_sign((x < INFINITY).select(y, x), x)
