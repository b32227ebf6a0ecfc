"""Modified Bessel functions of the second kind, of orders 0 and 1, as they are and scaled by ``exp(x)``.

Up to 2 their power series (Abramowitz and Stegun, Handbook of Mathematical Functions, 9.6.11); above,
``sqrt(x) exp(x) K(x)`` as a polynomial in ``4 / x - 1``, fitted at the zeros of a Chebyshev polynomial.
"""

from __future__ import annotations

import math

import numpy as np

from .formula import exp, like, log, sqrt, where
from .special_bessel import polynomial
from .table import elementwise

FAR = 2.0
TERMS = 13  # of the power series: the rest is below 2**-60 of the sum at FAR
SUMS = [
    math.fsum(1 / j for j in range(1, k + 1)) - np.euler_gamma for k in range(TERMS + 1)
]  # digamma(k + 1)
I0 = tuple(1 / math.factorial(k) ** 2 for k in range(TERMS))
I1 = tuple(0.5 / (math.factorial(k) * math.factorial(k + 1)) for k in range(TERMS))
REST_0 = tuple(s * c for s, c in zip(SUMS, I0, strict=False))
REST_1 = tuple(-0.5 * (a + b) * c for a, b, c in zip(SUMS, SUMS[1:], I1, strict=False))
# polynomials in 4 / x - 1, errors 2**-52
K0_FAR = (
    1.2185953385133905,
    -0.031071461824889898,
    0.0030328918102753206,
    -0.0004797690567328844,
    9.95605474202942e-05,
    -2.473520542848972e-05,
    7.002245645755651e-06,
    -2.1911673837417864e-06,
    7.427801232190096e-07,
    -2.689759865539584e-07,
    1.02954317593912e-07,
    -4.1056738724915364e-08,
    1.7047535884249698e-08,
    -8.025205604904476e-09,
    3.808399859919043e-09,
    -6.643878631843235e-10,
    4.757544705776374e-11,
    -1.2366923277096287e-09,
    8.133913205464114e-10,
    4.3927260002107633e-10,
    -3.119936129682105e-10,
    -1.7597528809195706e-10,
    1.0926983537268735e-10,
)
K1_FAR = (
    1.363151890371342,
    0.10334973775386565,
    -0.005566729880074588,
    0.0007357241548718385,
    -0.00013959021956272223,
    3.2843866502355955e-05,
    -8.961207387750025e-06,
    2.7300301043527215e-06,
    -9.067087633371393e-07,
    3.230567198853934e-07,
    -1.2203186351938403e-07,
    4.815434679085478e-08,
    -1.9817577141591116e-08,
    9.213894020289533e-09,
    -4.331939985658629e-09,
    7.966242798504094e-10,
    -8.336227195991456e-11,
    1.3615859404460648e-09,
    -8.908596710923906e-10,
    -4.77441121785095e-10,
    3.3867804167808003e-10,
    1.9273808087540517e-10,
    -1.1931668393112158e-10,
)


def _decaying(x, scaled, series, coefficients):
    """A function of the second kind: infinite at zero, and nan below; `series` is the sum up to FAR."""
    near = x <= FAR
    inside = where(near & (x > 0), x, like(x, 1))
    outside = where(near, like(x, FAR), x)
    below = series(inside, log(0.5 * inside), 0.25 * inside * inside)
    above = polynomial(4 / outside - 1, coefficients) / sqrt(outside)
    y = where(near, below * exp(inside), above) if scaled else where(near, below, above * exp(-outside))
    return where(x > 0, y, where(x == 0, like(x, math.inf), like(x, math.nan)))


def _series_0(x, logarithm, quarter):
    return polynomial(quarter, REST_0) - logarithm * polynomial(quarter, I0)


def _series_1(x, logarithm, quarter):
    return 1 / x + x * (logarithm * polynomial(quarter, I1) + polynomial(quarter, REST_1))


SAMPLES = {"x": {"low": 0.2, "high": 9.0}}


def _declare(prefix, scaled):
    elementwise(
        f"{prefix}modified_bessel_k0",
        lambda x: _decaying(x, scaled, _series_0, K0_FAR),
        samples=SAMPLES,
        underivable=True,
    )
    elementwise(
        f"{prefix}modified_bessel_k1",
        lambda x: _decaying(x, scaled, _series_1, K1_FAR),
        samples=SAMPLES,
        underivable=True,
    )


_declare("", False)
_declare("scaled_", True)
