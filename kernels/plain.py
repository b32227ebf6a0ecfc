"""Help for kernels written as ordinary Python loops, which Numba compiles.

They are for work that is scalar by nature: choosing, gathering, sorting, moving. A kernel gets the address of
its record (see `kernels.abi`) and reads everything from there. This module imports Numba, so import it where
a kernel is built, not at the top of a module that `import jitgrad` reaches.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import abi
from .abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    ARRAY_WORDS,
    R_ATTRS,
    R_KERNEL,
    R_WORDS,
)
from .lean import jit as helper


@intrinsic
def word(typing_context, address, index):
    """The 64-bit word number `index` at `address`."""

    def generate(context, builder, signature, args):
        base = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load(builder.gep(base, [args[1]]))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def set_word(typing_context, address, index, value):
    """Set the 64-bit word number `index` at `address`."""

    def generate(context, builder, signature, args):
        base = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store(args[2], builder.gep(base, [args[1]]))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), generate


@intrinsic
def word_as_float(typing_context, value):
    """The float64 whose bits are the given word: how float attributes travel."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


_LLVM = {
    abi.BOOL: ir.IntType(8),
    abi.UINT8: ir.IntType(8),
    abi.INT32: ir.IntType(32),
    abi.INT64: ir.IntType(64),
    abi.FLOAT32: ir.FloatType(),
    abi.FLOAT64: ir.DoubleType(),
}
_NUMBA = {abi.FLOAT32: types.float32, abi.FLOAT64: types.float64}
_SIZES = {abi.BOOL: 1, abi.UINT8: 1, abi.INT32: 4, abi.INT64: 8, abi.FLOAT32: 4, abi.FLOAT64: 8}
_accessors: dict[int, tuple[Any, Any]] = {}


def accessors(dtype: int) -> tuple[Any, Any]:
    """``load(address, index)`` and ``store(address, index, value)`` for elements of a dtype.

    `index` counts elements. Values are float32 or float64 for those dtypes and int64 for all others.
    """
    if dtype in _accessors:
        return _accessors[dtype]
    kind = _LLVM[dtype]
    number = _NUMBA.get(dtype, types.int64)
    signed = dtype in (abi.INT32, abi.INT64)

    @intrinsic
    def load(typing_context, address, index):
        def generate(context, builder, signature, args):
            base = builder.inttoptr(args[0], kind.as_pointer())
            value = builder.load(builder.gep(base, [args[1]]), align=_SIZES[dtype])
            if number is types.int64 and kind.width < 64:
                extend = builder.sext if signed else builder.zext
                value = extend(value, ir.IntType(64))
            return value

        return number(types.int64, types.int64), generate

    @intrinsic
    def store(typing_context, address, index, value):
        def generate(context, builder, signature, args):
            base = builder.inttoptr(args[0], kind.as_pointer())
            value = args[2]
            if number is types.int64 and kind.width < 64:
                value = builder.trunc(value, kind)
            builder.store(value, builder.gep(base, [args[1]]), align=_SIZES[dtype])
            return context.get_dummy_value()

        return types.none(types.int64, types.int64, number), generate

    _accessors[dtype] = (load, store)
    return load, store


def number_of(dtype: int) -> Any:
    """``number(value)``: a float64 rounded to a floating dtype, in which sums and products with it stay."""
    kind = _LLVM[dtype]

    @intrinsic
    def number(typing_context, value):
        def generate(context, builder, signature, args):
            return args[0] if dtype == abi.FLOAT64 else builder.fptrunc(args[0], kind)

        return _NUMBA[dtype](types.float64), generate

    return number


def bits(dtype: int) -> tuple[Any, Any]:
    """Like `accessors`, for moving elements whatever they mean: an int64 holds an element's bits."""
    return accessors({1: abi.UINT8, 4: abi.INT32, 8: abi.INT64}[_SIZES[dtype]])


@intrinsic
def quotient(typing_context, a, b):
    """``a // b`` of integers that are not negative, without Python's care for signs and zero."""

    def generate(context, builder, signature, args):
        return builder.udiv(*args)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def call_part(typing_context, kernel, record, part, parts):
    """Run one part of the work of the kernel at address `kernel` on a record."""

    def generate(context, builder, signature, args):
        number = ir.IntType(64)
        function = ir.FunctionType(ir.VoidType(), [number] * 3)
        callee = builder.inttoptr(args[0], function.as_pointer())
        builder.call(callee, list(args[1:]))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def copy_bytes(typing_context, target, source, count):
    """Copy `count` bytes between blocks that do not overlap."""

    def generate(context, builder, signature, args):
        to, of = (builder.inttoptr(a, ir.IntType(8).as_pointer()) for a in args[:2])
        cgutils.raw_memcpy(builder, to, of, args[2], 1)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), generate


@intrinsic
def clear_bytes(typing_context, target, count):
    """Set `count` bytes to zero."""

    def generate(context, builder, signature, args):
        to = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        cgutils.memset(builder, to, args[1], 0)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), generate


@intrinsic
def described(typing_context, record, k):
    """The address of the description of array `k`; its words are ARRAY_ADDRESS and so on of `kernels.abi`."""

    def generate(context, builder, signature, args):
        step = builder.mul(args[1], ir.IntType(64)(ARRAY_WORDS * abi.WORD))
        return builder.add(args[0], builder.add(step, ir.IntType(64)(A_ARRAYS * abi.WORD)))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def room_for_array(typing_context):
    """The address of room for the description of one array, for as long as the kernel runs."""

    def generate(context, builder, signature, args):
        room = cgutils.alloca_once(builder, ir.IntType(64), size=ARRAY_WORDS)
        return builder.ptrtoint(room, ir.IntType(64))

    return types.int64(), generate


@intrinsic
def attributes(typing_context, record):
    """The address of a record's attribute words."""

    def generate(context, builder, signature, args):
        words = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        start = builder.load(builder.gep(words, [ir.IntType(64)(R_ATTRS)]))
        return builder.add(args[0], builder.mul(start, ir.IntType(64)(abi.WORD)))

    return types.int64(types.int64), generate


@helper
def run_records(begin, end, part, parts):
    """Run one part of each of the records that lie from `begin` to `end`."""
    record = begin
    while record < end:
        call_part(word(record, R_KERNEL), record, part, parts)
        record += word(record, R_WORDS) * abi.WORD


@helper
def place(array, dims, flat):
    """Where point number `flat` of the first `dims` dimensions of a described array lies, in elements."""
    offset = 0
    for back in range(dims):
        d = dims - 1 - back
        size = word(array, ARRAY_SHAPE + d)
        rest = quotient(flat, size)
        offset += (flat - rest * size) * word(array, ARRAY_STRIDES + d)
        flat = rest
    return offset


@helper
def address_of(record, k):
    """Address of array `k`; 0 when it is absent."""
    return word(record, A_ARRAYS + k * ARRAY_WORDS + ARRAY_ADDRESS)


@helper
def dims_of(record, k):
    """Number of dimensions of array `k`."""
    return word(record, A_ARRAYS + k * ARRAY_WORDS + ARRAY_DIMS)


@helper
def size_of(record, k, d):
    """Size of dimension `d` of array `k`."""
    return word(record, A_ARRAYS + k * ARRAY_WORDS + ARRAY_SHAPE + d)


@helper
def stride_of(record, k, d):
    """Stride in elements of dimension `d` of array `k`."""
    return word(record, A_ARRAYS + k * ARRAY_WORDS + ARRAY_STRIDES + d)


@helper
def attribute(record, k):
    """Attribute word `k`; see `word_as_float` for floats."""
    return word(record, word(record, R_ATTRS) + k)


@helper
def share_of(total, part, parts):
    """First and last-plus-one of the items that `part` of `parts` works on."""
    return quotient(total * part, parts), quotient(total * (part + 1), parts)


@helper
def offset_without(record, k, skip, index):
    """Offset in elements into array `k` of the `index`-th place over all dimensions but `skip` (-1: none)."""
    offset = 0
    for back in range(dims_of(record, k)):
        d = dims_of(record, k) - 1 - back
        if d != skip:
            size = size_of(record, k, d)
            offset += index % size * stride_of(record, k, d)
            index //= size
    return offset
