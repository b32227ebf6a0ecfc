"""The beta distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._two_concentrations import TwoConcentrations
from .dirichlet import Dirichlet

__all__ = ["Beta"]


class Beta(TwoConcentrations):
    """The distribution of a probability with the density proportional to ``x ** (c1 - 1) * (1 - x) ** (c0 - 1)``.

    Parameters
    ----------
    concentration1, concentration0 : float or Tensor
        Greater than 0, often called alpha and beta; they broadcast.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If a parameter is not positive.
    """

    @property
    def _both(self) -> Dirichlet:
        """The distribution of the probability and its complement."""
        return Dirichlet(T.stack([self.concentration1, self.concentration0], -1), validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._both.rsample(sample_shape)[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        return self._both.log_prob(T.stack([value, 1 - value], -1))

    def entropy(self) -> Tensor:
        return self._both.entropy()

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        return self._both.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1))
