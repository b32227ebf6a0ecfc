"""The logarithm of the gamma function with its derivatives, and the inverse error function."""

from __future__ import annotations

import math

from .formula import absolute, copysign, digamma, erf, erfc, exp, lgamma, like, log1p, rint, sin, sqrt, where
from .math_gamma import BERNOULLI
from .table import elementwise

SHIFT = 8  # terms of the trigamma function's sum that are added up before the series
WINITZKI = 0.147  # of Winitzki, A handy approximation for the error function and its inverse, 2008
HALLEY = 3  # steps from an error of 2e-3 to that of rounding


def trigamma(x):
    """The derivative of digamma, made of arithmetic: so it has derivatives of every order; errors of 6 and 5 ulp.

    The sum over ``1 / (x + k)**2`` with the Euler-Maclaurin series for what follows, and the reflection formula
    below 1/2 (Abramowitz and Stegun, Handbook of Mathematical Functions, 6.4.7, 6.4.10 and 6.4.12).
    """
    reflects = x < 0.5
    z = where(reflects, 1 - x, x)
    total = like(x, 0)
    for k in range(SHIFT):
        inverse = 1 / (z + k)
        total = total + inverse * inverse
    inverse = 1 / (z + SHIFT)
    square = inverse * inverse
    series = like(x, BERNOULLI[-1])
    for b in reversed(BERNOULLI[:-1]):
        series = series * square + b
    total = total + (inverse + square * (0.5 + inverse * series))
    # elsewhere an angle at which nothing becomes infinite
    root = math.pi / sin(math.pi * where(reflects, x - rint(x), like(x, 0.5)))
    return where(reflects, root * root - total, total)


BETWEEN_POLES = {"x": {"low": 0.3, "high": 9.5}}
elementwise("lgamma", lambda x: lgamma(x), x=lambda x, g: g * digamma(x), samples=BETWEEN_POLES)
elementwise("digamma", lambda x: digamma(x), x=lambda x, g: g * trigamma(x), samples=BETWEEN_POLES)


def erfinv(y):
    """The inverse of erf; largest errors 3.3 and 4.8 ulp.

    An approximation with three digits, and steps of Halley's method. Above 1/2 they solve erfc(x) = 1 - y, where
    nothing is lost in the difference.
    """
    size = absolute(y)
    logarithm = log1p(-(size * size))
    middle = 2 / (math.pi * WINITZKI) + 0.5 * logarithm
    x = sqrt(sqrt(middle * middle - logarithm / WINITZKI) - middle)
    for _ in range(HALLEY):
        excess = where(size < 0.5, erf(x) - size, (1 - size) - erfc(x))
        step = excess * (0.5 * math.sqrt(math.pi)) * exp(x * x)
        x = x - step / (1 + x * step)
    return copysign(where(size == 1, like(y, math.inf), x), y)


elementwise(
    "erfinv",
    lambda x: erfinv(x),
    x=lambda y, g: g * (0.5 * math.sqrt(math.pi)) * exp(y * y),
    samples={"x": {"low": -0.95, "high": 0.95}},
)
