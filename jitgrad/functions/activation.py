"""Activation functions and the pointwise parts of losses, with PyTorch's names and defaults."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._tensor import Tensor, wrap
from ..dtypes import bool_, uint8
from ..kernels import BY_NAME
from ._call import apply_floats, is_floating, pointwise, tensor_of, unary, unary_in_place
from .bounds import clamp, minimum, where
from .elementwise import erf, exp, expm1

__all__ = ["absolute_error", "bce", "bce_with_logits", "celu", "elu", "gelu", "hardsigmoid",
           "hardswish", "hardtanh", "huber", "kl_div_pointwise", "leaky_relu", "logsigmoid",
           "mish", "prelu", "relu", "relu6", "selu", "silu", "smooth_l1", "softplus", "softsign",
           "squared_error", "threshold"]  # fmt: skip

relu = unary("relu")
relu6 = unary("relu6")
selu = unary("selu")
silu = unary("silu")
mish = unary("mish")
softsign = unary("softsign")
hardswish = unary("hardswish")
hardsigmoid = unary("hardsigmoid")
logsigmoid = unary("logsigmoid")
_gelu, _gelu_tanh = unary("gelu"), unary("gelu", "gelu_tanh")


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """``x * cdf(x)`` of the normal distribution; ``approximate="tanh"`` for the cheaper form."""
    if approximate == "none":
        return _gelu(input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    raise RuntimeError(f"gelu: approximate argument must be either none or tanh, got {approximate!r}")


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """``x`` above 0, ``negative_slope * x`` below."""
    return wrap(apply_floats(BY_NAME["leaky_relu"], input, (float(negative_slope),)))


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""
    return wrap(apply_floats(BY_NAME["elu"], input, (float(alpha),)))


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below."""
    if alpha == 0:
        raise RuntimeError("celu: ZeroDivisionError: alpha cannot be 0 for CELU")
    return wrap(apply_floats(BY_NAME["celu"], input, (float(alpha),)))


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``; ``x`` itself where ``beta * x`` is above the threshold."""
    return wrap(apply_floats(BY_NAME["softplus"], input, (float(beta), float(threshold))))


def _whole(name: str, value: float) -> int:
    """A number as tensors of integers take it: without its fraction."""
    if not math.isfinite(value):
        raise RuntimeError(f"{name}: {value} is no integer; convert the tensor with .float()")
    return int(value)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """``x`` kept within the two bounds; no gradient at or beyond them."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val cannot be greater than max_val, got {min_val} and {max_val}")
    if isinstance(input, Tensor) and not is_floating(input):
        if input.dtype is bool_:
            raise RuntimeError("hardtanh: Bool inputs not supported; convert it with .float()")
        if input.dtype is uint8 and min_val < 0:
            raise RuntimeError(f"hardtanh: an unsigned tensor has no values below 0, got min_val {min_val}")
        return clamp(input, _whole("hardtanh", min_val), _whole("hardtanh", max_val))
    return wrap(apply_floats(BY_NAME["hardtanh"], input, (float(min_val), float(max_val))))


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """``x`` where it is above the threshold or nan, else `value`."""
    if isinstance(input, Tensor) and not is_floating(input):
        if input.dtype is bool_:
            raise NotImplementedError("threshold: not implemented for bool; convert it with .float()")
        return where(input <= _whole("threshold", threshold), _whole("threshold", value), input)
    return wrap(apply_floats(BY_NAME["threshold"], input, (float(threshold), float(value))))


prelu = pointwise("prelu")
squared_error = pointwise("squared_error")
absolute_error = pointwise("absolute_error")
smooth_l1 = pointwise("smooth_l1", (1.0,))
huber = pointwise("huber", (1.0,))
bce = pointwise("bce")
bce_with_logits = pointwise("bce_with_logits")
kl_div_pointwise = pointwise("kl_div_pointwise")


def _in_place(name: str, *defaults: float) -> Callable[..., Tensor]:
    op = BY_NAME[name]

    def run(self: Tensor, *args: Any) -> Tensor:
        tensor_of(self, name + "_", "self")
        values = (*args, *defaults[len(args) :])
        self._become(apply_floats(op, self, tuple(float(v) for v in values), self._slot))
        return self

    run.__name__ = run.__qualname__ = name + "_"
    run.__doc__ = f"``{name}`` in place."
    return run


Tensor.relu, Tensor.prelu = relu, prelu
# what a kernel's formula calls when it is given tensors
Tensor._softplus = softplus


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 + 0.5 * erf(x * math.sqrt(0.5))


def _gelu_slope(x: Tensor) -> Tensor:
    return _normal_cdf(x) + x * exp(-0.5 * (x * x)) / math.sqrt(2 * math.pi)


def _decay_below(x: Tensor) -> Tensor:
    return exp(minimum(x, 0.0))


def _expm1_below(x: Tensor) -> Tensor:
    return expm1(minimum(x, 0.0))


Tensor._decay_below, Tensor._expm1_below = _decay_below, _expm1_below
Tensor._normal_cdf, Tensor._gelu_slope = _normal_cdf, _gelu_slope
for _name in ("relu", "relu6", "selu", "silu", "mish", "hardswish", "hardsigmoid"):
    setattr(Tensor, _name + "_", unary_in_place(_name))
leaky_relu_, elu_, celu_ = _in_place("leaky_relu", 0.01), _in_place("elu", 1.0), _in_place("celu", 1.0)
hardtanh_, threshold_ = _in_place("hardtanh", -1.0, 1.0), _in_place("threshold")
relu_, selu_ = Tensor.relu_, Tensor.selu_
__all__ += ["celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "selu_", "threshold_"]
