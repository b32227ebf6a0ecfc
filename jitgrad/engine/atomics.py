"""What threads of compiled code share: atomic words, a clock, and parking. Portable to Linux and macOS.

Words are named as in `pointers`: an address and an index. An *acquire* load sees everything that was written
before the *release* store whose value it reads.
"""

import platform
import time

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

WORD = ir.IntType(64)
SHORT = ir.IntType(32)

MACHINE = platform.machine().lower()
IS_X86 = MACHINE in ("x86_64", "amd64")

# the clock that no adjustment of the time of day moves; macOS has a finer one than the standard's
_CLOCK = getattr(time, "CLOCK_UPTIME_RAW", None) or getattr(time, "CLOCK_MONOTONIC", 1)


def _place(builder, address, index):
    base = builder.inttoptr(address, WORD.as_pointer())
    return builder.gep(base, [index])


@intrinsic
def load_acquire(typing_context, address, index):
    """The word, and with it all that was written before it was stored."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_place(builder, *args), "acquire", 8)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def store_release(typing_context, address, index, value):
    """Set the word; whoever reads it so sees all that this thread wrote before."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[2], _place(builder, *args[:2]), "release", 8)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), generate


@intrinsic
def swap_if(typing_context, address, index, old, new):
    """Set the word to `new` if it is `old`; whether it was."""

    def generate(context, builder, signature, args):
        pair = builder.cmpxchg(_place(builder, *args[:2]), args[2], args[3], "acq_rel", "monotonic")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def pause(typing_context):
    """Tell the CPU that this thread is waiting in a loop."""

    def generate(context, builder, signature, args):
        if IS_X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        elif MACHINE in ("aarch64", "arm64"):
            kind = ir.FunctionType(ir.VoidType(), [SHORT])
            hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(hint, [SHORT(1)])  # yield
        return context.get_dummy_value()

    return types.none(), generate


FLAGS = 63  # bits of MXCSR that tell what has happened; the others say how this thread computes


def _mxcsr(builder, name, place):
    kind = ir.FunctionType(ir.VoidType(), [place.type])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{name}mxcsr"), [place])


@intrinsic
def arithmetic(typing_context):
    """How this thread rounds, and whether it takes subnormal numbers for zero; 0 where that cannot be told."""

    def generate(context, builder, signature, args):
        if not IS_X86:
            return WORD(0)
        place = cgutils.alloca_once(builder, SHORT)
        _mxcsr(builder, "st", place)
        return builder.zext(builder.and_(builder.load(place), SHORT(~FLAGS)), WORD)

    return types.int64(), generate


@intrinsic
def set_arithmetic(typing_context, mode):
    """Let this thread compute as the one that `arithmetic` was asked of."""

    def generate(context, builder, signature, args):
        if IS_X86:
            place = cgutils.alloca_once(builder, SHORT)
            builder.store(builder.trunc(args[0], SHORT), place)
            _mxcsr(builder, "ld", place)
        return context.get_dummy_value()

    return types.none(types.int64), generate


@intrinsic
def nanoseconds(typing_context):
    """Time since some moment in the past."""

    def generate(context, builder, signature, args):
        moment = cgutils.alloca_once(builder, ir.LiteralStructType([WORD, WORD]))
        kind = ir.FunctionType(SHORT, [SHORT, moment.type])
        read = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        builder.call(read, [SHORT(_CLOCK), moment])
        seconds, rest = (builder.load(builder.gep(moment, [SHORT(0), SHORT(k)])) for k in range(2))
        return builder.add(builder.mul(seconds, WORD(1_000_000_000)), rest)

    return types.int64(), generate


def _system(name, *parameters, result=types.int32):
    return types.ExternalFunction(name, result(*parameters))


usleep = _system("usleep", types.int32)

# parking; a lock and a bell take at most the 128 bytes that block.py leaves for each, on every system
lock_init = _system("pthread_mutex_init", types.int64, types.int64)
lock = _system("pthread_mutex_lock", types.int64)
try_lock = _system("pthread_mutex_trylock", types.int64)
unlock = _system("pthread_mutex_unlock", types.int64)
bell_init = _system("pthread_cond_init", types.int64, types.int64)
bell_wait = _system("pthread_cond_wait", types.int64, types.int64)
bell_ring = _system("pthread_cond_broadcast", types.int64)

# Python's lock; the thread that lets it go may touch no Python object until it has it again
release_python = _system("PyEval_SaveThread", result=types.int64)
retake_python = _system("PyEval_RestoreThread", types.int64, result=types.void)
