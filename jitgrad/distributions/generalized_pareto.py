"""The generalized Pareto distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.limits import finfo

from ._requirements import POSITIVE, REAL, Requirement
from .distribution import Distribution

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """The distribution of what exceeds a high threshold: ``loc + scale * (u ** -concentration - 1) / concentration``.

    Here u is uniform from 0 to 1. With a concentration of 0 it is the exponential distribution; with a negative one
    values end at ``loc - scale / concentration``.

    Parameters
    ----------
    loc : float or Tensor
        The least value.
    scale : float or Tensor
        Greater than 0.
    concentration : float or Tensor
        How heavy the tail is. The three broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``scale`` is not positive, or another parameter is nan.

    Notes
    -----
    Moments and entropy are from Embrechts, Klüppelberg and Mikosch, "Modelling extremal events" (1997), section 3.4.
    """

    has_rsample = True
    _requirements = {"loc": REAL, "scale": POSITIVE, "concentration": REAL}

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        concentration: Tensor | float,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.concentration = self._broadcast(
            loc=loc, scale=scale, concentration=concentration
        )
        super().__init__(self.loc.shape, validate_args=validate_args)

    def _requirement_of_values(self) -> Requirement:
        return Requirement(
            "at least loc and not beyond the end", lambda x: (x >= self.loc) & (x <= self._end())
        )

    def _end(self) -> Tensor:
        bounded = self.concentration < 0
        return T.where(bounded, self.loc - self.scale / T.where(bounded, self.concentration, -1.0), math.inf)

    def _nonzero(self) -> tuple[Any, Any]:
        """Where the concentration is 0 within rounding, and what may be divided by."""
        tiny = self.concentration.abs() < finfo(self.concentration.dtype).eps
        return tiny, T.where(tiny, 1.0, self.concentration)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        # 1 - u, too, is uniform; u itself may be 0 but never 1
        return self.icdf(self.loc.new_empty(self._extended_shape(sample_shape)).uniform_())

    def _log_survival(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of more than `value`."""
        tiny, shape = self._nonzero()
        z = (value - self.loc) / self.scale
        return -T.where(tiny, z, T.log1p(shape * z) / shape)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        # the survival function ** (1 + concentration) / scale
        tiny, _ = self._nonzero()
        power = T.where(tiny, 1.0, 1 + self.concentration)
        return power * self._log_survival(value) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -self._log_survival(value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        tiny, shape = self._nonzero()
        times = -T.log1p(-value)  # of an exponential distribution
        return self.loc + self.scale * T.where(tiny, times, T.expm1(shape * times) / shape)

    def entropy(self) -> Tensor:
        return self.scale.log() + self.concentration + 1

    @property
    def mean(self) -> Tensor:
        finite = self.concentration < 1
        return T.where(
            finite, self.loc + self.scale / (1 - T.where(finite, self.concentration, 0.0)), math.nan
        )

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        finite = self.concentration < 0.5
        shape: Any = T.where(finite, self.concentration, 0.0)
        return T.where(finite, (self.scale / (1 - shape)).square() / (1 - 2 * shape), math.nan)
