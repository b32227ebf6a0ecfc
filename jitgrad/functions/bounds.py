"""Bounds and choices: clamp, minimum, maximum, where, masked_fill."""

from __future__ import annotations

import math
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import call, result_type
from ..dtypes import bool_, uint8
from ..engine.entry import entries
from ..engine.layout import BAD_DTYPE
from ..kernels import BY_NAME
from ..operators import exact_number
from ._call import (
    apply_floats,
    as_tensors,
    dtype_code,
    is_floating,
    mixed_operands,
    require_tensors,
    tensor_of,
)
from ._out import takes_alike_out, takes_out, write_out
from .arithmetic_in_place import in_place_of
from .conversion import cast

__all__ = ["clamp", "clamp_max", "clamp_min", "clip", "fmax", "fmin", "masked_fill", "maximum", "minimum",
           "where"]  # fmt: skip

_CLAMP, _WHERE, _MASKED_FILL = BY_NAME["clamp"], BY_NAME["where"], BY_NAME["masked_fill"]
_MINIMUM, _MAXIMUM = BY_NAME["minimum"], BY_NAME["maximum"]


def _extreme(name: str, op: Any, input: Any, other: Any) -> Tensor:
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        result = entries.binary(op.code, input, other)
        if type(result) is not int:
            return result
    a, b = mixed_operands(name, input, other)
    if dtype_code(a) == 0 and dtype_code(b) == 0:
        return a & b if op is _MINIMUM else a | b
    return wrap(call(op, (a, b)))


def minimum(input: Tensor | float, other: Tensor | float, *, out: Any = None) -> Tensor:
    """The smaller of two values; nan when either is. Where they tie, each gets half of the gradient."""
    made = _extreme("minimum", _MINIMUM, input, other)
    return made if out is None else write_out("minimum", made, out)


def maximum(input: Tensor | float, other: Tensor | float, *, out: Any = None) -> Tensor:
    """The larger of two values; nan when either is. Where they tie, each gets half of the gradient."""
    made = _extreme("maximum", _MAXIMUM, input, other)
    return made if out is None else write_out("maximum", made, out)


@takes_out
def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two values; a nan gives way to the other. Where they tie, `input` has the gradient."""
    require_tensors("fmin", input, other)
    return where((input <= other) | other.isnan(), input, other)  # type: ignore[operator]


@takes_out
def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two values; a nan gives way to the other. Where they tie, `input` has the gradient."""
    require_tensors("fmax", input, other)
    return where((input >= other) | other.isnan(), input, other)  # type: ignore[operator]


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """Values below `min` become `min`, values above `max` become `max`.

    Parameters
    ----------
    input : Tensor
    min, max : number or Tensor, optional
        At least one. Tensors broadcast; `max` prevails where it is less than `min`.
    out : Tensor, optional
        Takes the result and is returned.

    Raises
    ------
    RuntimeError
        When neither bound is given.
    """
    if out is not None:
        return write_out("clamp", clamp(input, min, max), out, same_dtype=True)
    x = tensor_of(input, "clamp")
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    if is_floating(x) and not isinstance(min, Tensor) and not isinstance(max, Tensor):
        return wrap(apply_floats(_CLAMP, x, _bounds(min, max)))
    if min is not None:
        x = _within(maximum, x, _cast_for(x, min))
    if max is not None:
        x = _within(minimum, x, _cast_for(x, max))
    return x


def _within(extreme: Any, x: Tensor, bound: Any) -> Tensor:
    """`x` or the bound; at a bound the gradient is that of `x` alone, while `maximum` would share it."""
    extremes = extreme(x, bound)
    if not isinstance(bound, Tensor) or not (x.requires_grad or bound.requires_grad):
        return extremes
    return where(x == bound, x, extremes)  # type: ignore[arg-type]


def _bounds(low: Any, high: Any) -> tuple[float, float]:
    low = -math.inf if low is None else float(low)
    high = math.inf if high is None else float(high)
    # nan as a bound makes everything nan, and a lower bound above the upper one gives way to it
    return low, high


def _cast_for(x: Tensor, bound: Any) -> Any:
    if not isinstance(bound, Tensor):
        return exact_number("clamp", bound, x.dtype) if isinstance(bound, int) and dtype_code(x) else bound
    if dtype_code(bound) == dtype_code(x):
        return bound
    common = result_type((x, bound))
    return bound if bound.dtype is common else bound.to(common)


@takes_alike_out
def clamp_min(input: Tensor, min: Any) -> Tensor:
    """``clamp`` with a lower bound only."""
    return clamp(input, min=min)


@takes_alike_out
def clamp_max(input: Tensor, max: Any) -> Tensor:
    """``clamp`` with an upper bound only."""
    return clamp(input, max=max)


clip = clamp


def _beside_number(code: int, a: Any, b: Any, value: float) -> Tensor | int:
    """An operation of two tensors and a number in one call; an int where it is not that simple."""
    try:
        return entries.with_last_number(code, a, b, value)
    except TypeError:  # what should be a tensor is none
        return BAD_DTYPE


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where `condition` holds, else `other`; either may be a number.

    With the condition alone, the indices of its true elements, one tensor a dimension.

    Raises
    ------
    RuntimeError
        When `condition` is not a bool tensor.
    """
    if out is not None:
        return write_out("where", where(condition, input, other), out, same_dtype=True)
    if isinstance(input, Tensor) and isinstance(other, Tensor) and isinstance(condition, Tensor):
        result = entries.ternary(_WHERE.code, condition, input, other)
        if type(result) is not int:
            return result
    if type(other) is float or type(other) is int:
        result = _beside_number(_WHERE.code, condition, input, other)
        if type(result) is not int:
            return result
    mask = tensor_of(condition, "where", "condition")
    if input is None and other is None:
        return mask.nonzero(as_tuple=True)  # type: ignore[attr-defined]
    if input is None or other is None:
        raise TypeError("where(): expected condition alone, or condition, input and other")
    if mask.dtype is uint8:  # PyTorch's masks before it had bools
        mask = cast(mask, bool_)
    if dtype_code(mask) != 0:
        raise RuntimeError(
            f"where: expected condition to be a boolean tensor, but got a tensor with dtype "
            f"{mask.dtype.name}; compare it first, for example with != 0"
        )
    a, b = as_tensors("where", input, other)
    return wrap(call(_WHERE, (mask, a, b)))


def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor where `condition` holds, else `other`."""
    return where(condition, self, other)


_where_method.__name__ = _where_method.__qualname__ = "where"  # what Python's own complaints call it


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`value` where `mask` holds, else `input`; no gradient goes to what is replaced.

    Parameters
    ----------
    input : Tensor
    mask : Tensor of bool
        Broadcasts with `input`.
    value : number or Tensor without dimensions

    Raises
    ------
    RuntimeError
        If the mask is not of bools, the value has dimensions, or the shapes do not broadcast.
    """
    if type(value) is float or type(value) is int:
        made = _beside_number(_MASKED_FILL.code, input, mask, value)
        if type(made) is not int:
            return made
    x, mask, filling = _masked(input, mask, value)
    result = entries.ternary(_MASKED_FILL.code, x, mask, filling)
    return wrap(call(_MASKED_FILL, (x, mask, filling))) if type(result) is int else result


def _masked(x: Tensor, mask: Tensor, value: Any) -> tuple[Tensor, Tensor, Tensor]:
    tensor_of(x, "masked_fill")
    if dtype_code(tensor_of(mask, "masked_fill", "mask")) != bool_.code:
        raise RuntimeError(
            f"masked_fill: only supports boolean masks, but got mask with dtype {mask.dtype.name}; "
            "compare it first, for example with != 0"
        )
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(
            "masked_fill: only supports a 0-dimensional value tensor, but got tensor with "
            f"{value.ndim} dimension(s); use where for a tensor of values"
        )
    if isinstance(value, Tensor):
        return x, mask, value.to(x.dtype)
    return x, mask, exact_number("masked_fill", value, x.dtype)


def _masked_fill_(self: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``masked_fill`` in place."""
    if type(value) is float:
        try:
            status = entries.put_beside_number(_MASKED_FILL.code, self, mask, value)
        except TypeError:  # a mask that is no tensor
            status = BAD_DTYPE
        if status >= 0:
            if status != self._slot:
                self._become(status)
            return self
    self._become(call(_MASKED_FILL, _masked(self, mask, value), (), self._slot))
    return self


def _clamp_(self: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """``clamp`` in place."""
    if isinstance(min, Tensor) or isinstance(max, Tensor) or not is_floating(self):
        return in_place_of(clamp)(self, min, max)
    if min is None and max is None:
        raise RuntimeError("clamp_: At least one of 'min' or 'max' must not be None")
    self._become(apply_floats(_CLAMP, self, _bounds(min, max), self._slot))
    return self


def _staged_where(mask: Tensor, a: Any, b: Any) -> Tensor:
    """How a kernel's formula chooses when it is given tensors."""
    return where(mask, a, b)


def _like(self: Tensor, value: Any) -> Tensor:
    """How a kernel's formula makes a number of this tensor's dtype."""
    return as_tensors("like", self, value)[1]


for _name in __all__:
    if _name != "where":
        setattr(Tensor, _name, globals()[_name])
Tensor.where = _where_method
Tensor._where = staticmethod(_staged_where)
Tensor._like = _like
Tensor._fma = lambda self, b, c: self * b + c
Tensor.masked_fill_, Tensor.clamp_, Tensor.clip_ = _masked_fill_, _clamp_, _clamp_


def _clamp_min_(self: Tensor, min: Any) -> Tensor:
    """``clamp_min`` in place."""
    return _clamp_(self, min=min)


def _clamp_max_(self: Tensor, max: Any) -> Tensor:
    """``clamp_max`` in place."""
    return _clamp_(self, max=max)


Tensor.clamp_min_, Tensor.clamp_max_ = _clamp_min_, _clamp_max_
