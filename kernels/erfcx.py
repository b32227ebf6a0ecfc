"""``exp(x * x) * erfc(x)``, which neither underflows nor loses digits far to the right.

``(1 + 2 x)`` times it is a polynomial in ``(x - 3.75) / (x + 3.75)`` for all x >= 0 (the way of Shepherd and
Laframboise, Chebyshev approximation of (1 + 2x) exp(x**2) erfc(x), 1981), here fitted at the zeros of a Chebyshev
polynomial. Below zero it is ``2 exp(x * x)`` minus that of -x.
"""

from __future__ import annotations

import math

from .formula import absolute, exp, like, rint, where
from .special_bessel import polynomial
from .table import elementwise

MIDDLE = 3.75
ERFCX = (
    1.2375126308378275,
    -0.14024059858554697,
    0.0035854154854790257,
    0.0822767384901452,
    -0.10880393014244462,
    0.09230432116037748,
    -0.05869339857664934,
    0.028362277418956406,
    -0.009746579683265266,
    0.001755625852895282,
    0.00029371437804497064,
    -0.0002901540805407852,
    5.164652974173736e-05,
    2.238423915493027e-05,
    -1.1438048033278609e-05,
    -9.735598964706798e-07,
    1.7419821585417706e-06,
    -5.72182309053496e-08,
    -2.485712624214141e-07,
    2.3263508923151872e-08,
    3.197926669269e-08,
    -3.744210167192533e-09,
    -2.6231073429402633e-09,
    3.111433531196204e-10,
)


def erfcx(x):
    """The scaled complement of the error function; infinite far to the left."""
    size = absolute(x)
    right = polynomial(1 - 2 * MIDDLE / (size + MIDDLE), ERFCX) / (1 + 2 * size)
    left = where(x < 0, x, like(x, 0))
    left = where(left < -30, like(x, -30), left)  # infinite from -27 on
    coarse = rint(16 * left) * (1 / 16)  # its square needs no rounding
    power = exp(coarse * coarse) * exp((left - coarse) * (left + coarse))
    return where(x < 0, 2 * power - right, where(x == 0, like(x, 1), right))


elementwise(
    "erfcx",
    lambda x: erfcx(x),
    x=lambda x, y, g: g * (2 * x * y - 2 / math.sqrt(math.pi)),
    samples={"x": {"low": -2.0, "high": 4.0}},
)
