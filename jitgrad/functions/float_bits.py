"""Functions that read how a floating-point number is written: nextafter, frexp."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor, method
from ._call import is_floating, require_tensors, two_operands, unary
from ._out import takes_out
from ._pairs import pair

__all__ = ["frexp", "nextafter"]

frexp_result = pair("frexp", ("mantissa", "exponent"))
_nextafter = two_operands("nextafter")
_mantissa, _exponent = unary("frexp", "frexp_mantissa"), unary("frexp", "frexp_exponent")


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
    return _nextafter(input, other)


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
    return frexp_result(_mantissa(input), _exponent(input))
