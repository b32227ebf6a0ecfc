"""Distributions of ``loc + scale * Z``, where Z has a distribution of its own without parameters.

What is known of Z gives the rest: the density at ``loc + scale * z`` is that of Z at z divided by the scale.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitgrad._tensor import Tensor

from ._centred import Centred
from ._requirements import POSITIVE, REAL


class LocationScale(Centred):
    """The base of distributions that are moved and stretched; a subclass says what Z is.

    Parameters
    ----------
    loc : float or Tensor
        Where the middle is.
    scale : float or Tensor
        How wide it is, greater than 0; broadcasts with ``loc``.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``loc`` is nan or ``scale`` not positive.
    """

    has_rsample = True
    _requirements = {"loc": REAL, "scale": POSITIVE}
    _standard_entropy: float
    _standard_deviation: float

    def __init__(self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None) -> None:
        self.loc, self.scale = self._broadcast(loc=loc, scale=scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    # Z --------------------------------------------------------------------------------------------------

    def _standard_sample(self, shape: Sequence[int]) -> Tensor:
        raise NotImplementedError

    def _standard_log_prob(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _standard_cdf(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _standard_icdf(self, probability: Tensor) -> Tensor:
        raise NotImplementedError

    # loc + scale * Z ------------------------------------------------------------------------------------

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.loc + self.scale * self._standard_sample(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._standard_log_prob((value - self.loc) / self.scale) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._standard_cdf((value - self.loc) / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * self._standard_icdf(value)

    def entropy(self) -> Tensor:
        return self.scale.log() + self._standard_entropy

    @property
    def stddev(self) -> Tensor:
        return self._standard_deviation * self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev.square()
