"""Quotients and square roots by estimates, for optimizers and activations.

A CPU divides and takes roots in a unit that is not pipelined: with AVX-512 a register of quotients takes 10 to 16
cycles and one of roots 12 to 20, time for two dozen multiply-adds. The estimates of the machine to 14 bits, with
one step of the method of Newton and a correction, are as good for a third of that. On other machines, and for
float64, these are the ordinary operations; so are roots where the CPU has half as many multiply-adds to offer.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from . import abi
from .host import host
from .math_basic import sqrt
from .math_core import at_most, fma, in_parts
from .stage import Vec

LANES = (4, 8, 16)  # of the instructions that estimate
# zero times infinity would make nan: of infinity and its estimate, and of zero and its own
LARGEST = 3.4028234663852886e38  # finite float32
LARGEST_ESTIMATE = 1e19  # of an inverse root: more than that of any normal number


def _estimate(name: str, x: Vec) -> Vec:
    def of_register(x: Vec) -> Vec:
        lanes, kind = x.scope.lanes, x.value.type
        everywhere = ir.Constant(ir.IntType(max(8, lanes)), -1)
        function = f"llvm.x86.avx512.{name}14.ps.{32 * lanes}"
        args = [x.value, ir.Constant(kind, None), everywhere]
        return Vec(x.scope, x.scope.call(function, kind, args), x.dtype)

    return in_parts(x, LANES, of_register)


def _has_estimates(x: Vec) -> bool:
    return x.dtype == abi.FLOAT32 and host().vector_bytes == 64


def rough_inverse(x: Vec) -> Vec:
    """``1 / x`` to at least 13 bits, for `x` from 2**-100 to 2**100 in size."""
    return _estimate("rcp", x) if _has_estimates(x) else 1 / x


def ordinary_ratio(a: Vec, b: Vec) -> Vec:
    """``a / b`` for finite `a` and `b` from 2**-100 to 2**100 in size; largest errors 0.6 and 0.5 ulp."""
    if not _has_estimates(b):
        return a / b
    inverse = rough_inverse(b)
    quotient = a * inverse
    return fma(fma(-quotient, b, a), inverse, quotient)


def inverses(values: Sequence[Vec]) -> list[Vec]:
    """``1 / b`` for each of several finite `b` above 2**-126, side by side; largest errors 1.0 and 0.5 ulp."""
    if not all(map(_has_estimates, values)):
        return [1 / b for b in values]
    estimates = [_estimate("rcp", b) for b in values]
    errors = [fma(-e, b, 1) for e, b in zip(estimates, values, strict=True)]
    return [fma(d, e, e) for d, e in zip(errors, estimates, strict=True)]


def inverse(b: Vec) -> Vec:
    """``1 / b`` for finite `b` above 2**-126; largest errors 1.0 and 0.5 ulp."""
    return inverses([b])[0]


def root(x: Vec) -> Vec:
    """The square root of `x`, zero or above; largest errors 0.6 and 0.5 ulp."""
    if not _has_estimates(x) or host().half_units:
        return sqrt(x)
    x = at_most(x, LARGEST)
    estimate = at_most(_estimate("rsqrt", x), LARGEST_ESTIMATE)
    guess = x * estimate
    return fma(fma(-guess, guess, x), estimate * 0.5, guess)
