"""Random numbers from a counter, and the kernels that draw from it.

The generator is Philox-4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011). A generator's state is four 64-bit words in memory: key, counter, and two for the kernels' own use.
Kernels read it when they run and leave the counter behind the numbers they took, so a replayed program draws
fresh numbers every time. Each block of 64 words of random bits is a function of the key and the block's
number alone: the stream depends neither on the vector width nor on the number of threads. It is not
PyTorch's stream.

Threads that share a kernel all read the counter; the last one to have read it moves it on.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from . import abi
from .formula import log, sqrt
from .host import host
from .math_core import fma
from .math_trig import SINE
from .nest import share
from .operands import Arrays, Line, each_line
from .stage import I32, I64, MASK, Scope, Vec, new_kernel, new_module
from .table import ALL, FLOATS, array_op

STATE_WORDS = 4
S_KEY, S_COUNTER, S_ARRIVED, S_SPARE = range(STATE_WORDS)

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10

# a group is what one counter value yields: CALLS calls of Philox, of four 32-bit words each
CALLS = 16
GROUP_WORDS = 4 * CALLS

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # the increment of splitmix64
MIX = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))

Words = list[Vec]
Make = Callable[[Words], list[Vec]]


# the generator --------------------------------------------------------------------------------------


def _widened(x: Vec) -> ir.Value:
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
            b.mul(_widened(words[2 * j]), scope.constant(abi.INT64, m).value)
            for j, m in enumerate(MULTIPLIERS)
        ]
        (low_0, high_0), (low_1, high_1) = (_halves(scope, p) for p in products)
        words = [high_1 ^ words[1] ^ keys[0], low_1, high_0 ^ words[3] ^ keys[1], low_0]
        if turn + 1 < ROUNDS:
            keys = [k + _signed(step) for k, step in zip(keys, KEY_STEPS, strict=True)]
    return words


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def _pair(low: Vec, high: Vec) -> Vec:
    """Two 32-bit words as one of 64 bits."""
    b = low.scope.b
    upper = b.shl(_widened(high), low.scope.constant(abi.INT64, 32).value)
    return Vec(low.scope, b.or_(upper, _widened(low)), abi.INT64)


def _unsigned_float(x: Vec, dtype: int) -> Vec:
    return Vec(x.scope, x.scope.b.uitofp(x.value, x.scope.type(dtype)), dtype)


def uniforms(words: Words, dtype: int) -> list[Vec]:
    """Numbers in [0, 1): multiples of 2**-24 (four of them) or 2**-53 (two)."""
    if dtype == abi.FLOAT64:
        pairs = [_pair(words[0], words[1]), _pair(words[2], words[3])]
        return [_unsigned_float(p.logical_shift(11), dtype) * 2.0**-53 for p in pairs]
    return [_unsigned_float(w.logical_shift(8), dtype) * 2.0**-24 for w in words]


def positives(words: Words, dtype: int) -> list[Vec]:
    """Numbers in (0, 1], close-meshed near 0, for taking logarithms."""
    if dtype == abi.FLOAT64:
        pairs = [_pair(words[0], words[1]), _pair(words[2], words[3])]
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


# filling --------------------------------------------------------------------------------------------


class State:
    """A generator's state in a kernel."""

    def __init__(self, arrays: Arrays, k: int, threads: tuple[ir.Value, ir.Value]) -> None:
        self.scope, self.b, self.threads = arrays.scope, arrays.b, threads
        self.words = arrays.pointer(k, abi.INT64)
        self.key = self.scope.word(self.words, S_KEY)
        self.counter = self.scope.word(self.words, S_COUNTER)

    def draw(self, scope: Scope, group: ir.Value, first: int) -> Words:
        """The words of calls ``first ..`` of a group, one call a lane."""
        b = self.b
        start = b.add(b.mul(b.add(self.counter, group), I64(CALLS)), I64(first))
        number = scope.iota() + scope.splat(start, abi.INT64)
        return philox(scope, self.key, number)

    def advance(self, groups: ir.Value) -> None:
        """Move the counter on, when every thread has read it."""
        b = self.b
        _part, parts = self.threads
        after = b.add(self.counter, groups)
        place = self.scope.at(self.words, S_COUNTER)
        with b.if_else(b.icmp_signed("==", parts, I64(1))) as (alone, together):
            with alone:
                b.store(after, place)
            with together:
                arrived = self.scope.at(self.words, S_ARRIVED)
                before = b.atomic_rmw("add", arrived, I64(1), "seq_cst")
                last = b.icmp_signed("==", before, b.sub(parts, I64(1)))
                with b.if_then(last):
                    b.store(I64(0), arrived)
                    b.store(after, place)


def call_lanes() -> int:
    """Lanes of a call of Philox: a register of 32-bit words."""
    return min(CALLS, host().lanes(4))


def fill(
    state: State, numel: ir.Value, per_call: int, write: Callable[[Words, ir.Value, int, ir.Value], None]
) -> None:
    """Call ``write(words, index, span, stop)`` for this thread's share of `numel` elements.

    A call of Philox gives `per_call` elements: element ``index + w * span`` and those after it, one a lane,
    for each w below `per_call`. Elements from `stop` on must not be written.
    """
    b, one = state.b, state.scope
    size = per_call * CALLS
    lanes = call_lanes()
    wide = Scope(b, lanes)
    groups = b.sdiv(b.add(numel, I64(size - 1)), I64(size))
    begin, end = share(one, groups, *state.threads, 1)
    with one.loop(begin, end) as group:
        base = b.mul(group, I64(size))
        for first in range(0, CALLS, lanes):
            words = state.draw(wide, group, first)
            write(words, b.add(base, I64(first)), CALLS, numel)
    state.advance(groups)


def store_lanes(
    arrays: Arrays, values: list[Vec], target: ir.Value, index: ir.Value, span: int, stop: ir.Value
) -> None:
    """Store one vector for each of a call's words, as `fill` lays them out."""
    b, scope = arrays.b, values[0].scope
    end = b.add(index, I64((len(values) - 1) * span + scope.lanes))
    places = [b.add(index, I64(w * span)) for w in range(len(values))]
    with b.if_else(b.icmp_signed("<=", end, stop)) as (whole, tail):
        with whole:
            for value, i in zip(values, places, strict=True):
                scope.store(value, scope.at(target, i))
        with tail:
            for value, i in zip(values, places, strict=True):
                scope.store(value, scope.at(target, i), scope.tail_mask(b.sub(stop, i)))


def _builder(per_call: Callable[[int], int], make: Callable[[Arrays, Words, int], list[Vec]]):
    def build(symbol: str, dtype: int) -> ir.Module:
        module = new_module(symbol)
        b, record, part, parts = new_kernel(module, symbol)
        arrays = Arrays(b, record)
        state = State(arrays, 0, (part, parts))
        target = arrays.pointer(1, dtype)

        def write(words: Words, index: ir.Value, span: int, stop: ir.Value) -> None:
            values = [v.to(dtype) for v in make(arrays, words, dtype)]
            store_lanes(arrays, values, target, index, span, stop)

        fill(state, arrays.numel(1), per_call(dtype), write)
        b.ret_void()
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
    pairs = [_pair(words[0], words[1]), _pair(words[2], words[3])]
    del dtype
    return [high_product(p, span) + start for p in pairs]


def _below(words: Words, threshold: ir.Value) -> list[Vec]:
    """Masks of the words below a threshold of up to 2**32."""
    scope = words[0].scope
    limit = scope.splat(threshold, abi.INT64)
    return [Vec(scope, _widened(w), abi.INT64) < limit for w in words]


def _bernoulli(arrays: Arrays, words: Words, dtype: int) -> list[Vec]:
    del dtype
    return [hit.select(_one(hit), _one(hit) - 1) for hit in _below(words, arrays.word(0))]


def _one(like: Vec) -> Vec:
    return like.scope.constant(abi.INT32, 1)


STATE = {"state": abi.INT64}

array_op("random_uniform", ("state",), _builder(_float_width, _uniform), dtypes=FLOATS, operand_dtypes=STATE)
array_op("random_normal", ("state",), _builder(_float_width, _normal), dtypes=FLOATS, operand_dtypes=STATE)
array_op(
    "random_exponential",
    ("state",),
    _builder(_float_width, _exponential),
    dtypes=FLOATS,
    operand_dtypes=STATE,
)
array_op(
    "random_integers", ("state",), _builder(lambda dtype: 2, _integers), dtypes=ALL, operand_dtypes=STATE
)
array_op(
    "random_bernoulli", ("state",), _builder(lambda dtype: 4, _bernoulli), dtypes=ALL, operand_dtypes=STATE
)


# permutations and dropout -----------------------------------------------------------------------------


def build_permutation(symbol: str, dtype: int) -> ir.Module:
    """A random order of 0 .. n - 1 (Fisher and Yates); arrays state, y.

    Each step needs the one before, so one thread does it all; its numbers are splitmix64 (Steele, Lea and
    Flood, 2014) of the step, started from the generator.
    """
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    one = arrays.scope
    state = State(arrays, 0, (part, parts))
    with b.if_then(b.icmp_signed("==", part, I64(0))):
        target, numel = arrays.pointer(1, dtype), arrays.numel(1)
        words = state.draw(one, I64(0), 0)
        start = _pair(words[0], words[1])
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


def build_dropout(symbol: str, dtype: int) -> ir.Module:
    """``y = x * scale`` where a random word reaches the threshold, else 0; arrays x, state, kept, y.

    Attributes: the threshold of the 32-bit word, and the scale. All arrays are contiguous.
    """
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    state = State(arrays, 1, (part, parts))
    source, kept, target = (arrays.pointer(k, d) for k, d in ((0, dtype), (2, abi.BOOL), (3, dtype)))
    threshold, scale = arrays.word(0), arrays.number(1).to(dtype)

    def write(words: Words, index: ir.Value, span: int, stop: ir.Value) -> None:
        scope = words[0].scope
        masks = [Vec(scope, b.not_(m.value), MASK) for m in _below(words, threshold)]
        store_lanes(arrays, masks, kept, index, span, stop)
        for w, keep in enumerate(masks):
            i = b.add(index, I64(w * span))
            inside = scope.tail_mask(b.sub(stop, i))
            x = scope.load(scope.at(source, i), dtype, inside)
            y = keep.select(x * scale, scope.constant(dtype, 0.0))
            scope.store(y, scope.at(target, i), inside)

    fill(state, arrays.numel(3), 4, write)
    b.ret_void()
    return module


def build_dropout_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = g * scale`` where kept; arrays x, state, kept, y, -, g, gx, -."""
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    arrays = Arrays(b, record)
    scale = arrays.number(1).to(dtype)
    dims = arrays.dims(2)
    last = b.sub(dims, I64(1))
    last = b.select(b.icmp_signed("<", last, I64(0)), I64(0), last)

    def body(line: Line) -> None:
        def write(i, mask):
            keep, g = line.load(0, i, mask), line.load(1, i, mask)
            line.store(2, i, keep.select(g * line.whole(scale), line.scope.constant(dtype, 0.0)), mask)

        line.each(write)

    each_line(arrays, (2, 5, 6), (abi.BOOL, dtype, dtype), last, (part, parts), body)
    b.ret_void()
    return module


array_op(
    "random_permutation",
    ("state",),
    build_permutation,
    dtypes=(abi.INT32, abi.INT64, *FLOATS),
    operand_dtypes=STATE,
)
array_op(
    "dropout",
    ("x", "state"),
    build_dropout,
    backward=build_dropout_backward,
    gradients={"x": ("y",)},  # output 0 is the mask: it is what backward reads
    operand_dtypes=STATE,
    outputs=2,
)
