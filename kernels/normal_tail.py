"""The logarithm of the normal distribution function."""

from __future__ import annotations

import math

from .formula import erfc, exp, like, log, log1p, where
from .table import elementwise

FAR = -5.0  # below, the tail of the normal distribution is summed as a continued fraction
TERMS = 24  # of that fraction: enough for float64 at FAR
_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_PI = math.sqrt(2 * math.pi)


def log_normal_cdf(x):
    """``log(erfc(-x / sqrt(2)) / 2)``, also where that is too small for a number: see `_fraction`."""
    far, above = x < FAR, x > 1
    distance, fraction = _fraction(x, far)
    tail = -0.5 * distance * distance - math.log(_ROOT_TWO_PI) - log(fraction)
    near = log(0.5 * erfc(where(far | above, like(x, 0), x) * -_ROOT_HALF))
    # little is missing from one: what is missing keeps its digits
    missing = 0.5 * erfc(where(above, x, like(x, 1)) * _ROOT_HALF)
    return where(far, tail, where(above, log1p(-missing), near))


def _slope(x):
    """The normal density by the distribution function: far below zero that is the fraction."""
    far = x < FAR
    inside = where(far, like(x, FAR), x)
    near = exp(-0.5 * inside * inside) * (2 / _ROOT_TWO_PI) / erfc(inside * -_ROOT_HALF)
    return where(far, _fraction(x, far)[1], near)


def _fraction(x, far):
    """A distance z below zero, where that is `far`, and ``z + 1 / (z + 2 / (z + 3 / ...))``.

    The density at -z by that is the distribution function there (Abramowitz and Stegun, 26.2.14).
    """
    z = where(far, -x, like(x, -FAR))
    fraction = z
    for k in range(TERMS, 0, -1):
        fraction = z + k / fraction
    return z, fraction


elementwise(
    "log_ndtr",
    lambda x: log_normal_cdf(x),
    x=lambda x, g: g * _slope(x),
    samples={"x": {"low": -4.0, "high": 4.0}},
)
