"""Factors of matrices, which stand in the last two dimensions: declared here, the loops are in `triangular_loops`.

Each matrix of a batch is one thread's. Operands may lie in memory as they like; results have no gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import vjps_factors
from .table import array_op


def _triangular(name: str) -> Callable[[str, int], Any]:
    """The builder called `name`, imported when a kernel is built: it needs Numba."""

    def build(symbol: str, dtype: int) -> Any:
        from . import triangular_loops

        return getattr(triangular_loops, name)(symbol, dtype)

    return build


# attribute words: upper, where to report a matrix without a factor, which refusal that is; output 1 is the order of the
# first leading minor that is not positive, or 0
array_op(
    "cholesky",
    ("a",),
    _triangular("cholesky"),
    backward=_triangular("cholesky_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.cholesky_a},
    outputs=2,
    reference=np.linalg.cholesky,
)
# attribute words: upper, whether the diagonal counts as ones
array_op(
    "solve_triangular",
    ("a", "b"),
    _triangular("triangular"),
    backward=_triangular("triangular_backward"),
    gradients={"a": ("a", "y"), "b": ("a",)},
    vjp={"a": vjps_factors.triangular, "b": vjps_factors.triangular},
    grad_name="LinalgSolveTriangular",
)
