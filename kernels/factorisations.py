"""Factors of matrices, which stand in the last two dimensions, and what follows from them.

They are declared here; the loops are in `triangular_loops`, `elimination_loops`, `eliminated_loops` and
`reflection_loops`. Each matrix of a batch is one thread's. Operands may lie in memory as they like; results have no
gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import abi, vjps_factors
from .table import array_op


def _loops(file: str, name: str) -> Callable[[str, int], Any]:
    """The builder called `name`, imported when a kernel is built: it needs Numba."""

    def build(symbol: str, dtype: int) -> Any:
        from importlib import import_module

        return getattr(import_module(f".{file}_loops", __package__), name)(symbol, dtype)

    return build


# attribute words: upper, where to report a matrix without a factor, which refusal that is; output 1 is the order of the
# first leading minor that is not positive, or 0
array_op(
    "cholesky",
    ("a",),
    _loops("triangular", "cholesky"),
    backward=_loops("triangular", "cholesky_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.cholesky_a},
    outputs=2,
    reference=np.linalg.cholesky,
    grad_name="LinalgCholeskyEx",
)
# attribute words: upper, whether the diagonal counts as ones
array_op(
    "solve_triangular",
    ("a", "b"),
    _loops("triangular", "triangular"),
    backward=_loops("triangular", "triangular_backward"),
    gradients={"a": ("a", "y"), "b": ("a",)},
    vjp={"a": vjps_factors.triangular, "b": vjps_factors.triangular_b},
    grad_name="LinalgSolveTriangular",
)
# output 1, of int32: the row, from 1, that each was exchanged with
array_op(
    "lu_factor",
    ("a",),
    _loops("elimination", "lu"),
    backward=_loops("elimination", "lu_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.lu_a},
    outputs=2,
    grad_name="LinalgLuFactorEx",
)
# of the exchanges; the result is float32 or float64, as the caller says
array_op("permutation", ("exchanges",), _loops("elimination", "permutation"), dtypes=(abi.INT32,))
# of LU factors in one matrix, which may have other rows behind them
array_op("zero_pivot", ("packed",), _loops("elimination", "zero_pivot"), result=abi.INT32)
# the last output of each is the LU factors, with the exchanges as one row more; attribute words of the first: where to
# report a singular matrix, which refusal that is
array_op(
    "solve",
    ("a", "b"),
    _loops("eliminated", "solve"),
    backward=_loops("eliminated", "solve_backward"),
    gradients={"a": ("a", "y", "y1"), "b": ("a", "y1")},
    vjp={"a": vjps_factors.solve, "b": vjps_factors.solve_b},
    outputs=2,
    reference=np.linalg.solve,
    grad_name="LinalgSolveEx",
)
array_op(
    "det",
    ("a",),
    _loops("eliminated", "det"),
    backward=_loops("eliminated", "det_backward"),
    gradients={"a": ("a", "y1")},
    vjp={"a": vjps_factors.det_a},
    outputs=2,
    reference=np.linalg.det,
    grad_name="LinalgDet",
)
array_op(
    "cofactors",
    ("a",),
    _loops("eliminated", "cofactors"),
    backward=_loops("eliminated", "cofactors_backward"),
    gradients={"a": ("a", "y", "y1")},
    vjp={"a": vjps_factors.cofactors_a},
    outputs=2,
)
# output 0 is the logarithm, output 1 the sign
array_op(
    "slogdet",
    ("a",),
    _loops("eliminated", "slogdet"),
    backward=_loops("eliminated", "slogdet_backward"),
    gradients={"a": ("a", "y2")},
    vjp={"a": vjps_factors.slogdet_a},
    outputs=3,
    grad_name="LinalgSlogdet",
)
# of matrices with as many rows as columns or more; output 0 is the orthonormal factor, transposed, which in the second
# is square
array_op(
    "qr",
    ("a",),
    _loops("reflection", "qr"),
    backward=_loops("reflection", "qr_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.qr_a},
    outputs=2,
    grad_name="LinalgQr",
)
array_op("qr_complete", ("a",), _loops("reflection", "qr"), outputs=2)
