"""Factors under the names that ``torch`` itself has had for longer: lu, lu_solve, lu_unpack, triangular_solve."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._tensor import Tensor
from ..functions import arange, eye, tril, triu
from ..functions._call import require_tensors
from ..functions._pairs import shown_as
from ._checked import lu_factor_ex
from ._checks import matrices
from ._lu import lu_factor
from ._lu import lu_solve as solve_with_lu
from ._norms import matrix_norm
from ._triangular import solve_triangular


class TriangularSolve(NamedTuple):
    """The solution, and a copy of the matrix."""

    solution: Tensor
    cloned_coefficient: Tensor

    __repr__ = shown_as("triangular_solve")


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> tuple[Tensor, ...]:
    """`linalg.lu_factor`; with `get_infos` what `linalg.lu_factor_ex` gives."""
    return tuple(lu_factor_ex(A, pivot=pivot)) if get_infos else lu_factor(A, pivot=pivot)


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """`linalg.lu_solve` with the right-hand side in front."""
    return solve_with_lu(LU_data, LU_pivots, b)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Return P, L and U, with ``P L U`` the matrix whose factors and exchanges of rows these are.

    Parameters
    ----------
    LU_data : Tensor, shape (..., m, n)
        Both triangles in one matrix, as `linalg.lu_factor` has them.
    LU_pivots : Tensor of int32, shape (..., min(m, n))
        The row, from 1, that each row was exchanged with.
    unpack_data, unpack_pivots : bool, default True
        Whether to make the triangles, and P; what is not made is an empty tensor.

    Raises
    ------
    RuntimeError
        If the factors are no floating matrices.
    """
    matrices("lu_unpack", LU_data)
    require_tensors("lu_unpack", LU_pivots)
    rows, columns = LU_data.shape[-2:]
    least = min(rows, columns)
    none = LU_data.new_empty(0)  # type: ignore[attr-defined]
    lower = upper = permutation = none
    if unpack_data:
        lower = tril(LU_data[..., :least], -1) + eye(rows, least, dtype=LU_data.dtype)
        upper = triu(LU_data[..., :least, :])
    if unpack_pivots:
        permutation = _permutation(LU_pivots, rows).to(LU_data.dtype)
    return permutation, lower, upper


def _permutation(pivots: Any, rows: int) -> Any:
    """Matrices of the exchanges of rows."""
    batch = pivots.shape[:-1]
    order = arange(rows).expand(*batch, rows).clone()  # type: ignore[attr-defined]
    for k in range(pivots.shape[-1]):
        other = (pivots[..., k : k + 1] - 1).long()
        here, there = order[..., k : k + 1].clone(), order.gather(-1, other)
        order[..., k : k + 1] = there
        order.scatter_(-1, other, here)
    # row k of P A is row order[k] of A, and the product L U is P A
    return eye(rows)[order.reshape(-1)].reshape(*batch, rows, rows).mT  # type: ignore[attr-defined]


def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> TriangularSolve:
    """`linalg.solve_triangular` with the right-hand side in front, upper triangles by default; A may be transposed."""
    require_tensors("triangular_solve", b, A)
    matrix: Any = A
    solved = solve_triangular(
        matrix.mT if transpose else A, b, upper=upper != transpose, unitriangular=unitriangular
    )
    return TriangularSolve(solved, matrix.clone())


def nuclear_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The sum of the singular values: `linalg.matrix_norm` of the order "nuc"."""
    return matrix_norm(input, "nuc", dim, keepdim)


def frobenius_norm(input: Tensor, dim: Any = (-2, -1), keepdim: bool = False) -> Tensor:
    """The root of the sum of squares: `norm` of the order 2."""
    return input.norm(2, dim, keepdim)  # type: ignore[attr-defined]
