"""Exponentials of staged vectors."""

from __future__ import annotations

from . import abi
from .math_core import (
    FORMATS,
    Vec,
    at_least,
    at_most,
    fma,
    give_sign,
    nearest,
    polynomial,
    power_of_two,
    rarely,
    scale,
)

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has so few bits that its product with any exponent is exact
LN2 = {
    abi.FLOAT32: (0.693145751953125, 1.42860682030941723e-06),
    abi.FLOAT64: (0.6931471803691238, 1.9082149292705877e-10),
}
# (exp(r) - 1 - r) / r**2 for |r| <= ln(2) / 2; errors 2**-28.2 and 2**-57.9 of exp(r)
EXP = {
    abi.FLOAT32: (
        0.49999994,
        0.16666517,
        0.041668106,
        0.008369195,
        0.0013838434,
    ),
    abi.FLOAT64: (
        0.5000000000000011,
        0.16666666666666435,
        0.04166666666652573,
        0.008333333333475837,
        0.001388888894488619,
        0.00019841269555289138,
        2.480149171990046e-05,
        2.755753572208051e-06,
        2.76307625245139e-07,
        2.5018220517640588e-08,
    ),
}
# (2**r - 1) / r for |r| <= 1/2; errors 2**-27.5 and 2**-55.5 of 2**r
EXP2 = {
    abi.FLOAT32: (
        0.69314724,
        0.24022655,
        0.055502724,
        0.009617071,
        0.0013417893,
        0.00015823584,
    ),
    abi.FLOAT64: (
        0.6931471805599457,
        0.240226506959101,
        0.05550410866478813,
        0.009618129107606413,
        0.001333355815391476,
        0.00015403530442012722,
        1.525272696150703e-05,
        1.3215442599014812e-06,
        1.018081645235382e-07,
        7.0725626283244304e-09,
        4.0533736550573597e-10,
    ),
}
# beyond these exp is 0 or infinite whatever the argument
EXP_RANGE = {abi.FLOAT32: (-104.0, 89.0), abi.FLOAT64: (-746.0, 710.0)}
EXP2_RANGE = {abi.FLOAT32: (-151.0, 129.0), abi.FLOAT64: (-1076.0, 1025.0)}
# where exp is still a normal number
DECAY_BOTTOM = {abi.FLOAT32: -87.0, abi.FLOAT64: -708.0}
# below these exp(x) - 1 is -1
EXPM1_BOTTOM = {abi.FLOAT32: -20.0, abi.FLOAT64: -40.0}


def reduce_exponent(x: Vec) -> tuple[Vec, Vec]:
    """`x` as ``n * ln(2) + r`` with integral `n` and ``|r| <= ln(2) / 2`` (only just)."""
    high, low = LN2[x.dtype]
    magic = FORMATS[x.dtype].magic
    n = fma(x, LOG2_E, magic) - magic
    return n, fma(n, -low, fma(n, -high, x))


def exp_minus_one(r: Vec) -> Vec:
    """``exp(r) - 1`` for a reduced argument."""
    return fma(polynomial(r, EXP[r.dtype]), r * r, r)


def exp(x: Vec) -> Vec:
    """``e**x``; largest errors 1.01 and 0.99 ulp."""
    bottom, top = EXP_RANGE[x.dtype]
    n, r = reduce_exponent(at_most(at_least(x, bottom), top))
    return scale(exp_minus_one(r) + 1, n)


def exp2(x: Vec) -> Vec:
    """``2**x``; largest errors 0.87 and 0.88 ulp."""
    bottom, top = EXP2_RANGE[x.dtype]
    x = at_most(at_least(x, bottom), top)
    n = nearest(x)
    r = x - n
    return scale(fma(polynomial(r, EXP2[r.dtype]), r, 1), n)


def expm1(x: Vec) -> Vec:
    """``e**x - 1``, accurate also where it is small; largest errors 1.5 and 1.9 ulp."""
    n, r = reduce_exponent(at_most(at_least(x, EXPM1_BOTTOM[x.dtype]), EXP_RANGE[x.dtype][1]))
    largest = FORMATS[x.dtype].bias
    # 2**n itself may overflow where the result does not: the last factor of two is applied at the end
    power = power_of_two(at_most(n, largest))
    y = fma(power, exp_minus_one(r), power - 1)
    return give_sign(y * (n > largest).select(x.like(2), 1), x)


def decay(x: Vec) -> Vec:
    """``e**x`` for `x` at most zero (only just); 0 where that is too small for a normal number.

    Numbers that are not normal cost processors a hundred times as much, and -inf, as masks bring it, is common.
    Largest errors 1.01 and 0.99 ulp.
    """
    bottom = DECAY_BOTTOM[x.dtype]
    n, r = reduce_exponent(at_least(x, bottom))
    power = power_of_two(n)
    return (x < bottom).select(0.0, fma(exp_minus_one(r), power, power))


def decay_below(x: Vec) -> Vec:
    """`decay` of ``min(x, 0)``, for activations: nothing is computed where no lane is below zero."""
    return rarely(~(x >= 0), [x.like(1)], lambda: [decay(at_most(x, 0.0))])[0]


def expm1_below(x: Vec) -> Vec:
    """``e**min(x, 0) - 1``, likewise; largest errors 1.5 and 1.9 ulp."""

    def compute() -> list[Vec]:
        n, r = reduce_exponent(at_least(at_most(x, 0.0), EXPM1_BOTTOM[x.dtype]))
        power = power_of_two(n)
        return [fma(power, exp_minus_one(r), power - 1)]

    return rarely(~(x >= 0), [x.like(0)], compute)[0]
