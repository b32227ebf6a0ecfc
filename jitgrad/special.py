"""``torch.special``: special functions under SciPy's names."""

from __future__ import annotations

import math
from typing import Any

from . import functions as T
from ._tensor import Tensor
from .functions._call import two_operands, unary
from .functions._out import takes_out

__all__ = ["airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t",
           "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf",
           "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln",
           "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e", "laguerre_polynomial_l",
           "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "modified_bessel_i0",
           "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln", "ndtr", "ndtri",
           "polygamma", "psi", "round", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
           "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
           "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy",
           "zeta"]  # fmt: skip

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
erfcx = unary("erfcx", out=True)
erfcx.__doc__ = (
    "``exp(x * x) * erfc(x)``, elementwise, also where the factors are too large and too small for numbers."
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


# without derivatives, as in PyTorch ---------------------------------------------------------------------

_UNDERIVABLE = "A walk back through it is an error: its derivative is not there. Integers become floats."


def _special(name: str, summary: str) -> Any:
    """A function of one tensor that has no derivative."""
    function = unary(name, out=True)
    function.__doc__ = f"{summary}, elementwise.\n\n{_UNDERIVABLE}\n"
    return function


airy_ai = _special("airy_ai", "The Airy function Ai")
bessel_j0 = _special("bessel_j0", "The Bessel function of the first kind of order 0")
bessel_j1 = _special("bessel_j1", "The Bessel function of the first kind of order 1")
bessel_y0 = _special("bessel_y0", "The Bessel function of the second kind of order 0, nan below 0")
bessel_y1 = _special("bessel_y1", "The Bessel function of the second kind of order 1, nan below 0")
modified_bessel_i0, modified_bessel_i1 = i0, i1
modified_bessel_k0 = _special(
    "modified_bessel_k0", "The modified Bessel function of the second kind of order 0"
)
modified_bessel_k1 = _special(
    "modified_bessel_k1", "The modified Bessel function of the second kind of order 1"
)
scaled_modified_bessel_k0 = _special("scaled_modified_bessel_k0", "``exp(x)`` times `modified_bessel_k0`")
scaled_modified_bessel_k1 = _special("scaled_modified_bessel_k1", "``exp(x)`` times `modified_bessel_k1`")
spherical_bessel_j0 = _special("spherical_bessel_j0", "``sin(x) / x``, which is 1 at 0")


def _polynomial(name: str, summary: str) -> Any:
    """A polynomial whose degree is an operand."""
    run = two_operands(name)

    def function(x: Any, n: Any) -> Tensor:
        return run(x, n)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}, elementwise.

    Parameters
    ----------
    x, n : Tensor or number
        Where to evaluate it, and of which degree; one of both is a tensor, and they broadcast. Degrees are cut to
        whole numbers; of one below 0 the value is 0, and of one above 2**20, unless it is computed from an angle, nan.

    Notes
    -----
    {_UNDERIVABLE}
    """
    return takes_out(function)


chebyshev_polynomial_t = _polynomial("chebyshev_polynomial_t", "Chebyshev's polynomial of the first kind")
chebyshev_polynomial_u = _polynomial("chebyshev_polynomial_u", "Chebyshev's polynomial of the second kind")
chebyshev_polynomial_v = _polynomial("chebyshev_polynomial_v", "Chebyshev's polynomial of the third kind")
chebyshev_polynomial_w = _polynomial("chebyshev_polynomial_w", "Chebyshev's polynomial of the fourth kind")
shifted_chebyshev_polynomial_t = _polynomial(
    "shifted_chebyshev_polynomial_t", "Chebyshev's polynomial of the first kind at ``2 * x - 1``"
)
shifted_chebyshev_polynomial_u = _polynomial(
    "shifted_chebyshev_polynomial_u", "Chebyshev's polynomial of the second kind at ``2 * x - 1``"
)
shifted_chebyshev_polynomial_v = _polynomial(
    "shifted_chebyshev_polynomial_v", "Chebyshev's polynomial of the third kind at ``2 * x - 1``"
)
shifted_chebyshev_polynomial_w = _polynomial(
    "shifted_chebyshev_polynomial_w", "Chebyshev's polynomial of the fourth kind at ``2 * x - 1``"
)
hermite_polynomial_h = _polynomial("hermite_polynomial_h", "Hermite's polynomial of the physicists")
hermite_polynomial_he = _polynomial("hermite_polynomial_he", "Hermite's polynomial of the probabilists")
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l", "Laguerre's polynomial")
legendre_polynomial_p = _polynomial("legendre_polynomial_p", "Legendre's polynomial")
