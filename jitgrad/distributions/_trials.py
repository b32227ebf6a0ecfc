"""Distributions of trials that succeed or fail, given by the probability of success or by its logit."""

from __future__ import annotations

from functools import cached_property

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import Size

from ._requirements import PROBABILITY, REAL
from .distribution import Distribution
from .utils import check_one_given, logits_to_probs, probs_to_logits


class Trials(Distribution):
    """The base of distributions of trials.

    Parameters
    ----------
    probs : float or Tensor, optional
        The probability of success, from 0 to 1.
    logits : float or Tensor, optional
        The logarithm of the odds of success, instead of ``probs``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If both are given or none, a probability is not from 0 to 1, or a logit is nan.
    """

    _requirements = {"probs": PROBABILITY, "logits": REAL}

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_one_given(type(self).__name__, probs, logits)
        if logits is None:
            (given,) = (self.probs,) = self._broadcast(probs=probs)
        else:
            (given,) = (self.logits,) = self._broadcast(logits=logits)
        super().__init__(given.shape, validate_args=validate_args)

    @cached_property
    def probs(self) -> Tensor:
        """The probability of success."""
        with self._kept():
            return logits_to_probs(self.logits, is_binary=True)

    @cached_property
    def logits(self) -> Tensor:
        """The logarithm of the odds of success; finite, because probabilities are clamped first."""
        with self._kept():
            return probs_to_logits(self.probs, is_binary=True)

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return self._batch_shape

    def _entropy_of_trial(self) -> Tensor:
        return T.bce_with_logits(self.logits, self.probs)
