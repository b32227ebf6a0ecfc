"""Activation functions, with PyTorch's definitions and parameter names."""

from __future__ import annotations

import math

from .elementwise import masked
from .formula import (
    absolute,
    decay_below,
    exp,
    expm1,
    expm1_below,
    gelu_slope,
    like,
    maximum,
    minimum,
    normal_cdf,
    sigmoid,
    softplus,
    tanh,
    where,
)
from .table import NUMBERS, elementwise

AWAY = {"x": {"away": 0.15}}

# constants of Klambauer et al., Self-Normalizing Neural Networks, 2017
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


def _within(x, lambd):
    return (x >= -lambd) & (x <= lambd)


def _gelu_inner(x):
    return SQRT_2_OVER_PI * (x + GELU_CUBIC * (x * x * x))


# an activation and its slope, where they take the same costly function of x


def _gelu_tanh(x):
    t = tanh(_gelu_inner(x))
    inner_slope = SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * (x * x))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner_slope


def _silu(x):
    s = sigmoid(x)
    return x * s, s * (1 + x * (1 - s))


def _mish(x):
    t = tanh(softplus(x))
    return x * t, t + x * sigmoid(x) * (1 - t * t)


elementwise(
    "relu",
    lambda x: maximum(x, like(x, 0)),
    x=lambda y, g: masked(~(y <= 0), g),  # at nan the gradient passes, as the nan itself does
    dtypes=NUMBERS,
    samples=AWAY,
    bool_error="Boolean inputs not supported for relu",
)
elementwise(
    "leaky_relu",
    lambda x, negative_slope: where(x > 0, x, x * negative_slope),
    attributes=("negative_slope",),
    x=lambda x, g, negative_slope: where(x > 0, g, g * negative_slope),
    samples=AWAY | {"negative_slope": 0.1},
)
elementwise(
    "prelu",
    lambda x, weight: where(x > 0, x, x * weight),
    x=lambda x, weight, g: where(x > 0, g, g * weight),
    weight=lambda x, g: where(x > 0, like(g, 0), g * x),
    samples=AWAY,
)
elementwise(
    "threshold",
    lambda x, threshold, value: where(x <= threshold, like(x, value), x),  # nan stays nan
    attributes=("threshold", "value"),
    x=lambda x, g, threshold: masked(~(x <= threshold), g),
    samples={"threshold": 0.1, "value": 20.0},
)
elementwise(
    "hardshrink",
    lambda x, lambd: where(_within(x, lambd), like(x, 0), x),  # nan stays nan
    attributes=("lambd",),
    x=lambda x, g, lambd: masked(~_within(x, lambd), g),
    samples=AWAY | {"lambd": 0.5},
)
elementwise(
    "softshrink",
    lambda x, lambd: x - minimum(maximum(x, like(x, -lambd)), like(x, lambd)),
    attributes=("lambd",),
    x=lambda x, g, lambd: masked(~_within(x, lambd), g),
    samples=AWAY | {"lambd": 0.5},
)
elementwise(
    "elu",
    lambda x, alpha: where(x > 0, x, alpha * expm1_below(x)),
    attributes=("alpha",),
    x=lambda x, g, alpha: where(x <= 0, g * alpha * decay_below(x), g),  # at nan the gradient passes, too
    samples=AWAY | {"alpha": 1.3},
)
elementwise(
    "celu",
    lambda x, alpha: where(x > 0, x, alpha * expm1(minimum(x, like(x, 0)) / alpha)),
    attributes=("alpha",),
    x=lambda x, g, alpha: where(x <= 0, g * exp(minimum(x, like(x, 0)) / alpha), g),
    samples=AWAY | {"alpha": 1.3},
)
elementwise(
    "selu",
    lambda x: SELU_SCALE * where(x > 0, x, SELU_ALPHA * expm1_below(x)),
    x=lambda x, g: g * where(x <= 0, SELU_SCALE * SELU_ALPHA * decay_below(x), like(x, SELU_SCALE)),
    samples=AWAY,
)
elementwise(
    "gelu",
    lambda x: x * normal_cdf(x),
    x=lambda x, g: g * gelu_slope(x),
)
elementwise(
    "gelu_tanh",
    lambda x: _gelu_tanh(x)[0],
    x=lambda x, g: g * _gelu_tanh(x)[1],
    with_slope=_gelu_tanh,
    grad_name="Gelu",
)
elementwise("silu", lambda x: _silu(x)[0], x=lambda x, g: g * _silu(x)[1], with_slope=_silu)
elementwise("mish", lambda x: _mish(x)[0], x=lambda x, g: g * _mish(x)[1], with_slope=_mish)
elementwise(
    "softplus",
    lambda x, beta, threshold: where(x * beta > threshold, x, softplus(x * beta) / beta),
    attributes=("beta", "threshold"),
    x=lambda x, g, beta, threshold: where(x * beta > threshold, g, g * sigmoid(x * beta)),
    samples={"beta": 1.5, "threshold": 20.0},
)
elementwise(
    "softsign",
    lambda x: x / (1 + absolute(x)),
    x=lambda x, g: g / ((1 + absolute(x)) * (1 + absolute(x))),
)
elementwise(
    "hardtanh",
    lambda x, min_val, max_val: minimum(maximum(x, like(x, min_val)), like(x, max_val)),
    attributes=("min_val", "max_val"),
    x=lambda x, g, min_val, max_val: masked(~((x <= min_val) | (x >= max_val)), g),
    samples={"min_val": -0.8, "max_val": 1.1},
)
elementwise(
    "relu6",
    lambda x: minimum(maximum(x, like(x, 0)), like(x, 6)),
    x=lambda x, g: masked(~((x <= 0) | (x >= 6)), g),
    dtypes=NUMBERS,
    grad_name="Hardtanh",
    samples=AWAY,
    bool_error="Bool inputs not supported for hardtanh",
)
elementwise(
    "hardswish",
    lambda x: x * minimum(maximum(x + 3, like(x, 0)), like(x, 6)) / 6,
    x=lambda x, g: where(x <= -3, like(g, 0), where(x < 3, g * (x / 3 + 0.5), g)),
)
elementwise(
    "hardsigmoid",
    lambda x: minimum(maximum(x + 3, like(x, 0)), like(x, 6)) / 6,
    x=lambda x, g: masked((x > -3) & (x < 3), g / 6),
)
elementwise(
    "logsigmoid",
    lambda x: -softplus(-x),
    x=lambda x, g: g * sigmoid(-x),
    grad_name="LogSigmoid",
)
