"""The norm of many tensors' elements taken together, as gradients are clipped by.

One kernel reads them all: each by itself would take a row, and a small one takes longer to begin than to read. One
thread takes all of a sum, so the result does not depend on the number of threads. The operands are contiguous.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from . import abi
from .block_sums import sum_squares
from .formula import sqrt
from .operands import array_kernel
from .reports import leave_to_one
from .stage import F64, I64, Scope, Vec
from .table import array_op


def build_total_norm(symbol: str, dtype: int) -> ir.Module:
    """The root of the sum of the squares of all operands' elements; the last array is the result."""
    module, arrays, part, _parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    leave_to_one(b, part)
    total = one.variable(F64)
    b.store(F64(0.0), total)
    last = b.sub(one.word(arrays.record, abi.R_COUNT), I64(1))

    def word(k: ir.Value, field: int) -> ir.Value:
        first = b.add(b.mul(k, I64(abi.ARRAY_WORDS)), I64(abi.A_ARRAYS + field))
        return one.word(arrays.record, first)

    with one.loop(I64(0), last) as k:
        pointer = one.pointer(word(k, abi.ARRAY_ADDRESS), dtype)

        def read(scope: Scope, i: ir.Value, mask: ir.Value | None) -> Vec:
            return scope.load(scope.at(pointer, i), dtype, mask)

        sum_squares(b, dtype, read, word(k, abi.ARRAY_NUMEL), total)
    norm = sqrt(Vec(one, b.load(total), abi.FLOAT64)).to(dtype)
    one.store(norm, one.pointer(word(last, abi.ARRAY_ADDRESS), dtype))
    b.ret_void()
    return module


def reference_total_norm(*operands: np.ndarray) -> np.ndarray:
    """NumPy's norm of all elements."""
    return np.sqrt(sum(np.square(x).sum() for x in operands))


array_op("total_norm", ("*",), build_total_norm, reference=reference_total_norm)
