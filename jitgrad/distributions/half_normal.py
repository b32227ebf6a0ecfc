"""The distribution of the absolute value of a normal number."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import NOT_NEGATIVE, POSITIVE
from .distribution import Distribution
from .normal import Normal

__all__ = ["HalfNormal"]


class HalfNormal(Distribution):
    """The distribution of ``|X|``, where X is normal with mean 0 and deviation ``scale``.

    Parameters
    ----------
    scale : float or Tensor
        Greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``scale`` is not positive.
    """

    has_rsample = True
    _requirements = {"scale": POSITIVE}
    _support = NOT_NEGATIVE

    def __init__(self, scale: Tensor | float, validate_args: bool | None = None) -> None:
        (self.scale,) = self._broadcast(scale=scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def base_dist(self) -> Normal:
        """The distribution of X."""
        return Normal(0, self.scale, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        # both signs of X count
        return T.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return T.erf(value / self.scale * math.sqrt(0.5))  # keeps its digits near 0

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf(0.5 * (value + 1))

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)

    @property
    def mean(self) -> Tensor:
        return math.sqrt(2 / math.pi) * self.scale

    @property
    def mode(self) -> Tensor:
        return T.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return (1 - 2 / math.pi) * self.scale.square()  # X has the mean square scale ** 2
