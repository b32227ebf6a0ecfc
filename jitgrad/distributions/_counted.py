"""Distributions of trials of which there is a number, too."""

from __future__ import annotations

from typing import Any

from jitgrad._tensor import Tensor

from ._requirements import COUNT, PROBABILITY, REAL
from ._trials import Trials
from .distribution import Distribution
from .utils import check_one_given


class CountedTrials(Trials):
    """The base of distributions of counted trials; see `Trials` for ``probs`` and ``logits``."""

    _requirements = {"total_count": COUNT, "probs": PROBABILITY, "logits": REAL}

    def __init__(
        self,
        total_count: Tensor | float = 1,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_one_given(type(self).__name__, probs, logits)
        name, given = ("probs", probs) if logits is None else ("logits", logits)
        given, count = self._broadcast(**{name: given, "total_count": total_count})
        self.total_count = count.to(given.dtype)
        setattr(self, name, given)
        Distribution.__init__(self, given.shape, validate_args=validate_args)

    @property
    def _given(self) -> Any:
        """The one of ``probs`` and ``logits`` that is there."""
        return vars(self).get("probs", vars(self).get("logits"))
