"""Arithmetic that takes numbers too small to be normal for zero.

x86 takes a hundred cycles or more for each operation on such a number. What decays, as an optimizer's moments of a
gradient that has become zero, ends among them and stays there for good: nine tenths of the smallest number are
rounded to itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from .host import host
from .stage import I32, VOID

FLUSH = 1 << 15 | 1 << 6  # bits of MXCSR: results become zero, operands count as zero


@contextmanager
def flushed(b: ir.IRBuilder) -> Iterator[None]:
    """What is written inside flushes subnormal numbers to zero, on machines where they are slow."""
    if not host().x86:
        yield
        return
    with b.goto_entry_block():
        before, inside = b.alloca(I32), b.alloca(I32)
    kind = ir.FunctionType(VOID, [before.type])
    save, use = (b.module.declare_intrinsic(f"llvm.x86.sse.{name}mxcsr", (), kind) for name in ("st", "ld"))
    b.call(save, [before])
    b.store(b.or_(b.load(before), I32(FLUSH)), inside)
    b.call(use, [inside])
    yield
    b.call(use, [before])
