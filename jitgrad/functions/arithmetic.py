"""Arithmetic of two tensors, or of a tensor and a number: operators and their named functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor import NUMBERS, Tensor, wrap
from ..dispatch import call, result_type
from ..engine.entry import entries
from ..engine.layout import BAD_DTYPE
from ..kernels import BY_NAME
from ..operators import as_operand, binary, number_tensor, whole_number
from ._call import (
    apply_three,
    as_tensors,
    dtype_code,
    is_floating,
    mixed_operands,
    refuse_operand,
    two_operands,
    unary,
)
from ._older_calls import factors_by_name
from ._out import takes_alike_out, takes_out, write_out

__all__ = ["add", "addcdiv", "addcmul", "div", "divide", "float_power", "floor_divide", "fmod", "lerp", "mul",
           "multiply", "pow", "remainder", "rsub", "sub", "subtract", "true_divide"]  # fmt: skip

Tensor.__add__, Tensor.__radd__, Tensor.__iadd__ = _add, _, _iadd = binary("add")
Tensor.__mul__, Tensor.__rmul__, Tensor.__imul__ = _mul, _, _imul = binary("mul")
Tensor.__truediv__, Tensor.__rtruediv__, Tensor.__itruediv__ = _div, _, _idiv = binary("div")
_sub, _rsub, _isub = binary("sub")
_floor, _rfloor, _ifloor = binary("floor_divide")
_rem, _rrem, _irem = binary("remainder")
_pow, _rpow, _ipow = binary("pow")
_int_pow, _int_rpow, _int_ipow = binary("int_pow")
_fmod, _int_fmod = BY_NAME["fmod"], BY_NAME["int_fmod"]
_float_fmod = two_operands("fmod")


Tensor.__sub__, Tensor.__rsub__, Tensor.__isub__ = _sub, _rsub, _isub


def _whole(*values: Any) -> bool:
    """Whether no value is floating point."""
    return not any(
        is_floating(v) if isinstance(v, Tensor) else isinstance(v, float | np.floating) for v in values
    )


def _check_divisor(name: str, value: Any) -> None:
    if not (value.all() if isinstance(value, Tensor) else value):
        raise RuntimeError(
            f'{name}: "ZeroDivisionError": integer division by zero; '
            "divide floating-point tensors, or mask the zeros first"
        )


def _guarded(name: str, forward: Callable, reflected: Callable, in_place: Callable) -> tuple[Callable, ...]:
    """Check integer divisors before a kernel sees them."""

    def checked(self: Tensor, other: Any) -> Tensor:
        if not is_floating(self) and _whole(other):
            _check_divisor(name, other)
        return forward(self, other)

    def checked_reflected(self: Tensor, other: Any) -> Tensor:
        if not is_floating(self) and _whole(other):
            _check_divisor(name, self)
        return reflected(self, other)

    def checked_in_place(self: Tensor, other: Any) -> Tensor:
        if not is_floating(self) and _whole(other):
            _check_divisor(name, other)
        return in_place(self, other)

    return checked, checked_reflected, checked_in_place


Tensor.__floordiv__, Tensor.__rfloordiv__, Tensor.__ifloordiv__ = _guarded(
    "floor_divide", _floor, _rfloor, _ifloor
)
_down, _rdown, _ = _guarded("div", *binary("rounded_down"))
_to_zero, _rto_zero, _ = binary("rounded_to_zero")
Tensor.__mod__, Tensor.__rmod__, Tensor.__imod__ = _guarded("remainder", _rem, _rrem, _irem)


# powers -------------------------------------------------------------------------------------------------

_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    2: unary("square"),
    3: unary("cube"),
    1: unary("copy"),
}
_FLOAT_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    0.5: unary("sqrt"),
    -0.5: unary("rsqrt"),
    -1: unary("reciprocal"),
}


def _power(self: Tensor, exponent: Any) -> Tensor:
    """``self ** exponent``; small constant exponents take cheaper ways."""
    kind = type(exponent)
    if kind is int or kind is float:
        short = _POWERS.get(exponent)
        if short is not None and dtype_code(self) and (kind is int or is_floating(self)):
            return short(self)
        if is_floating(self):
            short = _FLOAT_POWERS.get(exponent)
            return short(self) if short is not None else _pow(self, exponent)
    if not is_floating(self) and _whole(exponent):
        _check_exponent(self, exponent)
        return _int_pow(self, exponent)
    return _pow(self, exponent)


def _check_exponent(base: Tensor, exponent: Any) -> None:
    if isinstance(exponent, Tensor):
        return
    if exponent < 0:
        raise RuntimeError(
            "pow: Integers to negative integer powers are not allowed; convert the tensor with .float() first"
        )
    whole_number("pow", exponent, dtype_code(base))


def _reflected_power(self: Tensor, base: Any) -> Tensor:
    """``base ** self``."""
    if isinstance(base, np.generic):
        base = base.item()
    return (_int_rpow if not is_floating(self) and _whole(base) else _rpow)(self, base)


def _in_place_power(self: Tensor, exponent: Any) -> Tensor:
    if not is_floating(self) and _whole(exponent):
        _check_exponent(self, exponent)
        return _int_ipow(self, exponent)
    return _ipow(self, exponent)


Tensor.__pow__, Tensor.__rpow__, Tensor.__ipow__ = _power, _reflected_power, _in_place_power


# named functions ----------------------------------------------------------------------------------------


_OF_NUMBERS = {"add", "div", "floor_divide", "mul", "sub"}  # PyTorch's others refuse two numbers


def _operands(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands of which at least one is a tensor; of two numbers the first becomes one where PyTorch takes them."""
    if isinstance(a, Tensor) and isinstance(b, (Tensor, *NUMBERS)):
        return a, b
    if not isinstance(a, (Tensor, *NUMBERS, np.generic)):
        refuse_operand(name, a)
    number = as_operand(b, name)
    if number is NotImplemented:
        refuse_operand(name, b, "other")
    if not isinstance(a, Tensor) and not isinstance(number, Tensor):
        if name not in _OF_NUMBERS:
            refuse_operand(name, a)
        a = a.item() if isinstance(a, np.generic) else a
        return number_tensor(a, result_type((a,))), number
    return a, b


def scaled(other: Any, alpha: float, name: str, input: Any) -> Any:
    """`other` times the factor with which it is added."""
    if isinstance(alpha, float) and _whole(input, other):
        raise RuntimeError(
            f"{name}: For integral input tensors, argument alpha must not be a floating point number; "
            f"got {alpha}"
        )
    return other * alpha


def add(input: Any, other: Any, *older: Any, alpha: float = 1, out: Any = None) -> Tensor:
    """``input + alpha * other``; of bool tensors the logical or, of two numbers a tensor, too."""
    if older:
        return add(input, older[0], out=out, **factors_by_name("add", (other, *older), ("alpha",), 1, alpha))
    input, other = _operands("add", input, other)
    made = input + (other if alpha == 1 else scaled(other, alpha, "add", input))
    return made if out is None else write_out("add", made, out)


def sub(input: Any, other: Any, *older: Any, alpha: float = 1, out: Any = None) -> Tensor:
    """``input - alpha * other``."""
    if older:
        return sub(input, older[0], out=out, **factors_by_name("sub", (other, *older), ("alpha",), 1, alpha))
    input, other = _operands("sub", input, other)
    made = input - (other if alpha == 1 else scaled(other, alpha, "sub", input))
    return made if out is None else write_out("sub", made, out)


def rsub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """``other - alpha * input``."""
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        refuse_operand("rsub", input)
    return sub(other, input, alpha=alpha)


def mul(input: Any, other: Any, out: Any = None) -> Tensor:
    """``input * other``; of bool tensors the logical and."""
    input, other = _operands("mul", input, other)
    return input * other if out is None else write_out("mul", input * other, out)


def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Tensor:
    """``input / other``.

    Parameters
    ----------
    rounding_mode : {None, "trunc", "floor"}
        Round the quotient towards zero or down; integers then stay integers.
    """
    if out is not None:
        return write_out("div", div(input, other, rounding_mode=rounding_mode), out)
    input, other = _operands("div", input, other)
    if rounding_mode is None:
        return input / other
    if rounding_mode == "floor":
        return _down(input, other) if isinstance(input, Tensor) else _rdown(other, input)
    if rounding_mode != "trunc":
        raise RuntimeError(
            f"div: expected rounding_mode to be one of None, 'trunc', or 'floor' but found {rounding_mode!r}"
        )
    if _whole(input, other):
        return sub(input, fmod(input, other)) // other
    return _to_zero(input, other) if isinstance(input, Tensor) else _rto_zero(other, input)


@takes_out
def true_divide(input: Any, other: Any) -> Tensor:
    """``input / other``; integers give floats."""
    return div(input, other)


@takes_out
def floor_divide(input: Any, other: Any) -> Tensor:
    """``floor(input / other)``; a walk back through it is an error, as in PyTorch: use ``div`` and round.

    Raises
    ------
    RuntimeError
        When integers are divided by zero.
    """
    input, other = _operands("floor_divide", input, other)
    return input // other


@takes_out
def remainder(input: Any, other: Any) -> Tensor:
    """``input - floor(input / other) * other``: it has the divisor's sign."""
    input, other = _operands("remainder", input, other)
    return input % other


@takes_out
def fmod(input: Any, other: Any) -> Tensor:
    """``input - trunc(input / other) * other``: it has the dividend's sign."""
    if (
        isinstance(input, Tensor)
        and is_floating(input)
        and (isinstance(other, Tensor) or type(other) is float)
    ):
        return _float_fmod(input, other)
    input, other = _operands("fmod", input, other)
    a, b = as_tensors("fmod", input, other)
    if not _whole(a, b):
        return wrap(call(_fmod, (a, b)))
    _check_divisor("fmod", b)
    return wrap(call(_int_fmod, (a, b)))


def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """``input ** exponent``; integers to integer powers stay integers."""
    input, exponent = _operands("pow", input, exponent)
    made = input**exponent
    return made if out is None else write_out("pow", made, out)


@takes_alike_out
def float_power(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent`` in float64."""
    input, exponent = _operands("float_power", input, exponent)
    return (input.double() if isinstance(input, Tensor) else float(input)) ** (
        exponent.double() if isinstance(exponent, Tensor) else float(exponent)
    )


multiply, divide, subtract = mul, div, sub
_LERP = BY_NAME["lerp"].code


@takes_out
def lerp(input: Tensor | float, end: Tensor | float, weight: Tensor | float) -> Tensor:
    """``input + weight * (end - input)``."""
    if type(weight) is float and isinstance(input, Tensor) and is_floating(input):
        weight = number_tensor(weight, input.dtype)
    try:
        result = entries.ternary(_LERP, input, end, weight)
    except TypeError:  # numbers among them
        result = BAD_DTYPE
    if type(result) is not int:
        return result
    return wrap(call(BY_NAME["lerp"], mixed_operands("lerp", input, end, weight)))


def _with_value(name: str, input: Any, a: Any, b: Any, value: float) -> Tensor:
    op = BY_NAME[name]
    try:
        slot = apply_three(op, input, a, b, (float(value),))
    except (AttributeError, TypeError, ValueError):
        slot = BAD_DTYPE  # something else than tensors and a number: what follows tells
    if slot >= 0:
        return wrap(slot)
    input, a, b = mixed_operands(name, input, a, b)
    if result_type((input, a, b)).is_floating_point:
        return wrap(call(op, (input, a, b), (float(value),)))
    if name == "addcdiv":
        raise RuntimeError(
            "addcdiv: Integer division with addcdiv is no longer supported; convert the tensors with .float()"
        )
    return input + a * b * int(value)  # as PyTorch has it: the factor takes the dtype of the result


@takes_out
def addcmul(
    input: Tensor | float, tensor1: Tensor | float, tensor2: Tensor | float, *older: Any, value: float = 1
) -> Tensor:
    """``input + value * tensor1 * tensor2``."""
    if older:
        factors = factors_by_name("addcmul", (tensor1, tensor2, *older), ("value",), 2, value)
        return addcmul(input, tensor2, older[0], **factors)
    return _with_value("addcmul", input, tensor1, tensor2, value)


@takes_out
def addcdiv(
    input: Tensor | float, tensor1: Tensor | float, tensor2: Tensor | float, *older: Any, value: float = 1
) -> Tensor:
    """``input + value * tensor1 / tensor2``."""
    if older:
        factors = factors_by_name("addcdiv", (tensor1, tensor2, *older), ("value",), 2, value)
        return addcdiv(input, tensor2, older[0], **factors)
    return _with_value("addcdiv", input, tensor1, tensor2, value)


for _name in __all__:
    if _name != "rsub":
        setattr(Tensor, _name, globals()[_name])
