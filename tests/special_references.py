"""Special functions in NumPy, written down apart from their formulas: integrals, and NumPy's polynomials."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.polynomial import chebyshev, hermite, hermite_e, laguerre, legendre

NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


def _integral(f: Callable, end: float, x) -> np.ndarray:
    """Of ``f(t, x)`` over t from 0 to `end`, for every x."""
    x = np.asarray(x, float)
    t = (NODES + 1) * (end / 2)
    return (f(t, x[..., None]) * WEIGHTS).sum(-1) * (end / 2)


def _first(order: int) -> Callable:
    """Abramowitz and Stegun, 9.1.21."""
    return lambda x: _integral(lambda t, x: np.cos(order * t - x * np.sin(t)), math.pi, x) / math.pi


def _second(order: int) -> Callable:
    """Abramowitz and Stegun, 9.1.22, for x from 0.2 on."""

    def wave(t, x):
        return np.sin(x * np.sin(t) - order * t)

    def tail(t, x):
        return (np.exp(order * t) + (-1) ** order * np.exp(-order * t)) * np.exp(-x * np.sinh(t))

    return lambda x: (_integral(wave, math.pi, x) - _integral(tail, 7.0, x)) / math.pi


def _decaying(order: int, scaled: bool) -> Callable:
    """Abramowitz and Stegun, 9.6.24, for x from 0.2 on."""

    def f(t, x):
        return np.exp(-x * (np.cosh(t) - scaled)) * np.cosh(order * t)

    return lambda x: _integral(f, 7.0, x)


def _airy(x) -> np.ndarray:
    """Abramowitz and Stegun, 10.4.32, along a line in the complex plane where nothing oscillates much."""
    turn = np.exp(1j * math.pi / 6)

    def f(t, x):
        return (turn * np.exp(-(t**3) / 3 + 1j * turn * x * t)).real

    return _integral(f, 12.0, x) / math.pi


def _erfcx(x) -> np.ndarray:
    x = np.asarray(x, float)
    return np.vectorize(lambda v: math.exp(v * v) * math.erfc(v), otypes=[float])(x) if x.size else x


def _of_degree(value: Callable) -> Callable:
    """A polynomial with the degrees as an operand."""

    def reference(x, n):
        x, n = np.broadcast_arrays(np.asarray(x, float), np.trunc(n))
        found = np.empty(x.shape)
        for k in np.unique(n):
            found[n == k] = value(x[n == k], int(k))
        return found

    return reference


def _series(evaluate: Callable) -> Callable:
    return lambda x, n: evaluate(x, [0.0] * n + [1.0])


def _chebyshev_u(x, n: int):
    """The sum of every other one of the first kind, twice, but once that of degree 0."""
    return (
        sum((1 if k == 0 else 2) * chebyshev.chebval(x, [0.0] * k + [1.0]) for k in range(n, -1, -2)) + 0 * x
    )


CHEBYSHEV = {
    "t": _series(chebyshev.chebval),
    "u": _chebyshev_u,
    "v": lambda x, n: _chebyshev_u(x, n) - _chebyshev_u(x, n - 1),
    "w": lambda x, n: _chebyshev_u(x, n) + _chebyshev_u(x, n - 1),
}
# of an array and a degree
POLYNOMIALS: dict[str, Callable] = {
    **{f"chebyshev_polynomial_{kind}": f for kind, f in CHEBYSHEV.items()},
    **{f"shifted_chebyshev_polynomial_{k}": lambda x, n, f=f: f(2 * x - 1, n) for k, f in CHEBYSHEV.items()},
    "hermite_polynomial_h": _series(hermite.hermval),
    "hermite_polynomial_he": _series(hermite_e.hermeval),
    "laguerre_polynomial_l": _series(laguerre.lagval),
    "legendre_polynomial_p": _series(legendre.legval),
}
SPECIAL: dict[str, Callable] = {
    "airy_ai": _airy,
    "bessel_j0": _first(0),
    "bessel_j1": _first(1),
    "bessel_y0": _second(0),
    "bessel_y1": _second(1),
    "erfcx": _erfcx,
    "modified_bessel_k0": _decaying(0, False),
    "modified_bessel_k1": _decaying(1, False),
    "scaled_modified_bessel_k0": _decaying(0, True),
    "scaled_modified_bessel_k1": _decaying(1, True),
    "spherical_bessel_j0": lambda x: np.sinc(np.asarray(x) / math.pi),
    **{name: _of_degree(value) for name, value in POLYNOMIALS.items()},
}
