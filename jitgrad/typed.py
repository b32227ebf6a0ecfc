"""Constructors such as ``LongTensor([1, 2])``, PyTorch's from before dtypes, which ``isinstance`` knows as types."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._tensor import Tensor
from .dtypes import (
    Size,
    bool_,
    dtype,
    float32,
    float64,
    get_default_dtype,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from .functions import empty, tensor


def from_sizes_or_data(name: str, args: tuple, kind: dtype | None) -> Tensor:
    """An uninitialised tensor of sizes, or one of data: what such a constructor is called with.

    Parameters
    ----------
    name : str
        For messages.
    args : tuple
        Sizes, or one sequence, array or tensor. Of a tensor, the result is a view with the same history.
    kind : dtype or None
        None for the default dtype, but any dtype of a given tensor.

    Raises
    ------
    TypeError
        If it is called with neither, or with a tensor of another dtype.
    """
    if isinstance(args[0] if args else 0, Size):
        args = tuple(args[0])
    if all(isinstance(x, int | np.integer) and not isinstance(x, bool) for x in args):
        return empty(*args, dtype=kind) if args else empty(0, dtype=kind)
    if len(args) != 1 or isinstance(args[0], float | bool):
        got = ", ".join(type(x).__name__ for x in args)
        raise TypeError(
            f"{name}(): expected sizes, or a sequence, array or tensor of data, got {got}; use tensor()"
        )
    if isinstance(args[0], Tensor):
        if kind is not None and args[0].dtype is not kind:
            raise TypeError(
                f"{name}(): expected a tensor of {kind.name}, got {args[0].dtype.name}; use .to()"
            )
        return args[0].view_as(args[0])
    return tensor(args[0], dtype=kind or get_default_dtype())


class Typed(type):
    """The type of tensors of one dtype."""

    kind: dtype

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor) and value.dtype is cls.kind

    def __call__(cls, *args: Any) -> Tensor:
        """See `from_sizes_or_data`."""
        return from_sizes_or_data(cls.__name__, args, cls.kind)


def _typed(name: str, kind: dtype) -> Typed:
    return Typed(name, (), {"kind": kind, "__doc__": f"Tensors of {kind.name}."})


def set_default_tensor_type(t: Any) -> None:
    """`set_default_dtype` by the type, or the name of the type, of tensors of that dtype.

    Raises
    ------
    TypeError
        If it is not the type of tensors of a floating dtype.
    """
    for kind in (FloatTensor, DoubleTensor):
        if t is kind or t == f"torch.{kind.__name__}":
            return set_default_dtype(kind.kind)
    raise TypeError(f"set_default_tensor_type(): expected FloatTensor or DoubleTensor, got {t!r}")


FloatTensor, DoubleTensor = _typed("FloatTensor", float32), _typed("DoubleTensor", float64)
IntTensor, LongTensor = _typed("IntTensor", int32), _typed("LongTensor", int64)
ByteTensor, BoolTensor = _typed("ByteTensor", uint8), _typed("BoolTensor", bool_)
