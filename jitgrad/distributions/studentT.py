"""Student's t distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._centred import Centred
from ._requirements import POSITIVE, REAL
from .chi2 import Chi2

__all__ = ["StudentT"]


class StudentT(Centred):
    """The distribution of ``loc + scale * X / sqrt(Y / df)``, where X is normal and Y chi-squared.

    Parameters
    ----------
    df : float or Tensor
        Degrees of freedom, greater than 0.
    loc, scale : float or Tensor, default 0 and 1
        They broadcast with ``df``; ``scale`` is greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``df`` or ``scale`` is not positive, or ``loc`` nan.
    """

    has_rsample = True
    _requirements = {"df": POSITIVE, "loc": REAL, "scale": POSITIVE}

    def __init__(
        self,
        df: Tensor | float,
        loc: Tensor | float = 0.0,
        scale: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self.df, self.loc, self.scale = self._broadcast(df=df, loc=loc, scale=scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        x = T.randn(self._extended_shape(sample_shape), dtype=self.df.dtype)
        y = Chi2(self.df, validate_args=False).rsample(sample_shape)
        return self.loc + self.scale * x * T.rsqrt(y / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        z, half = (value - self.loc) / self.scale, 0.5 * self.df
        constant = 0.5 * (self.df.log() + math.log(math.pi)) + T.lgamma(half) - T.lgamma(half + 0.5)
        return -(half + 0.5) * T.log1p(z.square() / self.df) - self.scale.log() - constant

    def entropy(self) -> Tensor:
        half = 0.5 * self.df
        beta = T.lgamma(half) + math.lgamma(0.5) - T.lgamma(half + 0.5)
        slopes = (half + 0.5) * (T.digamma(half + 0.5) - T.digamma(half))
        return self.scale.log() + slopes + 0.5 * self.df.log() + beta

    @property
    def mean(self) -> Tensor:
        return T.where(self.df > 1, self.loc, math.nan)

    @property
    def variance(self) -> Tensor:
        finite = self.scale.square() * self.df / T.where(self.df > 2, self.df - 2, 1.0)
        return T.where(self.df > 2, finite, T.where(self.df > 1, math.inf, math.nan))
