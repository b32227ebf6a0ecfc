"""Functions for formulas: each works on staged vectors, on Tensors, and on NumPy values.

A formula written with these and the ordinary operators serves three times: called with `Vec` it writes a
kernel, called with Tensors it records operations (so that gradients of gradients exist), and called with
floats or NumPy arrays it is the reference that tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from . import abi


def _generic(name: str, staged: str, reference: Callable) -> Callable:
    """A function that picks its meaning by the type of its first operand that is not a plain number."""

    def function(*args: Any) -> Any:
        for x in args:
            if isinstance(x, float | int | np.ndarray | np.generic):
                continue
            from .stage import Vec

            if isinstance(x, Vec):
                from . import vector_math

                return getattr(vector_math, staged)(*args)
            return getattr(type(x), name)(*args)
        with np.errstate(all="ignore"):
            return reference(*args)

    function.__name__ = function.__qualname__ = staged
    function.__doc__ = f"``{name}``, elementwise, on staged vectors, Tensors or NumPy values."
    return function


def _keep_float(f: Callable) -> Callable:
    """Lift a scalar function to arrays, keeping the floating dtype of its argument."""
    lifted = np.vectorize(f, otypes=[float])

    def reference(x: Any) -> Any:
        x = np.asarray(x)
        kind = x.dtype if x.dtype.kind == "f" else np.dtype(float)
        return lifted(x).astype(kind) if x.size else x.astype(kind)

    return reference


def _reference_cdf(x: Any) -> Any:
    return 0.5 + 0.5 * erf(x * math.sqrt(0.5))


def _reference_gelu_slope(x: Any) -> Any:
    return _reference_cdf(x) + x * np.exp(-0.5 * (x * x)) / math.sqrt(2 * math.pi)


def _reference_sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _reference_lgamma(x: float) -> float:
    return math.inf if x == math.floor(x) and x <= 0 else math.lgamma(x)


def _reference_digamma(x: float) -> float:
    if x < 0:
        return _reference_digamma(1 - x) - math.pi / math.tan(math.pi * x)
    below = 0.0
    while x < 15:
        below, x = below - (1 / x if x else math.inf), x + 1
    square = 1 / (x * x)
    return (
        below
        + math.log(x)
        - 0.5 / x
        - square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square / 240)))
    )


absolute = _generic("abs", "absolute", np.abs)
sqrt = _generic("sqrt", "sqrt", np.sqrt)
rsqrt = _generic("rsqrt", "rsqrt", lambda x: 1 / np.sqrt(x))
exp = _generic("exp", "exp", np.exp)
exp2 = _generic("exp2", "exp2", np.exp2)
expm1 = _generic("expm1", "expm1", np.expm1)
log = _generic("log", "log", np.log)
log2 = _generic("log2", "log2", np.log2)
log10 = _generic("log10", "log10", np.log10)
log1p = _generic("log1p", "log1p", np.log1p)
sin = _generic("sin", "sin", np.sin)
cos = _generic("cos", "cos", np.cos)
tan = _generic("tan", "tan", np.tan)
arcsin = _generic("asin", "arcsin", np.arcsin)
arccos = _generic("acos", "arccos", np.arccos)
arctan = _generic("atan", "arctan", np.arctan)
arctan2 = _generic("atan2", "arctan2", np.arctan2)
sinh = _generic("sinh", "sinh", np.sinh)
cosh = _generic("cosh", "cosh", np.cosh)
tanh = _generic("tanh", "tanh", np.tanh)
sigmoid = _generic("sigmoid", "sigmoid", _reference_sigmoid)
erf = _generic("erf", "erf", _keep_float(math.erf))
erfc = _generic("erfc", "erfc", _keep_float(math.erfc))
lgamma = _generic("lgamma", "lgamma", _keep_float(_reference_lgamma))
digamma = _generic("digamma", "digamma", _keep_float(_reference_digamma))
softplus = _generic("_softplus", "softplus", lambda x: np.logaddexp(x, np.zeros_like(x)))
decay_below = _generic("_decay_below", "decay_below", lambda x: np.exp(np.minimum(x, 0)))
expm1_below = _generic("_expm1_below", "expm1_below", lambda x: np.expm1(np.minimum(x, 0)))
normal_cdf = _generic("_normal_cdf", "normal_cdf", _reference_cdf)
gelu_slope = _generic("_gelu_slope", "gelu_slope", _reference_gelu_slope)
power = _generic("pow", "power", np.power)
nth_power = _generic("pow", "nth_power", np.power)  # for the number of a step
inverse = _generic("reciprocal", "inverse", lambda x: 1 / x)  # of a finite number that is not tiny
root = _generic("sqrt", "root", np.sqrt)
floor = _generic("floor", "floor", np.floor)
ceil = _generic("ceil", "ceil", np.ceil)
trunc = _generic("trunc", "trunc", np.trunc)
rint = _generic("round", "rint", np.rint)
minimum = _generic("minimum", "minimum", np.minimum)  # nan wins, as in PyTorch
maximum = _generic("maximum", "maximum", np.maximum)
isnan = _generic("isnan", "isnan", np.isnan)
copysign = _generic("copysign", "copysign", np.copysign)
fmod = _generic("fmod", "fmod", np.fmod)
remainder = _generic("remainder", "remainder", np.remainder)
next_after = _generic("nextafter", "next_after", np.nextafter)
mantissa = _generic("_mantissa", "mantissa", lambda x: np.frexp(x)[0])
exponent = _generic("_exponent", "exponent", lambda x: np.frexp(x)[1])
fma = _generic("_fma", "fma", lambda a, b, c: a * b + c)


def where(mask: Any, a: Any, b: Any) -> Any:
    """`a` where `mask` is true, else `b`; the formula's replacement for ``if``."""
    if isinstance(mask, bool | np.bool_ | np.ndarray):
        return np.where(mask, a, b)[()]
    from .stage import Vec

    if isinstance(mask, Vec):
        return mask.select(a, b)
    return type(mask)._where(mask, a, b)


def repeat_while(needed: Callable, body: Callable, values: list[Any]) -> list[Any]:
    """``values = body(*values)`` while the mask ``needed(*values)`` is set anywhere; not on Tensors."""
    from .stage import Vec

    if isinstance(values[0], Vec):
        from .math_core import repeated

        return repeated(needed, body, values)
    with np.errstate(all="ignore"):
        while np.any(needed(*values)):
            values = body(*values)
    return values


def like(x: Any, value: Any) -> Any:
    """`value` with the dtype of `x`, and its shape where that matters."""
    if isinstance(x, float | int | np.generic):
        return type(x)(value)
    if isinstance(x, np.ndarray):
        return np.broadcast_to(np.asarray(value, x.dtype), x.shape)
    from .stage import Vec

    if isinstance(x, Vec):
        return x.like(value)
    return value if isinstance(value, type(x)) else x._like(value)


def quotient(a: Any, b: Any) -> Any:
    """``floor(a / b)``, also on integers; an integer divided by zero gives zero (callers check first)."""
    from .stage import Vec

    if not isinstance(a, Vec) and not isinstance(b, Vec):
        if isinstance(a, float | int | np.ndarray | np.generic):
            return np.floor_divide(a, b)
        return (a / b).floor()
    from .vector_math import floor_quotient

    return floor_quotient(a, b)


def is_float(x: Any) -> bool:
    """Whether `x` holds floating-point numbers."""
    dtype = getattr(x, "dtype", None)
    if isinstance(dtype, int):
        return dtype in (abi.FLOAT32, abi.FLOAT64)
    return isinstance(x, float) or np.dtype(dtype).kind == "f"
