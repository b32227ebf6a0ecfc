"""Elementwise operations: arithmetic, rounding, exponentials, trigonometry, bounds and conversion."""

from __future__ import annotations

import math

import numpy as np

from . import abi
from .formula import (
    absolute,
    arccos,
    arcsin,
    arctan,
    arctan2,
    ceil,
    copysign,
    cos,
    cosh,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    fma,
    fmod,
    like,
    log,
    log1p,
    log2,
    log10,
    maximum,
    minimum,
    power,
    quotient,
    remainder,
    rint,
    sigmoid,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
    where,
)
from .table import ALL, FLOATS, INTEGERS, NUMBERS, elementwise, identity

LN2 = math.log(2)
LN10 = math.log(10)
POSITIVE = {"low": 0.1, "high": 4.0}
UNIT = {"low": -0.95, "high": 0.95}
NONZERO = {"away": 0.2}


def sign_of(x):
    """-1, 0 or 1 with the sign of `x`; nan stays nan."""
    # neither above nor below 0 is 0, whose slope is 0 like that of the other signs, or nan
    return where(x > 0, like(x, 1), where(x < 0, like(x, -1), x * 0))


def masked(mask, g):
    """`g` where `mask` is set, else 0."""
    return where(mask, g, like(g, 0))


def _is_mask(x):
    """Whether `x` is a staged vector of truth values."""
    dtype = getattr(x, "dtype", None)
    return isinstance(dtype, int) and dtype < 0


def plus(a, b):
    """``a + b``; of truth values, whether either is set."""
    return a | b if _is_mask(a) else a + b


def times(a, b):
    """``a * b``; of truth values, whether both are set."""
    return a & b if _is_mask(a) else a * b


def square_length(a, b):
    """``a * a + b * b``, or 1 where that is 0: there PyTorch gives atan2 a slope of 0."""
    square = a * a + b * b
    return where(square == 0, like(square, 1), square)


def integer_power(base, exponent):
    """``base ** exponent`` of integers; below zero ``1 / base ** -exponent``, truncated."""
    result = power(base, where(exponent < 0, like(exponent, 0), exponent))
    inverse = where(base == 1, like(base, 1), where(base == -1, 1 - 2 * (exponent & 1), like(base, 0)))
    return where(exponent < 0, inverse, result)


# arithmetic
elementwise("add", plus, a=identity, b=identity, dtypes=ALL, reference=np.add)
elementwise(
    "sub",
    lambda a, b: a - b,
    a=identity,
    b=lambda g: -g,
    dtypes=NUMBERS,
    reference=np.subtract,
    bool_error="Subtraction, the `-` operator, with a bool tensor is not supported; use `^` or logical_xor() for "
    "two masks, `~` or logical_not() to invert one, or .int() to count with it",
)
elementwise(
    "mul",
    times,
    a=lambda b, g: g * b,
    b=lambda a, g: g * a,
    dtypes=ALL,
    reference=np.multiply,
)
elementwise(
    "div",
    lambda a, b: a / b,
    a=lambda b, g: g / b,
    b=lambda a, b, g: -g * (a / b / b),  # not of the quotient, which scripts go on to write over
    reference=np.divide,
    samples={"b": NONZERO},
)
elementwise(
    "floor_divide",
    lambda a, b: quotient(a, b),
    dtypes=NUMBERS,
    reference=np.floor_divide,
    samples={"b": NONZERO},
    underivable=True,
)
elementwise(  # the same of a division that is told to round: PyTorch gives it gradients, if only zeros
    "rounded_down",
    lambda a, b: quotient(a, b),
    a=lambda g: like(g, 0),
    b=lambda g: like(g, 0),
    dtypes=NUMBERS,
    reference=np.floor_divide,
    samples={"b": NONZERO},
    grad_name="Div",
)
elementwise(
    "rounded_to_zero",
    lambda a, b: trunc(a / b),
    a=lambda g: like(g, 0),
    b=lambda g: like(g, 0),
    dtypes=FLOATS,
    reference=lambda a, b: np.trunc(a / b),
    samples={"b": NONZERO},
    grad_name="Div",
)
elementwise(
    "remainder",
    lambda a, b: remainder(a, b),
    a=identity,
    b=lambda a, b, g: -g * quotient(a, b),
    dtypes=NUMBERS,
    reference=np.remainder,
    samples={"b": NONZERO},
)
elementwise(
    "fmod",
    lambda a, b: fmod(a, b),
    a=identity,
    b=lambda a, b, g: -g * trunc(a / b),
    dtypes=FLOATS,
    reference=np.fmod,
    samples={"b": NONZERO},
)
elementwise(
    "int_fmod",
    lambda a, b: fmod(a, b),
    dtypes=INTEGERS,
    reference=np.fmod,
    samples={"b": NONZERO},
)
elementwise(
    "pow",
    lambda a, b: power(a, b),
    a=lambda a, b, g: where(b == 0, like(g, 0), g * b * power(a, b - 1)),
    b=lambda a, b, y, g: where((a == 0) & (b >= 0), like(g, 0), g * y * log(a)),
    reference=np.power,
    samples={"a": POSITIVE},
)
elementwise("int_pow", integer_power, dtypes=INTEGERS, grad_name="Pow")
elementwise("neg", lambda x: -x, x=lambda g: -g, dtypes=NUMBERS, reference=np.negative)
elementwise(
    "abs",
    lambda x: absolute(x),
    x=lambda x, g: g * sign_of(x),
    dtypes=NUMBERS,
    reference=np.abs,
    samples={"x": NONZERO},
)
elementwise(
    "sign",
    lambda x: where(x > 0, like(x, 1), where(x < 0, like(x, -1), like(x, 0))),  # of nan 0, as in PyTorch
    x=lambda g: like(g, 0),
    dtypes=NUMBERS,
    reference=lambda x: np.where(x > 0, 1, np.where(x < 0, -1, 0)),
)
elementwise("square", lambda x: x * x, x=lambda x, g: 2 * x * g, dtypes=NUMBERS, grad_name="Pow")
elementwise("cube", lambda x: x * x * x, x=lambda x, g: 3 * (x * x) * g, dtypes=NUMBERS, grad_name="Pow")
elementwise(
    "reciprocal",
    lambda x: 1 / x,
    x=lambda y, g: -g * (y * y),
    reference=np.reciprocal,
    samples={"x": NONZERO},
)
elementwise(
    "overwrite",
    lambda x, value: value,
    x=lambda g: like(g, 0),
    value=identity,
    dtypes=ALL,
    grad_name="Copy",
    replaces=True,
)
elementwise(
    "scale_tied",
    lambda x, count: x,
    x=lambda count, g: where(count > 0, g / count, count / count),  # of nothing it is nan
    grad_name="Amax",
)
elementwise("copy", lambda x: like(x, x), x=identity, dtypes=ALL, grad_name="Clone")
elementwise(
    "copysign",
    lambda a, b: copysign(a, b),
    a=lambda a, y, g: g * sign_of(a) * sign_of(y),
    b=lambda g: like(g, 0),
    reference=np.copysign,
    samples={"a": NONZERO, "b": NONZERO},
)
elementwise(
    "lerp",
    lambda a, b, w: where(absolute(w) < 0.5, fma(w, b - a, a), b - (b - a) * (1 - w)),
    a=lambda w, g: g * (1 - w),
    b=lambda w, g: g * w,
    w=lambda a, b, g: g * (b - a),
    reference=lambda a, b, w: a + w * (b - a),
)
elementwise(
    "addcmul",
    lambda x, a, b, value: x + value * a * b,
    attributes=("value",),
    x=identity,
    a=lambda b, g, value: g * b * value,
    b=lambda a, g, value: g * a * value,
)
elementwise(
    "addcdiv",
    lambda x, a, b, value: x + value * a / b,
    attributes=("value",),
    x=identity,
    a=lambda b, g, value: g * value / b,
    b=lambda a, b, g, value: -g * value * a / (b * b),
    samples={"b": NONZERO},
)

# powers and exponentials
elementwise("sqrt", lambda x: sqrt(x), x=lambda y, g: g / (2 * y), samples={"x": POSITIVE})
# of sums of squares: the gradient is 0 where the root is, as in PyTorch's norms and deviations
elementwise(
    "root",
    lambda x: sqrt(x),
    x=lambda y, g: where(y == 0, like(g, 0), g / (2 * y)),
    reference=np.sqrt,
    samples={"x": POSITIVE},
    grad_name="LinalgVectorNorm",
)
elementwise("rsqrt", lambda x: 1 / sqrt(x), x=lambda y, g: -0.5 * g * (y * y * y), samples={"x": POSITIVE})
elementwise("exp", lambda x: exp(x), x=lambda y, g: g * y)
elementwise("exp2", lambda x: exp2(x), x=lambda y, g: g * y * LN2)
elementwise("expm1", lambda x: expm1(x), x=lambda y, g: g * (y + 1))
elementwise("log", lambda x: log(x), x=lambda x, g: g / x, samples={"x": POSITIVE})
elementwise("log2", lambda x: log2(x), x=lambda x, g: g / (x * LN2), samples={"x": POSITIVE})
elementwise("log10", lambda x: log10(x), x=lambda x, g: g / (x * LN10), samples={"x": POSITIVE})
elementwise("log1p", lambda x: log1p(x), x=lambda x, g: g / (x + 1), samples={"x": POSITIVE})
elementwise("erf", lambda x: erf(x), x=lambda x, g: g * (2 / math.sqrt(math.pi)) * exp(-(x * x)))

# trigonometry
elementwise("sin", lambda x: sin(x), x=lambda x, g: g * cos(x))
elementwise("cos", lambda x: cos(x), x=lambda x, g: -g * sin(x))
elementwise("tan", lambda x: tan(x), x=lambda y, g: g * (1 + y * y), samples={"x": UNIT})
elementwise("asin", lambda x: arcsin(x), x=lambda x, g: g / sqrt(1 - x * x), samples={"x": UNIT})
elementwise("acos", lambda x: arccos(x), x=lambda x, g: -g / sqrt(1 - x * x), samples={"x": UNIT})
elementwise("atan", lambda x: arctan(x), x=lambda x, g: g / (1 + x * x))
elementwise(
    "atan2",
    lambda a, b: arctan2(a, b),
    a=lambda a, b, g: g * b / square_length(a, b),
    b=lambda a, b, g: -g * a / square_length(a, b),
    samples={"a": NONZERO, "b": NONZERO},
)
elementwise("sinh", lambda x: sinh(x), x=lambda x, g: g * cosh(x))
elementwise("cosh", lambda x: cosh(x), x=lambda x, g: g * sinh(x))
elementwise("tanh", lambda x: tanh(x), x=lambda y, g: g * (1 - y * y))
elementwise("sigmoid", lambda x: sigmoid(x), x=lambda y, g: g * (1 - y) * y)
elementwise(
    "logit",
    lambda x: log(x / (1 - x)),
    x=lambda x, g: where((x >= 0) & (x <= 1), g / (x * (1 - x)), like(x, math.nan)),
    samples={"x": {"low": 0.02, "high": 0.98}},
)

# rounding
elementwise("floor", lambda x: floor(x), x=lambda g: like(g, 0))
elementwise("ceil", lambda x: ceil(x), x=lambda g: like(g, 0))
elementwise("trunc", lambda x: trunc(x), x=lambda g: like(g, 0))
elementwise("frac", lambda x: x - trunc(x), x=lambda g: g, reference=lambda x: x - np.trunc(x))
elementwise("round", lambda x: rint(x), x=lambda g: like(g, 0), reference=np.round)

# bounds: where two values tie, each gets half of the gradient, as in PyTorch, and beside a nan all of it
elementwise(
    "minimum",
    lambda a, b: minimum(a, b),
    a=lambda a, b, g: where(a == b, g / 2, masked(~(a > b), g)),
    b=lambda a, b, g: where(a == b, g / 2, masked(~(b > a), g)),
    dtypes=NUMBERS,
    reference=np.minimum,
)
elementwise(
    "maximum",
    lambda a, b: maximum(a, b),
    a=lambda a, b, g: where(a == b, g / 2, masked(~(a < b), g)),
    b=lambda a, b, g: where(a == b, g / 2, masked(~(b < a), g)),
    dtypes=NUMBERS,
    reference=np.maximum,
)
elementwise(
    "clamp",
    lambda x, low, high: minimum(maximum(x, like(x, low)), like(x, high)),
    attributes=("low", "high"),
    x=lambda x, g, low, high: masked((x >= low) & (x <= high), g),
    samples={"low": -0.7, "high": 0.9},
)
elementwise(
    "where",
    lambda condition, a, b: where(condition, a, b),
    a=lambda condition, g: masked(condition, g),
    b=lambda condition, g: where(condition, like(g, 0), g),
    operand_dtypes={"condition": abi.BOOL},
    dtypes=ALL,
    reference=np.where,
)
elementwise(
    "masked_fill",
    lambda x, mask, value: where(mask, like(x, value), x),
    x=lambda mask, g: where(mask, like(g, 0), g),
    value=lambda mask, g: masked(mask, g),
    operand_dtypes={"mask": abi.BOOL},
    dtypes=ALL,
    reference=lambda x, mask, value: np.where(mask, value, x),
)
elementwise(
    "nan_to_num",
    lambda x, nan, high, low: where(
        x != x, like(x, nan), where(x == math.inf, like(x, high), where(x == -math.inf, like(x, low), x))
    ),
    attributes=("nan", "high", "low"),
    x=lambda x, g: masked((x - x) == 0, g),
    samples={"nan": 0.5, "high": 2.0, "low": -2.0},
)

# conversion: one operation for each dtype to convert to; the gradient is converted back
for _code, _name in enumerate(abi.DTYPE_NAMES):
    elementwise(
        f"to_{_name}",
        lambda x: x,
        x=lambda g: like(g, g),
        dtypes=ALL,
        result=_code,
        grad_name="ToCopy",
        reference=lambda x, _name=_name: np.asarray(x).astype(_name),
    )
