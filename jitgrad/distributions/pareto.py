"""The Pareto distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import POSITIVE, Requirement
from .distribution import Distribution

__all__ = ["Pareto"]


class Pareto(Distribution):
    """The distribution of ``scale * exp(E / alpha)``, where E is exponential of rate 1.

    Parameters
    ----------
    scale, alpha : float or Tensor
        Greater than 0; they broadcast. The scale is the least value.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.
    """

    has_rsample = True
    _requirements = {"scale": POSITIVE, "alpha": POSITIVE}

    def __init__(
        self, scale: Tensor | float, alpha: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.scale, self.alpha = self._broadcast(scale=scale, alpha=alpha)
        super().__init__(self.scale.shape, validate_args=validate_args)

    def _requirement_of_values(self) -> Requirement:
        return Requirement("at least the scale", lambda x: x >= self.scale)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        times = self.scale.new_empty(self._extended_shape(sample_shape)).exponential_()
        return self.scale * (times / self.alpha).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self.alpha.log() + self.alpha * self.scale.log() - (self.alpha + 1) * value.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -(self.alpha * (self.scale / value).log()).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-(-value).log1p() / self.alpha).exp()

    def entropy(self) -> Tensor:
        return (self.scale / self.alpha).log() + 1 + self.alpha.reciprocal()

    @property
    def mean(self) -> Tensor:
        finite = self.alpha * self.scale / T.where(self.alpha > 1, self.alpha - 1, 1.0)
        return T.where(self.alpha > 1, finite, math.inf)

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        a = T.where(self.alpha > 2, self.alpha, 3.0)
        return T.where(self.alpha > 2, self.scale.square() * a / ((a - 1).square() * (a - 2)), math.inf)
