"""The Weibull distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._requirements import POSITIVE
from .distribution import Distribution
from .utils import euler_constant

__all__ = ["Weibull"]


class Weibull(Distribution):
    """The distribution of ``scale * E ** (1 / concentration)``, where E is exponential of rate 1.

    Parameters
    ----------
    scale, concentration : float or Tensor
        Greater than 0; they broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.
    """

    has_rsample = True
    _requirements = {"scale": POSITIVE, "concentration": POSITIVE}
    _support = POSITIVE

    def __init__(
        self, scale: Tensor | float, concentration: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.scale, self.concentration = self._broadcast(scale=scale, concentration=concentration)
        super().__init__(self.scale.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        times = self.scale.new_empty(self._extended_shape(sample_shape)).exponential_()
        return self.scale * times ** (1 / self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        z, k = value / self.scale, self.concentration
        return (k / self.scale).log() + (k - 1) * z.log() - z**k

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return -(-((value / self.scale) ** self.concentration)).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-(-value).log1p()) ** (1 / self.concentration)

    def entropy(self) -> Tensor:
        k = self.concentration
        return euler_constant * (1 - 1 / k) + (self.scale / k).log() + 1

    def _moment(self, order: int) -> Tensor:
        return self.scale**order * T.lgamma(1 + order / self.concentration).exp()

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        k = self.concentration
        return self.scale * ((k - 1).clamp(min=0) / k) ** (1 / k)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()
