"""The negative binomial distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ._counted import CountedTrials
from ._requirements import COUNT, NOT_NEGATIVE, REAL, Requirement
from .gamma import Gamma

__all__ = ["NegativeBinomial"]

BELOW_ONE = Requirement("from 0 to less than 1", lambda x: (x >= 0) & (x < 1))


class NegativeBinomial(CountedTrials):
    """The distribution of the number of successes before the failure number ``total_count``.

    Parameters
    ----------
    total_count : float or Tensor
        At least 0; broadcasts with the other.
    probs : float or Tensor, optional
        The probability of success, from 0 to less than 1.
    logits : float or Tensor, optional
        The logarithm of the odds of success, instead of ``probs``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If both are given or none, or one is not possible.
    """

    _requirements = {"total_count": NOT_NEGATIVE, "probs": BELOW_ONE, "logits": REAL}
    _support = COUNT

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        # a Poisson number whose rate is a gamma number (Greenwood and Yule, 1920)
        with no_grad():
            rates = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return T.poisson(rates.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        n, logits = self.total_count, self.logits
        trials = n * T.logsigmoid(-logits) + value * T.logsigmoid(logits)
        nothing = n + value == 0  # one way, of which lgamma(0) - lgamma(0) does not know
        safe = T.where(nothing, 1.0, n + value)
        ways = T.lgamma(safe) - T.lgamma(value + 1) - T.lgamma(T.where(nothing, 1.0, n))
        return trials + ways

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.mean / T.sigmoid(-self.logits)
