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
log_ndtr = unary("log_ndtr", out=True)
log_ndtr.__doc__ = "The logarithm of `ndtr`, elementwise, also where that is too small for a number."
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


@takes_out
def ndtr(input: Tensor) -> Tensor:
    """The standard normal distribution function: ``erfc(-x / sqrt(2)) / 2``, which keeps its digits far below 0."""
    return erfc(input * -_ROOT_HALF) * 0.5  # type: ignore[operator]
