"""Mixtures of distributions of one kind."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """The distribution of a draw from one of K distributions, which is itself drawn.

    Parameters
    ----------
    mixture_distribution : Categorical
        Of K classes.
    component_distribution : Distribution
        Its last batch dimension has K distributions.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If the mixture is no `Categorical`, the other no `Distribution`, or batches or K differ.
    """

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                "MixtureSameFamily: expected mixture_distribution to be a Categorical, got "
                f"{type(mixture_distribution).__name__}"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "MixtureSameFamily: expected component_distribution to be a Distribution, got "
                f"{type(component_distribution).__name__}"
            )
        *batch, count = component_distribution.batch_shape or (0,)
        weights = mixture_distribution.batch_shape
        fits = all(a in (b, 1) or b == 1 for a, b in zip(weights[::-1], batch[::-1], strict=False))
        if not fits or count != mixture_distribution.param_shape[-1]:
            raise ValueError(
                f"MixtureSameFamily: expected components with the batch shape "
                f"{tuple(mixture_distribution.param_shape)} of the mixture's probs, got "
                f"{tuple(component_distribution.batch_shape)}"
            )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        super().__init__(batch, component_distribution.event_shape, validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        """The distribution of which component it is."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last batch dimension."""
        return self._component_distribution

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> MixtureSameFamily:
        expanded = self._copied(batch_shape, _instance)
        count = self._component_distribution.batch_shape[-1]
        expanded._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        expanded._component_distribution = self._component_distribution.expand((*batch_shape, count))
        return expanded

    def _check_value(self, value: Tensor) -> None:
        super()._check_value(value)
        if self._validate_args:
            self._component_distribution._check_value(self._apart(value))

    def _apart(self, value: Tensor) -> Tensor:
        """A value with a dimension for the components."""
        return value.unsqueeze(-1 - len(self._event_shape))

    def _weights(self) -> Tensor:
        """The probabilities of the components, beside dimensions of an event."""
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *(1,) * len(self._event_shape))

    def _mean_of(self, x: Tensor) -> Tensor:
        return (self._weights() * x).sum(-1 - len(self._event_shape))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            ones = (1,) * len(self._event_shape)
            chosen = self._mixture_distribution.expand(self._batch_shape).sample(sample_shape)
            drawn = self._component_distribution.sample(sample_shape)
            index = chosen.reshape(*chosen.shape, 1, *ones)
            index = index.expand(*chosen.shape, 1, *self._event_shape)
            dim = -1 - len(self._event_shape)
            return drawn.gather(drawn.ndim + dim, index).squeeze(dim)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        found = self._component_distribution.log_prob(self._apart(value))
        return T.logsumexp(found + T.log_softmax(self._mixture_distribution.logits, -1), -1)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        found = self._component_distribution.cdf(self._apart(value))
        return (found * self._mixture_distribution.probs).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self._mean_of(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        apart = self._component_distribution.mean - self._apart(self.mean)
        return self._mean_of(self._component_distribution.variance) + self._mean_of(apart.square())

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self._mixture_distribution},\n  {self._component_distribution})"
