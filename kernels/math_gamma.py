"""The logarithm of the gamma function and its derivative, of staged vectors.

On 1 to 2 both are polynomials times their zeros; from 0 to 8 the recurrence leads there, above is Stirling's series
(Abramowitz and Stegun, Handbook of Mathematical Functions, 6.1.40 and 6.3.18), below zero the reflection
formula. Float32 is computed in float64: these are rare, and the recurrence would lose what float32 has.
"""

from __future__ import annotations

import math

from . import abi
from .math_basic import rint
from .math_core import INFINITY, Vec, give_sign, is_double, magnitude, polynomial, rarely
from .math_log import log
from .math_trig import sin, tan

# log(gamma(1 + s)) / (s * (s - 1)) in u = s - 1/2 for |u| <= 1/2; error 2**-54.4
LOG_GAMMA = (
    0.4831289505409809,
    -0.14595989591430608,
    0.06291140107456439,
    -0.031308487501010646,
    0.01679709863127416,
    -0.009425622448525798,
    0.005446457839126065,
    -0.0032120740737152814,
    0.0019229163127905161,
    -0.0011644145847310124,
    0.000711519067515296,
    -0.00043799307479613914,
    0.00027131373861446925,
    -0.0001689178215524898,
    0.00010535512483785591,
    -6.614136022346414e-05,
    4.30276814976503e-05,
    -2.7201673025504752e-05,
    1.3186019073996835e-05,
    -8.355075869795273e-06,
    1.2140008083973407e-05,
    -7.760660152513446e-06,
)
# digamma(1 + s) / (s - ROOT) in u = s - 1/2, same range; error 2**-54.2
DIGAMMA = (
    0.9510558760318328,
    -0.4236274212814606,
    0.24054248424078697,
    -0.14840492305388092,
    0.09498872445289039,
    -0.06192213327548831,
    0.040760833940846085,
    -0.026975796659787055,
    0.017907248317313294,
    -0.011908220105959716,
    0.007927021796868154,
    -0.005279937255532708,
    0.003518106563802472,
    -0.0023454947397380833,
    0.0015633696313653504,
    -0.0010364584817312839,
    0.0006909255761282986,
    -0.00048595039220036254,
    0.00032395945401345196,
    -0.00014480643368061614,
    9.653646261410062e-05,
    -0.0001782188548855923,
    0.00011881232908510335,
)
# the zero of s -> digamma(1 + s), in two parts
ROOT = (1.4616321449683622 - 1, 9.549995429965697e-17)
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1))
STIRLING_SLOPE = tuple(b / (2 * k) for k, b in enumerate(BERNOULLI, 1))
STIRLING_CONSTANT = 0.5 * math.log(2 * math.pi) - 0.5
FAR = 8.0  # from here on the series
STEPS = 6  # from below FAR to below 2
TINY = 1e-17  # the reflection formula adds nothing to the pole at zero


def _reduce(size: Vec) -> tuple[Vec, Vec, Vec, Vec]:
    """`size` below FAR as ``1 + s``, by steps down, or as `s` where it is below one.

    Returns a mask of the latter, `s`, the product of the steps, and the derivative of that product.
    """
    small = size < 1
    z, product, slope = size, size.like(1), size.like(0)
    for _ in range(STEPS):
        above, lower = z > 2, z - 1
        slope = above.select(slope * lower + product, slope)
        product = above.select(product * lower, product)
        z = above.select(lower, z)
    return small, small.select(size, z - 1), product, slope


def _log_gamma(size: Vec) -> Vec:
    """``log(gamma(size))`` for `size` of zero or more."""
    small, s, product, _ = _reduce(size)
    near = s * (s - 1) * polynomial(s - 0.5, LOG_GAMMA)
    logarithm = log(small.select(size, (size < FAR).select(product, size)))
    inverse = 1 / size
    series = inverse * polynomial(inverse * inverse, STIRLING)
    far = (size - 0.5) * (logarithm - 1) + (STIRLING_CONSTANT + series)
    return (size < FAR).select(near + small.select(-logarithm, logarithm), far)


def lgamma(x: Vec) -> Vec:
    """``log(|gamma(x)|)``; largest errors above zero 0.5 and 3.7 ulp, below zero as small but near its zeros."""
    if not is_double(x):
        return lgamma(x.to(abi.FLOAT64)).to(abi.FLOAT32)
    size = magnitude(x)
    plain = _log_gamma(size)

    def reflected() -> list[Vec]:
        sine = sin(math.pi * magnitude(size - rint(size)))
        # whole numbers are poles, also where the other term is infinite
        return [(sine > 0).select(log(math.pi / (size * sine)) - plain, INFINITY)]

    below = (x < -TINY) & (size < INFINITY)
    return rarely(below, [plain], reflected)[0]


def _digamma(size: Vec) -> Vec:
    """The derivative of ``log(gamma(size))`` for `size` of zero or more."""
    small, s, product, slope = _reduce(size)
    near = ((s - ROOT[0]) - ROOT[1]) * polynomial(s - 0.5, DIGAMMA)
    near = near + small.select(-1, slope) / small.select(size, product)
    inverse = 1 / size
    square = inverse * inverse
    far = log(size) - (0.5 * inverse + square * polynomial(square, STIRLING_SLOPE))
    return (size < FAR).select(near, far)


def digamma(x: Vec) -> Vec:
    """The derivative of `lgamma`, nan at the poles below zero; largest errors above zero 0.5 and 4 ulp."""
    if not is_double(x):
        return digamma(x.to(abi.FLOAT64)).to(abi.FLOAT32)
    size = magnitude(x)
    plain = _digamma(size)

    def reflected() -> list[Vec]:
        off = size - rint(size)
        cotangent = math.pi / tan(math.pi * off)
        return [(off == 0).select(float("nan"), plain + (1 / size + cotangent))]

    whole = rarely(x < -TINY, [plain], reflected)[0]
    return (size < TINY).select(give_sign(1 / size, -x), whole)
