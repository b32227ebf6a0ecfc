"""``torch.special``: special functions under SciPy's names."""

from __future__ import annotations

import math

from . import functions as T
from ._tensor import Tensor

__all__ = ["digamma", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
           "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "ndtr", "ndtri", "psi", "round", "sinc", "softmax",
           "xlogy"]  # fmt: skip

digamma = psi = T.digamma
erf, erfc, erfinv = T.erf, T.erfc, T.erfinv
exp2, expm1, log1p = T.exp2, T.expm1, T.log1p
expit, logit = T.sigmoid, T.logit
gammaln = T.lgamma
gammainc, gammaincc = T.igamma, T.igammac
log_softmax, softmax, logsumexp = T.log_softmax, T.softmax, T.logsumexp
round, sinc, xlogy = T.round, T.sinc, T.xlogy

_ROOT_HALF = math.sqrt(0.5)
_FAR = -5.0  # below, the tail of the normal distribution is summed as a continued fraction
_TERMS = 24  # of that fraction: enough for float64 at _FAR


def ndtr(input: Tensor) -> Tensor:
    """The standard normal distribution function: ``erfc(-x / sqrt(2)) / 2``, which keeps its digits far below 0."""
    return erfc(input * -_ROOT_HALF) * 0.5  # type: ignore[operator]


def ndtri(input: Tensor) -> Tensor:
    """The inverse of `ndtr`: ``sqrt(2) erfinv(2 p - 1)``."""
    return math.sqrt(2) * erfinv(2 * input - 1)  # type: ignore[operator]


def log_ndtr(input: Tensor) -> Tensor:
    """The logarithm of `ndtr`, also where that is too small for a number.

    Far below zero ``ndtr(x) = phi(x) / (-x + 1 / (-x + 2 / (-x + 3 / ...)))`` with the normal density phi
    (Abramowitz and Stegun, 26.2.14).
    """
    far = input < _FAR
    x = -T.where(far, input, _FAR)
    fraction = x
    for k in range(_TERMS, 0, -1):
        fraction = x + k / fraction
    tail = -0.5 * x * x - math.log(math.sqrt(2 * math.pi)) - T.log(fraction)
    return T.where(far, tail, T.log(ndtr(T.where(far, 0.0, input))))
