"""Trigonometric functions of staged vectors."""

from __future__ import annotations

from . import abi
from .math_core import Vec, at_least, at_most, fma, is_double, polynomial, toggle_sign
from .math_reduction import reduce_angle

# (sin(r) / r - 1) / r**2 in z = r**2 for |r| <= pi / 2; errors 2**-27.0 and 2**-61.2
SINE = {
    abi.FLOAT32: (
        -0.16666658,
        0.00833303,
        -0.00019806849,
        2.59951e-06,
    ),
    abi.FLOAT64: (
        -0.16666666666666666,
        0.0083333333333332,
        -0.00019841269841208554,
        2.755731921073739e-06,
        -2.5052106817705536e-08,
        1.6058936238664223e-10,
        -7.642887028449196e-13,
        2.7199539401119745e-15,
    ),
}
# the same for |r| <= pi / 4; error 2**-63.2
SINE_SHORT = (
    -0.16666666666666666,
    0.008333333333333047,
    -0.00019841269840973274,
    2.7557319081618848e-06,
    -2.5052073339122043e-08,
    1.6054664281341994e-10,
    -7.408822613906698e-13,
)
# (cos(r) - 1 + r**2 / 2) / r**4 in z = r**2 for |r| <= pi / 4; error 2**-63.7
COSINE_SHORT = (
    0.04166666666666658,
    -0.001388888888887097,
    2.4801587287528e-05,
    -2.755731379157246e-07,
    2.0875647488004153e-09,
    -1.1355743662233533e-11,
)
# (tan(r) / r - 1) / r**2 in z = r**2 for |r| <= pi / 4; error 2**-29.3
TANGENT = (
    0.33333352,
    0.13332571,
    0.054070972,
    0.021222677,
    0.010995307,
    -0.00011839998,
    0.004481355,
)


def _odd(r: Vec, coefficients: tuple[float, ...]) -> Vec:
    """``r + r**3 * polynomial(r**2)``."""
    z = r * r
    return fma(r * z, polynomial(z, coefficients), r)


def _sine(r: Vec) -> Vec:
    # rounding may carry the polynomial past one
    return at_most(at_least(_odd(r, SINE[r.dtype]), -1.0), 1.0)


def _keep_zero(x: Vec, y: Vec) -> Vec:
    # a zero keeps its sign
    return (x == 0).select(x, y)


def _top_bit(multiple: Vec) -> Vec:
    return multiple << (31 if multiple.dtype == abi.INT32 else 63)


def sin(x: Vec) -> Vec:
    """The sine, for arguments of any size; largest errors 1.8 and 1.7 ulp."""
    r, _, n = reduce_angle(x)
    return _keep_zero(x, toggle_sign(_sine(r), _top_bit(n)))


def cos(x: Vec) -> Vec:
    """The cosine, for arguments of any size; largest errors 1.8 and 1.7 ulp."""
    # cos(r + (n + 1/2) * pi) = -(-1)**n * sin(r)
    r, _, n = reduce_angle(x, quarter=True)
    return toggle_sign(_sine(r), _top_bit(n + 1))


def tan(x: Vec) -> Vec:
    """The tangent, for arguments of any size; largest errors 2.0 and 2.2 ulp."""
    r, low, n = reduce_angle(x, halves=True)
    odd = (n & 1) != 0
    z = r * r
    if is_double(x):
        sine = r + fma(r * z, polynomial(z, SINE_SHORT), low)
        rough = fma(z, -0.5, 1)
        cosine = rough + fma(z * z, polynomial(z, COSINE_SHORT), fma(z, -0.5, 1 - rough) - r * low)
        y = odd.select(-cosine, sine) / odd.select(sine, cosine)
    else:
        t = r + fma(r * z, polynomial(z, TANGENT), fma(low, z, low))
        y = odd.select(-1 / t, t)
    return _keep_zero(x, y)
