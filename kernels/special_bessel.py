"""Modified Bessel functions of the first kind, of orders 0 and 1, as they are and scaled by ``exp(-|x|)``.

Up to 8 their power series, whose terms have one sign (Abramowitz and Stegun, Handbook of Mathematical Functions,
9.6.10); above, ``sqrt(x) exp(-x) I(x)`` as a polynomial in ``16 / x - 1``. All are made of arithmetic, so they have
derivatives of every order.
"""

from __future__ import annotations

import math

from .formula import absolute, exp, like, sqrt, where
from .table import elementwise

FAR = 8.0
TERMS = 26  # of the power series: the rest is below 2**-58 of the sum at FAR
NEAR_0 = tuple(1 / math.factorial(k) ** 2 for k in range(TERMS))
NEAR_1 = tuple(0.5 / (math.factorial(k) * math.factorial(k + 1)) for k in range(TERMS))
# sqrt(x) exp(-x) I(x) in t = 16 / x - 1 for -1 < t <= 1, errors 2**-52.1; fitted at the zeros of a Chebyshev polynomial
FAR_0 = (
    0.40217650944500816,
    0.003360551983667876,
    0.00013621607437737268,
    1.1143033791893046e-05,
    1.483848150861771e-06,
    2.973597885290274e-07,
    8.871293193604678e-08,
    3.9327123085832934e-08,
    2.162446034312458e-08,
    7.543775238250733e-09,
    -7.116744499757987e-09,
    -1.335632771743214e-08,
    -4.270649721363825e-09,
    7.396966587219158e-09,
    5.1432089858622845e-09,
    -3.21251295103573e-09,
    -2.8927333669603943e-09,
    1.1661396927314527e-09,
    9.544598596408217e-10,
    -3.0719032844097364e-10,
    -1.4445666241808038e-10,
    4.135870336904037e-11,
)
FAR_1 = (
    0.3893984590258723,
    -0.009749577193235751,
    -0.0002192357638187367,
    -1.5038547201402334e-05,
    -1.8349107416211804e-06,
    -3.483855125273481e-07,
    -1.0000323944983054e-07,
    -4.3130341641824356e-08,
    -2.3453111618217135e-08,
    -8.417810881556892e-09,
    7.118573210000024e-09,
    1.3986230294575344e-08,
    4.7942444927275885e-09,
    -7.500258824785232e-09,
    -5.508409408958088e-09,
    3.158127700170617e-09,
    3.0582654028044287e-09,
    -1.1153074851895528e-09,
    -1.0032283190965858e-09,
    2.8795297002473246e-10,
    1.513858549435606e-10,
    -3.8283098239014647e-11,
)
SAMPLES = {"x": {"low": -12.0, "high": 12.0, "away": 0.2}}


def polynomial(x, coefficients):
    """The polynomial with these coefficients, the constant one first."""
    total = like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total


def _parts(x, near, far):
    """Whether `x` is near, the sum of the power series, and the polynomial over the root of ``|x|``."""
    size = absolute(x)
    is_near = size < FAR
    inside = where(is_near, x, like(x, 0))
    outside = where(is_near, like(x, FAR), size)  # nothing is infinite, not even where it is not chosen
    return (
        is_near,
        polynomial(inside * inside * 0.25, near),
        polynomial(16 / outside - 1, far) / sqrt(outside),
    )


def _plain(x, near, far):
    is_near, series, scaled = _parts(x, near, far)
    size = absolute(x)
    # exp(x) may be too large where I(x) is not
    half = exp(0.5 * where(is_near, like(x, 0), size))
    return is_near, series, where(size == math.inf, size, scaled * half * half)


def _scaled(x, near, far):
    is_near, series, scaled = _parts(x, near, far)
    return is_near, series * exp(-where(is_near, absolute(x), like(x, 0))), scaled


def _sign(x):
    return where(x < 0, like(x, -1), like(x, 1))


def bessel_i0(x):
    """The function of order 0; largest errors 3.2 and 3.8 ulp."""
    return where(*_plain(x, NEAR_0, FAR_0))


def bessel_i0e(x):
    """``exp(-|x|)`` times the function of order 0; largest errors 3.0 and 3.4 ulp."""
    return where(*_scaled(x, NEAR_0, FAR_0))


def bessel_i1(x):
    """The function of order 1; largest errors 3.1 and 3.7 ulp."""
    near, series, far = _plain(x, NEAR_1, FAR_1)
    return where(near, x * series, _sign(x) * far)


def bessel_i1e(x):
    """``exp(-|x|)`` times the function of order 1; largest errors 2.7 and 2.8 ulp."""
    near, series, far = _scaled(x, NEAR_1, FAR_1)
    return where(near, x * series, _sign(x) * far)


def _over_x(x, parts):
    """The function of order 1 divided by `x`, which is 1/2 at zero."""
    near, series, far = parts(x, NEAR_1, FAR_1)
    return where(near, series, far / where(near, like(x, 1), absolute(x)))


elementwise("i0", lambda x: bessel_i0(x), x=lambda x, g: g * bessel_i1(x), samples=SAMPLES)
elementwise(
    "i0e",
    lambda x: bessel_i0e(x),
    x=lambda x, g: g * (bessel_i1e(x) - _slope_sign(x) * bessel_i0e(x)),
    samples=SAMPLES,
)
elementwise(
    "i1",
    lambda x: bessel_i1(x),
    x=lambda x, g: g * (bessel_i0(x) - _over_x(x, _plain)),
    samples=SAMPLES,
)
elementwise(
    "i1e",
    lambda x: bessel_i1e(x),
    x=lambda x, g: g * (bessel_i0e(x) - _over_x(x, _scaled) - absolute(bessel_i1e(x))),
    samples=SAMPLES,
)


def _slope_sign(x):
    """The slope of ``|x|``, which is 0 at 0 as PyTorch has it."""
    return where(x == 0, like(x, 0), _sign(x))
