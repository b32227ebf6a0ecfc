"""Copies and conversions: clone, contiguous, to and its short forms, and overwriting values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .._tensor import Tensor, method
from ..dispatch import CONTEXT, call
from ..dtypes import (
    CPU,
    bool_,
    check_device,
    device,
    dtype,
    float32,
    float64,
    get_default_dtype,
    int32,
    int64,
    to_dtype,
    uint8,
)
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DTYPE, S_FLAGS, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import DTYPE_NAMES
from ..kernels.table import Op
from ..operators import overwrite
from ..store import store
from ._call import dtype_code, require_tensors, tensor_of, unary

__all__ = ["clone"]

# one operation, under the names that errors say
_COPY, _FILL, _ZERO = (replace(BY_NAME["overwrite"], name=name) for name in ("copy", "fill", "zero"))
_CASTS = [unary("to", f"to_{name}") for name in DTYPE_NAMES]
_copy = unary("clone", "copy")


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with memory of its own, in row-major order, differentiable."""
    return _copy(input)


def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself when its elements lie in row-major order, else a copy that does."""
    if store.slots[self._slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS:
        return self
    return _copy(self)


def cast(x: Tensor, target: dtype, copy: bool = False) -> Tensor:
    """The tensor in a dtype: itself when it has that dtype already, unless a copy is asked for."""
    if store.slots[x._slot * SLOT_WORDS + S_DTYPE] == target.code:
        return _copy(x) if copy else x
    return _CASTS[target.code](x)


def to(self: Tensor, *args: Any, **options: Any) -> Tensor:
    """The tensor in another dtype, or itself when nothing changes.

    Parameters
    ----------
    *args
        Any of a dtype, a device (only the CPU exists), and a tensor whose dtype is wanted.
    copy : bool
        Copy even when nothing changes.
    """
    if len(args) == 1 and not options:
        kind = type(args[0])
        if kind is dtype:
            return cast(self, args[0])
        if args[0] is CPU or (kind is str and args[0] == "cpu"):
            return self
    target, copy = None, options.pop("copy", False)
    options.pop("non_blocking", None)
    options.pop("memory_format", None)
    values = [*args, options.pop("dtype", None), options.pop("other", None), options.pop("device", None)]
    if options:
        raise TypeError(f"to() got an unexpected keyword argument {next(iter(options))!r}")
    for place, value in enumerate(values):
        if isinstance(value, dtype):
            target = value
        elif isinstance(value, Tensor):
            target = value.dtype
        elif isinstance(value, str | device):
            check_device(value)
        elif isinstance(value, bool):
            copy = copy or (value and place > 1)  # non_blocking, then copy, by position
        elif value is not None:
            target = to_dtype(value, "to")
    if target is None:
        return _copy(self) if copy else self
    return cast(self, target, copy)


def _short(target: dtype, name: str) -> Callable[..., Tensor]:
    def run(self: Tensor, memory_format: Any = None) -> Tensor:
        return cast(self, target)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"The tensor as {target.name}."
    return run


def _unsupported(name: str) -> Callable[..., Tensor]:
    def run(self: Tensor, *args: Any, **options: Any) -> Tensor:
        raise RuntimeError(
            f"{name}: jitgrad has no such dtype or device; it computes in float32, float64, int32, int64, "
            "uint8 and bool on the CPU"
        )

    run.__name__ = run.__qualname__ = name
    run.__doc__ = "Not available."
    return run


def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself: it is on the CPU."""
    return self


def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor in the dtype of `other`."""
    require_tensors("type_as", self, other)
    return cast(self, other.dtype)


_TYPE_NAMES = {float32: "FloatTensor", float64: "DoubleTensor", int32: "IntTensor", int64: "LongTensor",
               uint8: "ByteTensor", bool_: "BoolTensor"}  # fmt: skip


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, or the tensor in another dtype.

    Parameters
    ----------
    dtype : dtype, type or str, optional
        A dtype, the type of tensors of one (``torch.LongTensor``), or the name of that type. ``torch.Tensor`` stands
        for the default dtype.
    """
    if dtype is None:
        return f"torch.{_TYPE_NAMES[self.dtype]}"
    if dtype is Tensor or dtype == "torch.Tensor":
        return cast(self, get_default_dtype())
    for known, name in _TYPE_NAMES.items():
        if dtype == f"torch.{name}":
            return cast(self, known)
    if isinstance(dtype, str):
        names = ", ".join(f"torch.{name}" for name in _TYPE_NAMES.values())
        raise ValueError(f"type: invalid type: {dtype!r}; expected a dtype or one of {names}")
    from ..typed import Typed

    return cast(self, dtype.kind if isinstance(dtype, Typed) else to_dtype(dtype, "type"))


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrite the values with those of `src`, a tensor or a number, broadcast and converted.

    Raises
    ------
    RuntimeError
        When the shape of `src` does not broadcast to this one.
    """
    if isinstance(src, int | float):
        return fill_(self, src)
    source = tensor_of(src, "copy_", "src")
    if dtype_code(source) != dtype_code(self):
        source = cast(source, self.dtype)
    self._become(call(_COPY, (self, source), (), self._slot))
    return self


def _filling(op: Op) -> Callable[[Tensor, Any], Tensor]:
    """The method that overwrites all values with one number."""

    def fill(self: Tensor, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            if value.ndim:
                raise RuntimeError(
                    f"fill_: only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions; "
                    "use copy_ for a tensor of values"
                )
            return copy_(self, value)
        if isinstance(value, np.generic):
            value = value.item()
        self._become(overwrite(fill.__name__, self, value, op))
        return self

    fill.__name__ = fill.__qualname__ = op.name + "_"
    fill.__doc__ = "Overwrite all values with one number."
    return fill


fill_, _fill_with_zeros = _filling(_FILL), _filling(_ZERO)


def zero_(self: Tensor) -> Tensor:
    """Overwrite all values with zeros."""
    slot = self._slot
    if entries.apply_number(CONTEXT, _ZERO.code, slot, slot, 0.0, 0, 0, 0) == slot:
        return self
    return _fill_with_zeros(self, 0)


@method
def as_subclass(self: Tensor, cls: type) -> Any:
    """The same memory as an instance of a subclass of `Tensor`; gradients go through it to this tensor.

    The class's ``__init__`` is not called.

    Raises
    ------
    TypeError
        If `cls` is not `Tensor` or a class below it.
    """
    if not (isinstance(cls, type) and issubclass(cls, Tensor)):
        what = cls.__name__ if isinstance(cls, type) else f"an instance of {type(cls).__name__}"
        raise TypeError(
            f"as_subclass: Creating a Tensor subclass from a class that does not inherit from Tensor is not possible; "
            f"got {what}. Derive it from torch.Tensor"
        )
    shown = self[...]  # held by a name until the new handle is counted
    made = Tensor.__new__(cls)
    made._slot = entries.retain(CONTEXT, shown._slot)
    return made


Tensor._cast = cast  # what promotion of dtypes calls
Tensor.clone, Tensor.contiguous, Tensor.to, Tensor.cpu = clone, contiguous, to, cpu
Tensor.type_as, Tensor.type, Tensor.copy_, Tensor.fill_, Tensor.zero_ = type_as, type_, copy_, fill_, zero_
for _names, _target in (("float", float32), ("double", float64), ("int", int32), ("long", int64),
                        ("bool", bool_), ("byte", uint8)):  # fmt: skip
    setattr(Tensor, _names, _short(_target, _names))
for _names in ("half", "bfloat16", "short", "char", "cuda"):
    setattr(Tensor, _names, _unsupported(_names))
