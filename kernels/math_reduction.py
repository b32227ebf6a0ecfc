"""Reduction of angles by multiples of pi, for arguments of any size.

Small angles lose multiples of pi split into parts whose products with the multiple are exact. Large ones
(rare: their code is jumped over while no lane needs it) are multiplied by as many bits of 1 / pi as matter,
in integers, after Payne and Hanek. Either way the rest is accurate relative to itself.
"""

from __future__ import annotations

from typing import NamedTuple

from . import abi
from .host import host
from .math_core import (
    FORMATS,
    INFINITY,
    NAN,
    Vec,
    fast_two_sum,
    fma,
    lookup,
    magnitude,
    outlined,
    rarely,
    sign_bits,
    toggle_sign,
    two_product,
)

INVERSE_PI = 0.3183098861837907
# pi in parts of the format's precision: a fused multiply-add subtracts a multiple of the first exactly
PI_FUSED = {
    abi.FLOAT32: (3.1415927410125732, -8.742277657347586e-08, -3.4302490200117637e-15),
    abi.FLOAT64: (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33),
}
# without that instruction: parts of 23 bits, whose product with a multiple below 2**30 is exact, and the rest
PI_SHORT = (3.141592502593994, 1.5099578831723193e-07, 1.078060505991553e-14, 6.564007085747001e-22)
LIMIT = {abi.FLOAT32: 2.0**17, abi.FLOAT64: 2.0**30}
PI = (3.141592653589793, 1.2246467991473532e-16)
# 64 zeros, then the bits of 1 / pi behind the point: 64 of them in each word, one word every 32 bits
_PADDING = 64
_WORDS = 40
LOW32 = (1 << 32) - 1


class Reduced(NamedTuple):
    """An angle less a multiple of pi."""

    rest: Vec  # nan for infinite angles
    low: Vec  # what rounding `rest` lost
    multiple: Vec  # an integer with the parity of the multiple


def reduce_angle(x: Vec, halves: bool = False, quarter: bool = False) -> Reduced:
    """`x` less the nearest multiple of pi.

    Parameters
    ----------
    x : Vec
        Angles.
    halves : bool
        Take multiples of pi / 2 instead.
    quarter : bool
        Take odd multiples of pi / 2 instead: the multiple is ``(n + 1/2) * pi``.
    """

    def rare() -> Reduced:
        name = f"reduce_huge_angle_{halves:d}{quarter:d}"
        results = (abi.FLOAT64, abi.FLOAT64, abi.INT64)
        wide = outlined(name, lambda v: _payne_hanek(v, halves, quarter), [x.to(abi.FLOAT64)], results)
        return _narrow(Reduced(*wide), x.dtype)

    if host().fma:
        common = _subtract(x, halves, quarter)
    else:
        common = _narrow(_subtract(x.to(abi.FLOAT64), halves, quarter), x.dtype)
    return Reduced(*rarely(magnitude(x) > LIMIT[x.dtype], common, rare))


def _narrow(wide: Reduced, dtype: int) -> Reduced:
    if dtype == abi.FLOAT64:
        return wide
    rest = wide.rest.to(dtype)
    low = (wide.rest - rest.to(abi.FLOAT64)).to(dtype)
    return Reduced(rest, low, wide.multiple.to(abi.INT32))


def _subtract(x: Vec, halves: bool, quarter: bool) -> Reduced:
    magic = FORMATS[x.dtype].magic
    unit = 0.5 if halves else 1.0
    turns = fma(x, INVERSE_PI / unit, -0.5) + magic if quarter else fma(x, INVERSE_PI / unit, magic)
    n = turns - magic
    if quarter:
        n = n + 0.5
    if host().fma:
        first, second, third = (part * -unit for part in PI_FUSED[x.dtype])
        before = fma(n, first, x)
        product = n * second
        rest = before + product
        low = (before - rest) + product + fma(n, third, fma(n, second, -product))
    else:
        first, second, third, fourth = (part * unit for part in PI_SHORT)
        before, product = x - n * first - n * second, n * third
        rest = before - product
        low = (before - rest) - product - n * fourth
    return Reduced(*fast_two_sum(rest, low), turns.bits())


def _payne_hanek(x: Vec, halves: bool, quarter: bool) -> Reduced:
    """The same for float64 lanes above the limit and infinities; others give anything."""
    size = magnitude(x)
    high, low = _fixed_point(size)
    if halves:
        high = (high << 1) | low.logical_shift(63)
        low = low << 1
    if quarter:
        high = high - (1 << 62)
    multiple = (high + (1 << 62)).logical_shift(63)
    # the signed fraction to both sides of the multiple: 52 bits, 12 bits, and the 63 below these
    above, below = (high << 1) | low.logical_shift(63), (low << 1).logical_shift(1)
    top = (above & -4096).to(abi.FLOAT64) * 2.0**-64
    bottom = fma(below.to(abi.FLOAT64), 2.0**-127, (above & 4095).to(abi.FLOAT64) * 2.0**-64)
    fraction, fraction_low = fast_two_sum(top, bottom)
    unit = 0.5 if halves else 1.0
    product, error = two_product(fraction, fraction.like(PI[0] * unit))
    error = fma(fraction, PI[1] * unit, fma(fraction_low, PI[0] * unit, error))
    rest, rest_low = fast_two_sum(product, error)
    rest = (size < INFINITY).select(rest, NAN)
    if not quarter:
        rest, rest_low = (toggle_sign(v, sign_bits(x)) for v in (rest, rest_low))
    return Reduced(rest, rest_low, multiple)


def _fixed_point(size: Vec) -> tuple[Vec, Vec]:
    """``size / pi`` modulo two as 128 bits, the first of them the units."""
    bits = size.bits()
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    start = bits.logical_shift(52) - (1075 - _PADDING + 1)
    start = (start < 0).select(0, start)
    word, shift = start.logical_shift(5), start & 31
    limbs = [
        (lookup("inverse_pi", inverse_pi_words(), word + k) << shift).logical_shift(32)
        for k in range(5, -1, -1)
    ]
    factors = (mantissa & LOW32, mantissa.logical_shift(32))
    # schoolbook multiplication in 32-bit digits, lowest first; what leaves the top is a multiple of two
    digits = [[] for _ in range(8)]
    for place, limb in enumerate(limbs):
        for offset, factor in enumerate(factors):
            product = factor * limb
            digits[place + offset].append(product & LOW32)
            digits[place + offset + 1].append(product.logical_shift(32))
    carry, result = mantissa.like(0), []
    for column in digits[:6]:
        for digit in column:
            carry = carry + digit
        result.append(carry & LOW32)
        carry = carry.logical_shift(32)
    return (result[5] << 32) | result[4], (result[3] << 32) | result[2]


def inverse_pi_words() -> list[int]:
    """The table of the bits of 1 / pi, as signed 64-bit words."""
    total = _PADDING + 32 * (_WORDS + 1)
    guard = 64
    bits = _inverse_pi(total - _PADDING + guard) >> guard
    words = [(bits >> (total - 32 * k - 64)) & ((1 << 64) - 1) for k in range(_WORDS)]
    return [w - (1 << 64) if w >> 63 else w for w in words]


def _inverse_pi(bits: int) -> int:
    """``floor(2**bits / pi)``, by Machin's formula in integers."""
    one = 1 << (bits + 32)

    def inverse_arctan(n: int) -> int:
        term, total, k = one // n, 0, 1
        while term:
            total += term // k if k % 4 == 1 else -(term // k)
            term //= n * n
            k += 2
        return total

    pi = 4 * (4 * inverse_arctan(5) - inverse_arctan(239))
    return (one << bits) // pi
