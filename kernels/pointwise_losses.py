"""Elementwise parts of losses: how far each prediction is from its target, before any mean."""

from __future__ import annotations

from .elementwise import masked, sign_of
from .formula import absolute, like, log, log1p, maximum, sigmoid, softplus, where
from .table import elementwise

PROBABILITY = {"low": 0.05, "high": 0.95}
LOG_FLOOR = -100.0  # PyTorch keeps the logarithms of binary cross-entropy above this
BCE_EPSILON = 9.999999960041972e-13  # 1e-12 in float32, as in PyTorch, also for float64


def _log_floored(p):
    return maximum(log(p), like(p, LOG_FLOOR))


def _log1p_floored(p):
    return maximum(log1p(-p), like(p, LOG_FLOOR))


def _smooth(x, y, beta):
    d = absolute(x - y)
    return where(d < beta, 0.5 * (d * d) / beta, d - 0.5 * beta)


def _smooth_slope(x, y, beta):
    d = x - y
    return where(absolute(d) < beta, d / beta, sign_of(d))


def _huber(x, y, delta):
    d = absolute(x - y)
    return where(d <= delta, 0.5 * (d * d), delta * (d - 0.5 * delta))


def _huber_slope(x, y, delta):
    d = x - y
    return where(absolute(d) <= delta, d, delta * sign_of(d))


elementwise(
    "squared_error",
    lambda x, t: (x - t) * (x - t),
    x=lambda x, t, g: 2 * (x - t) * g,
    t=lambda x, t, g: -2 * (x - t) * g,
)
elementwise(
    "absolute_error",
    lambda x, t: absolute(x - t),
    x=lambda x, t, g: g * sign_of(x - t),
    t=lambda x, t, g: -g * sign_of(x - t),
)
elementwise(
    "smooth_l1",
    lambda x, t, beta: _smooth(x, t, beta),
    attributes=("beta",),
    x=lambda x, t, g, beta: g * _smooth_slope(x, t, beta),
    t=lambda x, t, g, beta: -g * _smooth_slope(x, t, beta),
    samples={"beta": 0.7},
)
elementwise(
    "huber",
    lambda x, t, delta: _huber(x, t, delta),
    attributes=("delta",),
    x=lambda x, t, g, delta: g * _huber_slope(x, t, delta),
    t=lambda x, t, g, delta: -g * _huber_slope(x, t, delta),
    samples={"delta": 0.7},
)
elementwise(
    "bce",
    lambda p, t: (t - 1) * _log1p_floored(p) - t * _log_floored(p),
    p=lambda p, t, g: g * (p - t) / maximum((1 - p) * p, like(p, BCE_EPSILON)),
    t=lambda p, g: g * (_log1p_floored(p) - _log_floored(p)),
    samples={"p": PROBABILITY, "t": PROBABILITY},
)
elementwise(
    "bce_with_logits",
    lambda x, t: softplus(x) - x * t,
    x=lambda x, t, g: g * (sigmoid(x) - t),
    t=lambda x, g: -g * x,
)
elementwise(
    "kl_div_pointwise",
    lambda logp, q: where(q > 0, q * (log(q) - logp), -q * logp),
    logp=lambda q, g: -g * q,
    q=lambda logp, q, g: masked(q > 0, g * (log(q) + 1 - logp)),
    samples={"q": PROBABILITY},
)
