"""The Airy function Ai.

From -4 to 2 a polynomial in ``(x + 1) / 3``. Beyond, with ``z = 2 / 3 * |x|**1.5`` (Abramowitz and Stegun, Handbook of
Mathematical Functions, 10.4.59 and 10.4.60): above, ``exp(z) x**(1/4) Ai(x)`` is a polynomial in 1 / z, and below the
wave's two parts are polynomials in ``1 / z**2``. All were fitted at the zeros of Chebyshev polynomials.
"""

from __future__ import annotations

import math

from .formula import cos, exp, like, sin, sqrt, where
from .special_bessel import polynomial
from .table import elementwise

LEFT, RIGHT = -4.0, 2.0
Z_LEFT, Z_RIGHT = (2 / 3 * abs(x) ** 1.5 for x in (LEFT, RIGHT))
AIRY_MIDDLE = (
    0.5355608832923521,
    -0.030481701349935518,
    -2.4100239748155845,
    2.45574652684047,
    1.738934153074326,
    -4.358618303078402,
    1.6884916282343785,
    2.051875877617018,
    -2.3728414078121514,
    0.37669987612774675,
    0.8528469041153786,
    -0.6132456100953199,
    0.01890359448929538,
    0.18298768302943746,
    -0.09191078854232448,
    -0.005411907421033433,
    0.02403276302266418,
    -0.008944316566560384,
    -0.001184352339191269,
    0.0021324799755411887,
    -0.000607494333250199,
    -0.00012151208173716436,
    0.00013649715102700242,
    -3.0593233722064465e-05,
    -8.205752997713773e-06,
    6.855006558696347e-06,
    -1.1317719509106102e-06,
    -5.327418162824017e-07,
    2.46564165796707e-07,
    9.65803696882359e-09,
    -1.583914458741765e-08,
)
# in 2 * Z_RIGHT / z - 1
AIRY_RIGHT = (
    0.2774908024616546,
    -0.004122380595849576,
    0.00039865677489458394,
    -6.427592276898869e-05,
    1.3671255956557227e-05,
    -3.4851094608657497e-06,
    1.0121089942839848e-06,
    -3.246961612429351e-07,
    1.1275577071064085e-07,
    -4.179946859531672e-08,
    1.6367236117824575e-08,
    -6.656993403902761e-09,
    2.8166320000272914e-09,
    -1.3868474454024882e-09,
    6.818549500561053e-10,
    -7.946571429532446e-11,
    -2.1434131696095418e-11,
    -2.575957215893433e-10,
    1.749196885799203e-10,
    9.790281814621758e-11,
    -7.049891461629668e-11,
    -3.743567697788753e-11,
    2.375331300539151e-11,
)
# in 2 * (Z_LEFT / z)**2 - 1; the second is divided by z
AIRY_P = (
    0.999363720981151,
    -0.0006209941418019416,
    1.4258707706651875e-05,
    -9.054529720196242e-07,
    1.0042136705887986e-07,
    -1.5925134157474398e-08,
    3.2419573130647253e-09,
    -7.938135001056149e-10,
    2.225650861541687e-10,
    -6.96436403087975e-11,
    2.705853629796065e-11,
    -1.1002442862433134e-11,
    9.305121270486023e-13,
    2.2103630245487498e-13,
    2.0179198677608532e-12,
    -1.0992152516140823e-12,
)
AIRY_Q = (
    0.0688085741766544,
    -0.0006071316848869089,
    2.6011127080597532e-05,
    -2.3247007302733242e-06,
    3.2297389410734727e-07,
    -6.030167966064036e-08,
    1.3918242143430164e-08,
    -3.768710626282985e-09,
    1.1551390998974295e-09,
    -3.910583782107902e-10,
    1.469834576757439e-10,
    -5.953716438186271e-11,
    1.8107393466990405e-11,
    -5.50298739759466e-12,
    1.2041842730325687e-11,
    -8.06512370844302e-12,
    -4.055195126799021e-12,
    3.246731273922323e-12,
    2.0674557768867713e-12,
    -1.3647556331014607e-12,
)


def airy_ai(x):
    """The function that decays to the right; 0 at infinity, where it is too small for a number before."""
    left, right = x < LEFT, x > RIGHT
    above = where(right, x, like(x, RIGHT))
    z = (2 / 3) * above * sqrt(above)
    decaying = exp(-z) * polynomial(2 * Z_RIGHT / z - 1, AIRY_RIGHT) / sqrt(sqrt(above))
    below = where(left, -x, like(x, -LEFT))
    z = (2 / 3) * below * sqrt(below)
    t = Z_LEFT / z
    t = 2 * t * t - 1
    s, c = sin(z), cos(z)
    p, q = polynomial(t, AIRY_P), polynomial(t, AIRY_Q) / z
    wave = ((s + c) * p + (s - c) * q) / (math.sqrt(2 * math.pi) * sqrt(sqrt(below)))
    middle = polynomial((where(left | right, like(x, 0), x) + 1) * (1 / 3), AIRY_MIDDLE)
    return where(left, wave, where(right, decaying, middle))


elementwise("airy_ai", lambda x: airy_ai(x), samples={"x": {"low": -5.0, "high": 5.0}}, underivable=True)
