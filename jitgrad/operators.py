"""Binary operators: the hottest way into the engine, and what may stand beside a tensor in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._tensor import NUMBERS, Tensor, wrap
from .dispatch import CONTEXT, call, complete, demand, entered_as, promoted, result_type
from .dtypes import DTYPES, dtype, get_default_dtype, int32, int64, number_category, uint8
from .engine import layout
from .engine.entry import entries
from .kernels import BY_NAME
from .kernels.abi import BOOL, FLOAT32
from .kernels.table import Op
from .refusals import refuse_bool
from .store import store

# the least and the greatest number that a dtype of integers takes; uint8 takes negative ones in two's complement
LIMITS = {
    uint8.code: (-255, 255),
    int32.code: (-(1 << 31), (1 << 31) - 1),
    int64.code: (-(1 << 63), (1 << 63) - 1),
}


OVERWRITE = BY_NAME["overwrite"]


def number_tensor(value: Any, kind: dtype) -> Tensor:
    """A Python number as a tensor that takes no part in deciding dtypes; it wraps around to those that are narrow."""
    code = kind.code
    whole = 0 if code >= FLOAT32 else int(value if code else bool(value))
    slot = entries.number(CONTEXT, code, value, whole)
    return wrap(slot if slot >= 0 else demand("number", code, float(value), whole))


def whole_number(name: str, value: Any, code: int) -> int:
    """A number as the integer or bool dtype of this code takes it.

    Raises
    ------
    RuntimeError
        If the dtype has no such number.
    """
    if code == BOOL:
        return int(bool(value))
    least, greatest = LIMITS[code]
    if not least <= value <= greatest:
        raise RuntimeError(
            f"{name}: value cannot be converted to type {DTYPES[code].name} without overflow, got {value}"
        )
    return int(value)


def exact_number(name: str, value: Any, kind: dtype) -> Tensor:
    """`number_tensor`, but for an error where the dtype has no such number."""
    return number_tensor(value if kind.code >= FLOAT32 else whole_number(name, value, kind.code), kind)


def overwrite(name: str, x: Tensor, value: Any, op: Op = OVERWRITE) -> int:
    """Overwrite every element with a number of the dtype; returns the slot, which is another one if it is recorded."""
    slot = x._slot
    code = store.slots[slot * layout.SLOT_WORDS + layout.S_DTYPE]
    whole = 0 if code >= FLOAT32 else whole_number(name, value, code)
    status = entries.apply_number(CONTEXT, op.code, slot, slot, float(value), whole, 0, 0)
    if status >= 0:
        return status
    return complete(op, (x, exact_number(name, value, x.dtype)), None, slot, status)


def mixed_binary(op: Op, a: Any, b: Any, into: int) -> int:
    """A binary operation that the fast way refused, with at most one Python number among its operands."""
    operands = a, b  # `b` may be a NumPy array's tensor, for which nothing has been tried yet
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        tensor, number = (a, b) if isinstance(a, Tensor) else (b, a)
        if op.bool_error and isinstance(number, bool):
            refuse_bool(op)
        # a number that an operation of floats takes beside integers need not fit their dtype
        kind = entered_as(op, result_type((tensor, number))) or get_default_dtype()
        number = number_tensor(number, kind)
        operands = (tensor, number) if tensor is a else (number, tensor)
    # integers that are divided, say: the engine would refuse them again
    known = all(store.slots[x._slot * layout.SLOT_WORDS + layout.S_DTYPE] in op.dtypes for x in operands)
    return call(op, operands if known else promoted(op, operands, into), (), into)


def as_operand(value: Any, op: str) -> Any:
    """A Tensor or a Python number from what a script may put beside an operator, or NotImplemented."""
    if isinstance(value, (Tensor, *NUMBERS)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        from .functions.from_data import from_numpy

        return from_numpy(value)
    return NotImplemented


def binary(name: str) -> tuple[Callable, Callable, Callable]:
    """The forward, reflected and in-place form of a binary operation of the table."""
    op = BY_NAME[name]
    code = op.code

    def forward(self: Tensor, other: Any) -> Tensor:
        kind = type(other)
        # the entries refuse a `self` that is no tensor: Tensor.__add__(None, x)
        if kind is Tensor:
            result = entries.binary(code, self, other)
        elif kind is float:
            result = entries.with_number(code, self, other, 0, 2, 0)
        elif kind is int:
            result = entries.with_number(code, self, other, other, 1, 0)
        elif isinstance(other, Tensor):
            result = entries.binary(code, self, other)
        else:
            other = as_operand(other, name)
            if other is NotImplemented:
                return NotImplemented
            result = layout.BAD_DTYPE
        return wrap(mixed_binary(op, self, other, 0)) if type(result) is int else result

    def reflected(self: Tensor, other: Any) -> Tensor:
        other = as_operand(other, name)
        if other is NotImplemented:
            return NotImplemented
        if isinstance(other, Tensor):
            return forward(other, self)
        kind = number_category(other)
        whole = int(other) if kind < 2 else 0
        result = layout.BAD_DTYPE
        if kind or not op.bool_error:
            result = entries.with_number(code, self, other, whole, kind, 1)
        return wrap(mixed_binary(op, other, self, 0)) if type(result) is int else result

    def in_place(self: Tensor, other: Any) -> Tensor:
        operand = as_operand(other, name)
        if operand is NotImplemented:
            return NotImplemented
        status = layout.BAD_DTYPE
        if isinstance(operand, Tensor):
            status = entries.apply(CONTEXT, code, self._slot, self._slot, operand._slot, 0, 0, 0, 0)
        elif number_category(operand) == 2:
            status = entries.apply_number(CONTEXT, code, self._slot, self._slot, operand, 0, 2, 0)
        if status < 0:
            status = mixed_binary(op, self, operand, self._slot)
        self._become(status)
        return self

    for function, prefix in ((forward, ""), (reflected, "r"), (in_place, "i")):
        function.__name__ = f"__{prefix}{name}__"
    return forward, reflected, in_place
