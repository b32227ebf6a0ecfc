"""Order along one dimension: declared here, the loops are in `kernels.sorting_loops`.

Only indices come from these kernels; values are gathered with them, which makes them differentiable. Operands
are contiguous and seen as (outer, n, inner): the first three attribute words. Nan is the greatest value.
"""

from __future__ import annotations

from functools import partial

from . import abi
from .table import ALL, array_op, loops

_loops = partial(loops, "sorting_loops")

# each has a second output: int64 working memory
array_op("argsort", ("x",), _loops("argsort"), result=abi.INT64, outputs=2, dtypes=ALL)
array_op("topk_index", ("x",), _loops("topk_index"), result=abi.INT64, outputs=2, dtypes=ALL)
array_op("rank_index", ("x",), _loops("rank_index"), result=abi.INT64, outputs=2, dtypes=ALL)
# among lines in order, which need not be contiguous; attribute 0 of the first: whether behind equal elements
array_op("place_in_order", ("x", "line"), _loops("place_in_order"), result=abi.INT64, dtypes=ALL)
array_op("is_among", ("x", "line"), _loops("is_among"), result=abi.BOOL, dtypes=ALL)
