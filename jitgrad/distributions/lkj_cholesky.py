"""The distribution of Lewandowski, Kurowicka and Joe over correlation matrices."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.limits import finfo

from ._requirements import POSITIVE
from .beta import Beta
from .distribution import Distribution

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """The distribution of Cholesky factors of correlation matrices R, with a density of ``det(R)`` to a power.

    In terms of R that power is ``concentration - 1``: with 1 all correlation matrices are equally probable, with more
    those near the identity are preferred.

    Parameters
    ----------
    dim : int
        Rows of the matrices, at least 2.
    concentration : float or Tensor, default 1
        Greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``dim`` is less than 2, or ``concentration`` is not positive.

    Notes
    -----
    Lewandowski, Kurowicka and Joe, "Generating random correlation matrices based on vines and extended onion method",
    2009: the samples are of section 3.2, the constant of the density of section 3.3.
    """

    _requirements = {"concentration": POSITIVE}

    def __init__(
        self, dim: int, concentration: Tensor | float = 1.0, validate_args: bool | None = None
    ) -> None:
        if dim < 2:
            raise ValueError(
                f"LKJCholesky: expected dim to be an integer greater than or equal to 2, got {dim}"
            )
        self.dim = dim
        (self.concentration,) = self._broadcast(concentration=concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def _check_value(self, value: Tensor) -> None:
        super()._check_value(value)
        if self._validate_args and not bool(self.support.check(value).all()):
            raise ValueError(
                f"LKJCholesky: expected the value of shape {tuple(value.shape)} to be Cholesky factors of correlation "
                "matrices: lower triangular, with a positive diagonal and rows of length 1"
            )

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            shape = self._extended_shape(sample_shape)
            before = T.arange(self.dim, dtype=self.concentration.dtype).sub(1).clamp(0)
            rest = self.concentration.unsqueeze(-1) + 0.5 * (self.dim - 2) - 0.5 * before
            # the squared length below the diagonal of each row, in a direction without preference
            lengths = Beta(0.5 * before + 0.5, rest, validate_args=False).sample(sample_shape).unsqueeze(-1)
            ahead = T.randn(shape, dtype=self.concentration.dtype).tril(-1)
            ahead = ahead / ahead.norm(2, -1, keepdim=True).clamp(finfo(ahead.dtype).tiny)
            below = lengths.sqrt() * ahead
            left = (1 - below.square().sum(-1)).clamp(finfo(below.dtype).tiny)
            return below + T.diag_embed(left.sqrt())

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        diagonal = value.diagonal(0, -2, -1)[..., 1:]
        rows = T.arange(2, self.dim + 1, dtype=self.concentration.dtype)
        powers = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - rows
        count = self.dim - 1
        alpha = self.concentration + 0.5 * count
        constant = 0.5 * count * math.log(math.pi) + T.mvlgamma(alpha - 0.5, count) - count * T.lgamma(alpha)
        return (powers * diagonal.log()).sum(-1) - constant
