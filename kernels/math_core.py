"""What the mathematical functions share: exact arithmetic, polynomials, scaling by powers of two, tables.

Everything is written on staged vectors (`kernels.stage.Vec`), without branches, in float32 and float64.
Polynomials are minimax approximations found with Remez' algorithm in 50-digit arithmetic; their
coefficients were rounded one at a time, lowest order first, and the others fitted again after each, so that
the error stated beside a table is that of the rounded coefficients. Tables begin with the lowest order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from llvmlite import ir

from . import abi
from .host import host
from .stage import I32, I64, MASK, Scope, Vec
from .vec import alike

Number = Vec | float


class Format(NamedTuple):
    """What the algorithms need to know of a floating-point format."""

    mantissa: int  # stored bits of the significand
    bias: int
    magic: float  # adding it rounds to an integer, which then stands in the low bits
    smallest: float  # smallest normal number
    sign: int  # the sign bit, as a signed integer


FORMATS = {
    abi.FLOAT32: Format(23, 127, 1.5 * 2.0**23, 2.0**-126, -(1 << 31)),
    abi.FLOAT64: Format(52, 1023, 1.5 * 2.0**52, 2.0**-1022, -(1 << 63)),
}
INFINITY = float("inf")
NAN = float("nan")


def is_double(x: Vec) -> bool:
    """Whether the lanes are float64."""
    return x.dtype == abi.FLOAT64


def is_plain(x: Number) -> bool:
    """Whether `x` is a plain number (not nan), known while the kernel is written."""
    return not isinstance(x, Vec) and x == x


def unify(*args: Number) -> list[Vec]:
    """Bring vectors, scalar vectors and plain numbers to one dtype and lane count."""
    vectors = [a for a in args if isinstance(a, Vec)]
    lead = vectors[0]
    for v in vectors[1:]:
        lead = alike(lead, v)[0]
    return [alike(lead, a)[1] for a in args]


def fma(a: Number, b: Number, c: Number) -> Vec:
    """``a * b + c``, rounded once where the machine has such an instruction."""
    x, y, z = unify(a, b, c)
    if not x.is_float:
        return x * y + z
    return x.scope.intrinsic("fmuladd", x, y, z)


def polynomial(x: Vec, coefficients: Sequence[float]) -> Vec:
    """The polynomial with these coefficients, lowest order first, by Horner's rule."""
    total = x.like(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = fma(total, x, c)
    return total


def long_polynomial(x: Vec, coefficients: Sequence[float]) -> Vec:
    """The same as the sum of its even and its odd half, which are computed side by side.

    For a polynomial whose halves do not cancel: there it is as accurate, and waits half as long.
    """
    square = x * x
    return fma(polynomial(square, coefficients[1::2]), x, polynomial(square, coefficients[::2]))


# comparisons and bits ---------------------------------------------------------------------------


def at_most(x: Vec, top: float) -> Vec:
    """The smaller of `x` and the number `top`; nan stays nan. One instruction on x86."""
    return (x.like(top) < x).select(top, x)


def at_least(x: Vec, bottom: float) -> Vec:
    """The larger of `x` and the number `bottom`; nan stays nan. One instruction on x86."""
    return (x.like(bottom) > x).select(bottom, x)


def magnitude(x: Vec) -> Vec:
    """``|x|`` of floating lanes."""
    return x.scope.intrinsic("fabs", x)


def sign_bits(x: Vec) -> Vec:
    """The sign bit of each lane, as an integer."""
    return x.bits() & FORMATS[x.dtype].sign


def toggle_sign(x: Vec, signs: Vec) -> Vec:
    """Flip the sign of `x` where the integer `signs` has its sign bit set."""
    return (x.bits() ^ signs).as_float()


def give_sign(x: Vec, y: Vec) -> Vec:
    """``|x|`` with the sign of `y`."""
    return x.scope.intrinsic("copysign", x, y)


# rounding to integers and powers of two -----------------------------------------------------------


def nearest(x: Vec) -> Vec:
    """`x` rounded to an integer, for ``|x| < 2**(mantissa - 2)``; two additions."""
    magic = FORMATS[x.dtype].magic
    return (x + magic) - magic


def power_of_two(n: Vec) -> Vec:
    """``2**n`` for integral lanes whose result is zero (only just) or a normal number."""
    form = FORMATS[n.dtype]
    # adding the magic number leaves n + bias in the low bits, and the shift makes it the exponent
    return ((n + (form.magic + form.bias)).bits() << form.mantissa).as_float()


def scale(x: Vec, n: Vec) -> Vec:
    """``x * 2**n`` for integral `n`, rounded once also where the result is subnormal.

    `x` must lie near one and `n` within one and a half times the exponent's range.
    """
    if has_wide_instructions(x):
        return wide_instruction("scalef", x, n)
    form = FORMATS[x.dtype]
    magic = form.magic + form.bias
    shifted = fma(n, 0.5, magic)
    first = (shifted.bits() << form.mantissa).as_float()
    rest = n - (shifted - magic)
    return x * first * power_of_two(rest)


def has_wide_instructions(x: Vec) -> bool:
    """Whether AVX-512 has instructions for as many lanes of this format, in registers of which each is full."""
    return host().vector_bytes == 64 and _width(x) >= 128


def wide_instruction(name: str, x: Vec, second: Vec | int | None = None) -> Vec:
    """One of AVX-512's instructions on the parts of floating-point numbers, by its LLVM name."""
    if _width(x) > 512:
        vectors = [v for v in (x, second) if isinstance(v, Vec)]
        return _in_halves(lambda x, y=second: wide_instruction(name, x, y), *vectors)
    mask = ir.IntType(max(8, x.scope.lanes))
    args = [x.value, x.value, mask(-1)]
    if isinstance(second, Vec):
        args.insert(1, second.value)
    elif second is not None:
        args.insert(1, I32(second))
    if _width(x) == 512:
        args.append(I32(4))  # round as the control register says
    kind = "pd" if is_double(x) else "ps"
    full_name = f"llvm.x86.avx512.mask.{name}.{kind}.{_width(x)}"
    return Vec(x.scope, x.scope.call(full_name, x.value.type, args), x.dtype)


def _in_halves(function: Callable[..., Vec], *vectors: Vec) -> Vec:
    """``function(*vectors)`` of their first halves and of their second ones, put together."""
    scope, lanes = vectors[0].scope, vectors[0].scope.lanes
    halves = [function(*(_lanes_of(v, start, lanes // 2) for v in vectors)) for start in (0, lanes // 2)]
    return Vec(scope, _shuffled(scope, *halves, range(lanes)), vectors[0].dtype)


def _width(x: Vec) -> int:
    return x.scope.lanes * 8 * abi.ITEM_SIZES[x.dtype]


# arithmetic without rounding errors -----------------------------------------------------------------


def fast_two_sum(a: Vec, b: Vec) -> tuple[Vec, Vec]:
    """``a + b`` and its rounding error, for ``|a| >= |b|`` (or ``a == 0``)."""
    total = a + b
    return total, b - (total - a)


def two_product(a: Vec, b: Vec) -> tuple[Vec, Vec]:
    """``a * b`` and its rounding error; without a fused instruction by Dekker's splitting."""
    product = a * b
    if host().fma:
        return product, a.scope.intrinsic("fma", a, b, -product)
    a_high, a_low = split(a)
    b_high, b_low = split(b)
    error = a_high * b_high - product + a_high * b_low + a_low * b_high + a_low * b_low
    return product, error


def split(x: Vec) -> tuple[Vec, Vec]:
    """`x` as a sum of two numbers of half the precision, by clearing bits."""
    low = (FORMATS[x.dtype].mantissa + 2) // 2
    high = (x.bits() & -(1 << low)).as_float()
    return high, x - high


# whole-vector decisions and tables ------------------------------------------------------------------


def any_lane(mask: Vec) -> ir.Value:
    """One bit: whether `mask` is set in any lane."""
    scope = mask.scope
    if scope.lanes == 1:
        return mask.value
    bits = ir.IntType(scope.lanes)
    return scope.b.icmp_unsigned("!=", scope.b.bitcast(mask.value, bits), bits(0))


def rarely(mask: Vec, common: Sequence[Vec], rare: Callable[[], Sequence[Vec]]) -> list[Vec]:
    """Where `mask` is set take what `rare` computes, else `common`.

    The code of `rare` is jumped over while no lane needs it.
    """
    scope, b = mask.scope, mask.scope.b
    before = b.block
    with b.if_then(any_lane(mask), likely=False):
        results = [mask.select(r, c).value for r, c in zip(rare(), common, strict=True)]
        inside = b.block
    merged = []
    for result, usual in zip(results, common, strict=True):
        phi = b.phi(usual.value.type)
        phi.add_incoming(result, inside)
        phi.add_incoming(usual.value, before)
        merged.append(Vec(scope, phi, usual.dtype))
    return merged


def repeated(
    needed: Callable[..., Vec], body: Callable[..., Sequence[Vec]], values: Sequence[Vec]
) -> list[Vec]:
    """``values = body(*values)`` again and again, while the mask ``needed(*values)`` is set in any lane."""
    scope, b = values[0].scope, values[0].scope.b
    before, head = b.block, b.append_basic_block("again")
    turn, after = b.append_basic_block("turn"), b.append_basic_block("enough")
    b.branch(head)
    b.position_at_end(head)
    phis = [b.phi(v.value.type) for v in values]
    current = [Vec(scope, phi, v.dtype) for phi, v in zip(phis, values, strict=True)]
    b.cbranch(any_lane(needed(*current)), turn, after)
    b.position_at_end(turn)
    for phi, first, later in zip(phis, values, body(*current), strict=True):
        phi.add_incoming(first.value, before)
        phi.add_incoming(later.value, b.block)
    b.branch(head)
    b.position_at_end(after)
    return current


def outlined(
    name: str, body: Callable[..., Sequence[Vec]], args: Sequence[Vec], results: Sequence[int]
) -> list[Vec]:
    """``body(*args)`` as a call of a function of its own, written once for each number of lanes.

    `name` must tell what `body` does, and `results` are the dtypes of what it returns. For long code on rare
    paths, which a kernel would otherwise contain once in each of its loops.
    """
    scope = args[0].scope
    name = f"{name}_{scope.lanes}"
    kind = ir.LiteralStructType([scope.type(d) for d in results])
    function = scope.b.module.globals.get(name)
    if function is None:
        function = ir.Function(scope.b.module, ir.FunctionType(kind, [a.value.type for a in args]), name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = Scope(ir.IRBuilder(function.append_basic_block("entry")), scope.lanes)
        values = [Vec(inner, v, a.dtype) for v, a in zip(function.args, args, strict=True)]
        whole = ir.Constant(kind, ir.Undefined)
        for k, result in enumerate(body(*values)):
            whole = inner.b.insert_value(whole, result.value, k)
        inner.b.ret(whole)
    whole = scope.b.call(function, [a.value for a in args])
    return [Vec(scope, scope.b.extract_value(whole, k), d) for k, d in enumerate(results)]


def lookup(name: str, words: Sequence[int], index: Vec) -> Vec:
    """``words[index]`` for int64 lanes; the table becomes a constant of the module."""
    scope, b = index.scope, index.scope.b
    table = constant_table(b.module, name, I64, words)
    start = b.gep(table, [I64(0), I64(0)])
    if scope.lanes == 1:
        return Vec(scope, b.load(b.gep(start, [index.value])), abi.INT64)
    # llvmlite's gep takes no vectors: the addresses are computed as integers
    first = scope.splat(b.ptrtoint(start, I64), abi.INT64)
    places = b.inttoptr((first + (index << 3)).value, ir.VectorType(start.type, scope.lanes))
    kind = scope.type(abi.INT64)
    every = scope.constant(MASK, 1).value
    args = [places, I32(8), every, ir.Constant(kind, None)]
    name = f"llvm.masked.gather.v{scope.lanes}i64.v{scope.lanes}p0"
    return Vec(scope, scope.call(name, kind, args), abi.INT64)


def constant_table(module: ir.Module, name: str, item: ir.Type, values: Sequence[float]) -> ir.GlobalVariable:
    """The constant array `name` of a module, written once."""
    table = module.globals.get(name)
    if table is None:
        kind = ir.ArrayType(item, len(values))
        table = ir.GlobalVariable(module, kind, name)
        table.linkage = "internal"
        table.global_constant = True
        table.initializer = ir.Constant(kind, list(values))
    return table


def in_parts(x: Vec, sizes: Sequence[int], function: Callable[[Vec], Vec]) -> Vec:
    """``function(x)`` for a function of vectors with `sizes` lanes only, the largest last.

    Longer vectors are cut into halves; shorter ones are repeated to fill the next size.
    """
    lanes, scope = x.scope.lanes, x.scope
    if lanes in sizes:
        return function(x)
    if lanes > sizes[-1]:
        return _in_halves(lambda half: in_parts(half, sizes, function), x)
    wide = Scope(scope.b, next(s for s in sizes if s > lanes))
    if lanes == 1:
        one = function(wide.splat(x.value, x.dtype))
        return Vec(scope, scope.b.extract_element(one.value, I32(0)), x.dtype)
    order = [k % lanes for k in range(wide.lanes)]
    return _lanes_of(function(Vec(wide, _shuffled(scope, x, x, order), x.dtype)), 0, lanes)


def _lanes_of(x: Vec, start: int, count: int) -> Vec:
    return Vec(Scope(x.scope.b, count), _shuffled(x.scope, x, x, range(start, start + count)), x.dtype)


def _shuffled(scope: Scope, a: Vec, b: Vec, order: Sequence[int]) -> ir.Value:
    return scope.b.shuffle_vector(a.value, b.value, ir.Constant(ir.VectorType(I32, len(order)), list(order)))
