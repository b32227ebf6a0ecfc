"""The distribution of the absolute value of a Cauchy number."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._folded import Folded
from .cauchy import Cauchy

__all__ = ["HalfCauchy"]


class HalfCauchy(Folded):
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

    @property
    def base_dist(self) -> Cauchy:
        """The distribution of X."""
        return Cauchy(0, self.scale, validate_args=False)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return (value / self.scale).atan() * (2 / math.pi)

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (value * (math.pi / 2)).tan()

    @property
    def mean(self) -> Tensor:
        return T.full_like(self.scale, math.inf)

    @property
    def variance(self) -> Tensor:
        return T.full_like(self.scale, math.inf)
