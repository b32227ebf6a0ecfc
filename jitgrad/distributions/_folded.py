"""What the distributions of absolute values share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import NOT_NEGATIVE, POSITIVE
from .distribution import Distribution


class Folded(Distribution):
    """The distribution of ``|X|``, where X has the distribution `base_dist`, which is even.

    Parameters
    ----------
    scale : float or Tensor
        Of X; greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``scale`` is not positive.
    """

    has_rsample = True
    _requirements = {"scale": POSITIVE}
    _support = NOT_NEGATIVE

    def __init__(self, scale: Tensor | float, validate_args: bool | None = None) -> None:
        (self.scale,) = self._broadcast(scale=scale)
        super().__init__(self.scale.shape, validate_args=validate_args)

    @property
    def base_dist(self) -> Distribution:
        """The distribution of X."""
        raise NotImplementedError

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(sample_shape).abs()

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        # both signs of X count
        return T.where(value >= 0, self.base_dist.log_prob(value) + math.log(2), -math.inf)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() - math.log(2)

    @property
    def mode(self) -> Tensor:
        return T.zeros_like(self.scale)
