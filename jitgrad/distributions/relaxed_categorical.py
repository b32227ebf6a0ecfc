"""A continuous relaxation of the one-hot categorical distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._of_classes import OfClasses
from ._requirements import SIMPLEX
from .utils import clamp_probs

__all__ = ["RelaxedOneHotCategorical"]


class RelaxedOneHotCategorical(OfClasses):
    """The distribution of ``softmax((logits + G) / temperature)``, where G are standard Gumbel numbers.

    Parameters
    ----------
    temperature : Tensor or float
        Greater than 0; the lower, the nearer are samples to a single 1.
    probs, logits : Tensor, shape (..., K), optional
        See `Categorical`.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        See `Categorical`.

    Notes
    -----
    It is from Maddison, Mnih and Teh (2017), and Jang, Gu and Poole (2017).
    """

    has_rsample = True
    _support = SIMPLEX

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self._take_classes(probs, logits, validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        uniform = clamp_probs(T.rand(self._extended_shape(sample_shape), dtype=self.logits.dtype))
        return T.softmax((self.logits - (-uniform.log()).log()) / self.temperature, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        count = self._event_shape[0]
        logarithm = value.log()
        scores = T.log_softmax(self.logits - logarithm * self.temperature, -1).sum(-1)
        temperature = self.temperature if isinstance(self.temperature, Tensor) else T.tensor(self.temperature)
        return scores + math.lgamma(count) + (count - 1) * temperature.log() - logarithm.sum(-1)
