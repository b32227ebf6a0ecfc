"""One record for the optimizer's update of many parameters, which only programs have.

Its words, after the header: address of the hyper-parameters, number of parameters, and for each parameter the
address of its step count, its number of elements, and the addresses of its streams in the order of
`kernels.loops.build_update`. What a rule works out from the step count is worked out once when all counts are
equal, as they are when the parameters have always been updated together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import SimpleNamespace

from llvmlite import ir

from . import abi, compiler
from .abi import HEADER_WORDS, plain_record
from .loops import flat_body
from .nest import SHARE_GRAIN, compute_lanes, share, whole_first
from .stage import F64, I64, Scope, Vec, new_kernel, new_module
from .subnormal import flushed
from .update_table import UPDATES, Update
from .updates import AS_IT_IS

TOGETHER = 4  # vectors side by side: an update is a long chain of steps
# parameters of at most so many elements are the first thread's, which also runs alone the small layers that use them;
# were they shared, each thread would fetch what the other has changed. Many small ones are work that is worth sharing
SMALL, FEW = 512, 16
HYPER, COUNT, FIRST = range(HEADER_WORDS, HEADER_WORDS + 3)
STEP, NUMEL, STREAMS = range(3)  # words of one parameter


def record(rule: str, dtype: str, hyper: int, parameters: Sequence[tuple[int, int, list[int]]]) -> list[int]:
    """A record for parameters given as (address of the step count, elements, addresses of the streams)."""
    words = [word for step, numel, streams in parameters for word in (step, numel, *streams)]
    return plain_record(address(rule, abi.DTYPE_NAMES.index(dtype)), [hyper, len(parameters), *words])


def width(rule: str) -> int:
    """Words of one parameter."""
    return STREAMS + streams(rule)


def streams(rule: str) -> int:
    """Streams of a parameter: the new parameter and states, then parameter, gradient and states."""
    return 3 + 2 * len(UPDATES[rule].state)


def address(rule: str, dtype: int) -> int:
    """Address of the kernel, compiled on first use."""
    symbol = f"updates.{rule}.{abi.DTYPE_NAMES[dtype]}"
    return compiler.native(symbol, lambda: build(symbol, UPDATES[rule], dtype))


def build(symbol: str, rule: Update, dtype: int) -> ir.Module:
    """The kernel of a rule."""
    module = new_module(symbol)
    b, place, part, parts = new_kernel(module, symbol)
    one = Scope(b, 1, outer=True)
    states = len(rule.state)
    size = I64(STREAMS + 3 + 2 * states)
    count = one.word(place, COUNT)
    hyper = one.word(place, HYPER)
    h = SimpleNamespace(**{n: _number(one, hyper, k) for k, n in enumerate(rule.hyper)})

    def word(k: ir.Value, field: int) -> ir.Value:
        return one.word(place, b.add(b.mul(k, size), I64(FIRST + field)))

    few = b.icmp_signed("<=", count, I64(FEW))
    first_part = b.icmp_signed("==", part, I64(0))

    def mine(numel: ir.Value) -> tuple[ir.Value, ir.Value]:
        begin, end = share(one, numel, part, parts, SHARE_GRAIN)
        whole = b.and_(few, b.icmp_signed("<=", numel, I64(SMALL)))
        all_or_none = b.select(first_part, numel, I64(0))
        return b.select(whole, I64(0), begin), b.select(whole, all_or_none, end)

    def update(k: ir.Value, each) -> None:
        pointers = [one.pointer(word(k, STREAMS + s), dtype) for s in range(3 + 2 * states)]
        begin, end = mine(word(k, NUMEL))
        lanes, dtypes = compute_lanes([dtype]), [dtype] * len(pointers)
        over = partial(whole_first, together=TOGETHER, inward=True)
        flat_body(b, pointers, dtypes, each, 1 + states, lanes, begin, end, over=over)

    first = _number(one, word(I64(0), STEP), 0)
    differ = one.variable(I64)
    b.store(I64(0), differ)
    with one.loop(I64(1), count) as k:
        other = _number(one, word(k, STEP), 0)
        unequal = b.zext(b.fcmp_unordered("!=", other.value, first.value), I64)
        b.store(b.or_(b.load(differ), unequal), differ)
    with flushed(b), b.if_else(b.icmp_signed("==", b.load(differ), I64(0))) as (together, apart):
        with together:
            for h_here in _cases(b, h):
                each = rule.rule(h_here, first)
                with one.loop(I64(0), count) as k:
                    update(k, each)
        with apart, one.loop(I64(0), count) as k:
            update(k, rule.rule(h, _number(one, word(k, STEP), 0)))
    b.ret_void()
    return module


def _cases(b: ir.IRBuilder, h: SimpleNamespace) -> Iterator[SimpleNamespace]:
    """The hyper-parameters, for code where gradients are followed as they are and for code where they are not."""
    given = vars(h)
    if not AS_IT_IS.keys() <= given.keys():
        yield h
        return
    bits = [b.fcmp_ordered("==", given[key].value, F64(value)) for key, value in AS_IT_IS.items()]
    with b.if_else(b.and_(*bits)) as (as_it_is, changed):
        with as_it_is:
            yield SimpleNamespace(**given, as_it_is=True)
        with changed:
            yield h


def _number(one: Scope, address_: ir.Value, index: int) -> Vec:
    return one.load(one.at(one.pointer(address_, abi.FLOAT64), index), abi.FLOAT64)
