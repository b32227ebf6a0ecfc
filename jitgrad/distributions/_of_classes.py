"""What distributions over the classes of a `Categorical` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from jitgrad._tensor import Tensor
from jitgrad.dtypes import Size

from .categorical import Categorical
from .distribution import Distribution


class OfClasses(Distribution):
    """A distribution of vectors with an element for each class, whose probabilities a `Categorical` holds."""

    _categorical: Categorical

    def _take_classes(self, probs: Tensor | None, logits: Tensor | None, validate_args: Any) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        Distribution.__init__(self, shape[:-1], shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        expanded = self._copied(batch_shape, _instance)
        expanded._categorical = self._categorical.expand(batch_shape)
        return expanded

    @property
    def probs(self) -> Tensor:
        """The probability of every class."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """The logarithm of the probability of every class."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return self._categorical.param_shape
