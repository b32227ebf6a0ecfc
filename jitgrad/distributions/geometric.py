"""The geometric distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ._requirements import COUNT, POSITIVE_PROBABILITY, REAL
from ._trials import Trials

__all__ = ["Geometric"]


class Geometric(Trials):
    """The distribution of the number of trials that fail before the first success.

    Parameters
    ----------
    probs : float or Tensor, optional
        The probability of success, greater than 0.
    logits : float or Tensor, optional
        The logarithm of the odds of success, instead of ``probs``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If both are given or none, a probability is not in (0, 1], or a logit is nan.
    """

    _requirements = {"probs": POSITIVE_PROBABILITY, "logits": REAL}
    _support = COUNT

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        # whole units of an exponential time: it outlasts k with the probability exp(-rate * k), and so many
        # trials fail with (1 - p) ** k (Devroye, 1986, chapter X.2)
        with no_grad():
            times = self.probs.new_empty(self._extended_shape(sample_shape)).exponential_()
            return (times / -(-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        # where success is certain, no failure costs nothing: 0 * log(0) would be nan
        certain = (self.probs == 1) & (value == 0)
        probs = T.where(certain, 0.0, self.probs)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        return self._entropy_of_trial() / self.probs  # that of every trial, of which there are 1 / p

    @property
    def mean(self) -> Tensor:
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        return T.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1 / self.probs - 1) / self.probs
