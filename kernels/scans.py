"""Cumulative operations along one dimension: declared here, their loops are in `kernels.scan_loops`.

Operands are contiguous and seen as (outer, n, inner); the attribute words are these three sizes. Extremes have a second
result: int64 indices of where they stand.
"""

from __future__ import annotations

from functools import partial

from . import abi, vjps
from .table import ALL, FLOATS, array_op, loops

_loops = partial(loops, "scan_loops")

array_op(
    "cumsum",
    ("x",),
    _loops("cumsum"),
    backward=_loops("cumsum_backward"),
    gradients={"x": ()},
    vjp={"x": vjps.cumsum_x},
    dtypes=(abi.INT64, *FLOATS),
)
array_op(
    "cumprod",
    ("x",),
    _loops("cumprod"),
    backward=_loops("cumprod_backward"),
    gradients={"x": ("x", "y")},
    vjp={"x": vjps.cumprod_x},
    dtypes=(abi.INT64, *FLOATS),
)
array_op(
    "logcumsumexp",
    ("x",),
    _loops("logcumsumexp"),
    backward=_loops("logcumsumexp_backward"),
    gradients={"x": ("x", "y")},
    vjp={"x": vjps.logcumsumexp_x},
)
for _name in ("cummax", "cummin"):
    array_op(
        _name,
        ("x",),
        _loops(_name),
        backward=_loops("extreme_backward"),
        gradients={"x": ("y1",)},
        vjp={"x": vjps.extreme_along_x},
        dtypes=ALL,
        outputs=2,
    )
