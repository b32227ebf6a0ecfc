"""The loops of declared operations: which one a variant of an elementwise operation or of a reduction is."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from .loops import build_map
from .reduce import build_reduce
from .table import BOTH, REDUCE, SAME, Op, parameters


def build_variant(op: Op, symbol: str, variant: int, dtype: int) -> ir.Module:
    """Variant 0 is forward, 1 and up go back to each operand; BOTH makes the result and its slope, where that is."""
    operands, result = stream_dtypes(op, dtype)
    attributes = len(op.attributes)
    if variant == 0:
        if op.kind == REDUCE:
            return build_reduce(symbol, op, dtype, result)
        return build_map(symbol, op.forward, operands, [result], attributes)
    if variant == BOTH and op.with_slope is not None:
        return build_map(symbol, op.with_slope, operands, [result, result], attributes)
    operand = op.operands[variant - 1]
    gradient = op.gradients[operand]
    by_name = dict(zip(op.operands, operands, strict=True)) | {"y": result, "g": result}
    reads = [n for n in (*op.operands, "y", "g") if n in parameters(gradient)]
    scalars = ("n", *op.attributes) if op.kind == REDUCE else op.attributes

    def formula(*values: Any) -> Any:
        known = dict(zip((*reads, *scalars), values, strict=True))
        return gradient(*(known[p] for p in parameters(gradient)))

    inputs = [by_name[n] for n in reads]
    return build_map(symbol, formula, inputs, [by_name[operand]], len(scalars))


def stream_dtypes(op: Op, dtype: int) -> tuple[list[int], int]:
    """Dtype codes of the operands and of the result when the main operand has `dtype`."""
    operands = [dtype if d == SAME else d for d in op.operand_dtypes]
    return operands, dtype if op.result == SAME else op.result
