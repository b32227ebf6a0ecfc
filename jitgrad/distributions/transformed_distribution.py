"""Distributions of functions of what has another distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.dtypes import Size

from .distribution import Distribution
from .independent import Independent
from .transforms import ComposeTransform, Transform
from .utils import sum_last

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """The distribution of ``f(X)``, where X has the base distribution.

    Parameters
    ----------
    base_distribution : Distribution
    transforms : Transform or list of Transform
        The functions, the first one first.
    validate_args : bool, optional
        Accepted; values are checked by the base.

    Raises
    ------
    ValueError
        If the transforms are none, or the base has fewer dimensions than they need.
    """

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Transform | list[Transform],
        validate_args: bool | None = None,
    ) -> None:
        self.transforms = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(self.transforms, list) or not all(
            isinstance(f, Transform) for f in self.transforms
        ):
            raise ValueError(
                f"TransformedDistribution: expected transforms to be a Transform or a list of them, got {transforms!r}"
            )
        shape = base_distribution.batch_shape + base_distribution.event_shape
        function = ComposeTransform(self.transforms)
        if len(shape) < function.event_dim:
            raise ValueError(
                f"TransformedDistribution: expected a base of at least {function.event_dim} dimensions, got shape "
                f"{tuple(shape)}"
            )
        wide = Size(function.forward_shape(shape))
        base_shape = Size(function.inverse_shape(wide))
        own = len(base_distribution.event_shape)
        base_distribution = base_distribution.expand(base_shape[: len(base_shape) - own])
        if function.event_dim > own:
            base_distribution = Independent(base_distribution, function.event_dim - own)
        self.base_dist = base_distribution
        self.has_rsample = base_distribution.has_rsample
        events = max(len(base_distribution.event_shape), function.event_dim)
        cut = len(wide) - events
        super().__init__(wide[:cut], wide[cut:], validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> TransformedDistribution:
        expanded = self._copied(batch_shape, _instance)
        function = ComposeTransform(self.transforms)
        shape = Size(function.inverse_shape(Size(batch_shape) + self._event_shape))
        expanded.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        return expanded

    def _applied(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with no_grad():
            return self._applied(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._applied(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        events, total, y = len(self._event_shape), None, value
        for transform in reversed(self.transforms):
            if not transform.bijective:
                raise NotImplementedError(
                    f"TransformedDistribution.log_prob: {transform} is not one to one, so there is no density"
                )
            x = transform._inv_call(y)
            part = sum_last(transform.log_abs_det_jacobian(x, y), events - transform.event_dim)
            total = part if total is None else total + part
            y = x
        found = sum_last(self.base_dist.log_prob(y), events - len(self.base_dist.event_shape))
        return found if total is None else found - total

    def _monotone(self, value: Tensor) -> Any:
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        # where the function decreases, what is below becomes what is above
        return sign * (value - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        for transform in reversed(self.transforms):
            value = transform._inv_call(value)
        return self._monotone(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        return self._applied(self.base_dist.icdf(self._monotone(value)))

    def __repr__(self) -> str:
        return f"TransformedDistribution({self.base_dist}, {self.transforms})"
