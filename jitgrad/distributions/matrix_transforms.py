"""Transforms from unconstrained numbers to probabilities and to factors of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._transform import Transform

__all__ = [
    "CorrCholeskyTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "StickBreakingTransform",
]


class StickBreakingTransform(Transform):
    """From K - 1 numbers to K probabilities: each takes its part of what those before have left of a stick.

    The part of number k is ``sigmoid(x_k - log(K - 1 - k))``, so that zeros give equal probabilities.
    """

    event_dim = 1

    def _shifted(self, x: Tensor) -> Tensor:
        count = x.shape[-1]
        return x - T.arange(count, 0, -1).to(x.dtype).log()

    def _call(self, x: Tensor) -> Tensor:
        z = self._shifted(x)
        left = T.logsigmoid(-z).cumsum(-1)
        none = T.zeros_like(left[..., :1])
        before = T.cat([none, left], -1)
        return (before + T.cat([T.logsigmoid(z), none], -1)).exp()

    def _inverse(self, y: Tensor) -> Tensor:
        parts = y[..., :-1]
        # what is left, as a sum of what comes after: one minus a sum would lose the last parts
        left = y.flip(-1).cumsum(-1).flip(-1)[..., 1:]  # type: ignore[attr-defined]
        count = parts.shape[-1]
        return parts.log() - left.log() + T.arange(count, 0, -1).to(y.dtype).log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of ``log(y_k * (1 - part_k))``, as the derivative is a triangle."""
        return (y[..., :-1].log() + T.logsigmoid(-self._shifted(x))).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """One probability more than there are numbers."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """One number less than there are probabilities."""
        return (*shape[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """From square matrices to lower triangles with a positive diagonal, which is the exponential of the given one."""

    bijective = False
    event_dim = 2

    def _call(self, x: Tensor) -> Tensor:
        return T.tril(x, -1) + T.diag_embed(x.diagonal(0, -2, -1).exp())

    def _inverse(self, y: Tensor) -> Tensor:
        return T.tril(y, -1) + T.diag_embed(y.diagonal(0, -2, -1).log())


class PositiveDefiniteTransform(Transform):
    """From square matrices to positive definite ones: `LowerCholeskyTransform` times its transpose."""

    bijective = False
    event_dim = 2

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        from jitgrad.linalg import cholesky

        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(Transform):
    """From D (D - 1) / 2 numbers to the Cholesky factor of a correlation matrix of D variables.

    Below the diagonal and row by row, ``tanh(x)`` is the share of the length that is left of a row of length 1; the
    diagonal takes the rest (Lewandowski, Kurowicka and Joe, 2009).
    """

    event_dim = 1

    def _call(self, x: Tensor) -> Tensor:
        r = _triangle(T.tanh(x))
        left = (1 - r.square()).cumprod(-1).sqrt()
        before = T.cat([T.ones_like(left[..., :1]), left[..., :-1]], -1)
        return (r + T.eye(r.shape[-1], dtype=r.dtype)) * before

    def _inverse(self, y: Tensor) -> Tensor:
        return T.atanh(_entries(y) / _entries(self._before(y)).sqrt())

    @staticmethod
    def _before(y: Tensor) -> Tensor:
        """What the elements before each one have left of the row's squared length."""
        taken = T.tril(y, -1).square().cumsum(-1)
        return 1 - T.cat([T.zeros_like(taken[..., :1]), taken[..., :-1]], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The lengths that were left, and the derivatives of tanh."""
        lengths = 0.5 * _entries(self._before(y)).log().sum(-1)
        return lengths + (2.0 * (math.log(2.0) - x - T.softplus(-2.0 * x))).sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """That of a square matrix.

        Raises
        ------
        ValueError
            If there are not D (D - 1) / 2 numbers for any D.
        """
        size = _size(shape[-1])
        return (*shape[:-1], size, size)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """That of the elements below the diagonal."""
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


def _size(count: int) -> int:
    size = round(0.5 + math.sqrt(0.25 + 2 * count))
    if size * (size - 1) // 2 != count:
        raise ValueError(
            f"CorrCholeskyTransform: expected D * (D - 1) / 2 numbers for some D, got {count} in the last dimension"
        )
    return size


def _triangle(vector: Tensor) -> Tensor:
    """Numbers below the diagonal of a square matrix, row by row."""
    size = _size(vector.shape[-1])
    padded = T.cat([vector, T.zeros_like(vector[..., :1])], -1)
    last = vector.shape[-1]
    where = [i * (i - 1) // 2 + j if j < i else last for i in range(size) for j in range(size)]
    return padded.index_select(-1, T.tensor(where)).reshape(*vector.shape[:-1], size, size)  # type: ignore


def _entries(matrix: Tensor) -> Tensor:
    """The elements below the diagonal, row by row."""
    size = matrix.shape[-1]
    where = [i * size + j for i in range(size) for j in range(i)]
    flat = matrix.reshape(*matrix.shape[:-2], size * size)
    return flat.index_select(-1, T.tensor(where, dtype=T.int64))  # type: ignore[attr-defined]
