"""Arithmetic that takes numbers too small to be normal for zero.

x86 takes a hundred cycles or more for each operation on such a number. What decays, as an optimizer's moments of a
gradient that has become zero, ends among them and stays there for good: nine tenths of the smallest number are
rounded to itself.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from . import compiler
from .host import host
from .stage import I32, VOID, new_module

FLUSH = 1 << 15 | 1 << 6  # bits of MXCSR: results become zero, operands count as zero
SWITCH = "subnormal.switch"


@contextmanager
def flushed(b: ir.IRBuilder) -> Iterator[None]:
    """What is written inside flushes subnormal numbers to zero, on machines where they are slow."""
    if not host().x86:
        yield
        return
    before, _inside = _change(b, I32(0), I32(FLUSH))
    yield
    b.call(_intrinsic(b, "ld", before), [before])


def _change(b: ir.IRBuilder, leave: ir.Value, enter: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Write code that clears and sets bits of MXCSR; where its words before and after stand."""
    with b.goto_entry_block():
        before, after = b.alloca(I32), b.alloca(I32)
    b.call(_intrinsic(b, "st", before), [before])
    b.store(b.or_(b.and_(b.load(before), b.not_(leave)), enter), after)
    b.call(_intrinsic(b, "ld", after), [after])
    return before, after


def _intrinsic(b: ir.IRBuilder, name: str, place: ir.Value) -> Any:
    return b.module.declare_intrinsic(f"llvm.x86.sse.{name}mxcsr", (), ir.FunctionType(VOID, [place.type]))


def flush(on: bool) -> bool:
    """Let the calling thread's arithmetic flush subnormal numbers or not; whether it did so before. For x86 only."""
    return bool(_switch()(FLUSH, FLUSH if on else 0) & FLUSH)


@contextmanager
def gradual() -> Iterator[None]:
    """What this thread does inside keeps subnormal numbers: compiled code holds constants for other days as well."""
    used = _switch.cache_info().currsize  # else there is nothing to switch off
    before = used and flush(False)
    try:
        yield
    finally:
        if before:
            flush(True)


@functools.cache
def _switch() -> Callable[[int, int], int]:
    """A function of bits of MXCSR to clear and to set, which returns those of before."""
    return ctypes.CFUNCTYPE(*[ctypes.c_uint32] * 3)(compiler.native(SWITCH, _build_switch))


def _build_switch() -> ir.Module:
    module = new_module(SWITCH)
    function = ir.Function(module, ir.FunctionType(I32, [I32, I32]), SWITCH)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    before, _after = _change(b, *function.args)
    b.ret(b.load(before))
    return module
