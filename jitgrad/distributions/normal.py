"""The normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.special import ndtr, ndtri

from ._location_scale import LocationScale

__all__ = ["Normal"]

LOG_ROOT = 0.5 * math.log(2 * math.pi)  # the density at z is exp(-z ** 2 / 2) / sqrt(2 * pi)


class Normal(LocationScale):
    """The normal distribution of mean ``loc`` and deviation ``scale``.

    Parameters
    ----------
    loc, scale : float or Tensor
        They broadcast; ``scale`` is greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``loc`` is nan or ``scale`` not positive.
    """

    _standard_entropy = 0.5 + LOG_ROOT

    def _standard_sample(self, shape: Sequence[int]) -> Tensor:
        return T.randn(shape, dtype=self.loc.dtype)

    def _standard_log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * z.square() - LOG_ROOT

    def _standard_cdf(self, z: Tensor) -> Tensor:
        return ndtr(z)

    def _standard_icdf(self, probability: Tensor) -> Tensor:
        return ndtri(probability)

    @property
    def stddev(self) -> Tensor:
        """The scale itself."""
        return self.scale
