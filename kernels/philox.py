"""Random numbers from a counter: bits, and the uniform and normal numbers that are made of them.

The generator is Philox-4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011): a call turns a number into four words of 32 random bits, under a key. Here is the arithmetic on words
only; `kernels.draws` counts the calls.
"""

from __future__ import annotations

import math

from llvmlite import ir

from . import abi
from .formula import log, sqrt
from .math_core import fma
from .math_trig import SINE
from .stage import I32, I64, Scope, Vec

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

Words = list[Vec]


# bits -----------------------------------------------------------------------------------------------


def widened(x: Vec) -> ir.Value:
    """Words of 32 bits, without a sign, as 64-bit lanes."""
    return x.scope.b.zext(x.value, x.scope.type(abi.INT64))


def _halves(scope: Scope, wide: ir.Value) -> tuple[Vec, Vec]:
    """Low and high 32 bits of 64-bit lanes."""
    kind = scope.type(abi.INT32)
    shift = scope.constant(abi.INT64, 32).value
    high = scope.b.trunc(scope.b.lshr(wide, shift), kind)
    return Vec(scope, scope.b.trunc(wide, kind), abi.INT32), Vec(scope, high, abi.INT32)


def philox(scope: Scope, key: ir.Value, number: Vec) -> Words:
    """Four vectors of 32 random bits for the 64-bit lanes of `number`, under a 64-bit key."""
    b = scope.b
    low, high = _halves(scope, number.value)
    zero = scope.constant(abi.INT32, 0)
    words = [low, high, zero, zero]
    keys = [scope.splat(b.trunc(b.lshr(key, I64(s)), I32), abi.INT32) for s in (0, 32)]
    for turn in range(ROUNDS):
        products = [
            b.mul(widened(words[2 * j]), scope.constant(abi.INT64, m).value)
            for j, m in enumerate(MULTIPLIERS)
        ]
        (low_0, high_0), (low_1, high_1) = (_halves(scope, p) for p in products)
        words = [high_1 ^ words[1] ^ keys[0], low_1, high_0 ^ words[3] ^ keys[1], low_0]
        if turn + 1 < ROUNDS:
            keys = [k + _signed(step) for k, step in zip(keys, KEY_STEPS, strict=True)]
    return words


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def pair(low: Vec, high: Vec) -> Vec:
    """Two 32-bit words as one of 64 bits."""
    b = low.scope.b
    upper = b.shl(widened(high), low.scope.constant(abi.INT64, 32).value)
    return Vec(low.scope, b.or_(upper, widened(low)), abi.INT64)


# numbers --------------------------------------------------------------------------------------------


def _unsigned_float(x: Vec, dtype: int) -> Vec:
    return Vec(x.scope, x.scope.b.uitofp(x.value, x.scope.type(dtype)), dtype)


def uniforms(words: Words, dtype: int) -> list[Vec]:
    """Numbers in [0, 1): multiples of 2**-24 (four of them) or 2**-53 (two)."""
    if dtype == abi.FLOAT64:
        pairs = [pair(words[0], words[1]), pair(words[2], words[3])]
        return [_unsigned_float(p.logical_shift(11), dtype) * 2.0**-53 for p in pairs]
    return [_unsigned_float(w.logical_shift(8), dtype) * 2.0**-24 for w in words]


def positives(words: Words, dtype: int) -> list[Vec]:
    """Numbers in (0, 1], close-meshed near 0, for taking logarithms."""
    if dtype == abi.FLOAT64:
        pairs = [pair(words[0], words[1]), pair(words[2], words[3])]
        return [fma(_unsigned_float(p, dtype), 2.0**-64, 2.0**-65) for p in pairs]
    return [fma(_unsigned_float(w, dtype), 2.0**-32, 2.0**-33) for w in words]


def _sine_of_turns(turns: Vec) -> Vec:
    """``sin(2 pi t)`` for 0 <= t < 2: a half turn changes the sign, a quarter each way is left."""
    halves = (2.0 * turns + 0.5).to(abi.INT32 if turns.dtype == abi.FLOAT32 else abi.INT64)
    r = (turns - 0.5 * halves.to(turns.dtype)) * (2 * math.pi)
    z = r * r
    total = r.like(SINE[r.dtype][-1])
    for c in reversed(SINE[r.dtype][:-1]):
        total = fma(total, z, c)
    s = fma(r * z, total, r)
    return ((halves & 1) != 0).select(-s, s)


def normals(words: Words, dtype: int) -> list[Vec]:
    """Normal numbers by the method of Box and Muller (1958): four float32 or two float64."""
    result = []
    if dtype == abi.FLOAT64:
        radius, angle = positives(words, dtype)[0], uniforms(words, dtype)[1]
        pairs = [(radius, angle)]
    else:
        near, all_around = positives(words, dtype), uniforms(words, dtype)
        pairs = [(near[0], all_around[1]), (near[2], all_around[3])]
    for u, t in pairs:
        r = sqrt(-2.0 * log(u))
        result += [r * _sine_of_turns(t + 0.25), r * _sine_of_turns(t)]
    return result


def high_product(x: Vec, y: Vec) -> Vec:
    """The upper 64 bits of the product of unsigned 64-bit lanes, by halves."""
    mask = (1 << 32) - 1
    x_low, x_high, y_low, y_high = x & mask, x.logical_shift(32), y & mask, y.logical_shift(32)
    low = x_low * y_low
    middle = x_high * y_low + low.logical_shift(32)
    other = x_low * y_high + (middle & mask)
    return x_high * y_high + middle.logical_shift(32) + other.logical_shift(32)


def below(words: Words, threshold: ir.Value) -> list[Vec]:
    """Masks of the words below a threshold of up to 2**32."""
    scope = words[0].scope
    limit = scope.splat(threshold, abi.INT64)
    return [Vec(scope, widened(w), abi.INT64) < limit for w in words]
