"""Neighbours, mantissas and exponents of floating-point numbers, read from their bits (IEEE 754)."""

from __future__ import annotations

from . import abi
from .math_core import FORMATS, INFINITY, Format, Number, give_sign, magnitude, unify
from .stage import Vec


def next_after(x: Number, y: Number) -> Vec:
    """The number next to `x` in the direction of `y`; nan if one of them is."""
    x, y = unify(x, y)
    # from one number to the next is one step of its bits, away from zero or towards it
    steps = x.bits()
    moved = ((y > x) ^ (x > 0)).select(steps - 1, steps + 1).as_float()
    least = give_sign(steps.like(1).as_float(), y)
    nan = (x != x) | (y != y)
    return (x == y).select(y, nan.select(x + y, (x == 0).select(least, moved)))


def mantissa(x: Vec) -> Vec:
    """`x` by a power of two, from 0.5 up to below 1 in magnitude; zero, inf and nan are their own."""
    form, read, _, plain = _read(x)
    fraction = read & (form.sign | (1 << form.mantissa) - 1)
    return plain.select((fraction | (form.bias - 1) << form.mantissa).as_float(), x)


def exponent(x: Vec) -> Vec:
    """The exponent of that power of two, int32; 0 for zero, inf and nan."""
    form, read, small, plain = _read(x)
    own = ((read >> form.mantissa) & (2 * form.bias + 1)) - (form.bias - 1)
    own = own - small.select(own.like(form.mantissa + 2), own.like(0))
    return plain.select(own, own.like(0)).to(abi.INT32)


def _read(x: Vec) -> tuple[Format, Vec, Vec, Vec]:
    """The format, bits, and where `x` was scaled up because it is subnormal, and where it is neither 0, inf nor nan."""
    form = FORMATS[x.dtype]
    small = magnitude(x) < form.smallest
    scaled = small.select(x * 2.0 ** (form.mantissa + 2), x)
    return form, scaled.bits(), small, (x != 0) & (magnitude(x) < INFINITY)
