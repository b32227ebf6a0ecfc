"""A look at values that only the data can tell: whether every element lies within bounds."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from . import abi
from .operands import Line, array_kernel, each_line
from .reports import BAD_VALUE, Report, accumulate, leave_to_one
from .softmax import add
from .stage import F64, I64, Vec
from .table import SCALAR, VALUES, array_op


def build_within(symbol: str, dtype: int) -> ir.Module:
    """The number of elements outside; arrays x, y; attributes report, what to say, low, high, what nan counts as."""
    module, arrays, part, _parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    leave_to_one(b, part)
    low, high, nan_as = (arrays.number(k).to(dtype) for k in (2, 3, 4))
    total = one.variable(F64)
    b.store(F64(0.0), total)

    def body(line: Line) -> None:
        below, above, for_nan = (line.whole(x) for x in (low, high, nan_as))

        def outside(i: ir.Value, mask: ir.Value | None) -> Vec:
            x = line.load(0, i, mask)
            x = (x != x).select(for_nan, x)
            inside = (x >= below) & (x <= above)
            return inside.select(line.scope.constant(dtype, 0.0), line.scope.constant(dtype, 1.0))

        value = line.fold(0.0, add, outside)
        accumulate(b, total, value.reduce(add) if line.beside else line.first(value))

    each_line(arrays, (0,), [dtype], arrays.last_dim(0), (I64(0), I64(1)), body)
    count = b.load(total)
    with b.if_then(b.fcmp_ordered(">", count, F64(0.0))):
        Report.at(arrays, 0).write(BAD_VALUE, arrays.word(1))
    one.store(Vec(one, count, abi.FLOAT64).to(dtype), arrays.pointer(1, dtype))
    b.ret_void()
    return module


array_op(
    "within",
    ("x",),
    build_within,
    rule=SCALAR,
    reference=lambda x, low, high: np.sum(~((x >= low) & (x <= high))),
    reports=VALUES,
)
