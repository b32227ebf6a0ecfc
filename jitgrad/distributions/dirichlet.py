"""The Dirichlet distribution: of probabilities."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions.gamma_draws import log_standard_gamma

from ._requirements import POSITIVE, SIMPLEX
from .distribution import Distribution

__all__ = ["Dirichlet"]


class Dirichlet(Distribution):
    """The distribution of K probabilities with the density proportional to the product of ``p_i ** (c_i - 1)``.

    Parameters
    ----------
    concentration : Tensor, shape (..., K)
        Greater than 0.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        If ``concentration`` has no dimension, or is not positive.
    TypeError
        If it is not a tensor.

    Notes
    -----
    A sample is made of gamma numbers divided by their sum; so is its gradient, see `Gamma`. They are kept as
    logarithms, so that small concentrations do not give 0 / 0.
    """

    has_rsample = True
    _requirements = {"concentration": POSITIVE}
    _support = SIMPLEX

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        require_tensors("Dirichlet", concentration)
        if not concentration.ndim:
            raise ValueError(
                "Dirichlet: expected a parameter concentration of at least one dimension, got a single number"
            )
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return T.softmax(log_standard_gamma(self.concentration.expand(shape)), -1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        c = self.concentration
        return T.xlogy(c - 1, value).sum(-1) + T.lgamma(c.sum(-1)) - T.lgamma(c).sum(-1)

    def entropy(self) -> Tensor:
        c, total, count = self.concentration, self.concentration.sum(-1), self._event_shape[0]
        logarithms = T.lgamma(c).sum(-1) - T.lgamma(total) - (count - total) * T.digamma(total)
        return logarithms - ((c - 1) * T.digamma(c)).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        above = (self.concentration - 1).clamp(min=0)
        # where all are below one, the density is infinite at the corners; PyTorch takes the first
        corner = (T.arange(self._event_shape[0]) == 0).to(above.dtype)
        flat = (self.concentration < 1).all(-1, keepdim=True)
        total = above.sum(-1, keepdim=True)
        return T.where(flat, corner, above / T.where(flat, 1.0, total))

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, keepdim=True)
        mean = self.concentration / total
        return mean * (1 - mean) / (total + 1)
