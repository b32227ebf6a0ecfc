"""The categorical distribution of vectors with a single one."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ._of_classes import OfClasses
from ._requirements import Requirement

__all__ = ["OneHotCategorical", "OneHotCategoricalStraightThrough"]

ONE_HOT = Requirement(
    "one 1 and 0 otherwise along the last dimension",
    lambda x: ((x == 0) | (x == 1)).all(-1, keepdim=True) & (x.sum(-1, keepdim=True) == 1),
)


class OneHotCategorical(OfClasses):
    """The distribution of one of K classes; a sample is a vector with a 1 in its place.

    Parameters
    ----------
    probs : Tensor, shape (..., K), optional
        See `Categorical`, as for the errors.
    logits : Tensor, shape (..., K), optional
        See `Categorical`.
    validate_args : bool, optional
        See `Distribution`.
    """

    has_enumerate_support = True
    _support = ONE_HOT

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._take_classes(probs, logits, validate_args)

    def _marked(self, classes: Tensor) -> Tensor:
        # not `one_hot`, which looks at the classes
        places = T.arange(self._event_shape[0])
        return (classes.unsqueeze(-1) == places).to(self.probs.dtype)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return self._marked(self._categorical.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        count = self._event_shape[0]
        values = T.eye(count, dtype=self.probs.dtype).reshape(count, *(1,) * len(self._batch_shape), count)
        return values.expand(count, *self._batch_shape, count) if expand else values

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._marked(self.probs.argmax(-1))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({repr(self._categorical).partition('(')[2]}"


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose `rsample` has the gradient of the probabilities (Bengio and others, 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
