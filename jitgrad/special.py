"""``torch.special``: special functions under SciPy's names."""

from __future__ import annotations

import math

from . import functions as T
from ._tensor import Tensor
from .functions._call import two_operands, unary
from .functions._out import takes_out

__all__ = ["digamma", "entr", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
           "i0", "i0e", "i1", "i1e", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "multigammaln", "ndtr",
           "ndtri", "polygamma", "psi", "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta"]  # fmt: skip

digamma = psi = T.digamma
erf, erfc, erfinv = T.erf, T.erfc, T.erfinv
exp2, expm1, log1p = T.exp2, T.expm1, T.log1p
expit, logit = T.sigmoid, T.logit
gammaln = T.lgamma
gammainc, gammaincc = T.igamma, T.igammac
log_softmax, softmax, logsumexp = T.log_softmax, T.softmax, T.logsumexp
round, sinc, xlogy = T.round, T.sinc, T.xlogy
i0, i0e, i1, i1e = T.i0, unary("i0e", out=True), unary("i1", out=True), unary("i1e", out=True)
polygamma, multigammaln = T.polygamma, T.mvlgamma
entr = unary("entr", out=True)
entr.__doc__ = "``-x * log(x)``, elementwise: 0 at 0 and -inf below."
ndtri = unary("ndtri", out=True)
ndtri.__doc__ = "The inverse of `ndtr`, elementwise: -inf at 0, inf at 1 and nan outside."
xlog1py = takes_out(
    two_operands("xlog1py", "``input * log1p(other)``: zero where `input` is, unless `other` is nan")
)
zeta = takes_out(
    two_operands(
        "zeta",
        "The sum of ``(other + k)**-input`` over k = 0, 1, ... (Hurwitz), "
        "nan where `other` is below zero and no whole number",
    )
)

_ROOT_HALF = math.sqrt(0.5)
_FAR = -5.0  # below, the tail of the normal distribution is summed as a continued fraction
_TERMS = 24  # of that fraction: enough for float64 at _FAR


@takes_out
def ndtr(input: Tensor) -> Tensor:
    """The standard normal distribution function: ``erfc(-x / sqrt(2)) / 2``, which keeps its digits far below 0."""
    return erfc(input * -_ROOT_HALF) * 0.5  # type: ignore[operator]


@takes_out
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
    above = input > 1
    near = T.log(ndtr(T.where(far | above, 0.0, input)))
    # little is missing from one: what is missing keeps its digits
    return T.where(far, tail, T.where(above, T.log1p(-ndtr(-T.where(above, input, 0.0))), near))
