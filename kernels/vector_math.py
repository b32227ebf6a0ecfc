"""Mathematical functions on staged vectors: everything that `kernels.formula` names, in one place.

All are written for float32 and float64 lanes of any number, and are right at zeros of both signs, subnormal
numbers, infinities and nan; results underflow gradually. None branches on a value, but for the reduction of
huge angles, which is jumped over while no lane needs it. Arguments of functions of two may also be plain
numbers or scalar vectors.

The largest errors stated in the functions' descriptions are in units in the last place, float32 first; they
were measured on 2**26 random arguments in float32 and 3 * 10**6 in float64, half of them of any bit pattern
and half from the range where the function is least accurate. They hold where multiply-add is one
instruction; on a machine without it none exceeds 2.7 ulp (`erfc`: 7).
"""

from .math_arc import arccos, arcsin, arctan, arctan2
from .math_basic import (
    absolute,
    ceil,
    copysign,
    floor,
    floor_quotient,
    isnan,
    maximum,
    minimum,
    rint,
    rsqrt,
    sqrt,
    trunc,
)
from .math_bits import exponent, mantissa, next_after
from .math_core import fma
from .math_erf import erf, erfc
from .math_estimates import inverse, root
from .math_exp import decay, decay_below, exp, exp2, expm1, expm1_below
from .math_gamma import digamma, lgamma
from .math_hyperbolic import cosh, sigmoid, sinh, softplus
from .math_log import log, log1p, log2, log10
from .math_normal import gelu_slope, normal_cdf
from .math_power import nth_power, power
from .math_remainder import fmod, remainder
from .math_tanh import tanh
from .math_trig import cos, sin, tan

__all__ = [
    "absolute",
    "arccos",
    "arcsin",
    "arctan",
    "arctan2",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "decay",
    "decay_below",
    "digamma",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "expm1_below",
    "exponent",
    "floor",
    "floor_quotient",
    "fma",
    "fmod",
    "gelu_slope",
    "inverse",
    "isnan",
    "lgamma",
    "log",
    "log1p",
    "log2",
    "log10",
    "mantissa",
    "maximum",
    "minimum",
    "next_after",
    "normal_cdf",
    "nth_power",
    "power",
    "remainder",
    "rint",
    "root",
    "rsqrt",
    "sigmoid",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
]
