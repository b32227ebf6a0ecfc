"""The binomial distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._counted import CountedTrials
from ._requirements import Requirement

__all__ = ["Binomial"]


class Binomial(CountedTrials):
    """The distribution of the number of successes in ``total_count`` trials.

    Parameters
    ----------
    total_count : int or Tensor, default 1
        A whole number from 0; broadcasts with the other.
    probs : float or Tensor, optional
        The probability of success, from 0 to 1.
    logits : float or Tensor, optional
        The logarithm of the odds of success, instead of ``probs``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If both are given or none, a probability is not from 0 to 1, a logit is nan, or a count no whole number.
    """

    has_enumerate_support = True

    def _requirement_of_values(self) -> Requirement:
        return Requirement(
            "a whole number from 0 to total_count",
            lambda x: (x >= 0) & (x <= self.total_count) & (x % 1 == 0),
        )

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return T.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        n, logits = self.total_count, self.logits
        choices = T.lgamma(n + 1) - T.lgamma(value + 1) - T.lgamma(n - value + 1)
        return choices + value * logits - n * T.softplus(logits)

    def entropy(self) -> Tensor:
        """The mean of ``-log_prob``; all counts must be equal."""
        logarithms = self.log_prob(self.enumerate_support(False))
        return -(logarithms.exp() * logarithms).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        most = int(self.total_count.max().item())
        if bool((self.total_count != most).any()):
            raise NotImplementedError("Binomial: values of different total_count cannot be enumerated")
        return self._enumerated(T.arange(most + 1, dtype=self._given.dtype), expand)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)
