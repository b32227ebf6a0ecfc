"""Factors of matrices, which stand in the last two dimensions, and what follows from them.

They are declared here; the loops are in `triangular_loops`, `elimination_loops`, `eliminated_loops`,
`reflection_loops`, `symmetric_loops` and `bidiagonal_loops`. Each matrix of a batch is one thread's. Operands may lie
in memory as they like; results have no gaps.
"""

from __future__ import annotations

import numpy as np

from . import abi, vjps_factors
from .table import VALUES, array_op, loops

# attribute words: upper, where to report a matrix without a factor, which refusal that is; output 1 is the order of the
# first leading minor that is not positive, or 0
array_op(
    "cholesky",
    ("a",),
    loops("triangular_loops", "cholesky"),
    backward=loops("triangular_loops", "cholesky_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.cholesky_a},
    outputs=2,
    reference=np.linalg.cholesky,
    grad_name="LinalgCholeskyEx",
    reports=VALUES,
)
# attribute words: upper, whether the diagonal counts as ones
array_op(
    "solve_triangular",
    ("a", "b"),
    loops("triangular_loops", "triangular"),
    backward=loops("triangular_loops", "triangular_backward"),
    gradients={"a": ("a", "y"), "b": ("a",)},
    vjp={"a": vjps_factors.triangular, "b": vjps_factors.triangular_b},
    grad_name="LinalgSolveTriangular",
)
# output 1, of int32: the row, from 1, that each was exchanged with
array_op(
    "lu_factor",
    ("a",),
    loops("elimination_loops", "lu"),
    backward=loops("elimination_loops", "lu_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.lu_a},
    outputs=2,
    grad_name="LinalgLuFactorEx",
)
# of the exchanges; the result is float32 or float64, as the caller says
array_op("permutation", ("exchanges",), loops("elimination_loops", "permutation"), dtypes=(abi.INT32,))
# of LU factors in one matrix, which may have other rows behind them
array_op("zero_pivot", ("packed",), loops("elimination_loops", "zero_pivot"), result=abi.INT32)
# the last output of each is the LU factors, with the exchanges as one row more; attribute words of the first: where to
# report a singular matrix, which refusal that is
array_op(
    "solve",
    ("a", "b"),
    loops("eliminated_loops", "solve"),
    backward=loops("eliminated_loops", "solve_backward"),
    gradients={"a": ("a", "y", "y1"), "b": ("a", "y1")},
    vjp={"a": vjps_factors.solve, "b": vjps_factors.solve_b},
    outputs=2,
    reference=np.linalg.solve,
    grad_name="LinalgSolveEx",
    reports=VALUES,
)
# `b` is the unit matrix; its gradient reads nothing that was given, so scripts may go on to write over `a`
array_op(
    "inv",
    ("a", "b"),
    loops("eliminated_loops", "solve"),
    backward=loops("eliminated_loops", "solve_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.inv_a},
    outputs=2,
    reference=np.linalg.solve,
    grad_name="LinalgInvEx",
    reports=VALUES,
)
array_op(
    "det",
    ("a",),
    loops("eliminated_loops", "det"),
    backward=loops("eliminated_loops", "det_backward"),
    gradients={"a": ("a", "y1")},
    vjp={"a": vjps_factors.det_a},
    outputs=2,
    reference=np.linalg.det,
    grad_name="LinalgDet",
)
array_op(
    "cofactors",
    ("a",),
    loops("eliminated_loops", "cofactors"),
    backward=loops("eliminated_loops", "cofactors_backward"),
    gradients={"a": ("a", "y", "y1")},
    vjp={"a": vjps_factors.cofactors_a},
    outputs=2,
)
# output 0 is the logarithm, output 1 the sign
array_op(
    "slogdet",
    ("a",),
    loops("eliminated_loops", "slogdet"),
    backward=loops("eliminated_loops", "slogdet_backward"),
    gradients={"a": ("a", "y2")},
    vjp={"a": vjps_factors.slogdet_a},
    outputs=3,
    grad_name="LinalgSlogdet",
)
# of matrices with as many rows as columns or more; output 0 is the orthonormal factor, transposed, which in the second
# is square; attribute word: whether it is wanted
array_op(
    "qr",
    ("a",),
    loops("reflection_loops", "qr"),
    backward=loops("reflection_loops", "qr_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.qr_a},
    outputs=2,
    grad_name="LinalgQr",
)
array_op("qr_complete", ("a",), loops("reflection_loops", "qr"), outputs=2)
# attribute words: upper, whether vectors are wanted, where to report a matrix without a result, which refusal that is;
# output 0 is the values, output 1 the vectors in rows
array_op(
    "eigh",
    ("a",),
    loops("symmetric_loops", "eigh"),
    backward=loops("symmetric_loops", "eigh_backward"),
    gradients={"a": ("y", "y1")},
    vjp={"a": vjps_factors.eigh_a},
    outputs=2,
    reports=VALUES,
    grad_name="LinalgEigh",
)
# of matrices with as many rows as columns or more; attribute words: whether vectors are wanted, where to report a
# matrix without a result, which refusal that is; outputs are the left vectors in rows, as many as columns or as rows,
# the values, and the right vectors in rows. Its gradient is a formula on tensors in `jitgrad.linalg`
array_op("svd", ("a",), loops("bidiagonal_loops", "svd"), outputs=3, reports=VALUES)
