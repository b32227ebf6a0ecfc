"""The hyperbolic tangent of staged vectors.

In float32 on a machine with AVX-512 it is a polynomial for each of 32 segments of ``|x|``. A register holds 16
numbers and one instruction picks from two, so the 32 values of each coefficient stay in registers. No quotient and
no exponential is needed: that takes half the time of the formulas, which serve float64 and other machines.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
from llvmlite import ir

from . import abi
from .host import host
from .math_core import (
    FORMATS,
    Vec,
    at_most,
    constant_table,
    fma,
    give_sign,
    in_parts,
    is_double,
    magnitude,
    polynomial,
    power_of_two,
)
from .math_exp import exp_minus_one, reduce_exponent
from .stage import F32, I64

# (tanh(x) / x - 1) / x**2 in z = x**2 for |x| <= 0.8; error 2**-28.0
TANH_FLOAT = (
    -0.333333,
    0.13332242,
    -0.053853597,
    0.021306526,
    -0.007414171,
    0.0015870408,
)
# the same for |x| <= 0.55 as a quotient of polynomials; error 2**-60.0
TANH_DOUBLE = (
    (-0.3333333333333333, -0.02050038642645169, -0.0001992483854378882),
    (1.0, 0.4615011592793508, 0.023293446963385745, 0.00020660908096954778),
)
TANH_SMALL = {abi.FLOAT32: 0.8, abi.FLOAT64: 0.55}
# beyond these tanh is one
TANH_RANGE = {abi.FLOAT32: 9.2, abi.FLOAT64: 19.5}

# a segment is where |x| + SHIFT has the same exponent and first SEGMENT_BITS of the significand: 1/16 wide near zero,
# twice as wide where the sum passes 1, 2, 4 and 8, as the tangent becomes flat. The shift leaves the one at zero half
# as wide, because there it is the relative error that counts
SHIFT = 0.655
SEGMENT_BITS = 3
SEGMENTS = 32
LANES = 16
DEGREE = 4
CANDIDATES = 400  # numbers around the middle of a segment among which its center is looked for


def tanh(x: Vec) -> Vec:
    """The hyperbolic tangent; largest errors 1.0 and 1.4 ulp (1.1 in float32 without AVX-512)."""
    size = at_most(magnitude(x), TANH_RANGE[x.dtype])
    if host().vector_bytes == 64 and not is_double(x):
        return give_sign(_by_segments(size), x)
    z = size * size
    n, r = reduce_exponent(size + size)
    power = power_of_two(n)
    # exp(2 * size) + 1, rounded once
    e = fma(exp_minus_one(r), power, power + 1)
    small = size < TANH_SMALL[x.dtype]
    if is_double(x):
        # both forms need a quotient: they share it
        above, below = (polynomial(z, c) for c in TANH_DOUBLE)
        quotient = small.select(size * z * above, -2) / small.select(below, e)
        y = small.select(size, 1) + quotient
    else:
        y = small.select(fma(size * z, polynomial(z, TANH_FLOAT), size), 1 - 2 / e)
    return give_sign(y, x)


def _by_segments(size: Vec) -> Vec:
    """The tangent of `size`, from zero to `TANH_RANGE`."""
    index = (size + SHIFT).bits().logical_shift(FORMATS[size.dtype].mantissa - SEGMENT_BITS)
    center, *coefficients = (_pick(index, k) for k in range(DEGREE + 2))
    rest = size - center
    total = coefficients.pop()
    while coefficients:
        total = fma(total, rest, coefficients.pop())
    return total


def _pick(index: Vec, k: int) -> Vec:
    """Number `k` of the segment of each lane."""
    return in_parts(
        index, (1, LANES), lambda part: _pick_one(part, k) if part.scope.lanes == 1 else _pick_all(part, k)
    )


def _pick_all(index: Vec, k: int) -> Vec:
    """The instruction looks at the last five bits of an index only."""
    scope, kind = index.scope, index.scope.type(abi.FLOAT32)
    column = segments()[:, k].tolist()
    halves = [ir.Constant(kind, [F32(v) for v in column[h : h + LANES]]) for h in (0, LANES)]
    args = [halves[0], index.value, halves[1]]
    return Vec(scope, scope.call("llvm.x86.avx512.vpermi2var.ps.512", kind, args), abi.FLOAT32)


def _pick_one(index: Vec, k: int) -> Vec:
    """The same for a single lane, from memory."""
    scope, b = index.scope, index.scope.b
    numbers = constant_table(b.module, f"segments_of_tanh{k}", F32, segments()[:, k].tolist())
    row = (index & (SEGMENTS - 1)).to(abi.INT64).value
    return scope.load(b.gep(numbers, [I64(0), row]), abi.FLOAT32)


@cache
def segments() -> np.ndarray:
    """For each segment its center and the coefficients in the distance from it.

    The error is at most 2**-25.1 of the tangent. The center is one of the numbers near the middle: that whose tangent
    is nearest to a float32, so that rounding the first coefficient costs nothing. At zero the center is zero.
    """
    table = np.zeros((SEGMENTS, DEGREE + 2), np.float32)
    drop = FORMATS[abi.FLOAT32].mantissa - SEGMENT_BITS
    first, last = (
        int(np.float32(v).view(np.int32)) >> drop for v in (SHIFT, TANH_RANGE[abi.FLOAT32] + SHIFT)
    )
    edges = (np.arange(first, last + 2, dtype=np.int32) << drop).view(np.float32).astype(float) - SHIFT
    edges[0] = 0
    for k, (low, high) in enumerate(pairwise(edges)):
        center = _center(low, high) if k else 0.0
        # the polynomial meets the tangent at the nodes and at the center, which is one of an odd number of nodes
        nodes = np.delete(_nodes(DEGREE + 1), DEGREE // 2) if k else _nodes(DEGREE)
        distances = (low + high) / 2 + (high - low) / 2 * nodes - center
        table[(first + k) % SEGMENTS] = center, math.tanh(center), *_fit(center, distances)
    return table


def _center(low: float, high: float) -> float:
    middle = np.float32((low + high) / 2)
    near = middle + np.arange(-CANDIDATES // 2, CANDIDATES // 2, dtype=np.float32) * np.spacing(middle)
    exact = np.tanh(near.astype(float))
    return float(near[np.argmin(np.abs(exact - exact.astype(np.float32)))])


def _nodes(count: int) -> np.ndarray:
    """Chebyshev's, between -1 and 1."""
    return np.cos(np.pi * (np.arange(count) + 0.5) / count)


def _fit(center: float, distances: np.ndarray) -> np.ndarray:
    """The polynomial that is ``(tanh(center + d) - tanh(center)) / d`` at these `d`, lowest order first."""
    t, s = math.tanh(center), np.tanh(distances)
    # by the addition theorem: nothing cancels; and what rounding the tangent of the center adds
    slopes = (s * (1 - t * t) / (1 + t * s) + (t - float(np.float32(t)))) / distances
    scale = np.abs(distances).max()
    powers = np.vander(distances / scale, increasing=True)
    return np.linalg.solve(powers, slopes) / scale ** np.arange(len(distances))
