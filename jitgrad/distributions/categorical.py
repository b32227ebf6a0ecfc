"""The categorical distribution: one of K classes."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.dtypes import Size
from jitgrad.functions._call import require_tensors
from jitgrad.limits import finfo

from ._requirements import REAL, WEIGHT, Requirement
from .distribution import Distribution
from .utils import check_one_given, logits_to_probs, probs_to_logits

__all__ = ["Categorical"]


class Categorical(Distribution):
    """The distribution of one of K classes; a sample is its number, from 0.

    Parameters
    ----------
    probs : Tensor, shape (..., K), optional
        Weights, not negative; the attribute ``probs`` is divided by their sum.
    logits : Tensor, shape (..., K), optional
        Logarithms of weights, instead of ``probs``; the attribute ``logits`` is normalised.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If both are given or none, one has no dimension, a weight is negative or the sum of the weights 0,
        or a logit is nan.
    TypeError
        If what is given is not a tensor.

    Notes
    -----
    `log_prob` has a gradient with respect to the logits: its product with a reward is the loss of REINFORCE
    (Williams, 1992). A class of the logit -inf is never drawn.
    """

    has_enumerate_support = True
    _requirements = {"probs": WEIGHT, "logits": REAL}

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_one_given("Categorical", probs, logits)
        given: Any = probs if logits is None else logits
        require_tensors("Categorical", given)
        if not given.ndim:
            raise ValueError(
                "Categorical: expected a parameter of at least one dimension, got a single number"
            )
        if logits is None:
            self.probs = given / given.sum(-1, keepdim=True)
        else:
            self.logits = T.log_softmax(given, -1)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @cached_property
    def probs(self) -> Tensor:
        """The probability of every class."""
        with self._kept():
            return logits_to_probs(self.logits)

    @cached_property
    def logits(self) -> Tensor:
        """The logarithm of the probability of every class."""
        with self._kept():
            return probs_to_logits(self.probs)

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return Size((*self._batch_shape, self._num_events))

    def _requirement_of_values(self) -> Requirement:
        last = self._num_events - 1
        return Requirement(
            f"a whole number from 0 to {last}", lambda x: (x >= 0) & (x <= last) & (x % 1 == 0)
        )

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        # the race of `multinomial`, without its look at the weights: class i arrives at an exponential time of rate
        # p[i], and the first one is drawn. The times are float64, so that many classes do not arrive at once.
        with no_grad():
            shape = (*self._extended_shape(sample_shape), self._num_events)
            rates = self.probs.double()
            return (rates.new_empty(shape).exponential_() / rates).argmin(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        shape = T.broadcast_shapes(value.shape, self._batch_shape)
        index = value.long().expand(shape).unsqueeze(-1)
        return self.logits.expand(*shape, self._num_events).gather(-1, index).squeeze(-1)

    def entropy(self) -> Tensor:
        finite = self.logits.clamp(min=finfo(self.logits.dtype).min)  # what is impossible counts as 0
        return -(self.probs * finite).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._enumerated(T.arange(self._num_events), expand)

    @property
    def mean(self) -> Tensor:
        return T.full(self._batch_shape, math.nan, dtype=self.probs.dtype)  # classes are no quantities

    @property
    def mode(self) -> Tensor:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        return T.full(self._batch_shape, math.nan, dtype=self.probs.dtype)
