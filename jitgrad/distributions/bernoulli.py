"""The Bernoulli distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ._requirements import ZERO_OR_ONE
from ._trials import Trials

__all__ = ["Bernoulli"]


class Bernoulli(Trials):
    """The distribution of one trial: 1 where it succeeds, 0 where it fails.

    Parameters
    ----------
    probs : float or Tensor, optional
        The probability of 1.
    logits : float or Tensor, optional
        The logarithm of the odds of 1, instead of ``probs``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If both are given or none, a probability is not from 0 to 1, or a logit is nan.
    """

    has_enumerate_support = True
    _support = ZERO_OR_ONE

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return T.bernoulli(self.probs.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -T.bce_with_logits(self.logits, value)

    def entropy(self) -> Tensor:
        return self._entropy_of_trial()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._enumerated(T.arange(2, dtype=self.probs.dtype), expand)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        likely = (self.probs > 0.5).to(self.probs.dtype)
        return T.where(self.probs == 0.5, math.nan, likely)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)
