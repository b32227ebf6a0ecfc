"""Functions that read how a floating-point number is written: nextafter, frexp."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor, method
from ..dtypes import float32, int32, int64
from ._call import is_floating, require_tensors
from ._out import takes_out
from ._pairs import pair
from .bounds import where
from .expansion import broadcast_tensors

__all__ = ["frexp", "nextafter"]

frexp_result = pair("frexp", ("mantissa", "exponent"))


def _layout(x: Tensor) -> tuple[Any, int, int]:
    """The integers of a dtype's size, the bits of its fraction, and the bias of its exponent (IEEE 754)."""
    return (int32, 23, 127) if x.dtype is float32 else (int64, 52, 1023)


def _require_floats(name: str, *tensors: Any) -> None:
    require_tensors(name, *tensors)
    for x in tensors:
        if not is_floating(x):
            raise RuntimeError(f"{name}(): expected floating-point numbers, got {x.dtype.name}")


@method
@takes_out
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The number next to `input` in the direction of `other`; nan if one of them is. It has no gradient.

    Raises
    ------
    RuntimeError
        If the tensors are not floating point, or of two dtypes.
    """
    _require_floats("nextafter", input, other)
    if input.dtype is not other.dtype:
        raise RuntimeError(
            f"nextafter(): expected one dtype, got {input.dtype.name} and {other.dtype.name}; convert one"
        )
    whole, _, _ = _layout(input)
    x, y = (given.detach() for given in broadcast_tensors(input, other))
    # from one number to the next is one step of its bits, away from zero or towards it
    away = (y > x) == (x > 0)
    step = away.to(whole) * 2 - 1
    moved = (x.contiguous().view(whole) + step).view(x.dtype)
    least: Any = x.new_ones((), dtype=whole).view(x.dtype)
    moved = where(x == 0, where(y > 0, least, -least), moved)
    return where(x == y, y, where(x.isnan() | y.isnan(), x + y, moved))


@method
def frexp(input: Tensor) -> frexp_result:
    """The mantissa, from 0.5 up to below 1 in magnitude, and the int32 exponent: ``mantissa * 2**exponent``.

    Zero, inf and nan are their own mantissa, with exponent 0.

    Raises
    ------
    RuntimeError
        If the tensor is not floating point.
    """
    _require_floats("frexp", input)
    whole, bits, bias = _layout(input)
    x: Any = input
    # subnormal numbers are scaled up first: their exponent's bits say nothing
    small = x.detach().abs() < 2.0 ** (2 - bias)
    scaled = where(small, x * 2.0 ** (bits + 2), x)
    read = scaled.detach().contiguous().view(whole)
    own = ((read >> bits) & (2 * bias + 1)) - (bias - 1)
    plain = (x.detach() != 0) & (x.detach().abs() < float("inf"))
    own = where(plain, own, 0)
    half = own >> 1

    def power(exponent: Any) -> Any:
        return ((exponent + bias) << bits).view(input.dtype)

    # in two steps, because the power of the whole exponent may be subnormal
    mantissa = scaled * power(-half) * power(half - own)
    exponent = own - (small & plain).to(whole) * (bits + 2)
    return frexp_result(where(plain, mantissa, x), exponent.to(int32))
