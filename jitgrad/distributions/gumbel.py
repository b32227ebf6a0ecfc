"""The Gumbel distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad._tensor import Tensor
from jitgrad.limits import finfo

from ._location_scale import LocationScale
from .utils import euler_constant

__all__ = ["Gumbel"]


class Gumbel(LocationScale):
    """The Gumbel distribution, of the largest among many numbers.

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

    Notes
    -----
    Mean, deviation and entropy are from Johnson, Kotz and Balakrishnan (1995), chapter 22.
    """

    _standard_entropy = 1 + euler_constant
    _standard_deviation = math.pi / math.sqrt(6)

    def _standard_sample(self, shape: Sequence[int]) -> Tensor:
        # an exponential time may round to 0, whose logarithm is infinite
        times = self.loc.new_empty(shape).exponential_().clamp(min=finfo(self.loc.dtype).eps)
        return -times.log()

    def _standard_log_prob(self, z: Tensor) -> Tensor:
        return -z - (-z).exp()

    def _standard_cdf(self, z: Tensor) -> Tensor:
        return (-(-z).exp()).exp()

    def _standard_icdf(self, probability: Tensor) -> Tensor:
        return -(-probability.log()).log()

    @property
    def mean(self) -> Tensor:
        """The location and Euler's constant times the scale."""
        return self.loc + euler_constant * self.scale
