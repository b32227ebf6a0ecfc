"""The continuous Bernoulli distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import PROBABILITY
from ._trials import Trials
from .utils import clamp_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(Trials):
    """The distribution over numbers from 0 to 1 whose density is in proportion to ``probs**x * (1 - probs)**(1 - x)``.

    It is the likelihood of pixels in variational autoencoders (Loaiza-Ganem and Cunningham, 2019).

    Parameters
    ----------
    probs : float or Tensor, optional
        From 0 to 1. It is not the mean.
    logits : float or Tensor, optional
        The logarithm of the odds, instead of ``probs``.
    lims : pair of float, default (0.499, 0.501)
        Between these ``probs`` the formulas, which divide by ``1 - 2 * probs``, give way to their Taylor series.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If both are given or none, a probability is not from 0 to 1, or a logit is nan.
    """

    has_rsample = True
    _support = PROBABILITY

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits, validate_args)
        self._lims = lims

    def _parts(self) -> tuple[Any, Any, Any]:
        """Whether the formulas hold, ``probs`` for them, and how far ``probs`` is from a half for the series."""
        low, high = self._lims
        probs = clamp_probs(self.probs)
        apart = (probs <= low) | (probs > high)
        return apart, T.where(apart, probs, low), T.where(apart, 0.0, probs - 0.5)

    def _odds(self) -> tuple[Any, Any, Any]:
        """Whether the formulas hold, logits for them and logits for the series, whose next term is a square."""
        apart = self._parts()[0]
        return apart, T.where(apart, self.logits, 1.0), T.where(apart, 0.0, self.logits)

    def _log_scale(self) -> Tensor:
        """The logarithm of what makes the density's integral 1."""
        apart, p, near = self._parts()
        formula = T.log(2 * T.atanh(1 - 2 * p) / (1 - 2 * p))
        square = near.square()
        return T.where(apart, formula, math.log(2.0) + (4 / 3 + 104 / 45 * square) * square)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.icdf(self.probs.new_empty(self._extended_shape(sample_shape)).uniform_())

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._log_scale() - T.bce_with_logits(self.logits, value)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        apart, odds, near = self._odds()
        series = value + near / 2 * value * (value - 1)
        inside = T.where(apart, T.expm1(odds * value) / T.expm1(odds), series)
        return T.where(value <= 0, 0.0, T.where(value >= 1, 1.0, inside))

    def icdf(self, value: Tensor) -> Tensor:
        apart, odds, near = self._odds()
        series = value + near / 2 * value * (1 - value)
        return T.where(apart, T.log1p(value * T.expm1(odds)) / odds, series)

    def entropy(self) -> Tensor:
        # both logarithms are finite: logits are those of clamped probabilities
        other = -T.softplus(self.logits)
        return -self.mean * self.logits - other - self._log_scale()

    @property
    def mean(self) -> Tensor:
        apart, p, near = self._parts()
        formula = p / (2 * p - 1) + 1 / (2 * T.atanh(1 - 2 * p))
        return T.where(apart, formula, 0.5 + (1 / 3 + 16 / 45 * near.square()) * near)

    @property
    def variance(self) -> Tensor:
        apart, p, near = self._parts()
        formula = p * (p - 1) / (1 - 2 * p).square() + 1 / (2 * T.atanh(1 - 2 * p)).square()
        square = near.square()
        return T.where(apart, formula, 1 / 12 - (1 / 15 - 128 / 945 * square) * square)
