"""Types of lanes: what a dtype is in LLVM, in a register and in memory."""

from __future__ import annotations

from llvmlite import ir

from . import abi

I1, I8, I32, I64 = (ir.IntType(n) for n in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
VOID = ir.VoidType()
WORDS = I64.as_pointer()

# a mask is the dtype of comparisons inside a kernel; BOOL is its form in memory, one byte an element
MASK = -1
ELEMENT = {
    MASK: I1,
    abi.BOOL: I8,
    abi.UINT8: I8,
    abi.INT32: I32,
    abi.INT64: I64,
    abi.FLOAT32: F32,
    abi.FLOAT64: F64,
}
FLOATS = (abi.FLOAT32, abi.FLOAT64)
SUFFIX = {I1: "i1", I8: "i8", I32: "i32", I64: "i64", F32: "f32", F64: "f64"}
FLOAT_BYTES = {F32: 4, F64: 8}
BITS_OF = {abi.FLOAT32: abi.INT32, abi.FLOAT64: abi.INT64}
FLOAT_OF = {v: k for k, v in BITS_OF.items()}
