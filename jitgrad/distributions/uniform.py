"""The uniform distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import REAL, Requirement
from .distribution import Distribution

__all__ = ["Uniform"]

UNIT_VARIANCE = 1 / 12  # that of numbers from [0, 1)


class Uniform(Distribution):
    """The distribution that has one density everywhere in ``[low, high)``.

    Parameters
    ----------
    low, high : float or Tensor
        They broadcast; ``low`` is less than ``high``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``low`` is not less than ``high``.
    """

    has_rsample = True
    _requirements = {"low": REAL, "high": REAL}

    def __init__(self, low: Tensor | float, high: Tensor | float, validate_args: bool | None = None) -> None:
        self.low, self.high = self._broadcast(low=low, high=high)
        super().__init__(self.low.shape, validate_args=validate_args)
        above = Requirement("greater than low", lambda high: high > self.low)
        self._check_parameter("high", self.high, above)

    def _requirement_of_values(self) -> Requirement:
        return Requirement("from low to high", lambda x: (x >= self.low) & (x <= self.high))

    @property
    def _width(self) -> Tensor:
        return self.high - self.low

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.low + self._width * T.rand(self._extended_shape(sample_shape), dtype=self.low.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        inside = (value >= self.low) & (value < self.high)
        return T.where(inside, -self._width.log(), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return ((value - self.low) / self._width).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        return self.low + self._width * value

    def entropy(self) -> Tensor:
        return self._width.log()

    @property
    def mean(self) -> Tensor:
        return 0.5 * (self.low + self.high)

    @property
    def mode(self) -> Tensor:
        return T.full_like(self.high, math.nan)

    @property
    def stddev(self) -> Tensor:
        return math.sqrt(UNIT_VARIANCE) * self._width

    @property
    def variance(self) -> Tensor:
        return UNIT_VARIANCE * self._width.square()
