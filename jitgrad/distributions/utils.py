"""What distributions do with their parameters: numbers become tensors, probabilities logits and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import enable_grad
from jitgrad.dtypes import dtype, get_default_dtype
from jitgrad.limits import finfo

__all__ = ["broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs", "probs_to_logits",
           "tril_matrix_to_vec", "vec_to_tril_matrix"]  # fmt: skip

euler_constant = 0.5772156649015329  # the mean of the standard Gumbel distribution


def broadcast_all(*values: Tensor | float) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of their common shape; numbers take the first tensor's dtype.

    Raises
    ------
    ValueError
        If a value is neither a number nor a tensor.
    """
    for value in values:
        if not isinstance(value, Tensor | int | float):
            raise ValueError(f"broadcast_all: expected numbers or tensors, got {type(value).__name__}")
    kind = next((value.dtype for value in values if isinstance(value, Tensor)), get_default_dtype())
    return T.broadcast_tensors(
        *(value if isinstance(value, Tensor) else T.scalar_tensor(value, dtype=kind) for value in values)
    )


def check_one_given(name: str, probs: Any, logits: Any) -> None:
    """Refuse both of two parameters that say the same, and none of them."""
    if (probs is None) == (logits is None):
        given = "none" if probs is None else "both"
        raise ValueError(f"{name}: expected either parameter probs or logits, got {given}")


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1 by the machine epsilon, so that their logits are finite."""
    epsilon = finfo(probs.dtype).eps
    return probs.clamp(epsilon, 1 - epsilon)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Logarithms of clamped probabilities; of binary ones the logarithms of their odds."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """The softmax along the last dimension; of binary logits the sigmoid."""
    return T.sigmoid(logits) if is_binary else T.softmax(logits, -1)


class lazy_property:
    """A property that is computed when it is first read, and kept from then on as an attribute of the instance.

    Parameters
    ----------
    wrapped : callable
        The method that computes it; it runs with gradients even under ``no_grad``, because others will read
        what it returned.
    """

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements of matrices on and below a diagonal, row by row.

    Parameters
    ----------
    mat : Tensor, shape (..., n, n)
    diag : int, default 0
        The last diagonal that belongs to them: 0 the main one, -1 the one below it, 1 the one above.

    Returns
    -------
    Tensor, shape (..., count)

    Raises
    ------
    ValueError
        If the matrices are not square, or `diag` is not from -n to n - 1.
    """
    n = mat.shape[-1]
    if mat.ndim < 2 or mat.shape[-2] != n:
        raise ValueError(f"tril_matrix_to_vec: expected square matrices, got shape {tuple(mat.shape)}")
    if not -n <= diag < n:
        raise ValueError(f"tril_matrix_to_vec: expected diag from {-n} to {n - 1}, got {diag}")
    rows, columns = T.tril_indices(n, n, diag)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Square matrices with the given elements on and below a diagonal and zeros above it: `tril_matrix_to_vec` undone.

    Parameters
    ----------
    vec : Tensor, shape (..., count)
        The elements, row by row.
    diag : int, default 0
        The last diagonal that they fill.

    Returns
    -------
    Tensor, shape (..., n, n)

    Raises
    ------
    ValueError
        If no number of rows has so many elements.
    """
    count = vec.shape[-1]
    # an n x n matrix has n * (n + 1) / 2 elements up to its main diagonal; each diagonal nearer by adds what it is long
    n = next((n for n in range(abs(diag), abs(diag) + count + 2) if _below(n, diag) == count), None)
    if n is None:
        raise ValueError(
            f"vec_to_tril_matrix: the last dimension has {count} elements, which fill the lower triangle of no square "
            f"matrix with diag={diag}"
        )
    rows, columns = T.tril_indices(n, n, diag)
    matrices = T.zeros((*vec.shape[:-1], n, n), dtype=vec.dtype)
    matrices[..., rows, columns] = vec
    return matrices


def _below(n: int, diag: int) -> int:
    """How many elements of an n x n matrix lie on and below a diagonal."""
    if diag <= 0:
        return (n + diag) * (n + diag + 1) // 2
    return n * n - (n - diag - 1) * (n - diag) // 2


def sum_last(x: Tensor, count: int) -> Tensor:
    """The sum over the last `count` dimensions."""
    return x.sum(tuple(range(-count, 0))) if count else x


def _standard_normal(shape: Sequence[int], dtype: dtype, device: Any) -> Tensor:
    """Normal numbers of mean 0 and deviation 1, by the name that distributions of one's own import."""
    return T.randn(shape, dtype=dtype, device=device)


_sum_rightmost = sum_last  # the name that distributions of one's own import
