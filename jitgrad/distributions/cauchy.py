"""The Cauchy distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._location_scale import LocationScale

__all__ = ["Cauchy"]


class Cauchy(LocationScale):
    """The Cauchy distribution, which has no mean: the quotient of two normal numbers, stretched.

    Parameters
    ----------
    loc : float or Tensor
        The median.
    scale : float or Tensor
        Half the width at half the height, greater than 0; broadcasts with ``loc``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``loc`` is nan or ``scale`` not positive.
    """

    _standard_entropy = math.log(4 * math.pi)
    _standard_deviation = math.inf

    def _standard_sample(self, shape: Sequence[int]) -> Tensor:
        return self._standard_icdf(T.rand(shape, dtype=self.loc.dtype))

    def _standard_log_prob(self, z: Tensor) -> Tensor:
        return -z.square().log1p() - math.log(math.pi)

    def _standard_cdf(self, z: Tensor) -> Tensor:
        return z.atan() / math.pi + 0.5

    def _standard_icdf(self, probability: Tensor) -> Tensor:
        return (math.pi * (probability - 0.5)).tan()

    @property
    def mean(self) -> Tensor:
        """Always nan: the integral does not converge."""
        return T.full_like(self.loc, math.nan)
