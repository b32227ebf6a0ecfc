"""The greatest or smallest of the elements that share an index: one kernel each way.

Operands are contiguous: x seen as (outer, n, inner), index and source as (outer, m, inner). The second result says of
how many equal extremes each place is, and 0 where no index points. Attribute words: where a bad index is reported, the
dimension to name then, these sizes, 1 for the greatest, and whether the elements of x take part.
"""

from __future__ import annotations

from functools import partial

from . import abi, vjps
from .table import NUMBERS, array_op, loops

_loops = partial(loops, "scatter_extremes_loops")

array_op(
    "scatter_extreme",
    ("x", "index", "source"),
    _loops("extremes"),
    backward=_loops("extremes_back"),
    gradients={"x": ("x", "y", "y1"), "source": ("index", "source", "y", "y1")},
    vjp={"x": vjps.scatter_extreme_x, "source": vjps.scatter_extreme_source},
    operand_dtypes={"index": abi.INT64},
    dtypes=NUMBERS,
    outputs=2,
)
