"""Elementwise operations of rarer use: inverse hyperbolic functions, logarithms of sums, sinc, xlogy."""

from __future__ import annotations

import math

import numpy as np

from . import abi
from .elementwise import LN2, POSITIVE, UNIT
from .formula import (
    absolute,
    copysign,
    cos,
    erf,
    erfc,
    exp,
    exp2,
    like,
    log,
    log1p,
    maximum,
    minimum,
    sigmoid,
    sin,
    sqrt,
    where,
)
from .table import FLOATS, NUMBERS, elementwise

FAR = 2.0**28  # from here on sqrt(x * x + 1) and x are one number
NEAR_ZERO = 0.5  # angles below which the slope of sinc is taken from its series
# slope of sin(u) / u, divided by -u / 3, in u**2: (-1)**k * 3 * 2 * (k + 1) / (2 * k + 3)!; error 2**-56
SINC_SLOPE = tuple((-1) ** k * 6 * (k + 1) / math.factorial(2 * k + 3) for k in range(7))


# inverse hyperbolic functions, by log1p so that they are accurate near zero (acosh: near one) --------------


def arcsinh(x):
    """``log(x + sqrt(x * x + 1))``; largest errors 1.8 and 1.7 ulp."""
    size = absolute(x)
    square = size * size
    near = log1p(size + square / (1 + sqrt(1 + square)))
    return copysign(where(size > FAR, log(size) + LN2, near), x)


def arccosh(x):
    """``log(x + sqrt(x * x - 1))``, nan below one; largest errors 3.2 and 3.6 ulp."""
    above = x - 1
    return where(x > FAR, log(x) + LN2, log1p(above + sqrt(above) * sqrt(x + 1)))


def arctanh(x):
    """``log((1 + x) / (1 - x)) / 2``, nan outside of -1 to 1; largest errors 2.1 and 1.9 ulp."""
    size = absolute(x)
    return copysign(0.5 * log1p(2 * size / (1 - size)), x)


elementwise(
    "asinh",
    lambda x: arcsinh(x),
    x=lambda x, g: g / sqrt(x * x + 1),
    reference=np.arcsinh,
)
elementwise(
    "acosh",
    lambda x: arccosh(x),
    x=lambda x, g: g / sqrt(x * x - 1),
    reference=np.arccosh,
    samples={"x": {"low": 1.2, "high": 4.0}},
)
elementwise(
    "atanh",
    lambda x: arctanh(x),
    x=lambda x, g: g / (1 - x * x),
    reference=np.arctanh,
    samples={"x": UNIT},
)


# sinc ------------------------------------------------------------------------------------------------


def _sinc(x):
    u = math.pi * x
    return where(x == 0, like(x, 1), sin(u) / u)


def _sinc_gradient(x, g):
    """The difference of ``cos(u)`` and ``sin(u) / u`` cancels near zero: there the series."""
    u = math.pi * x
    square = u * u
    series = like(x, SINC_SLOPE[-1])
    for c in reversed(SINC_SLOPE[:-1]):
        series = series * square + c
    near = absolute(u) < NEAR_ZERO
    away = where(near, like(x, 1), u)  # nothing divides by zero, not even where it is not chosen
    return math.pi * g * where(near, u * series * (-1 / 3), (cos(away) - sin(away) / away) / away)


elementwise("sinc", lambda x: _sinc(x), x=lambda x, g: _sinc_gradient(x, g), reference=np.sinc)
elementwise(
    "erfc",
    lambda x: erfc(x),
    x=lambda x, g: g * (-2 / math.sqrt(math.pi)) * exp(-(x * x)),
    reference=lambda x: 1 - np.asarray(erf(x)),
)


# functions of two ---------------------------------------------------------------------------------------


def _log_of_sum(a, b, power, unit):
    """The larger of two, and what the other adds; equal ones may be infinite."""
    both = maximum(a, b) + log1p(power(-absolute(a - b))) * (1 / unit)
    return where(a == b, a + LN2 / unit, both)


elementwise(
    "logaddexp",
    lambda a, b: _log_of_sum(a, b, exp, 1.0),
    a=lambda a, b, g: g * sigmoid(a - b),
    b=lambda a, b, g: g * sigmoid(b - a),
    reference=np.logaddexp,
)
elementwise(
    "logaddexp2",
    lambda a, b: _log_of_sum(a, b, exp2, LN2),
    a=lambda a, b, g: g * sigmoid((a - b) * LN2),
    b=lambda a, b, g: g * sigmoid((b - a) * LN2),
    reference=np.logaddexp2,
)


def _hypotenuse(a, b):
    """``sqrt(a * a + b * b)`` whose squares neither overflow nor vanish; an infinite side wins over nan."""
    a, b = absolute(a), absolute(b)
    large, small = maximum(a, b), minimum(a, b)
    ratio = small / where(large == 0, like(large, 1), large)
    infinite = (a == math.inf) | (b == math.inf)
    return where(infinite, like(a, math.inf), large * sqrt(1 + ratio * ratio))


elementwise(
    "hypot",
    lambda a, b: _hypotenuse(a, b),
    a=lambda a, y, g: g * (a / y),
    b=lambda b, y, g: g * (b / y),
    reference=np.hypot,
    samples={"a": {"away": 0.2}, "b": {"away": 0.2}},
)


def _x_log_y(a, b):
    return where((a == 0) & (b == b), like(a, 0), a * log(b))


def _x_log_y_slope(a, b, g):
    none = ((a == 0) & (b <= 0)) | ((g == 0) & (b == b))
    return where(none, like(g, 0), g * log(b))


elementwise(
    "xlogy",
    lambda a, b: _x_log_y(a, b),
    a=lambda a, b, g: _x_log_y_slope(a, b, g),
    b=lambda a, b, g: g * a / b,
    reference=lambda a, b: np.where((a == 0) & ~np.isnan(b), 0.0, a * np.log(b)),
    samples={"b": POSITIVE},
)
elementwise(
    "xlog1py",
    lambda a, b: where((a == 0) & (b == b), like(a, 0), a * log1p(b)),
    a=lambda a, b, g: where(((a == 0) & (b <= -1)) | ((g == 0) & (b == b)), like(g, 0), g * log1p(b)),
    b=lambda a, b, g: g * a / (b + 1),
    reference=lambda a, b: np.where((a == 0) & ~np.isnan(b), 0.0, a * np.log1p(b)),
    samples={"b": POSITIVE},
)
elementwise(
    "entr",
    lambda x: where(x > 0, -x * log(x), where(x < 0, like(x, -math.inf), x)),
    x=lambda x, g: -g * (log(x) + 1),
    samples={"x": POSITIVE},
)
elementwise(
    "heaviside",
    lambda a, b: where(a == 0, b, where(a > 0, like(a, 1), like(a, 0))),
    dtypes=NUMBERS,
    reference=lambda a, b: np.where(a == 0, b, np.where(a > 0, 1, 0)),
    underivable=True,
)
elementwise(
    "signbit",
    lambda x: copysign(like(x, 1), x) < 0,
    dtypes=FLOATS,
    result=abi.BOOL,
    reference=np.signbit,
)
