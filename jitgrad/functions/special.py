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
           "hypot", "i0", "isneginf", "isposinf", "isreal", "ldexp", "lgamma", "logaddexp", "logaddexp2",
           "mvlgamma", "polygamma", "sgn", "signbit", "sinc", "xlogy"]  # fmt: skip

asinh = arcsinh = unary("asinh", out=True)
acosh = arccosh = unary("acosh", out=True)
atanh = arctanh = unary("atanh", out=True)
sinc = unary("sinc", out=True)
lgamma = unary("lgamma", out=True)
digamma = unary("digamma", out=True)
erfinv = unary("erfinv", out=True)
i0 = unary("i0", out=True)


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
xlogy = takes_out(
    two_operands("xlogy", "``input * log(other)``: zero where `input` is, unless `other` is nan")
)


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


# derivatives of the gamma function's logarithm, and its sums --------------------------------------------

_trigamma, _zeta = unary("trigamma"), two_operands("zeta")


@takes_out
def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of `digamma`: ``(-1)**(n + 1) * n! * zeta(n + 1, input)``; of n > 1 nan below zero.

    Raises
    ------
    RuntimeError
        For negative n.
    """
    if isinstance(n, Tensor) or not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' must be int, not {type(n).__name__}")
    x = tensor_of(input, "polygamma")
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n; got {n}")
    if n == 0:
        return digamma(x)
    x = x if is_floating(x) else x.float()  # type: ignore[attr-defined]
    if n == 1:
        return _trigamma(x)
    return _zeta(float(n + 1), x) * ((-1.0) ** (n + 1) * math.factorial(n))


@takes_out
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function: ``sum_j lgamma(input - j / 2) + p (p - 1) / 4 log(pi)``.

    Parameters
    ----------
    p : int
        The dimension; j runs from 0 to p - 1.

    Raises
    ------
    RuntimeError
        If `p` is below 1.
    """
    x = tensor_of(input, "mvlgamma")
    if p < 1:
        raise RuntimeError(f"mvlgamma: p has to be greater than or equal to 1, got {p}")
    x = x if is_floating(x) else x.float()  # type: ignore[attr-defined]
    total = lgamma(x)
    for j in range(1, p):
        total = total + lgamma(x - 0.5 * j)
    return total + p * (p - 1) / 4 * math.log(math.pi)


for _name in __all__:
    if _name != "polygamma":
        setattr(Tensor, _name, globals()[_name])


def _polygamma(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of `digamma`."""
    return polygamma(n, self)


_polygamma.__name__ = _polygamma.__qualname__ = "polygamma"
Tensor.polygamma, Tensor.polygamma_, Tensor.mvlgamma_ = (
    _polygamma,
    in_place_of(_polygamma),
    in_place_of(mvlgamma),
)
for _name in ("asinh", "acosh", "atanh", "sinc", "lgamma", "digamma", "erfinv", "i0"):
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
