"""The Laplace distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad._tensor import Tensor

from ._location_scale import LocationScale

__all__ = ["Laplace"]


class Laplace(LocationScale):
    """The Laplace distribution: its density falls as ``exp(-|x - loc| / scale)`` to both sides.

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

    _standard_entropy = 1 + math.log(2)
    _standard_deviation = math.sqrt(2)

    def _standard_sample(self, shape: Sequence[int]) -> Tensor:
        # the difference of two exponential times (Johnson, Kotz and Balakrishnan, 1995, chapter 24)
        return self.loc.new_empty(shape).exponential_() - self.loc.new_empty(shape).exponential_()

    def _standard_log_prob(self, z: Tensor) -> Tensor:
        return -z.abs() - math.log(2)

    def _standard_cdf(self, z: Tensor) -> Tensor:
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def _standard_icdf(self, probability: Tensor) -> Tensor:
        beyond = probability - 0.5
        return -beyond.sign() * (-2 * beyond.abs()).log1p()
