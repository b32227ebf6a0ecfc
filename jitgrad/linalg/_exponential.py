"""The exponential of a matrix, and products of Householder reflections: made of ordinary operations."""

from __future__ import annotations

import math
from typing import Any

from .._tensor import Tensor
from ..functions import eye, matmul, where
from ..store import store
from ._checks import matrices

NEAR = 0.5  # the norm up to which the series is summed
BLOCK = 4  # its terms are summed in blocks of so many (Paterson and Stockmeyer, 1973)
TERMS = 16  # 0.5 ** 16 / 16! is beyond float64
MOST_SQUARINGS = 16  # in a step that is being recorded, which cannot look how many it takes


def matrix_exp(input: Tensor) -> Tensor:
    """The exponential of square matrices, by its series and squaring (Moler and Van Loan, 2003, method 3).

    Parameters
    ----------
    input : Tensor, shape (..., n, n)
        In a compiled step, of column sums of magnitudes up to 30,000.

    Raises
    ------
    RuntimeError
        If the matrices are not floating or not square.
    """
    matrices("matrix_exp", input, square=True)
    if not input.numel():
        return input.clone()  # type: ignore[attr-defined]
    norm = input.detach().abs().sum(-2).amax(-1)  # type: ignore[attr-defined]
    squarings = (norm / NEAR).clamp(min=1).log2().ceil().unsqueeze(-1).unsqueeze(-1)
    found = _series(input * (-squarings).exp2())
    for k in range(_most(squarings)):
        found = where(squarings > k, matmul(found, found), found)
    return found


def _most(squarings: Any) -> int:
    if store.recording is not None:
        return MOST_SQUARINGS
    most = squarings.amax().item()
    # of inf and nan the series has made nan
    return int(most) if most < math.inf else 0


def _series(x: Any) -> Any:
    powers = [eye(x.shape[-1], dtype=x.dtype), x]
    while len(powers) <= BLOCK:
        powers.append(matmul(powers[-1], x))
    total: Any = None
    for start in range(TERMS - BLOCK, -1, -BLOCK):
        block = sum(powers[k] * (1 / math.factorial(start + k)) for k in range(BLOCK))
        total = block if total is None else matmul(total, powers[BLOCK]) + block
    return total


def householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first columns of the product of reflections ``I - tau_i v_i v_i'``.

    Parameters
    ----------
    input : Tensor, shape (..., m, n)
        Below the diagonal of column i is v_i, which has a 1 on the diagonal and zeros above.
    tau : Tensor, shape (..., k)
        ``k <= n <= m``.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit.
    """
    matrices("householder_product", input)
    rows, columns = input.shape[-2:]
    if not isinstance(tau, Tensor) or tau.dtype is not input.dtype or tau.shape[:-1] != input.shape[:-2]:
        raise RuntimeError("linalg.householder_product: expected tau of A's dtype and batch shape")
    if rows < columns or columns < tau.shape[-1]:
        raise RuntimeError(
            f"linalg.householder_product: expected at least as many rows as columns and columns as tau has numbers, "
            f"got {rows}, {columns} and {tau.shape[-1]}"
        )
    unit = eye(rows, columns, dtype=input.dtype)
    vectors: Any = input.tril(-1) + unit  # type: ignore[attr-defined]
    found: Any = unit.expand(input.shape)  # type: ignore[attr-defined]
    for i in range(tau.shape[-1] - 1, -1, -1):
        v = vectors[..., i : i + 1]
        found = found - tau[..., i : i + 1].unsqueeze(-1) * v @ (v.mT @ found)
    return found
