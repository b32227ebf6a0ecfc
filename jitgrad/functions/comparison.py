"""Comparisons, logic and bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._tensor import Tensor
from ..engine.entry import entries
from ..kernels import BY_NAME
from ..operators import binary
from ..store import store
from ._call import is_floating, refuse_operand, tensor_of, two_operands, unary
from ._dims import shape_of
from ._out import takes_out, write_out
from .arithmetic_in_place import in_place_of
from .reduce import reduced

__all__ = ["allclose", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or",
           "bitwise_right_shift", "bitwise_xor", "eq", "equal", "ge", "greater", "greater_equal",
           "gt", "isclose", "le", "less", "less_equal", "logical_and", "logical_not",
           "logical_or", "logical_xor", "lt", "ne", "not_equal"]  # fmt: skip

_ALL, _EQ = BY_NAME["all"], BY_NAME["eq"]


def _attach(
    name: str, special: str, *, in_place: bool = False, op: str | None = None
) -> Callable[..., Tensor]:
    """The operator of a binary operation on Tensor, and its named function."""
    forward, reflected, over = binary(op or name)
    setattr(Tensor, f"__{special}__", forward)
    if in_place:
        setattr(Tensor, f"__r{special}__", reflected)
        setattr(Tensor, f"__i{special}__", over)

    def function(input: Any, other: Any, *, out: Any = None) -> Tensor:
        if out is not None:
            return write_out(name, function(input, other), out)
        if not isinstance(input, Tensor):
            if not isinstance(other, Tensor):
                refuse_operand(name, input)
            return reflected(other, input)
        result = forward(input, other)
        if result is NotImplemented:
            refuse_operand(name, other, "other")
        return result

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{name}``, elementwise; `other` is a tensor or a number."
    return function


eq = _attach("eq", "eq")
ne = not_equal = _attach("ne", "ne")
lt = less = _attach("lt", "lt")
le = less_equal = _attach("le", "le")
gt = greater = _attach("gt", "gt")
ge = greater_equal = _attach("ge", "ge")
bitwise_and = _attach("bitwise_and", "and", in_place=True)
bitwise_or = _attach("bitwise_or", "or", in_place=True)
bitwise_xor = _attach("bitwise_xor", "xor", in_place=True)
bitwise_left_shift = _attach("bitwise_left_shift", "lshift", in_place=True, op="left_shift")
bitwise_right_shift = _attach("bitwise_right_shift", "rshift", in_place=True, op="right_shift")
bitwise_not = unary("bitwise_not", out=True)
Tensor.__invert__ = bitwise_not

logical_not = unary("logical_not", out=True)


def _logical(name: str) -> Callable[..., Tensor]:
    run = two_operands(name)

    def function(input: Tensor, other: Tensor | float) -> Tensor:
        return run(input if isinstance(input, Tensor) else tensor_of(input, name), other)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{name}`` of what is not zero, elementwise."
    return takes_out(function)


logical_and, logical_or, logical_xor = (
    _logical("logical_and"),
    _logical("logical_or"),
    _logical("logical_xor"),
)


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``: a tensor of bools.

    Parameters
    ----------
    input, other : Tensor
        Of one dtype; they broadcast.
    rtol, atol : float
        The relative and the absolute tolerance.
    equal_nan : bool, default False
        Whether two nan are close.

    Raises
    ------
    RuntimeError
        When the dtypes differ.
    """
    a, b = tensor_of(input, "isclose").detach(), tensor_of(other, "isclose", "other").detach()
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"isclose: {a.dtype.name} did not match {b.dtype.name}; convert one tensor to the other's dtype"
        )
    close = a == b
    if equal_nan and is_floating(a):
        close = close | ((a != a) & (b != b))
    if rtol == 0 and atol == 0:
        return close
    if not is_floating(a):
        a, b = a.to(float), b.to(float)
    distance = (a - b).abs()
    return close | (distance.isfinite() & (distance <= atol + rtol * b.abs()))


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape and the same values."""
    if store.recording is None:
        found = entries.are_same(_EQ.code, _ALL.code, input, other)
        if found >= 0:
            return found != 0
    a, b = tensor_of(input, "equal"), tensor_of(other, "equal", "other")
    return shape_of(a) == shape_of(b) and reduced(_ALL, a == b, None, False).item()


for _name in __all__:
    setattr(Tensor, _name, globals()[_name])
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor", "logical_and", "logical_or", "logical_xor", "eq",
              "ne", "lt", "le", "gt", "ge", "bitwise_left_shift", "bitwise_right_shift"):  # fmt: skip
    setattr(Tensor, _name + "_", in_place_of(globals()[_name]))
for _name in ("bitwise_not", "logical_not"):
    setattr(Tensor, _name + "_", in_place_of(globals()[_name]))
for _alias, _name in (("greater", "gt"), ("greater_equal", "ge"), ("less", "lt"), ("less_equal", "le"),
                      ("not_equal", "ne")):  # fmt: skip
    setattr(Tensor, _alias + "_", getattr(Tensor, _name + "_"))
