"""Bessel functions of the first and second kind, of orders 0 and 1, and the spherical one of order 0.

Below 8 those of the first kind are a polynomial in x**2 times factors with their zeros there, so that they keep their
digits near those; those of the second kind are ``2 / pi * log(x)`` times them, and a polynomial (Abramowitz and Stegun,
Handbook of Mathematical Functions, 9.1.13). Above, modulus and phase are taken apart as in 9.2.5 and 9.2.6: P and Q are
polynomials in ``128 / x**2 - 1``. All were fitted at the zeros of Chebyshev polynomials, with errors below 2**-51.
"""

from __future__ import annotations

import math

from .formula import absolute, cos, like, log, sin, sqrt, where
from .special_bessel import polynomial
from .table import elementwise

FAR = 8.0
# the zeros below, each in two parts of which the first is a number of float32
ZEROS_0 = ((2.404825448989868, 1.0870590460455913e-07), (5.520078182220459, -7.19341483347784e-08))
ZEROS_1 = ((3.8317060470581055, -7.685059315313556e-08), (7.015586853027344, -1.8321172499646294e-07))
# polynomials in x**2 / 32 - 1
J0_NEAR = (
    0.0011434937743762545,
    -0.002119794289479692,
    0.0015636431645931613,
    -0.0006415390646406123,
    0.00016977200714005512,
    -3.157342540223544e-05,
    4.366932324180517e-06,
    -4.677128021300745e-07,
    3.998839476948713e-08,
    -2.7948629678329127e-09,
    1.6276296659994082e-10,
    -8.023472601933258e-12,
    3.4063540255152697e-13,
    -1.2482967042743655e-14,
)
J1_NEAR = (
    0.00019498936985895625,
    -0.0002697522746716368,
    0.00015860016799369858,
    -5.408003239085506e-05,
    1.224217365301787e-05,
    -1.989093515914257e-06,
    2.442522260616395e-07,
    -2.352192254577852e-08,
    1.8268548082885016e-09,
    -1.1696932521783476e-10,
    6.284676985256089e-12,
    -2.875530868558852e-13,
    1.1384465543068819e-14,
    -3.9104228826133377e-16,
)
Y0_NEAR = (
    -0.382250654459425,
    -0.8284358903604587,
    1.6470964788745466,
    0.14412632369302475,
    -1.0775477338215995,
    0.6721770783431679,
    -0.21895747096171628,
    0.046367047681375125,
    -0.00702574105727097,
    0.000806158605961636,
    -7.279541882454115e-05,
    5.3213188103997145e-06,
    -3.2185078445935923e-07,
    1.6390875014077404e-08,
    -7.13046146536789e-10,
    2.6926938054524057e-11,
    -8.840112096073101e-13,
)
Y1_NEAR = (
    0.07075985882118005,
    -0.24337743079193114,
    0.02336757172099348,
    0.23507209206669755,
    -0.19639839859930203,
    0.07854786922242532,
    -0.01962875683311711,
    0.0034224907399188495,
    -0.0004438173434420147,
    4.467433012646365e-05,
    -3.601000022590458e-06,
    2.3804930420514178e-07,
    -1.3153147367094951e-08,
    6.169688029066965e-10,
    -2.499531546171249e-11,
    8.760001143977853e-13,
)
# polynomials in 128 / x**2 - 1; those of Q are divided by x
P0 = (
    0.9994572757882519,
    -0.0005363673192129672,
    6.137416081283524e-06,
    -2.0527448261170675e-07,
    1.2803747743828764e-08,
    -1.2121098178951377e-09,
    1.550640953808597e-10,
    -2.491146535471666e-11,
    4.674289307624388e-12,
    -1.0157485021065676e-12,
    3.455012974455743e-13,
    -1.0251790052831013e-13,
)
Q0 = (
    -0.12444091103610816,
    0.0005466519279475266,
    -1.1817110660715592e-05,
    5.684971881753781e-07,
    -4.5349736139769986e-08,
    5.146231602705606e-09,
    -7.57586453075858e-10,
    1.3623497617833053e-10,
    -2.8840344824996496e-11,
    6.951785915752245e-12,
    -1.6783779045026498e-12,
    4.605060470396763e-13,
    -2.7338449247237154e-13,
    1.0185094098694355e-13,
)
P1 = (
    1.0009070262780821,
    0.0008988049416705183,
    -7.959694699684788e-06,
    2.453676633366693e-07,
    -1.4708498448932155e-08,
    1.3602969253877949e-09,
    -1.7137279585997966e-10,
    2.72345126828134e-11,
    -5.071495295696752e-12,
    1.0954826479277623e-12,
    -3.697244591244297e-13,
    1.0923713653079462e-13,
)
Q1 = (
    0.3742149922195918,
    -0.0007697167057643706,
    1.4569614809339924e-05,
    -6.633568561050814e-07,
    5.136106815451932e-08,
    -5.720890888840857e-09,
    8.315586321594619e-10,
    -1.4816588916791194e-10,
    3.1143942213346517e-11,
    -7.465104477698295e-12,
    1.796964474573459e-12,
    -4.91574062967655e-13,
    2.8960940831153833e-13,
    -1.0759215471978615e-13,
)


def _near(x):
    """Whether ``|x|`` is below FAR, and that size, with nothing infinite where it is not chosen."""
    size = absolute(x)
    near = size < FAR
    return near, where(near, size, like(x, 1))


def _first(size, zeros, coefficients):
    """The function of the first kind below FAR, of order 1 divided by `size`."""
    total = polynomial(size * size * (1 / 32) - 1, coefficients)
    for high, low in zeros:
        total = total * (((size - high) - low) * (size + (high + low)))
    return total


def _waves(x, near):
    """For arguments from FAR on: the size, the root before the waves, and sine plus and minus cosine."""
    size = where(near, like(x, FAR), absolute(x))
    s, c = sin(size), cos(size)
    return size, 1 / sqrt(math.pi * size), s + c, s - c


def _parts(size, p, q):
    t = 128 / (size * size) - 1
    return polynomial(t, p), polynomial(t, q) / size


def bessel_j0(x):
    """The function of the first kind of order 0."""
    near, inside = _near(x)
    size, scale, plus, minus = _waves(x, near)
    p, q = _parts(size, P0, Q0)
    y = where(near, _first(inside, ZEROS_0, J0_NEAR), scale * (p * plus - q * minus))
    return where(x == 0, like(x, 1), y)


def bessel_j1(x):
    """The function of the first kind of order 1."""
    near, inside = _near(x)
    size, scale, plus, minus = _waves(x, near)
    p, q = _parts(size, P1, Q1)
    far = scale * (p * minus + q * plus)
    signed = where(x < 0, -far, far)
    return where(near, where(near, x, like(x, 0)) * _first(inside, ZEROS_1, J1_NEAR), signed)


def _right(x, y):
    """The function of the second kind: minus infinity at zero, and nan below."""
    return where(x > 0, y, where(x == 0, like(x, -math.inf), like(x, math.nan)))


def bessel_y0(x):
    """The function of the second kind of order 0."""
    near, inside = _near(x)
    size, scale, plus, minus = _waves(x, near)
    p, q = _parts(size, P0, Q0)
    first = _first(inside, ZEROS_0, J0_NEAR)
    series = polynomial(inside * inside * (1 / 32) - 1, Y0_NEAR)
    inside = where(inside == 0, like(x, 1), inside)
    below = (2 / math.pi) * log(inside) * first + series
    return _right(x, where(near, below, scale * (p * minus + q * plus)))


def bessel_y1(x):
    """The function of the second kind of order 1."""
    near, inside = _near(x)
    size, scale, plus, minus = _waves(x, near)
    p, q = _parts(size, P1, Q1)
    first = inside * _first(inside, ZEROS_1, J1_NEAR)
    series = inside * polynomial(inside * inside * (1 / 32) - 1, Y1_NEAR)
    inside = where(inside == 0, like(x, 1), inside)
    below = (2 / math.pi) * (log(inside) * first - 1 / inside) + series
    return _right(x, where(near, below, scale * (q * minus - p * plus)))


def spherical_bessel_j0(x):
    """``sin(x) / x``, 1 at zero and 0 at infinity."""
    size = absolute(x)
    usual = (size > 0) & (size < math.inf)
    y = sin(where(usual, x, like(x, 1))) / where(usual, x, like(x, 1))
    return where(usual, y, where(x == 0, like(x, 1), where(size == math.inf, like(x, 0), x)))


EVERYWHERE = {"x": {"low": -20.0, "high": 20.0}}
RIGHT = {"x": {"low": 0.2, "high": 20.0}}
elementwise("bessel_j0", lambda x: bessel_j0(x), samples=EVERYWHERE, underivable=True)
elementwise("bessel_j1", lambda x: bessel_j1(x), samples=EVERYWHERE, underivable=True)
elementwise("bessel_y0", lambda x: bessel_y0(x), samples=RIGHT, underivable=True)
elementwise("bessel_y1", lambda x: bessel_y1(x), samples=RIGHT, underivable=True)
elementwise("spherical_bessel_j0", lambda x: spherical_bessel_j0(x), samples=EVERYWHERE, underivable=True)
