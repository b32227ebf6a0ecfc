"""Orthogonal polynomials of a degree that is an operand, by their recurrences.

See Abramowitz and Stegun, Handbook of Mathematical Functions, 22.7. Between -1 and 1 Chebyshev's of higher degrees are
quotients of sines and cosines (22.3.15 and 22.3.16), whose errors do not grow. Degrees are cut to whole numbers; below
0 the value is 0, and where a recurrence would take more than LONGEST turns it is nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .formula import absolute, arccos, cos, like, repeat_while, rint, sin, trunc, where
from .table import elementwise

LONGEST = 2.0**20
WAVES = 8  # degrees above which Chebyshev's are computed from angles


def _degree(n):
    return trunc(n)


def _recur(x, n, second, step):
    """Degree `n` from those of 0, which is 1, and 1, which is `second`.

    ``step(k, x, before, now)`` gives the one of degree k + 1 from those of k - 1 and k. After what is too large for a
    number follows nan, because its sign is not known.
    """
    zero = like(n, 0) + n * 0  # as many as degrees
    one, second = zero + 1, second + zero
    degree = where(n <= LONGEST, n, zero)

    def needed(k, before, now):
        return (k < degree) & (now == now)

    def body(k, before, now):
        more = needed(k, before, now)
        later = step(k, x, before, now)
        return [where(more, k + 1, k), where(more, now, before), where(more, later, now)]

    last = repeat_while(needed, body, [one, one, second])[2]
    found = where(degree < 1, one, last)
    found = where(n <= LONGEST, found, like(n, math.nan))
    return where((x == x) & (n == n), where(n < 0, like(n, 0), found), like(n, math.nan))


def _is_even(n):
    half = n * 0.5
    return half == rint(half)


def _ends(x, n, right, left):
    """Where `x` is 1 or -1, and the values there; `left` is that of even degrees, and those of odd ones."""
    value = where(x > 0, right, where(_is_even(n), left[0], left[1]))
    return (absolute(x) == 1) & (n >= 0), value


def _chebyshev(x, n, second, ends, wave):
    """Chebyshev's polynomials, all of one recurrence; `wave` computes them from the angle whose cosine is `x`."""
    n = _degree(n)
    waving = (absolute(x) < 1) & (n > WAVES)
    angle = arccos(where(waving, x, like(x, 0.5)))
    usual = _recur(where(waving, like(x, 0), x), where(waving, n * 0, n), second(x), _chebyshev_step)
    at_end, end = ends(x, n)
    finite = where(waving, n, n * 0)
    return where(at_end, end, where(waving, wave(angle, finite), usual))


def _chebyshev_step(k, x, before, now):
    return 2 * x * now - before


def _one(n):
    return n * 0 + 1


def chebyshev_t(x, n):
    """Of the first kind: ``cos(n * arccos(x))``."""
    return _chebyshev(
        x, n, lambda x: x, lambda x, n: _ends(x, n, _one(n), (_one(n), -_one(n))), lambda a, n: cos(n * a)
    )


def chebyshev_u(x, n):
    """Of the second kind."""
    return _chebyshev(
        x,
        n,
        lambda x: 2 * x,
        lambda x, n: _ends(x, n, n + 1, (n + 1, -(n + 1))),
        lambda a, n: sin((n + 1) * a) / sin(a),
    )


def chebyshev_v(x, n):
    """Of the third kind."""
    return _chebyshev(
        x,
        n,
        lambda x: 2 * x - 1,
        lambda x, n: _ends(x, n, _one(n), (2 * n + 1, -(2 * n + 1))),
        lambda a, n: cos((n + 0.5) * a) / cos(0.5 * a),
    )


def chebyshev_w(x, n):
    """Of the fourth kind."""
    return _chebyshev(
        x,
        n,
        lambda x: 2 * x + 1,
        lambda x, n: _ends(x, n, 2 * n + 1, (_one(n), -_one(n))),
        lambda a, n: sin((n + 0.5) * a) / sin(0.5 * a),
    )


def hermite_h(x, n):
    """Hermite's, of the physicists."""
    return _recur(x, _degree(n), 2 * x, lambda k, x, before, now: 2 * x * now - 2 * k * before)


def hermite_he(x, n):
    """Hermite's, of the probabilists."""
    return _recur(x, _degree(n), x, lambda k, x, before, now: x * now - k * before)


def laguerre_l(x, n):
    """Laguerre's."""
    return _recur(
        x, _degree(n), 1 - x, lambda k, x, before, now: ((2 * k + 1 - x) * now - k * before) / (k + 1)
    )


def legendre_p(x, n):
    """Legendre's."""
    n = _degree(n)
    usual = _recur(x, n, x, lambda k, x, before, now: ((2 * k + 1) * x * now - k * before) / (k + 1))
    at_end, end = _ends(x, n, _one(n), (_one(n), -_one(n)))
    return where(at_end, end, usual)


def _declare(name: str, function: Callable[[Any, Any], Any], low: float, high: float) -> None:
    samples = {"x": {"low": low, "high": high}, "n": {"low": 0.0, "high": 4.9}}
    elementwise(name, lambda x, n: function(x, n), samples=samples, underivable=True)


def _declare_chebyshev(kind: str, function: Callable[[Any, Any], Any]) -> None:
    _declare(f"chebyshev_polynomial_{kind}", function, -1.2, 1.2)
    _declare(f"shifted_chebyshev_polynomial_{kind}", lambda x, n: function(2 * x - 1, n), -0.1, 1.1)


for _kind, _function in (("t", chebyshev_t), ("u", chebyshev_u), ("v", chebyshev_v), ("w", chebyshev_w)):
    _declare_chebyshev(_kind, _function)
_declare("hermite_polynomial_h", hermite_h, -1.0, 1.0)
_declare("hermite_polynomial_he", hermite_he, -1.0, 1.0)
_declare("laguerre_polynomial_l", laguerre_l, -1.0, 3.0)
_declare("legendre_polynomial_p", legendre_p, -1.2, 1.2)
