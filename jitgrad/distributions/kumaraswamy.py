"""The Kumaraswamy distribution: of a probability, like the beta distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.limits import finfo

from ._two_concentrations import TwoConcentrations
from .utils import euler_constant

__all__ = ["Kumaraswamy"]


class Kumaraswamy(TwoConcentrations):
    """The distribution with ``P(X <= x) = 1 - (1 - x ** a) ** b`` for x from 0 to 1.

    Parameters
    ----------
    concentration1, concentration0 : float or Tensor
        The exponents a and b, greater than 0; they broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.

    Notes
    -----
    Moments and entropy are from Jones: Kumaraswamy's distribution (2009).
    """

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        tiny = finfo(self.concentration1.dtype).tiny
        # log(1 - u) is minus an exponential time; 0 and 1 have no finite logarithm of a density
        times = (
            self.concentration1.new_empty(self._extended_shape(sample_shape)).exponential_().clamp(min=tiny)
        )
        drawn = (-(-times / self.concentration0).expm1()) ** (1 / self.concentration1)
        return drawn.clamp(tiny, 1 - finfo(self.concentration1.dtype).eps)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        a, b = self.concentration1, self.concentration0
        return a.log() + b.log() + T.xlogy(a - 1, value) + (b - 1) * (-(value**a)).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -(self.concentration0 * (-(value**self.concentration1)).log1p()).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        return (-((-value).log1p() / self.concentration0).expm1()) ** (1 / self.concentration1)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = T.digamma(b + 1) + euler_constant
        return 1 - 1 / b + (1 - 1 / a) * harmonic - a.log() - b.log()

    def _moment(self, order: int) -> Tensor:
        """The mean of a power, ``b * B(1 + order / a, b)``."""
        first, b = 1 + order / self.concentration1, self.concentration0
        return b * (T.lgamma(first) + T.lgamma(b) - T.lgamma(first + b)).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        inside = (a >= 1) & (b >= 1) & (a * b > 1)
        found = ((a - 1).clamp(min=0) / T.where(inside, a * b - 1, 1.0)) ** (1 / a)
        return T.where(inside, found, math.nan)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()
