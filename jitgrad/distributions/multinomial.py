"""The multinomial distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.dtypes import Size

from ._requirements import Requirement
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["Multinomial"]


class Multinomial(Distribution):
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
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    def expand(self, batch_shape: Sequence[int]) -> Multinomial:
        expanded = self._copied(batch_shape)
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
