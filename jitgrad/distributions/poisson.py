"""The Poisson distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ._requirements import COUNT, NOT_NEGATIVE
from .distribution import Distribution

__all__ = ["Poisson"]


class Poisson(Distribution):
    """The distribution of the number of events in a unit of time that come independently, ``rate`` in the mean.

    Parameters
    ----------
    rate : float or Tensor
        At least 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``rate`` is negative.
    """

    _requirements = {"rate": NOT_NEGATIVE}
    _support = COUNT

    def __init__(self, rate: Tensor | float, validate_args: bool | None = None) -> None:
        (self.rate,) = self._broadcast(rate=rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return T.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return T.xlogy(value, self.rate) - self.rate - T.lgamma(value + 1)

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        return self.rate
