"""Makers of functions: from an operation's declaration to what a script calls."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._tensor import NUMBERS, Tensor, wrap
from ..dispatch import CONTEXT, call, complete, result_type
from ..dtypes import DTYPES
from ..engine.entry import entries
from ..engine.layout import BAD_DTYPE, S_DTYPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32
from ..operators import number_tensor
from ..store import store
from ._out import write_out
from ._refusals import refuse_operand as refuse_operand

CACHED_WORDS = 4096  # attribute lists kept ready; a script that varies them endlessly starts over


def tensor_of(value: Any, name: str, position: str = "input") -> Tensor:
    """The value when it is a tensor; a TypeError otherwise."""
    if isinstance(value, Tensor):
        return value
    refuse_operand(name, value, position)


def require_tensors(name: str, *values: Any, optional: Any = None) -> None:
    """A TypeError unless all values are tensors; `optional` may be None instead."""
    for x in values if optional is None else (*values, optional):
        if not isinstance(x, Tensor):
            position = 1 + next(k for k, y in enumerate((*values, optional)) if y is x)
            raise TypeError(
                f"{name}(): argument {position} must be Tensor, not {type(x).__name__}; "
                "wrap the value with torch.tensor(...)"
            )


def is_floating(x: Tensor) -> bool:
    """Whether a tensor holds floating-point numbers."""
    return store.slots[x._slot * SLOT_WORDS + S_DTYPE] >= FLOAT32


def dtype_code(x: Tensor) -> int:
    """The code of a tensor's dtype."""
    return store.slots[x._slot * SLOT_WORDS + S_DTYPE]


def as_tensors(name: str, *values: Any) -> tuple[Tensor, ...]:
    """Tensors from tensors and Python numbers; numbers take the dtype that the others decide."""
    words, common, numbers = store.slots, -1, False
    for x in values:
        if isinstance(x, Tensor):
            code = words[x._slot * SLOT_WORDS + S_DTYPE]
            common = code if common in (-1, code) else 0
        elif type(x) is float or type(x) is int:
            numbers = True
        else:
            common = 0
    if common >= FLOAT32:
        # the usual case: floating tensors of one dtype, which takes in every number
        if not numbers:
            return values
        return tuple(x if isinstance(x, Tensor) else number_tensor(x, DTYPES[common]) for x in values)
    plain = [x.item() if isinstance(x, np.generic) else x for x in values]
    for x in plain:
        if not isinstance(x, (Tensor, *NUMBERS)):
            refuse_operand(name, x, "other")
    if all(isinstance(x, Tensor) for x in plain):
        return tuple(plain)
    common = result_type(plain)
    return tuple(x if isinstance(x, Tensor) else number_tensor(x, common) for x in plain)


def mixed_operands(name: str, *values: Any) -> tuple[Tensor, ...]:
    """`as_tensors` of operands of which one at least must be a tensor."""
    if not any(isinstance(x, Tensor) for x in values):
        refuse_operand(name, values[0])
    return as_tensors(name, *values)


def unary(name: str, op_name: str | None = None, *, out: bool = False) -> Callable[..., Tensor]:
    """The function of an operation with one operand and no attributes; `out` says whether it takes ``out=``."""
    op = BY_NAME[op_name or name]
    code = op.code

    def function(input: Tensor) -> Tensor:
        try:
            result = entries.unary(code, input)
        except TypeError:
            refuse_operand(name, input)
        return wrap(complete(op, (input,), None, 0, result)) if type(result) is int else result

    plain = function

    def into(input: Tensor, *, out: Any = None) -> Tensor:
        if out is not None:
            return write_out(name, plain(input), out)
        # as above: a call of it would take a tenth of what the operation takes
        try:
            result = entries.unary(code, input)
        except TypeError:
            refuse_operand(name, input)
        return wrap(complete(op, (input,), None, 0, result)) if type(result) is int else result

    return _named(into if out else function, name, f"``{name}``, elementwise.")


def two_operands(name: str, summary: str = "") -> Callable[[Any, Any], Tensor]:
    """The function of an operation with two operands, of which one may be a number, and no attributes.

    `summary` begins its description.
    """
    op = BY_NAME[name]
    code = op.code

    def function(input: Any, other: Any) -> Tensor:
        try:
            if type(other) is float:
                result = entries.with_number(code, input, other, 0, 2, 0)
            else:
                result = entries.binary(code, input, other)
        except TypeError:  # no tensor where one was expected
            result = BAD_DTYPE
        return wrap(call(op, mixed_operands(name, input, other))) if type(result) is int else result

    return _named(function, name, f"{summary or f'``{name}``, elementwise'}; one of both may be a number.")


def two_operands_in_place(name: str) -> Callable[[Tensor, Any], Tensor]:
    """The form of `two_operands` that overwrites its first operand."""
    op = BY_NAME[name]
    code = op.code

    def function(self: Tensor, other: Any) -> Tensor:
        slot = tensor_of(self, name + "_")._slot
        try:
            status = entries.apply(CONTEXT, code, slot, slot, other._slot, 0, 0, 0, 0)
        except AttributeError:
            status = BAD_DTYPE
        if status < 0:
            status = call(op, as_tensors(name, self, other), (), slot)
        self._become(status)
        return self

    return _named(function, name + "_", f"``{name}``, elementwise and in place.")


def unary_in_place(name: str) -> Callable[[Tensor], Tensor]:
    """The form of `unary` that overwrites its operand."""
    op = BY_NAME[name]
    code = op.code

    def function(self: Tensor) -> Tensor:
        try:
            slot = self._slot
        except AttributeError:
            refuse_operand(name + "_", self)
        status = entries.apply(CONTEXT, code, slot, slot, 0, 0, 0, 0, 0)
        if status < 0:
            status = complete(op, (self,), None, slot, status)
        self._become(status)
        return self

    return _named(function, name + "_", f"``{name}``, elementwise and in place.")


_words: dict[tuple[float, ...], tuple[array, int, int]] = {}


def float_words(values: tuple[float, ...]) -> tuple[array, int, int]:
    """Attribute words for floats, with their address and count; kept, so that they can be used again."""
    found = _words.get(values)
    if found is None:
        if len(_words) > CACHED_WORDS:
            _words.clear()
        # 0.0 and -0.0 are one key, so let both be 0.0
        words = array("q", array("d", [v + 0.0 for v in values]).tobytes())
        found = _words[values] = (words, *words.buffer_info())
    return found


def apply_floats(op: Any, input: Tensor, values: tuple[float, ...], into: int = 0) -> int:
    """Run an operation of one operand with float attributes; returns the slot."""
    words, address, count = float_words(values)
    try:
        slot = entries.apply(CONTEXT, op.code, into, input._slot, 0, 0, 0, address, count)
    except AttributeError:
        refuse_operand(op.name, input)
    return slot if slot >= 0 else complete(op, (input,), words, into, slot)


def apply_three(op: Any, a: Tensor, b: Tensor, d: Tensor, values: tuple[float, ...], into: int = 0) -> int:
    """Run an operation of three operands with float attributes; returns the slot or a negative status."""
    _words, address, count = float_words(values) if values else (None, 0, 0)
    return entries.apply(CONTEXT, op.code, into, a._slot, b._slot, d._slot, 0, address, count)


def pointwise(name: str, defaults: Sequence[float] = ()) -> Callable[..., Tensor]:
    """The function of an operation with tensors as operands, then float attributes with defaults."""
    op = BY_NAME[name]
    count = len(op.operands)
    attributes = op.attributes
    fixed = tuple(float(d) for d in defaults)
    code = op.code

    def function(*args: Any, **options: Any) -> Tensor:
        if count == 2 and len(args) == 2 and not attributes and not options:
            try:
                result = entries.binary(code, *args)
            except TypeError:
                result = BAD_DTYPE
            if type(result) is not int:
                return result
        operands, values = list(args[:count]), list(args[count:])
        for operand in op.operands[len(operands) :]:
            if operand not in options:
                raise TypeError(f"{name}() missing argument '{operand}'; expected {', '.join(op.operands)}")
            operands.append(options.pop(operand))
        for attribute in attributes[len(values) :]:
            at = len(values) - len(attributes) + len(fixed)
            if attribute not in options and at < 0:
                raise TypeError(f"{name}() missing argument '{attribute}'")
            values.append(options.pop(attribute) if attribute in options else fixed[at])
        if options or len(values) > len(attributes):
            raise TypeError(
                f"{name}() got unexpected arguments; expected {', '.join(op.operands + attributes)}"
            )
        return wrap(call(op, as_tensors(name, *operands), [float(v) for v in values]))

    return _named(function, name, f"``{name}``, elementwise.")


def _named(function: Callable, name: str, summary: str) -> Callable:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = summary
    return function
