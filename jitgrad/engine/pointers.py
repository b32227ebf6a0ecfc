"""Raw addresses in compiled code: typed tables at an address, words, and calls through an address."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels.plain import set_word as store_word
from ..kernels.plain import word as load_word
from ..kernels.plain import word_as_float as word_float


def _element(kind, number, widen, narrow):
    """Intrinsics that read and write one element of LLVM type `kind` as a 64-bit `number`."""

    @intrinsic
    def load(typing_context, address):
        def generate(context, builder, signature, args):
            value = builder.load(builder.inttoptr(args[0], kind.as_pointer()))
            return getattr(builder, widen)(value, context.get_value_type(number))

        return number(types.int64), generate

    @intrinsic
    def store(typing_context, address, value):
        def generate(context, builder, signature, args):
            place = builder.inttoptr(args[0], kind.as_pointer())
            builder.store(getattr(builder, narrow)(args[1], kind), place)
            return context.get_dummy_value()

        return types.none(types.int64, number), generate

    return load, store


_, store_float32 = _element(ir.FloatType(), types.float64, "fpext", "fptrunc")
load_int32, store_int32 = _element(ir.IntType(32), types.int64, "sext", "trunc")
load_byte, store_byte = _element(ir.IntType(8), types.int64, "zext", "trunc")


@intrinsic
def float_word(typing_context, value):
    """The bits of a float64 as an integer."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


# the system's allocator, and the identity of the running thread
aligned_alloc = types.ExternalFunction("aligned_alloc", types.int64(types.int64, types.int64))
realloc = types.ExternalFunction("realloc", types.int64(types.int64, types.int64))
free = types.ExternalFunction("free", types.void(types.int64))
memset = types.ExternalFunction("memset", types.int64(types.int64, types.int32, types.int64))
memcpy = types.ExternalFunction("memcpy", types.int64(types.int64, types.int64, types.int64))
thread_ident = types.ExternalFunction("PyThread_get_thread_ident", types.int64())

__all__ = [
    "aligned_alloc",
    "float_word",
    "free",
    "load_byte",
    "load_int32",
    "load_word",
    "memcpy",
    "memset",
    "realloc",
    "store_byte",
    "store_float32",
    "store_int32",
    "store_word",
    "thread_ident",
    "word_float",
]
