"""Functions of rarer use, element by element: inverse hyperbolic, gamma, logarithms of sums, signs, steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import call
from ..kernels import BY_NAME
from ._call import (
    dtype_code,
    is_floating,
    refuse_operand,
    require_tensors,
    tensor_of,
    two_operands,
    two_operands_in_place,
    unary,
    unary_in_place,
)
from ._out import takes_alike_out, takes_out
from .arithmetic_in_place import in_place_of
from .elementwise import sign

__all__ = ["acosh", "arccosh", "arcsinh", "arctanh", "asinh", "atanh", "digamma", "erfinv", "heaviside",
           "hypot", "isneginf", "isposinf", "isreal", "ldexp", "lgamma", "logaddexp", "logaddexp2",
           "sgn", "signbit", "sinc", "xlogy"]  # fmt: skip

asinh = arcsinh = unary("asinh", out=True)
acosh = arccosh = unary("acosh", out=True)
atanh = arctanh = unary("atanh", out=True)
sinc = unary("sinc", out=True)
lgamma = unary("lgamma", out=True)
digamma = unary("digamma", out=True)
erfinv = unary("erfinv", out=True)


@takes_alike_out
def sgn(input: Tensor) -> Tensor:
    """-1, 0 or 1: for real numbers the same as `sign`."""
    return sign(tensor_of(input, "sgn"))


_signbit = unary("signbit")


@takes_alike_out
def signbit(input: Tensor) -> Tensor:
    """Where the sign is set, also that of zero and nan."""
    x = tensor_of(input, "signbit")
    if is_floating(x):
        return _signbit(x)
    return x < 0 if dtype_code(x) else x != x  # type: ignore[operator]


def _is(name: str, value: float) -> Callable[[Tensor], Tensor]:
    def function(input: Tensor) -> Tensor:
        x = tensor_of(input, name)
        return x == value if is_floating(x) else x != x  # type: ignore[return-value]

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Where the values are {value}."
    return takes_alike_out(function)


isposinf, isneginf = _is("isposinf", math.inf), _is("isneginf", -math.inf)


def isreal(input: Tensor) -> Tensor:
    """True everywhere: no dtype is complex."""
    return tensor_of(input, "isreal").new_ones(input.shape, dtype=bool)  # type: ignore[attr-defined]


# functions of two ---------------------------------------------------------------------------------------


def _of_floats(name: str, summary: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A function of two tensors of which one at least must be floating point."""
    run = two_operands(name)

    def function(input: Tensor, other: Tensor) -> Tensor:
        _check_floats(name, input, other)
        return run(input, other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{summary}\n\nRaises\n------\nNotImplementedError\n    When both hold integers.\n"
    return takes_out(function)


def _check_floats(name: str, input: Any, other: Any) -> None:
    require_tensors(name, input, other)
    if not is_floating(input) and not is_floating(other):
        raise NotImplementedError(
            f'{name}: "{name}_cpu" not implemented for {input.dtype.name} and {other.dtype.name}; '
            "convert one of them with .float() first"
        )


logaddexp = _of_floats("logaddexp", "``log(exp(input) + exp(other))`` without overflow.")
logaddexp2 = _of_floats("logaddexp2", "``log2(2**input + 2**other)`` without overflow.")
hypot = _of_floats("hypot", "``sqrt(input**2 + other**2)`` without overflow.")
_hypot_ = two_operands_in_place("hypot")
_xlogy = two_operands("xlogy")


@takes_out
def xlogy(input: Tensor | float, other: Tensor | float) -> Tensor:
    """``input * log(other)``; zero where `input` is, unless `other` is nan."""
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        refuse_operand("xlogy", input)
    return _xlogy(input, other)


@takes_alike_out
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 where `input` is below zero, 1 where it is above, and `values` where it is zero; not differentiable.

    Raises
    ------
    RuntimeError
        When the dtypes differ.
    """
    require_tensors("heaviside", input, values)
    if input.dtype is not values.dtype:
        raise RuntimeError(
            f"heaviside is not yet implemented for tensors with different dtypes: got {input.dtype.name} and "
            f"{values.dtype.name}; convert one of them with .to()"
        )
    if not dtype_code(input):
        return input | values  # type: ignore[operator]
    return wrap(call(BY_NAME["heaviside"], (input, values)))


@takes_out
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """``input * 2**other``; integers become floats."""
    require_tensors("ldexp", input, other)
    return input * 2.0**other  # type: ignore[operator]


for _name in __all__:
    setattr(Tensor, _name, globals()[_name])
for _name in ("asinh", "acosh", "atanh", "sinc", "lgamma", "digamma", "erfinv"):
    setattr(Tensor, _name + "_", unary_in_place(_name))
Tensor.arcsinh_, Tensor.arccosh_, Tensor.arctanh_ = Tensor.asinh_, Tensor.acosh_, Tensor.atanh_
Tensor.xlogy_ = two_operands_in_place("xlogy")
for _name in ("heaviside", "ldexp", "sgn"):
    setattr(Tensor, _name + "_", in_place_of(globals()[_name]))


def _checked_hypot_(self: Tensor, other: Tensor) -> Tensor:
    """``hypot`` in place."""
    _check_floats("hypot_", self, other)
    return _hypot_(self, other)


_checked_hypot_.__name__ = _checked_hypot_.__qualname__ = "hypot_"
Tensor.hypot_ = _checked_hypot_
