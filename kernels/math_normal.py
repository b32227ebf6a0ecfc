"""The normal distribution in the activation function GELU, of staged vectors."""

from __future__ import annotations

import math

from .math_core import Vec, at_least, at_most, give_sign, is_double, magnitude, polynomial
from .math_erf import erf
from .math_estimates import ordinary_ratio
from .math_exp import exp

# cdf(x) - 1/2 as x above(x**2) / below(x**2), for float32 and 0 <= x <= 5.4; error 2**-27.0.
# It reaches 1/2 there and goes on: what is beyond is cut off, so that cdf(x) is exactly 0 and 1 at the ends.
CDF = (
    (0.5398289, 0.04515759, 0.0062932977, 0.00022235137, 8.606066e-06, 3.1645857e-08),
    (1.3531506, 0.33871755, 0.038400605, 0.0025154783, 9.796819e-05, 1.6462328e-06),
)
CDF_TOP = 5.7
# cdf(x) - 1/2 + x density(x) likewise; error 2**-27.1. At the top it is 1/2, as far as float32 can tell.
SLOPE = (
    (1.2656907, -0.03548811, 0.021982025, 0.00032158662, 5.408026e-05, 1.4633919e-06, 2.704045e-08),
    (
        1.586308,
        0.48429105,
        0.07000933,
        0.0063000135,
        0.00038915765,
        1.6351136e-05,
        5.377162e-07,
        2.0856088e-09,
    ),
)
SLOPE_TOP = 6.0
DENSITY_TOP = 40.0  # beyond it the density is 0, in float64 too


def _odd_ratio(x: Vec, table: tuple[tuple[float, ...], tuple[float, ...]]) -> Vec:
    """``x above(x**2) / below(x**2)``."""
    z = x * x
    above, below = (polynomial(z, part) for part in table)
    return ordinary_ratio(x * above, below)


def normal_cdf(x: Vec) -> Vec:
    """The normal distribution function; largest absolute errors 2**-22.2 and 2**-51.9."""
    if is_double(x):
        # erfc would keep the relative error small far below zero, at half the speed
        return 0.5 + 0.5 * erf(x * math.sqrt(0.5))
    half = at_most(_odd_ratio(at_most(magnitude(x), CDF_TOP), CDF), 0.5)
    return 0.5 + give_sign(half, x)


def gelu_slope(x: Vec) -> Vec:
    """``cdf(x) + x density(x)``, the derivative of ``x cdf(x)``; largest absolute errors 2**-21.9 and 2**-50.9."""
    if is_double(x):
        near = at_least(at_most(x, DENSITY_TOP), -DENSITY_TOP)
        return normal_cdf(x) + near * exp(-0.5 * (near * near)) / math.sqrt(2 * math.pi)
    return 0.5 + _odd_ratio(at_least(at_most(x, SLOPE_TOP), -SLOPE_TOP), SLOPE)
