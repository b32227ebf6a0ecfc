"""Inverse trigonometric functions of staged vectors."""

from __future__ import annotations

from . import abi
from .math_basic import sqrt
from .math_core import Number, Vec, fma, give_sign, magnitude, polynomial, unify

# (asin(s) / s - 1) / s**2 in z = s**2 for |s| <= 1/2; errors 2**-27.6 and 2**-59.9
ARCSINE = {
    abi.FLOAT32: (
        0.16666752,
        0.0749531,
        0.04546903,
        0.024185386,
        0.04215732,
    ),
    abi.FLOAT64: (
        0.1666666666666676,
        0.07499999999970867,
        0.04464285717455968,
        0.030381942709934415,
        0.02237221493343432,
        0.017351612910106097,
        0.013980810446128682,
        0.011398991122694697,
        0.010779825644498928,
        0.0037079816351367613,
        0.02170368856838703,
        -0.02099380807248509,
        0.03262536260916865,
    ),
}
# (atan(t) / t - 1) / t**2 in z = t**2 for |t| <= 1; errors 2**-28.3 and 2**-56.8
ARCTANGENT = {
    abi.FLOAT32: (
        -0.333333,
        0.1999853,
        -0.14264016,
        0.10950858,
        -0.08399134,
        0.05787621,
        -0.031089349,
        0.010863157,
        -0.0017812477,
    ),
    abi.FLOAT64: (
        -0.3333333333333307,
        0.1999999999995175,
        -0.1428571428258816,
        0.11111111007344544,
        -0.09090907007849114,
        0.07692279889542403,
        -0.06666404428650106,
        0.05880529840416863,
        -0.0525352692919599,
        0.04722348885188449,
        -0.042192450230523745,
        0.036643191294641386,
        -0.029905800355990293,
        0.02198714678574417,
        -0.013902645554722528,
        0.007197934040715122,
        -0.0028856345144842557,
        0.000831568383037061,
        -0.00015221305366880757,
        1.3230194424524535e-05,
    ),
}
# pi / 2 in two parts
HALF_PI = {
    abi.FLOAT32: (1.5707963705062866, -4.371139006309477e-08),
    abi.FLOAT64: (1.5707963267948966, 6.123233995736766e-17),
}


def _arcsine(x: Vec) -> tuple[Vec, Vec, Vec]:
    """Returns a mask, and two parts of ``asin(|x|)``, or of ``acos(|x|) / 2`` where the mask is set."""
    size = magnitude(x)
    far = size > 0.5
    # acos(x) = 2 * asin(sqrt((1 - x) / 2))
    z = far.select(fma(size, -0.5, 0.5), size * size)
    s = far.select(sqrt(z), size)
    return far, s, s * z * polynomial(z, ARCSINE[x.dtype])


def arcsin(x: Vec) -> Vec:
    """The inverse sine; nan outside of -1 to 1. Largest errors 1.7 and 1.6 ulp."""
    far, s, rest = _arcsine(x)
    high, low = HALF_PI[x.dtype]
    complement = high - 2 * (s + (rest - low * 0.5))
    return give_sign(far.select(complement, s + rest), x)


def arccos(x: Vec) -> Vec:
    """The inverse cosine, from 0 to pi; nan outside of -1 to 1. Largest errors 1.2 and 1.2 ulp."""
    far, s, rest = _arcsine(x)
    high, low = HALF_PI[x.dtype]
    # asin(x) with its sign, subtracted from pi / 2
    near = high - (give_sign(s, x) + (give_sign(rest, x) - low))
    double = 2 * (s + rest)
    return far.select((x < 0).select(2 * high - (double - 2 * low), double), near)


def arctan(x: Vec) -> Vec:
    """The inverse tangent; largest errors 1.3 and 1.2 ulp."""
    size = magnitude(x)
    steep = size > 1
    t = steep.select(1, size) / steep.select(size, 1)
    return give_sign(_arctangent(t, steep), x)


def _arctangent(t: Vec, steep: Vec) -> Vec:
    """``atan(t)`` for t from 0 to 1, taken from pi / 2 where `steep`."""
    high, low = HALF_PI[t.dtype]
    z = t * t
    rest = t * z * polynomial(z, ARCTANGENT[t.dtype])
    return steep.select(high - (t + (rest - low)), t + rest)


def arctan2(y: Number, x: Number) -> Vec:
    """The angle of the point (x, y), from -pi to pi, with C99's answers for zeros and infinities.

    Largest errors 1.5 and 1.5 ulp.
    """
    y, x = unify(y, x)
    rise, run = magnitude(y), magnitude(x)
    steep = rise > run
    t = steep.select(run, rise) / steep.select(rise, run)
    # equal sizes: 1, also for infinities, but 0 for zeros
    t = (rise == run).select((rise == 0).select(rise, 1), t)
    angle = _arctangent(t, steep)
    high, low = HALF_PI[x.dtype]
    left = give_sign(x.like(1), x) < 0
    return give_sign(left.select(2 * high - (angle - 2 * low), angle), y)
