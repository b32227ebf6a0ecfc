"""The distribution of the absolute value of a normal number."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._folded import Folded
from .normal import Normal

__all__ = ["HalfNormal"]


class HalfNormal(Folded):
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

    @property
    def base_dist(self) -> Normal:
        """The distribution of X."""
        return Normal(0, self.scale, validate_args=False)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return T.erf(value / self.scale * math.sqrt(0.5))  # keeps its digits near 0

    def icdf(self, value: Tensor) -> Tensor:
        return self.base_dist.icdf(0.5 * (value + 1))

    @property
    def mean(self) -> Tensor:
        return math.sqrt(2 / math.pi) * self.scale

    @property
    def variance(self) -> Tensor:
        return (1 - 2 / math.pi) * self.scale.square()  # X has the mean square scale ** 2
