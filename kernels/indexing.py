"""Operations that read and write at indices: declared here, their loops are in `kernels.indexing_loops`.

Indices are int64. Kernels check every index before they write anything, and report the first bad one at the address
in attribute word 0; backward kernels do not read that word. Along one dimension ("gather", "scatter") negative indices
are bad; elsewhere an attribute says whether they count from the end.
"""

from __future__ import annotations

from functools import partial

from . import abi, vjps
from .table import ALL, COUNTS, array_op, loops

_INDICES = tuple(f"i{k}" for k in range(abi.MAX_DIMS))
_INTEGERS = dict.fromkeys(_INDICES, abi.INT64)

_loops = partial(loops, "indexing_loops")

array_op(
    "index",
    ("x", *_INDICES),
    _loops("index"),
    backward=_loops("index_backward"),
    gradients={"x": _INDICES},
    vjp={"x": vjps.index_x},
    operand_dtypes=_INTEGERS,
    dtypes=ALL,
    picks=True,
)
array_op(
    "index_put",
    ("x", "value", *_INDICES),
    _loops("index_put"),
    backward=_loops("index_put_backward"),
    gradients={"x": _INDICES, "value": _INDICES},
    vjp={"x": vjps.index_put_x, "value": vjps.index_put_value},
    operand_dtypes=_INTEGERS,
    dtypes=ALL,
)
array_op(
    "gather",
    ("x", "index"),
    _loops("gather"),
    backward=_loops("gather_backward"),
    gradients={"x": ("index",)},
    vjp={"x": vjps.gather_x},
    operand_dtypes={"index": abi.INT64},
    dtypes=ALL,
    picks=True,
)
array_op(
    "scatter",
    ("x", "index", "source"),
    _loops("scatter"),
    backward=_loops("scatter_backward"),
    gradients={"x": ("index",), "source": ("index",)},
    vjp={"x": vjps.scatter_x, "source": vjps.scatter_source},
    operand_dtypes={"index": abi.INT64},
    dtypes=ALL,
)
array_op(
    "slice_put",
    ("x", "value"),
    _loops("slice_put"),
    backward=_loops("slice_put_backward"),
    gradients={"x": (), "value": ()},
    vjp={"x": vjps.slice_put_x, "value": vjps.slice_put_value},
    dtypes=ALL,
    grad_name="CopySlices",
)
array_op(
    "masked_scatter",
    ("x", "mask", "source"),
    _loops("masked_scatter"),
    backward=_loops("masked_scatter_backward"),
    gradients={"x": ("mask",), "source": ("mask",)},
    vjp={"x": vjps.masked_scatter_x, "source": vjps.masked_scatter_source},
    operand_dtypes={"mask": abi.BOOL},
    dtypes=ALL,
    reports=COUNTS,
)
array_op("nonzero", ("x",), _loops("nonzero"), result=abi.INT64, dtypes=ALL)
