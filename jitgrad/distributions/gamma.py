"""The gamma distribution, chi-squared as a case of it, and that of its reciprocal."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions.gamma_draws import log_standard_gamma
from jitgrad.limits import finfo

from ._requirements import NOT_NEGATIVE, POSITIVE
from .distribution import Distribution

__all__ = ["Gamma"]


class Gamma(Distribution):
    """The distribution of the time until the event number ``concentration``, of which ``rate`` come in a unit of time.

    Parameters
    ----------
    concentration, rate : float or Tensor
        Greater than 0; they broadcast. The concentration is any number.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.

    Notes
    -----
    The gradient of a sample for the concentration is the implicit one (Figurnov, Mohamed and Mnih, 2018); there is
    no gradient of that gradient. `cdf` has none for the concentration.
    """

    has_rsample = True
    _requirements = {"concentration": POSITIVE, "rate": POSITIVE}
    _support = NOT_NEGATIVE

    def __init__(
        self, concentration: Tensor | float, rate: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.concentration, self.rate = self._broadcast(concentration=concentration, rate=rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        drawn = log_standard_gamma(self.concentration.expand(shape)).exp() / self.rate
        return drawn.clamp(min=finfo(drawn.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        a, b = self.concentration, self.rate
        return T.xlogy(a, b) + T.xlogy(a - 1, value) - b * value - T.lgamma(a)

    def cdf(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return T.igamma(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - self.rate.log() + T.lgamma(a) + (1 - a) * T.digamma(a)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.square()
