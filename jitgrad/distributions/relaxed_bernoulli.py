"""A continuous relaxation of the Bernoulli distribution."""

# ruff: noqa: D102 - what the methods do is said by `Distribution`

from __future__ import annotations

from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.limits import finfo

from ._requirements import PROBABILITY
from ._trials import Trials
from .utils import clamp_probs

__all__ = ["RelaxedBernoulli"]


class RelaxedBernoulli(Trials):
    """The distribution of ``sigmoid((logits + L) / temperature)``, where L is logistic.

    Parameters
    ----------
    temperature : Tensor or float
        Greater than 0; the lower, the nearer are samples to 0 and 1.
    probs, logits : float or Tensor, optional
        See `Bernoulli`.
    validate_args : bool, optional
        See `Distribution`.

    Raises
    ------
    ValueError
        See `Bernoulli`.

    Notes
    -----
    It is from Maddison, Mnih and Teh (2017), and Jang, Gu and Poole (2017).
    """

    has_rsample = True
    _support = PROBABILITY

    def __init__(
        self,
        temperature: Tensor | float,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        probs = clamp_probs(self.probs)
        uniform = clamp_probs(T.rand(self._extended_shape(sample_shape), dtype=probs.dtype))
        logistic = uniform.log() - (-uniform).log1p() + probs.log() - (-probs).log1p()
        info = finfo(probs.dtype)
        return T.sigmoid(logistic / self.temperature).clamp(info.tiny, 1 - info.eps)

    def log_prob(self, value: Tensor) -> Tensor:
        self._check_value(value)
        logarithm, other = value.log(), (-value).log1p()
        far = self.logits - (logarithm - other) * self.temperature
        density = far - 2 * T.softplus(far) - logarithm - other
        scale = (
            self.temperature.log()
            if isinstance(self.temperature, Tensor)
            else T.log(T.tensor(self.temperature))
        )
        return density + scale
