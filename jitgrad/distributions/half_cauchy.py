"""The distribution of the absolute value of a Cauchy number."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import NOT_NEGATIVE, POSITIVE
from .cauchy import Cauchy
from .distribution import Distribution

__all__ = ["HalfCauchy"]


class HalfCauchy(Distribution):
    """The distribution of ``|X|``, where X has a Cauchy distribution around 0.

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
    def base_dist(self) -> Cauchy:
        """The distribution of X."""
        return Cauchy(0, self.scale, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return T.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return (value / self.scale).atan() * (2 / math.pi)

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (value * (math.pi / 2)).tan()

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)

    @property
    def mean(self) -> Tensor:
        return T.full_like(self.scale, math.inf)

    @property
    def mode(self) -> Tensor:
        return T.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        return T.full_like(self.scale, math.inf)
