"""Hyperbolic functions of staged vectors, and those that neural networks use in their place."""

from __future__ import annotations

from . import abi
from .host import host
from .math_core import (
    FORMATS,
    Vec,
    at_least,
    at_most,
    fast_two_sum,
    fma,
    give_sign,
    magnitude,
    polynomial,
    power_of_two,
    scale,
)
from .math_estimates import rough_inverse
from .math_exp import EXP_RANGE, LN2, exp, exp_minus_one, reduce_exponent
from .math_log import log1p_excess

# (sinh(r) / r - 1) / r**2 in z = r**2 for |r| <= ln(2) / 2; errors 2**-34.3 and 2**-61.7
SINH = {
    abi.FLOAT32: (
        0.16666667,
        0.008333175,
        0.00019974091,
    ),
    abi.FLOAT64: (
        0.16666666666666677,
        0.008333333333321374,
        0.00019841269886873363,
        2.755724336876531e-06,
        2.5109358139278142e-08,
    ),
}
# (cosh(r) - 1) / r**2 in z = r**2, same range; errors 2**-33.2 and 2**-58.0
COSH = {
    abi.FLOAT32: (
        0.5,
        0.04166646,
        0.0013935426,
    ),
    abi.FLOAT64: (
        0.5000000000000013,
        0.041666666666510435,
        0.0013888888948368958,
        2.4801488489455786e-05,
        2.7631817019789083e-07,
    ),
}
SQRT2_LESS_ONE = 0.41421356237309503


def _halves(x: Vec) -> tuple[Vec, Vec, Vec, Vec, Vec]:
    """Reduce for sinh and cosh of ``x = n * ln(2) + r >= 0``.

    Returns ``2**(n-1)``, ``2**(-n-1)``, ``sinh(r)``, ``cosh(r) - 1`` and a factor for the result, by which
    the powers were reduced lest they overflow.
    """
    form = FORMATS[x.dtype]
    # exp(x) / 2 overflows later than exp(x)
    n, r = reduce_exponent(at_most(x, EXP_RANGE[x.dtype][1] + 1))
    bounded = at_most(n, form.bias)
    up = power_of_two(bounded - 1)
    # where this would be subnormal it does not count
    down = power_of_two(at_least(-bounded - 1, 1 - form.bias))
    z = r * r
    sinh_r = fma(r * z, polynomial(z, SINH[x.dtype]), r)
    return up, down, sinh_r, z * polynomial(z, COSH[x.dtype]), power_of_two(n - bounded)


def sinh(x: Vec) -> Vec:
    """The hyperbolic sine; largest errors 1.5 and 1.8 ulp."""
    up, down, s, c, factor = _halves(magnitude(x))
    minus, plus = up - down, up + down
    # exp(x)/2 - exp(-x)/2 with exp(r) = cosh(r) + sinh(r): nothing cancels where the result is small
    return give_sign((fma(plus, s, minus * c) + minus) * factor, x)


def cosh(x: Vec) -> Vec:
    """The hyperbolic cosine; largest errors 1.5 and 1.5 ulp."""
    up, down, s, c, factor = _halves(magnitude(x))
    return (fma(up, c + s, down * (1 + c - s)) + up) * factor


def exp_bounded(x: Vec) -> Vec:
    """``e**x`` for `x` so far from the ends of the range that nothing can overflow or underflow."""
    n, r = reduce_exponent(x)
    return fma(exp_minus_one(r), power_of_two(n), power_of_two(n))


def sigmoid(x: Vec) -> Vec:
    """``1 / (1 + e**-x)``; largest errors 1.0 and 0.95 ulp (2.2 and 2.4 without fused multiply-add)."""
    if host().fma:
        return _sigmoid_corrected(x)
    z = exp(-magnitude(x))
    return (x < 0).select(z, 1) / (z + 1)


def _sigmoid_corrected(x: Vec) -> Vec:
    """The sigmoid with the errors of ``e**-|x|``, of the sum and of the quotient computed and removed."""
    n, r = reduce_exponent(at_least(-magnitude(x), EXP_RANGE[x.dtype][0]))
    rest = exp_minus_one(r)
    high, low = fast_two_sum(rest.like(1), rest)
    z, z_low = scale(high, n), scale(low, n)
    total = z + 1
    total_low = (z - (total - 1)) + z_low
    # the error of an estimate is computed with the others
    inverse = rough_inverse(total)
    quotient = z * inverse
    error = fma(-quotient, total_low, z_low) + fma(-quotient, total, z)
    quotient = fma(error, inverse, quotient)
    return (x < 0).select(quotient, 1 - quotient)


def softplus(x: Vec) -> Vec:
    """``log(1 + e**x)`` without overflow, accurate where it is small; largest errors 1.8 and 1.7 ulp."""
    z = exp(-magnitude(x))
    # log(1 + z), halved where 1 + z is above sqrt(2)
    high, low = LN2[x.dtype]
    upper = z > SQRT2_LESS_ONE
    f = upper.select(fma(z, 0.5, -0.5), z)
    rest = upper.select(x.like(low), 0) + log1p_excess(f)
    return (f + rest) + upper.select(x.like(high), 0) + (x > 0).select(x, 0)
