"""Matrix products of a program's rows, planned once: what a kernel would look up in every call stands in its record.

Such a record is the operation's own, longer by a plan: how many products there are, each in the words of
`gemm.PRODUCT`, and which rows are summed. Addresses stay where they are: a plan names the words that hold them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llvmlite import ir

from . import abi, compiler, few_inputs, gemm
from .abi import A_ARRAYS, ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_SHAPE, ARRAY_STRIDES, ARRAY_WORDS
from .column_sums import Rows, column_sums
from .stage import I64, VOID, Scope, new_kernel, new_module

# words of a plan; NOTHING is 0, and where an operand that is not there has its address
COUNT, NOTHING, TARGET, SOURCE, STRIDE, COLUMN, ROWS, FEATURES = range(8)
WEIGHTS, INPUTS, ROWS_APART, INPUTS_APART, DEPTH, FIRST = range(8, 14)
WIDTH = len(gemm.PRODUCT.split())
OPERANDS = [gemm.PRODUCT.split().index(key) for key in gemm.OPERANDS]


class Operand(NamedTuple):
    """An array as a record describes it; strides in elements."""

    word: int  # of the record: it holds the address
    present: bool
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def row(self) -> tuple[int, int] | None:
        """All dimensions but the last as one: stride and size, or None where strides do not allow it.

        The same as `products.Products.rows` finds out in compiled code.
        """
        sizes, strides = self.shape[:-1], self.strides[:-1]
        if len(sizes) == 1:
            return strides[0], sizes[0]
        stride = expected = 0
        count = 1
        for size, step in zip(reversed(sizes), reversed(strides), strict=True):
            if size != 1:
                if count == 1:
                    stride = step
                elif step != expected:
                    return None
                expected = step * size
                count *= size
        return stride, count


class Weights(NamedTuple):
    """Gradients of weights that are made with the sums, and the inputs for that; operands by their words."""

    target: int
    inputs: int
    rows_apart: int
    inputs_apart: int
    depth: int


class Sums(NamedTuple):
    """A matrix whose rows are summed, and where to; operands by their words."""

    target: int
    source: int
    stride: int
    column: int
    rows: int
    features: int
    weights: Weights | None = None

    def words(self, nothing: int) -> list[int]:
        """What stands of it in a plan; `nothing` is the word that holds 0."""
        return [*self[:-1], *(self.weights or [nothing] * 2 + [0] * 3)]


class Plan(NamedTuple):
    """What a kernel's call comes to: products, in the order of `gemm.PRODUCT`, operands by their words."""

    products: list[list[int]]
    sums: Sums | None = None


def operands(words: Sequence[int]) -> list[Operand]:
    """The arrays of a record."""
    found = []
    for k in range(words[abi.R_COUNT]):
        at = A_ARRAYS + k * ARRAY_WORDS
        dims = words[at + ARRAY_DIMS]
        shape, strides = (tuple(words[at + s : at + s + dims]) for s in (ARRAY_SHAPE, ARRAY_STRIDES))
        found.append(Operand(at + ARRAY_ADDRESS, words[at + ARRAY_ADDRESS] != 0, shape, strides))
    return found


def record(words: Sequence[int], dtype: int, plan: Plan) -> list[int] | None:
    """A record that does what `words` does, as planned; None when a product is empty or too large to gain by it."""
    products = [gemm.planned(dtype, product) for product in plan.products]
    end = len(words)
    none = Sums(*[end + NOTHING] * 2, *[0] * 4)
    long = [*words, len(products), 0, *(plan.sums or none).words(end + NOTHING)]
    for product in products:
        if product is None:
            return None
        long += [(x or end + NOTHING) if k in OPERANDS else x for k, x in enumerate(product)]
    long[abi.R_KERNEL], long[abi.R_WORDS], long[abi.R_ATTRS] = address(dtype), len(long), end
    return long


def address(dtype: int) -> int:
    """Address of the kernel, compiled on first use."""
    gemm.provide_planned(dtype)
    few_inputs.provide(dtype)
    symbol = f"planned.{abi.DTYPE_NAMES[dtype]}"
    return compiler.native(symbol, lambda: build(symbol, dtype))


def build(symbol: str, dtype: int) -> ir.Module:
    """The kernel that does what plans say."""
    module = new_module(symbol)
    b, place, part, parts = new_kernel(module, symbol)
    one = Scope(b, 1, outer=True)
    plan = one.at(place, one.word(place, abi.R_ATTRS))
    words = [b.ptrtoint(p, I64) for p in (place, one.at(plan, FIRST))]
    with one.loop(I64(0), one.word(plan, COUNT)) as k:
        product = b.add(words[1], b.mul(k, I64(WIDTH * abi.WORD)))
        one.call(gemm.PLANNED[dtype], VOID, [words[0], product, part, parts])
    target = one.word(place, one.word(plan, TARGET))
    with b.if_then(b.icmp_signed("!=", target, I64(0))):
        _sums(one, dtype, place, plan, target, (part, parts))
    b.ret_void()
    return module


def _sums(
    one: Scope,
    dtype: int,
    place: ir.Value,
    plan: ir.Value,
    target: ir.Value,
    threads: tuple[ir.Value, ir.Value],
) -> None:
    b = one.b
    source, inputs, weights = (one.word(place, one.word(plan, k)) for k in (SOURCE, INPUTS, WEIGHTS))
    stride, column, count, features = (one.word(plan, k) for k in (STRIDE, COLUMN, ROWS, FEATURES))
    with b.if_else(b.icmp_signed("!=", weights, I64(0))) as (both, alone):
        with both:
            apart, depth = (one.word(plan, k) for k in (ROWS_APART, INPUTS_APART)), one.word(plan, DEPTH)
            given = (source, stride, inputs, *apart, weights, target, count, features, depth, *threads)
            few_inputs.call(one, dtype, given)
        with alone:
            rows = Rows(source, stride, column, count, features)
            column_sums(one, dtype, one.pointer(target, dtype), rows, threads)
