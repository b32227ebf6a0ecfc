"""Random tensors: uniform, normal, exponential and whole numbers, ones and zeros, and permutations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from . import abi
from .draws import STATE, State, fill, store_lanes
from .formula import log
from .math_core import fma
from .operands import Arrays, array_kernel
from .philox import Words, below, high_product, normals, pair, positives, uniforms
from .stage import I64, Vec
from .table import ALL, FLOATS, array_op

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # the increment of splitmix64
MIX = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))


# every element by itself ----------------------------------------------------------------------------


def _builder(per_call: Callable[[int], int], make: Callable[[Arrays, Words, int], list[Vec]]):
    def build(symbol: str, dtype: int) -> ir.Module:
        module, arrays, part, parts = array_kernel(symbol)
        state = State(arrays, 0, (part, parts))
        target = arrays.pointer(1, dtype)

        def write(words: Words, index: ir.Value, span: int, stop: ir.Value) -> None:
            values = [v.to(dtype) for v in make(arrays, words, dtype)]
            store_lanes(arrays, values, target, index, span, stop)

        fill(state, arrays.numel(1), per_call(dtype), write)
        arrays.b.ret_void()
        return module

    return build


def _float_width(dtype: int) -> int:
    return 2 if dtype == abi.FLOAT64 else 4


def _uniform(arrays: Arrays, words: Words, dtype: int) -> list[Vec]:
    low, high = (arrays.number(k).to(dtype) for k in (0, 1))
    result = []
    for u in uniforms(words, dtype):
        x = fma(u, high - low, low)
        # rounding may carry the largest number onto the bound that is not included
        result.append((x < high).select(x, low))
    return result


def _normal(arrays: Arrays, words: Words, dtype: int) -> list[Vec]:
    mean, std = (arrays.number(k).to(dtype) for k in (0, 1))
    return [fma(z, std, mean) for z in normals(words, dtype)]


def _exponential(arrays: Arrays, words: Words, dtype: int) -> list[Vec]:
    rate = arrays.number(0).to(dtype)
    return [-log(u) / rate for u in positives(words, dtype)]


def _integers(arrays: Arrays, words: Words, dtype: int) -> list[Vec]:
    low, count = arrays.word(0), arrays.word(1)
    scope = words[0].scope
    span, start = scope.splat(count, abi.INT64), scope.splat(low, abi.INT64)
    pairs = [pair(words[0], words[1]), pair(words[2], words[3])]
    del dtype
    return [high_product(p, span) + start for p in pairs]


def _bernoulli(arrays: Arrays, words: Words, dtype: int) -> list[Vec]:
    del dtype
    return [hit.select(_one(hit), _one(hit) - 1) for hit in below(words, arrays.word(0))]


def _one(like: Vec) -> Vec:
    return like.scope.constant(abi.INT32, 1)


_declare = partial(array_op, operands=("state",), operand_dtypes=STATE, changes=("state",))

_declare("random_uniform", forward=_builder(_float_width, _uniform))
_declare("random_normal", forward=_builder(_float_width, _normal))
_declare("random_exponential", forward=_builder(_float_width, _exponential))
_declare("random_integers", forward=_builder(lambda dtype: 2, _integers), dtypes=ALL)
_declare("random_bernoulli", forward=_builder(lambda dtype: 4, _bernoulli), dtypes=ALL)


# permutations ---------------------------------------------------------------------------------------


def build_permutation(symbol: str, dtype: int) -> ir.Module:
    """A random order of 0 .. n - 1 (Fisher and Yates); arrays state, y.

    Each step needs the one before, so one thread does it all; its numbers are splitmix64 (Steele, Lea and
    Flood, 2014) of the step, started from the generator.
    """
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    state = State(arrays, 0, (part, parts))
    with b.if_then(b.icmp_signed("==", part, I64(0))):
        target, numel = arrays.pointer(1, dtype), arrays.numel(1)
        words = state.draw(one, I64(0), 0)
        start = pair(words[0], words[1])
        with one.loop(I64(0), numel) as i:
            # grow the order by one: the new number goes anywhere, what was there to the end
            mixed = _splitmix(start + Vec(one, i, abi.INT64) * GOLDEN)
            j = high_product(mixed, Vec(one, b.add(i, I64(1)), abi.INT64)).value
            place = one.at(target, j)
            last = one.at(target, i)
            # when j == i the cell has not been written yet; it is overwritten below
            one.store(one.load(place, dtype), last)
            one.store(Vec(one, i, abi.INT64).to(dtype), place)
    state.advance(I64(1))
    b.ret_void()
    return module


def _splitmix(z: Vec) -> Vec:
    z = (z ^ z.logical_shift(30)) * MIX[0]
    z = (z ^ z.logical_shift(27)) * MIX[1]
    return z ^ z.logical_shift(31)


_declare("random_permutation", forward=build_permutation, dtypes=(abi.INT32, abi.INT64, *FLOATS))
