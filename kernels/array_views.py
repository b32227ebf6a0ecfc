"""Arrays of a record as arrays that Numba knows, for functions that users write.

Imported where a kernel is built: it needs Numba.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from . import abi
from .array_functions import Argument
from .lean import jit as helper
from .plain import accessors, address_of, clear_bytes, described, place, size_of

TYPES = {
    abi.BOOL: types.boolean,
    abi.UINT8: types.uint8,
    abi.INT32: types.int32,
    abi.INT64: types.int64,
    abi.FLOAT32: types.float32,
    abi.FLOAT64: types.float64,
}
WORD = ir.IntType(64)


@intrinsic
def spare(typing_context):
    """The address of a word of zeros, for as long as the kernel runs: it stands in for an array that is absent."""

    def generate(context, builder, signature, args):
        room = cgutils.alloca_once(builder, WORD)
        builder.store(WORD(0), room)
        return builder.ptrtoint(room, WORD)

    return types.int64(), generate


def _assembler(dtype: int, dims: int, dense: bool) -> Any:
    """``assemble(address, shape words, stride words, absent)``: an array of the last `dims` dimensions."""
    count = max(dims, 1)
    kind = types.Array(TYPES[dtype], count, "C" if dense else "A")
    item = abi.ITEM_SIZES[dtype]

    @intrinsic
    def assemble(typing_context, address, shape, strides, absent):
        def generate(context, builder, signature, args):
            at, sizes, steps, gone = args
            array = make_array(kind)(context, builder)
            element = context.get_data_type(kind.dtype)
            data = builder.inttoptr(at, element.as_pointer())
            words = [builder.inttoptr(w, WORD.as_pointer()) for w in (sizes, steps)]
            if dims == 0:
                extents, jumps = [WORD(1)], [WORD(item)]
            else:
                extents, jumps = (
                    [builder.load(builder.gep(w, [WORD(d)])) for d in range(dims)] for w in words
                )
                jumps = [builder.mul(s, WORD(item)) for s in jumps]
                if dense:
                    jumps = [WORD(item)]
                    for n in reversed(extents[1:]):
                        jumps.insert(0, builder.mul(jumps[0], n))
                else:
                    lost = builder.icmp_signed("!=", gone, WORD(0))
                    jumps = [builder.select(lost, WORD(0), s) for s in jumps]
            populate_array(array, data, extents, jumps, WORD(item), None, None)
            return array._getvalue()

        return kind(types.int64, types.int64, types.int64, types.int64), generate

    return assemble


def view(a: Argument) -> Any:
    """``view(record, point, batch)``: the array at one place of the batch."""
    assemble = _assembler(a.dtype, a.dims, a.dense)
    item, position, shaped, dims = abi.ITEM_SIZES[a.dtype], a.place, a.shaped, a.dims
    filled = a.filled
    shape_word = abi.ARRAY_SHAPE * abi.WORD
    stride_word = abi.ARRAY_STRIDES * abi.WORD

    @helper
    def make(record, point, batch):
        own = described(record, position)
        like = described(record, shaped)
        shape = like + shape_word + batch * abi.WORD
        base = address_of(record, position)
        if base == 0:
            return assemble(spare(), shape, own, 1)
        start = base + place(own, batch, point) * item
        if filled:
            count = 1
            for d in range(dims):
                count *= size_of(record, shaped, batch + d)
            clear_bytes(start, count * item)
        return assemble(start, shape, own + stride_word + batch * abi.WORD, 0)

    return make


def cell(a: Argument) -> Any:
    """``cell(record, point, batch)``: the number at one place of the batch."""
    load, _store = accessors(a.dtype)
    position, item = a.place, abi.ITEM_SIZES[a.dtype]
    number = TYPES[a.dtype]

    @helper
    def read(record, point, batch):
        base = address_of(record, position)
        if base == 0:
            return number(0)
        return number(load(base + place(described(record, position), batch, point) * item, 0))

    return read
