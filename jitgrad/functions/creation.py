"""Making tensors of a shape: empty, filled with a number, and like other tensors."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from .._tensor import Tensor, method, wrap
from ..dispatch import CONTEXT, demand
from ..dtypes import (
    DTYPES,
    bool_,
    check_device,
    check_layout,
    dtype,
    get_default_dtype,
    int64,
    to_dtype,
)
from ..engine.entry import entries
from ..kernels.abi import FLOAT32, MAX_DIMS
from ..operators import OVERWRITE, overwrite, whole_number
from ._call import dtype_code, tensor_of
from ._dims import shape_of, sizes_of
from ._out import make_out

__all__ = ["empty", "empty_like", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like"]

# shapes -------------------------------------------------------------------------------------------------


@lru_cache(4096)
def shape_words(shape: tuple[int, ...]) -> tuple[array, int]:
    """A shape as words, with their address."""
    for size in shape:
        if size < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {size}: {list(shape)}")
    if len(shape) > MAX_DIMS:
        raise RuntimeError(f"a tensor has at most {MAX_DIMS} dimensions, got {len(shape)}: {list(shape)}")
    words = array("q", shape)
    return words, words.buffer_info()[0]


def make_empty(shape: tuple[int, ...], kind: dtype, zero: bool = False) -> Tensor:
    """A contiguous tensor, zeroed on request."""
    _words, address = shape_words(shape)
    slot = entries.empty(CONTEXT, kind.code, len(shape), address, zero)
    return wrap(slot if slot >= 0 else demand("empty", kind.code, len(shape), address, zero))


def finish(made: Tensor, requires_grad: bool, device: Any = None) -> Tensor:
    """What functions that make tensors do at the end: look at the device, and let the tensor require grad."""
    if device is not None:
        check_device(device)
    return made.requires_grad_() if requires_grad else made


def dtype_or_default(value: Any, name: str) -> dtype:
    """The dtype that was asked for, or the default one where none was."""
    return get_default_dtype() if value is None else to_dtype(value, name)


def _of_sizes(name: str, args: tuple[Any, ...], size: Any, dtype: Any, zero: int) -> Tensor:
    """A contiguous tensor, zeroed or not, with the sizes and the dtype as a script gives them."""
    kind = dtype_or_default(dtype, name)
    if size is None:
        made = entries.of_sizes(CONTEXT, kind.code, zero, *args)
        if type(made) is not int:
            return made
    return make_empty(sizes_of(args, name, "size", size), kind, bool(zero))


# filled -------------------------------------------------------------------------------------------------


def make_full(shape: tuple[int, ...], value: Any, kind: dtype) -> Tensor:
    """A tensor with the same number everywhere."""
    if isinstance(value, np.generic | Tensor):
        value = value.item()
    code = kind.code
    whole = 0 if code >= FLOAT32 else whole_number("full", value, code)
    filled = entries.filled(CONTEXT, code, OVERWRITE.code, float(value), whole, shape)
    if type(filled) is not int:
        return filled
    made = make_empty(shape, kind)
    overwrite("full", made, value)
    return made


def empty(*args: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
          out: Any = None, layout: Any = None, pin_memory: bool = False,
          memory_format: Any = None) -> Tensor:  # fmt: skip
    """A tensor whose values are whatever the memory holds.

    Parameters
    ----------
    *args : int or tuple of int
        The sizes; none make a tensor without dimensions.
    size : tuple of int, optional
        The sizes, given by name.
    dtype : dtype, optional
        By default that of `get_default_dtype`.
    requires_grad : bool, default False
        Whether operations on the tensor are recorded.
    out : Tensor, optional
        Of the shape that is asked for; takes the values and is returned.
    device, layout, pin_memory, memory_format
        For PyTorch's sake: all memory is the CPU's, and contiguous.

    Raises
    ------
    RuntimeError
        If a size is negative, there are more than 8, or another device or layout is asked for.
    """
    if layout is not None:
        check_layout("empty", layout)
    if out is not None:
        return make_out(
            "empty",
            lambda kind: empty(*args, size=size, dtype=kind, device=device),
            out,
            dtype,
            requires_grad,
        )
    return finish(_of_sizes("empty", args, size, dtype, 0), requires_grad, device)


def zeros(*args: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
          out: Any = None, layout: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A tensor of zeros; see `empty` for the parameters."""
    if layout is not None:
        check_layout("zeros", layout)
    if out is not None:
        return make_out(
            "zeros",
            lambda kind: zeros(*args, size=size, dtype=kind, device=device),
            out,
            dtype,
            requires_grad,
        )
    return finish(_of_sizes("zeros", args, size, dtype, 1), requires_grad, device)


def ones(*args: Any, size: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False,
         out: Any = None, layout: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A tensor of ones; see `empty` for the parameters."""
    if layout is not None:
        check_layout("ones", layout)
    if out is not None:
        return make_out(
            "ones", lambda kind: ones(*args, size=size, dtype=kind, device=device), out, dtype, requires_grad
        )
    made = make_full(sizes_of(args, "ones", "size", size), 1, dtype_or_default(dtype, "ones"))
    return finish(made, requires_grad, device)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
         out: Any = None, layout: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A tensor with the same number everywhere.

    Parameters
    ----------
    size : tuple of int
    fill_value : number or Tensor
        The number, or a tensor with one element.
    dtype : dtype, optional
        By default bool or int64 as the number's type is, and that of `get_default_dtype` for a float.

    See `empty` for the other parameters and the errors.
    """
    if layout is not None:
        check_layout("full", layout)
    value = fill_value.item() if isinstance(fill_value, np.generic | Tensor) else fill_value
    if out is not None:
        return make_out(
            "full", lambda kind: full(size, value, dtype=kind, device=device), out, dtype, requires_grad
        )
    if dtype is None:
        kind = (
            bool_ if isinstance(value, bool) else (int64 if isinstance(value, int) else get_default_dtype())
        )
    else:
        kind = to_dtype(dtype, "full")
    return finish(make_full(sizes_of((size,), "full", "size"), value, kind), requires_grad, device)


def _like_dtype(name: str, input: Any, wanted: Any) -> dtype:
    kind = DTYPES[dtype_code(tensor_of(input, name))]
    return kind if wanted is None else to_dtype(wanted, name)


def _like(make: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def run(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
            layout: Any = None, memory_format: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
        kind = _like_dtype(name, input, dtype)
        if layout is not None:
            check_layout(name, layout)
        return finish(make(shape_of(input), kind), requires_grad, device)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"``{name.removesuffix('_like')}`` with the shape and dtype of `input`."
    return run


zeros_like = _like(lambda shape, kind: make_empty(shape, kind, True), "zeros_like")
ones_like = _like(lambda shape, kind: make_full(shape, 1, kind), "ones_like")
empty_like = _like(make_empty, "empty_like")


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None,
              requires_grad: bool = False, layout: Any = None, memory_format: Any = None,
              pin_memory: bool = False) -> Tensor:  # fmt: skip
    """``full`` with the shape and dtype of `input`."""
    if layout is not None:
        check_layout("full_like", layout)
    kind = _like_dtype("full_like", input, dtype)
    return finish(make_full(input.shape, fill_value, kind), requires_grad, device)


# methods: new tensors in the dtype of another -----------------------------------------------------------


def _attach_new(make: Callable[..., Tensor]) -> None:
    name = f"new_{make.__name__}"

    def new(self: Tensor, *args: Any, size: Any = None, dtype: Any = None, device: Any = None,
            requires_grad: bool = False) -> Tensor:  # fmt: skip
        return make(*args, size=size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    new.__name__ = new.__qualname__ = name
    new.__doc__ = f"``{make.__name__}`` in this tensor's dtype."
    setattr(Tensor, name, new)


for _make in (zeros, ones, empty):
    _attach_new(_make)


@method
def new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``full`` in this tensor's dtype."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)
