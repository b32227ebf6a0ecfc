"""The exponential distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import NOT_NEGATIVE, POSITIVE
from .distribution import Distribution

__all__ = ["Exponential"]


class Exponential(Distribution):
    """The distribution of the time until something happens that happens ``rate`` times in a unit of time.

    Parameters
    ----------
    rate : float or Tensor
        Greater than 0; the mean is its reciprocal.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``rate`` is not positive.
    """

    has_rsample = True
    _requirements = {"rate": POSITIVE}
    _support = NOT_NEGATIVE

    def __init__(self, rate: Tensor | float, validate_args: bool | None = None) -> None:
        (self.rate,) = self._broadcast(rate=rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.rate.new_empty(self._extended_shape(sample_shape)).exponential_() / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -(-self.rate * value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        return -(-value).log1p() / self.rate

    def entropy(self) -> Tensor:
        return 1 - self.rate.log()

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return T.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.stddev.square()
