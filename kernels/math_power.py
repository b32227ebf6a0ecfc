"""Powers of staged vectors."""

from __future__ import annotations

from llvmlite import ir

from . import abi
from .lanes import I64, MASK
from .math_basic import sqrt, trunc
from .math_core import (
    INFINITY,
    NAN,
    Number,
    Vec,
    at_least,
    at_most,
    fast_two_sum,
    fma,
    long_polynomial,
    magnitude,
    nearest,
    polynomial,
    repeated,
    scale,
    sign_bits,
    toggle_sign,
    two_product,
    unify,
)
from .math_exp import EXP2, EXP_RANGE, LN2, LOG2_E, exp_minus_one
from .math_log import decompose

# log2(1 + f) / f for sqrt(1/2) <= 1 + f <= sqrt(2), used in float64 for powers in float32; error 2**-35.3
LOG2_WIDE = (
    1.4426950408687065,
    -0.7213475208688416,
    0.48089836139145137,
    -0.360673674827645,
    0.2885372938864826,
    -0.24045316578763,
    0.20617534555258257,
    -0.18030058264418558,
    0.1587699814825838,
    -0.14315685670145395,
    0.14474779458997458,
    -0.14283691475402369,
    0.07736868820584072,
)
# (log((1 + s) / (1 - s)) - 2 * s - 2/3 * s**3) / s**5 in z = s**2; error 2**-73.5 of the logarithm
LOG_TAIL = (
    0.3999999999999998,
    0.2857142857144384,
    0.22222222217789872,
    0.1818181884395202,
    0.1538455843297459,
    0.13336264274764334,
    0.11675786128107578,
    0.11981702744411044,
)
# x**n is at most exp(-n (1 - x)), and below half of the last bit of one when n (1 - x) is above this
NOTHING = 45.0
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
# fast paths for exponents known when the kernel is written
_FIXED = {
    0: lambda x: x.like(1),
    1: lambda x: x,
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    4: lambda x: (x * x) * (x * x),
    -1: lambda x: 1 / x,
    -2: lambda x: (1 / x) * (1 / x),
    # C99 has +0 for -0 and infinity for -infinity
    0.5: lambda x: (x == -INFINITY).select(x.like(INFINITY), sqrt(x + 0.0)),
}


def power(x: Number, y: Number) -> Vec:
    """``x**y`` with C99's answers for zeros, infinities, nan and negative bases.

    Largest errors 0.92 and 1.01 ulp.

    Exponents 0, 1, 2, 3, 4, 0.5, -1 and -2 that are plain numbers become multiplications.
    Integer lanes wrap around; their exponents must not be negative.
    """
    if not isinstance(y, Vec) and isinstance(x, Vec):
        if not x.is_float:
            return _fixed_integer_power(x, y)
        if y in _FIXED:
            return _FIXED[y](x)
    x, y = unify(x, y)
    if not x.is_float:
        return _integer_power(x, y)
    magnitude_power = _power_float if x.dtype == abi.FLOAT32 else _power_double
    return _complete(x, y, magnitude_power(magnitude(x), y))


def nth_power(x: Vec, n: Vec) -> Vec:
    """``x**n`` of a scalar for a count `n`, by squaring; vectors, and what is no count below 2**31, go to `power`.

    It is for ``1 - x**n``: the relative error is at most n roundings, and what is nothing beside one is zero.
    """
    if x.scope.lanes > 1:
        return power(x, n)
    s, kind = x.scope, x.scope.type(x.dtype)
    b, result = s.b, s.variable(kind)
    count = (n >= 0) & (n < 2.0**31) & (trunc(n) == n)
    with b.if_else(count.value) as (counted, other):
        with counted:
            nothing = (x >= 0) & ((1 - x) * n > NOTHING)
            whole = b.select(nothing.value, I64(0), b.fptosi(n.value, I64))
            digits = b.sub(I64(64), b.ctlz(whole, ir.IntType(1)(0)))
            with s.carried(I64(0), digits, 1, [x, x.like(1)]) as (k, (square, product), carry):
                digit = b.trunc(b.lshr(whole, k), ir.IntType(1))
                carry.next(square * square, Vec(s, digit, MASK).select(product * square, product))
            b.store(nothing.select(0, carry.final[1]).value, result)
        with other:
            b.store(power(x, n).value, result)
    return Vec(s, b.load(result), x.dtype)


def _complete(x: Vec, y: Vec, size: Vec) -> Vec:
    """``x**y`` from ``|x|**y``: the sign, and where the answer does not depend on it."""
    half = y * 0.5
    whole = trunc(y) == y
    odd = whole & (trunc(half) != half)
    size = ((magnitude(x) == 1) | (y == 0)).select(1, size)
    signed = toggle_sign(size, odd.select(sign_bits(x), 0))
    undefined = (x < 0) & (x > -INFINITY) & ~whole
    return undefined.select(NAN, signed)


def _power_float(x: Vec, y: Vec) -> Vec:
    """``x**y`` for ``x >= 0`` in float32; the logarithm and its product with `y` are in float64."""
    e, f = decompose(x)
    wide = f.to(abi.FLOAT64)
    exponent = fma(wide, long_polynomial(wide, LOG2_WIDE), e.to(abi.FLOAT64))
    exponent = at_most(at_least(exponent * y.to(abi.FLOAT64), -151.0), 129.0)
    n = nearest(exponent)
    r = (exponent - n).to(abi.FLOAT32)
    return scale(fma(polynomial(r, EXP2[r.dtype]), r, 1), n.to(abi.FLOAT32))


def _power_double(x: Vec, y: Vec) -> Vec:
    """``x**y`` for ``x >= 0`` in float64; the logarithm has twice the precision."""
    high, low = _log_double(x)
    product, error = two_product(y, high)
    error = fma(y, low, error)
    bottom, top = EXP_RANGE[x.dtype]
    # outside of the range the error may be nan, and does not matter
    inside = (product > bottom) & (product < top)
    product, error = at_most(at_least(product, bottom), top), inside.select(error, 0)
    n = nearest(product * LOG2_E)
    ln2_high, ln2_low = LN2[x.dtype]
    r = fma(n, -ln2_high, product) + fma(n, -ln2_low, error)
    return scale(exp_minus_one(r) + 1, n)


def _log_double(x: Vec) -> tuple[Vec, Vec]:
    """The natural logarithm in two parts, with a relative error near 2**-65."""
    e, f = decompose(x)
    # s = f / (2 + f); the quotient's error is divided by 2 + f again, whose inverse is (1 - s) / 2
    below, below_low = fast_two_sum(f.like(2), f)
    s = f / below
    product, error = two_product(s, below)
    s_low = (f - product - error - s * below_low) * (fma(s, -0.5, 0.5))
    z, z_low = two_product(s, s)
    z_low = fma(s * 2, s_low, z_low)
    # log(1 + f) = 2 * s + s**3 * (2/3 + z * ...)
    factor, factor_low = fast_two_sum(
        f.like(TWO_THIRDS[0]), fma(z, long_polynomial(z, LOG_TAIL), TWO_THIRDS[1])
    )
    cube, cube_low = two_product(z, s)
    cube_low = fma(z, s_low, fma(z_low, s, cube_low))
    tail, tail_low = two_product(cube, factor)
    tail_low = fma(cube, factor_low, fma(cube_low, factor, tail_low))
    total, rest = fast_two_sum(s * 2, tail)
    rest = rest + fma(s_low, 2, tail_low)
    ln2_high, ln2_low = LN2[x.dtype]
    high, carry = fast_two_sum(e * ln2_high, total)
    high, low = fast_two_sum(high, fma(e, ln2_low, carry + rest))
    return (magnitude(e) < INFINITY).select(high, e), low


def _fixed_integer_power(x: Vec, exponent: float) -> Vec:
    y = int(exponent)
    if y != exponent or y < 0:
        raise TypeError(f"power: integer lanes to the power {exponent}; convert them to float first")
    result, square = x.like(1), x
    while y:
        if y & 1:
            result = result * square
        square = square * square
        y >>= 1
    return result


def _integer_power(x: Vec, y: Vec) -> Vec:
    """By squaring, for as long as any lane has bits of its exponent left."""

    def turn(result: Vec, square: Vec, left: Vec) -> list[Vec]:
        odd = (left & 1) != 0
        return [odd.select(result * square, result), square * square, left.logical_shift(1)]

    return repeated(lambda result, square, left: left != 0, turn, [x.like(1), x, y])[0]
