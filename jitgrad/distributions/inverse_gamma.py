"""The inverse gamma distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import POSITIVE
from .distribution import Distribution
from .gamma import Gamma

__all__ = ["InverseGamma"]


class InverseGamma(Distribution):
    """The distribution of ``1 / X``, where X has a gamma distribution of these parameters.

    Parameters
    ----------
    concentration, rate : float or Tensor
        Greater than 0; they broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.
    """

    has_rsample = True
    _requirements = {"concentration": POSITIVE, "rate": POSITIVE}
    _support = POSITIVE

    def __init__(
        self, concentration: Tensor | float, rate: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.concentration, self.rate = self._broadcast(concentration=concentration, rate=rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def base_dist(self) -> Gamma:
        """The distribution of X."""
        return Gamma(self.concentration, self.rate, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).reciprocal()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self.base_dist.log_prob(value.reciprocal()) - 2 * value.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return T.igammac(self.concentration, self.rate / value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a + self.rate.log() + T.lgamma(a) - (1 + a) * T.digamma(a)

    @property
    def mean(self) -> Tensor:
        a = self.concentration
        return T.where(a > 1, self.rate / (a - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        a = self.concentration
        return T.where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)
