"""The gamma function's logarithm with its derivatives, zeta, and inverses of error and normal distribution function."""

from __future__ import annotations

import math

from .formula import (
    absolute,
    copysign,
    cos,
    digamma,
    erf,
    erfc,
    exp,
    lgamma,
    like,
    log,
    log1p,
    power,
    rint,
    sin,
    sqrt,
    where,
)
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
    reflects, z = _reflected(x)
    total = like(x, 0)
    for k in range(SHIFT):
        inverse = 1 / (z + k)
        total = total + inverse * inverse
    inverse = 1 / (z + SHIFT)
    square = inverse * inverse
    series = _series(BERNOULLI, square)
    total = total + (inverse + square * (0.5 + inverse * series))
    root = math.pi / sin(_angle(x, reflects))
    return where(reflects, root * root - total, total)


def tetragamma(x):
    """The derivative of `trigamma`, of its terms one by one."""
    reflects, z = _reflected(x)
    total = like(x, 0)
    for k in range(SHIFT):
        inverse = 1 / (z + k)
        total = total + inverse * inverse * inverse
    inverse = 1 / (z + SHIFT)
    square = inverse * inverse
    series = _series([(2 * j + 1) * b for j, b in enumerate(BERNOULLI, 1)], square)
    total = 2 * total + square * (1 + inverse + square * series)
    angle = _angle(x, reflects)
    root = math.pi / sin(angle)
    return -where(reflects, 2 * root * root * root * cos(angle) + total, total)


def _reflected(x):
    """Where the reflection formula serves, and the argument for the series."""
    reflects = x < 0.5
    return reflects, where(reflects, 1 - x, x)


def _angle(x, reflects):
    """The angle of the reflection formula; elsewhere one at which nothing becomes infinite."""
    return math.pi * where(reflects, x - rint(x), like(x, 0.5))


def _series(coefficients, square):
    total = like(square, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * square + c
    return total


BETWEEN_POLES = {"x": {"low": 0.3, "high": 9.5}}
elementwise("lgamma", lambda x: lgamma(x), x=lambda x, g: g * digamma(x), samples=BETWEEN_POLES)
elementwise("digamma", lambda x: digamma(x), x=lambda x, g: g * trigamma(x), samples=BETWEEN_POLES)
elementwise("trigamma", lambda x: trigamma(x), x=lambda x, g: g * tetragamma(x), samples=BETWEEN_POLES)


def hurwitz_zeta(s, q):
    """The sum of ``(q + k)**-s`` over k = 0, 1, ..., made of arithmetic: it has derivatives of every order.

    Some terms of it, and the Euler-Maclaurin series for what follows (Abramowitz and Stegun, 23.1.30). Infinite at
    s = 1 and the poles of q, nan for s < 1 and for q < 0 elsewhere.
    """
    inside, r, z = _inside(s, q)
    total = like(q, 0)
    for k in range(SHIFT + 2):
        total = total + power(z + k, -r)
    z = z + (SHIFT + 2)
    last = power(z, -r)
    inverse = 1 / z
    total = total + last * (z / (r - 1) + 0.5)
    term = last * r * inverse
    for j, b in enumerate(BERNOULLI, 1):
        total = total + (b / math.factorial(2 * j)) * term
        term = term * ((r + (2 * j - 1)) * inverse) * ((r + 2 * j) * inverse)
    pole = ((q <= 0) & (q == rint(q)) & (s > 1)) | (s == 1)
    outside = where(pole, like(q, math.inf), where((q == math.inf) & (s > 1), like(q, 0), like(q, math.nan)))
    return where(inside, total, outside)


def _hurwitz_slope(s, q):
    """The derivative of `hurwitz_zeta` by `s`, of its terms one by one."""
    inside, r, z = _inside(s, q)
    total = like(q, 0)
    for k in range(SHIFT + 2):
        total = total - power(z + k, -r) * log(z + k)
    z = z + (SHIFT + 2)
    logarithm = log(z)
    last = power(z, -r)
    inverse = 1 / z
    total = total - last * (logarithm * (z / (r - 1) + 0.5) + z / ((r - 1) * (r - 1)))
    term = last * r * inverse
    rate = 1 / r - logarithm  # of the term's logarithm
    for j, b in enumerate(BERNOULLI, 1):
        total = total + (b / math.factorial(2 * j)) * term * rate
        first, second = r + (2 * j - 1), r + 2 * j
        term = term * (first * inverse) * (second * inverse)
        rate = rate + 1 / first + 1 / second
    return where(inside, total, like(q, math.nan))


def _inside(s, q):
    """Where the sums converge, and `s` and `q`, elsewhere numbers for which they do."""
    inside = (q > 0) & (q < math.inf) & (s > 1)
    return inside, where(inside, s, like(s, 2)), where(inside, q, like(q, 1))


elementwise(
    "zeta",
    lambda x, other: hurwitz_zeta(x, other),
    x=lambda x, other, g: g * _hurwitz_slope(x, other),
    other=lambda x, other, g: -g * x * hurwitz_zeta(x + 1, other),
    samples={"x": {"low": 1.5, "high": 6.0}, "other": {"low": 0.3, "high": 9.5}},
)


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


TAIL = 0.1  # probabilities below which the quantile is sought by the logarithm
NEWTON = 3  # steps from an error of 2e-2 to that of rounding


def normal_quantile(p):
    """Where the standard normal distribution function is `p`; largest errors 2.6 and 3.1 ulp.

    In the tails ``erfc(u) = 2 p`` by Newton's method for ``log(erfc(u))``, which is almost a parabola there.
    """
    upper = p > 0.5
    size = where(upper, 1 - p, p)
    in_tail = (size < TAIL) & (size > 0)
    twice = 2 * where(in_tail, size, like(p, TAIL))
    logarithm = -log(twice)
    u = sqrt(logarithm - log(sqrt(math.pi * logarithm)))
    for _ in range(NEWTON):
        value = erfc(u)
        u = u + log(value / twice) * value * exp(u * u) * (0.5 * math.sqrt(math.pi))
    tail = where(upper, u, -u) * math.sqrt(2)
    return where(in_tail, tail, math.sqrt(2) * erfinv(2 * p - 1))


elementwise(
    "ndtri",
    lambda x: normal_quantile(x),
    x=lambda y, g: g * math.sqrt(2 * math.pi) * exp(0.5 * y * y),
    samples={"x": {"low": 0.02, "high": 0.98}},
)
