"""The multinomial distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ._of_classes import OfClasses
from ._requirements import Requirement

__all__ = ["Multinomial"]


class Multinomial(OfClasses):
    """The distribution of how often each of K classes comes in ``total_count`` draws.

    Parameters
    ----------
    total_count : int, default 1
    probs, logits : Tensor, shape (..., K), optional
        See `Categorical`.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        See `Categorical`.
    NotImplementedError
        If ``total_count`` is not an int.
    """

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(total_count, int):
            raise NotImplementedError(
                f"Multinomial: expected total_count to be an int, one for all, got {type(total_count).__name__}"
            )
        self.total_count = total_count
        self._take_classes(probs, logits, validate_args)

    def _requirement_of_values(self) -> Requirement:
        return Requirement(
            f"counts that sum to {self.total_count} along the last dimension",
            lambda x: (
                ((x >= 0) & (x % 1 == 0)).all(-1, keepdim=True)
                & (x.sum(-1, keepdim=True) == self.total_count)
            ),
        )

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            classes = self._categorical.sample((self.total_count, *sample_shape))
            marks = classes.unsqueeze(-1) == T.arange(self._event_shape[0])
            return marks.to(self.probs.dtype).sum(0)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        impossible = (value == 0) & (self.probs == 0)
        logits = T.where(impossible, 0.0, self.logits)
        ways = T.lgamma(value.sum(-1) + 1) - T.lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def entropy(self) -> Tensor:
        # -E[log p], where the count of each class alone is binomial
        n = self.total_count
        counts = T.arange(n + 1).to(self.probs.dtype).reshape(-1, *[1] * self.probs.dim())
        ways = math.lgamma(n + 1) - T.lgamma(counts + 1) - T.lgamma(n - counts + 1)
        chances = (ways + T.xlogy(counts, self.probs) + T.xlogy(n - counts, 1 - self.probs)).exp()
        repeats = (chances * T.lgamma(counts + 1)).sum((0, -1))
        return n * self._categorical.entropy() - math.lgamma(n + 1) + repeats
