"""The F distribution: of ratios of variances."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import POSITIVE
from .distribution import Distribution
from .gamma import Gamma

__all__ = ["FisherSnedecor"]


class FisherSnedecor(Distribution):
    """The distribution of ``(X1 / df1) / (X2 / df2)``, where X1 and X2 are sums of so many squared normal numbers.

    Parameters
    ----------
    df1, df2 : float or Tensor
        Degrees of freedom, greater than 0; they broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.

    Notes
    -----
    Density and moments are from Johnson, Kotz and Balakrishnan (1995), chapter 27.
    """

    has_rsample = True
    _requirements = {"df1": POSITIVE, "df2": POSITIVE}
    _support = POSITIVE

    def __init__(self, df1: Tensor | float, df2: Tensor | float, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = self._broadcast(df1=df1, df2=df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        above, below = (
            Gamma(df / 2, df / 2, validate_args=False).rsample(sample_shape) for df in (self.df1, self.df2)
        )
        return above / below

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        constant = T.lgamma(a + b) - T.lgamma(a) - T.lgamma(b) + a * ratio.log()
        return constant + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()

    @property
    def mean(self) -> Tensor:
        d = self.df2
        return T.where(d > 2, d / (d - 2), math.nan)

    @property
    def mode(self) -> Tensor:
        a, b = self.df1, self.df2
        return T.where(a > 2, (a - 2) / a * b / (b + 2), math.nan)

    @property
    def variance(self) -> Tensor:
        a, b = self.df1, self.df2
        found = 2 * b.square() * (a + b - 2) / (a * (b - 2).square() * (b - 4))
        return T.where(b > 4, found, math.nan)
