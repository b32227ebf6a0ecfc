"""Inverses, determinants, and solutions of linear equations."""

from __future__ import annotations

from typing import NamedTuple

from .._tensor import Tensor, wrap
from ..autograd.formulas import units
from ..dispatch import arrays
from ..functions import tensor, where
from ..functions._arrays import run_arrays
from ..functions._call import require_tensors
from ..functions._checks import raise_reported, refusal
from ..functions._dims import shape_of
from ..functions._pairs import shown_as
from ..functions.losses import REPORT_ADDRESS
from ..kernels import BY_NAME
from ..kernels.table import Op
from ..limits import finfo
from ._checks import LinAlgError, matrices
from ._factors import svd, svdvals
from ._triangular import same_batch

_SOLVE, _INV, _DET, _SLOGDET = (BY_NAME[name] for name in ("solve", "inv", "det", "slogdet"))
NO_REPORT = -1
_SINGULAR = refusal(LinAlgError, "linalg.solve: Singular matrix")
_SINGULAR_INV = refusal(LinAlgError, "linalg.inv: Singular matrix")


class Slogdet(NamedTuple):
    """The sign of a determinant, and the logarithm of its magnitude."""

    sign: Tensor
    logabsdet: Tensor

    __repr__ = shown_as("linalg_slogdet")


class Lstsq(NamedTuple):
    """The solution of least squares; the others are empty, as PyTorch's are for its own driver."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor

    __repr__ = shown_as("linalg_lstsq")


def inv(A: Tensor) -> Tensor:
    """The inverse of a square matrix.

    Raises
    ------
    LinAlgError
        If the matrix is singular.
    """
    matrices("inv", A, square=True)
    found, _ = inverted(A, _SINGULAR_INV)
    raise_reported()
    return found


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The X with ``A X = B``, or with ``X A = B`` when not `left`.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
    B : Tensor, shape (..., n) or (..., n, k), or (..., k, n) when not `left`
        Vectors where it has one dimension, or one less than `A` with the same ones in front.

    Raises
    ------
    LinAlgError
        If the matrix is singular.
    """
    found, _ = solve_with_factors("solve", A, B, left, _SINGULAR)
    raise_reported()
    return found


def solve_with_factors(name: str, A: Tensor, B: Tensor, left: bool, number: int) -> tuple[Tensor, Tensor]:
    """`solve` and the factors of `solved`, where the caller looks at the report."""
    matrices(name, A, square=True)
    require_tensors(f"linalg.{name}", B)
    own, given = shape_of(A), shape_of(B)
    vector = len(given) == 1 or (len(given) == len(own) - 1 and given == own[:-1])
    right = B.unsqueeze(-1) if vector else B  # type: ignore[attr-defined]
    matrices(name, right)
    a, b = same_batch(name, A, right, left or vector)
    if left or vector:
        found, factors = solved(a if left else a.mT, b, number)
    else:
        found, factors = solved(a.mT, b.mT, number)
        found = found.mT
    return found.squeeze(-1) if vector else found, factors  # type: ignore[attr-defined]


def solved(a: Tensor, b: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The X of ``A X = B`` and A's LU factors, with the exchanges of rows as one row more.

    A singular matrix is reported as refusal `number`, unless that is NO_REPORT, and has nan for a solution.
    """
    return _with_factors(_SOLVE, a, b, number)


def inverted(a: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The inverse and the factors, as `solved` gives them."""
    return _with_factors(_INV, a, units(a), number)


def _with_factors(op: Op, a: Tensor, b: Tensor, number: int) -> tuple[Tensor, Tensor]:
    own, shape, kind = shape_of(a), shape_of(b), b.dtype
    words = (0, 0) if number == NO_REPORT else (REPORT_ADDRESS, number)
    slots = run_arrays(op, (a, b), [(kind, shape), (kind, (*own[:-2], own[-1] + 1, own[-1]))], words)
    return wrap(slots[0]), wrap(slots[1])


def det(A: Tensor) -> Tensor:
    """The determinant of a square matrix."""
    matrices("det", A, square=True)
    *front, n, _ = shape_of(A)
    kind = A.dtype
    found, _ = map(wrap, run_arrays(_DET, (A,), [(kind, front), (kind, (*front, n + 1, n))], ()))
    return found


def slogdet(A: Tensor) -> Slogdet:
    """The sign of the determinant and the logarithm of its magnitude, which is -inf for a singular matrix."""
    matrices("slogdet", A, square=True)
    *front, n, _ = shape_of(A)
    kind = A.dtype
    slots = arrays(_SLOGDET, (A,), [(kind, front), (kind, front), (kind, (*front, n + 1, n))])
    logabsdet, sign, _ = map(wrap, slots)
    return Slogdet(sign.detach(), logabsdet)  # type: ignore[attr-defined]


def pinv(
    input: Tensor, rcond: float | None = None, hermitian: bool = False, *, rtol: float | None = None,
    atol: float = 0.0,
) -> Tensor:  # fmt: skip
    """The pseudoinverse (Moore-Penrose): singular values up to ``max(atol, rtol * greatest)`` count as 0.

    `rtol` is the larger side of the matrix times the dtype's eps if not given and `atol` is 0; `rcond` is its older
    name. `hermitian` tells that the matrix is symmetric, which makes no difference.
    """
    matrices("pinv", input)
    rtol = rcond if rtol is None else rtol
    u, s, vh = svd(input, False)
    kept = s > _least(input, s, rtol, atol)
    inverse = where(kept, 1.0 / where(kept, s, 1.0), 0.0)
    return (vh.mT * inverse.unsqueeze(-2)) @ u.mT  # type: ignore[attr-defined]


def matrix_rank(
    input: Tensor, tol: float | None = None, hermitian: bool = False, *, rtol: float | None = None,
    atol: float = 0.0,
) -> Tensor:  # fmt: skip
    """The number of singular values that do not count as 0: see `pinv`; `tol` is the older name of `atol`."""
    matrices("matrix_rank", input)
    if tol is not None:
        rtol, atol = rtol or 0.0, tol
    s = svdvals(input.detach())
    return (s > _least(input, s, rtol, atol)).sum(-1)  # type: ignore[attr-defined]


def _least(A: Tensor, s: Tensor, rtol: float | None, atol: float) -> Tensor:
    if rtol is None:
        rtol = 0.0 if atol else max(A.shape[-2:]) * finfo(A.dtype).eps
    return (s.detach()[..., :1] * rtol).clamp(min=atol)  # type: ignore[attr-defined]


def lstsq(input: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Lstsq:
    """The X for which ``input X - b`` is least, by the pseudoinverse."""
    matrices("lstsq", input)
    vector = b.ndim == input.ndim - 1
    found = pinv(input, rtol=rcond) @ (b.unsqueeze(-1) if vector else b)  # type: ignore[attr-defined]
    none = tensor([])
    return Lstsq(found.squeeze(-1) if vector else found, none, none, none)
