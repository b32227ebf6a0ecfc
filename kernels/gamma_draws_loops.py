"""The loops of `kernels.gamma_draws`, for Numba. All of them compute in float64."""

from __future__ import annotations

import math
from typing import Any

from .abi import ARRAY_DIMS, ARRAY_NUMEL, INT64
from .plain import accessors, address_of, described, helper, place, share_of, word

GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)  # of splitmix64 (Steele, Lea and Flood, 2014)
MIX = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))
LOW_34, LOW_37, LOW_33 = (1 << 34) - 1, (1 << 37) - 1, (1 << 33) - 1  # what a logical shift leaves
LOW_53 = (1 << 53) - 1
MANY = 1e8  # from this variance on, counts are rounded normal numbers
STIRLING = 16.0  # from here on, a factorial by Stirling's series
NODES, FIRST, STEP = 105, -3.5, 1 / 14  # of the integral in `log_gamma_slope`
TERMS = 100_000  # of a series, at most
TINY = 1e-300
EPSILON = 2.0**-53


# one generator for each element ---------------------------------------------------------------------


@helper
def uniform(state):
    """Number `state` of a stream as a number in (0, 1)."""
    z = state * GOLDEN
    z = (z ^ ((z >> 30) & LOW_34)) * MIX[0]
    z = (z ^ ((z >> 27) & LOW_37)) * MIX[1]
    z = z ^ ((z >> 31) & LOW_33)
    return (float((z >> 11) & LOW_53) + 0.5) * EPSILON


@helper
def normal(state):
    """A normal number of two uniform ones (Box and Muller, 1958)."""
    return math.sqrt(-2.0 * math.log(uniform(state))) * math.cos(2.0 * math.pi * uniform(state + 1))


# gamma ----------------------------------------------------------------------------------------------


@helper
def log_gamma_of(alpha, state):
    """The logarithm of a gamma number (Marsaglia and Tsang, A simple method for generating gamma variables, 2000)."""
    if not alpha > 0.0:
        return math.nan
    boost = 0.0
    if alpha < 1.0:
        boost = math.log(uniform(state)) / alpha
        alpha += 1.0
    d = alpha - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x, u = normal(state + 1), uniform(state + 3)
        state += 3
        root = 1.0 + c * x
        if root > 0.0:
            v = root * root * root
            if math.log(u) < 0.5 * x * x + d - d * v + d * math.log(v):
                return math.log(d * v) + boost


@helper
def digamma_of(x):
    """The derivative of the logarithm of the gamma function for x > 0 (Abramowitz and Stegun, 6.3.5 and 6.3.18)."""
    shifted = 0.0
    while x < 10.0:
        shifted -= 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    series = 1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132)))
    return shifted + math.log(x) - 0.5 / x - square * series


@helper
def log_gamma_slope(alpha, logarithm):
    """The derivative for alpha of the logarithm of a gamma number z that stays at its quantile.

    The implicit derivative (Figurnov, Mohamed and Mnih, 2018): the integral of ``(digamma(alpha) - log t) f(t)``
    from 0 to z, divided by ``z f(z)``, with the density f; or that of its negative from z on. With
    ``t = z exp(-+y)`` and ``y = width exp(s - exp(-s))`` it is a sum over equal steps of s (Takahasi and Mori,
    1974).
    """
    z = math.exp(logarithm)
    below = z <= max(alpha, 1.0)
    if z <= 1.0:
        width = 1.0 / alpha
    elif below:
        width = 1.0 / (alpha - z + math.sqrt(z))
    else:
        width = 1.0 / (z - alpha + math.sqrt(z))
    sign = 1.0 if below else -1.0
    start = digamma_of(alpha) - logarithm
    total = 0.0
    for k in range(NODES):
        s = FIRST + k * STEP
        inverse = math.exp(-s)
        y = width * math.exp(s - inverse)
        exponent = -z * math.expm1(-sign * y) - sign * alpha * y
        if exponent > -745.0:
            total += (sign * start + y) * math.exp(exponent) * y * (1.0 + inverse)
    return total * STEP


# counts ---------------------------------------------------------------------------------------------


@helper
def poisson_peak(rate, mode):
    """The probability of the whole number next below the rate."""
    if mode < STIRLING:
        return math.exp((mode * math.log(rate) if mode > 0.0 else 0.0) - rate - math.lgamma(mode + 1.0))
    rest = rate - mode
    square = 1.0 / (mode * mode)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / mode
    return math.exp(mode * math.log1p(rest / mode) - rest - series) / math.sqrt(2.0 * math.pi * mode)


@helper
def poisson_of(rate, state):
    """A Poisson number: a uniform one is used up by probabilities, from the largest outwards."""
    if not (rate >= 0.0 and rate < math.inf):
        return math.nan
    if rate == 0.0:
        return 0.0
    if rate > MANY:
        return max(math.floor(rate + math.sqrt(rate) * normal(state) + 0.5), 0.0)
    mode = math.floor(rate)
    above = below = poisson_peak(rate, mode)
    left, k = uniform(state) - above, 0.0
    while left >= 0.0 and (above > TINY or below > TINY):
        k += 1.0
        above *= rate / (mode + k)
        left -= above
        if left < 0.0:
            return mode + k
        below *= (mode - k + 1.0) / rate if k <= mode else 0.0
        left -= below
        if left < 0.0:
            return mode - k
    return mode


@helper
def binomial_of(count, prob, state):
    """A binomial number, in the same way; its ratios of probabilities are those of successive terms."""
    if not (count >= 0.0 and prob >= 0.0 and prob <= 1.0):
        return math.nan
    if prob == 0.0 or count == 0.0:
        return 0.0
    if prob == 1.0:
        return count
    spread = count * prob * (1.0 - prob)
    if spread > MANY:
        return min(max(math.floor(count * prob + math.sqrt(spread) * normal(state) + 0.5), 0.0), count)
    mode = min(math.floor((count + 1.0) * prob), count)
    odds = prob / (1.0 - prob)
    choices = math.lgamma(count + 1.0) - math.lgamma(mode + 1.0) - math.lgamma(count - mode + 1.0)
    above = below = math.exp(choices + mode * math.log(prob) + (count - mode) * math.log1p(-prob))
    left, k = uniform(state) - above, 0.0
    while left >= 0.0 and (above > TINY or below > TINY):
        k += 1.0
        above *= (count - mode - k + 1.0) / (mode + k) * odds if mode + k <= count else 0.0
        left -= above
        if left < 0.0:
            return mode + k
        below *= (mode - k + 1.0) / (count - mode + k) / odds if k <= mode else 0.0
        left -= below
        if left < 0.0:
            return mode - k
    return mode


# incomplete gamma functions -------------------------------------------------------------------------


@helper
def density_times_x(a, x):
    """``x**a exp(-x) / gamma(a)``."""
    if a < STIRLING:
        return math.exp(a * math.log(x) - x - math.lgamma(a))
    d = (x - a) / a
    square = 1.0 / (a * a)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / a
    logarithm = math.log1p(d) - d if d > -0.5 else math.log(x / a) - d
    return math.exp(a * logarithm - series) * math.sqrt(a / (2.0 * math.pi))


@helper
def incomplete_gamma(a, x, lower):
    """The regularised incomplete gamma functions: a series below a, a continued fraction above.

    Abramowitz and Stegun, 6.5.29 and 6.5.31, the fraction by Lentz's method.
    """
    if not (a >= 0.0 and x >= 0.0) or (a == 0.0 and x == 0.0) or (a == math.inf and x == math.inf):
        return math.nan
    if x == 0.0 or a == math.inf:
        return 0.0 if lower else 1.0
    if a == 0.0 or x == math.inf:
        return 1.0 if lower else 0.0
    front = density_times_x(a, x)
    if x < a + 1.0:
        term = total = 1.0 / a
        for k in range(1, TERMS):
            term *= x / (a + k)
            total += term
            if term < total * EPSILON:
                break
        found = front * total
        return found if lower else 1.0 - found
    b = x + 1.0 - a
    c, d = 1.0 / TINY, 1.0 / b
    fraction = d
    for k in range(1, TERMS):
        factor = k * (a - k)
        b += 2.0
        d = factor * d + b
        d = 1.0 / (d if abs(d) > TINY else TINY)
        c = b + factor / c
        c = c if abs(c) > TINY else TINY
        fraction *= d * c
        if abs(d * c - 1.0) < 2.0 * EPSILON:
            break
    found = front * fraction
    return 1.0 - found if lower else found


# kernels --------------------------------------------------------------------------------------------


def _draw(dtype: int, of: Any) -> Any:
    """The kernel of a draw with one parameter; arrays parameter, seed, y."""
    load, store = accessors(dtype)
    load_seed, _ = accessors(INT64)

    def kernel(record, part, parts):
        parameter, seed, y = address_of(record, 0), address_of(record, 1), address_of(record, 2)
        begin, end = share_of(word(described(record, 2), ARRAY_NUMEL), part, parts)
        for i in range(begin, end):
            store(y, i, of(float(load(parameter, i)), load_seed(seed, i)))

    return kernel


def log_gamma_draw(dtype: int) -> Any:
    """Logarithms of gamma numbers."""
    return _draw(dtype, log_gamma_of)


def poisson_draw(dtype: int) -> Any:
    """Poisson numbers."""
    return _draw(dtype, poisson_of)


def binomial_draw(dtype: int) -> Any:
    """Binomial numbers; arrays count, prob, seed, y."""
    load, store = accessors(dtype)
    load_seed, _ = accessors(INT64)

    def kernel(record, part, parts):
        count, prob, seed = address_of(record, 0), address_of(record, 1), address_of(record, 2)
        y = address_of(record, 3)
        begin, end = share_of(word(described(record, 3), ARRAY_NUMEL), part, parts)
        for i in range(begin, end):
            store(y, i, binomial_of(float(load(count, i)), float(load(prob, i)), load_seed(seed, i)))

    return kernel


def log_gamma_draw_backward(dtype: int) -> Any:
    """The implicit derivative times the cotangent; arrays alpha, seed, y, g, gradient, -."""
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        alpha, y, gradient = address_of(record, 0), address_of(record, 2), address_of(record, 4)
        g, cotangent = described(record, 3), address_of(record, 3)
        begin, end = share_of(word(g, ARRAY_NUMEL), part, parts)
        for i in range(begin, end):
            slope = log_gamma_slope(float(load(alpha, i)), float(load(y, i)))
            store(gradient, i, slope * load(cotangent, place(g, word(g, ARRAY_DIMS), i)))

    return kernel


def _incomplete(dtype: int, lower: bool) -> Any:
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        a, x, y = address_of(record, 0), address_of(record, 1), address_of(record, 2)
        begin, end = share_of(word(described(record, 2), ARRAY_NUMEL), part, parts)
        for i in range(begin, end):
            store(y, i, incomplete_gamma(float(load(a, i)), float(load(x, i)), lower))

    return kernel


def gammainc(dtype: int) -> Any:
    """The lower function; arrays a, x, y."""
    return _incomplete(dtype, True)


def gammaincc(dtype: int) -> Any:
    """The upper function; arrays a, x, y."""
    return _incomplete(dtype, False)


def _incomplete_backward(dtype: int, sign: float) -> Any:
    """The density, for x; arrays a, x, -, g, -, gradient."""
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        a, x, gradient = address_of(record, 0), address_of(record, 1), address_of(record, 5)
        g, cotangent = described(record, 3), address_of(record, 3)
        begin, end = share_of(word(g, ARRAY_NUMEL), part, parts)
        for i in range(begin, end):
            at = float(load(x, i))
            shape = float(load(a, i))
            density = math.exp((shape - 1.0) * math.log(at) - at - math.lgamma(shape)) if at > 0.0 else 0.0
            if at == 0.0 and shape <= 1.0:
                density = 1.0 if shape == 1.0 else math.inf
            store(gradient, i, sign * density * load(cotangent, place(g, word(g, ARRAY_DIMS), i)))

    return kernel


def gammainc_backward(dtype: int) -> Any:
    """Back through the lower function."""
    return _incomplete_backward(dtype, 1.0)


def gammaincc_backward(dtype: int) -> Any:
    """Back through the upper function."""
    return _incomplete_backward(dtype, -1.0)
