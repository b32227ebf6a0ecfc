"""Making tensors: from Python data and NumPy arrays, filled, and like other tensors."""

from __future__ import annotations

import ctypes
import warnings
from array import array
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, call, demand
from ..dtypes import (
    BY_NUMPY,
    DTYPES,
    bool_,
    check_device,
    dtype,
    get_default_dtype,
    int64,
    numpy_to_dtype,
    to_dtype,
)
from ..engine.entry import entries
from ..engine.layout import S_ADDRESS, SLOT_WORDS, WRAPPED
from ..kernels import BY_NAME
from ..kernels.abi import MAX_DIMS
from ..operators import number_tensor
from ..store import store
from ._call import dtype_code, tensor_of
from ._dims import shape_of
from ._out import make_out

__all__ = ["as_tensor", "asarray", "empty", "empty_like", "from_numpy", "full", "full_like", "ones",
           "ones_like", "scalar_tensor", "tensor", "zeros", "zeros_like"]  # fmt: skip

_OVERWRITE = BY_NAME["overwrite"]
DROP_EVERY = 64  # arrays lent to the engine between two looks for those it has given back


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


def sizes_of(args: Sequence[Any], name: str) -> tuple[int, ...]:
    """The shape from ``f(2, 3)`` or ``f((2, 3))``."""
    if len(args) == 1 and not hasattr(args[0], "__index__"):
        args = args[0]
    try:
        return tuple([size.__index__() for size in args])
    except (AttributeError, TypeError):
        raise TypeError(f"{name}(): argument 'size' must be a tuple of ints, got {args!r}") from None


def make_empty(shape: tuple[int, ...], kind: dtype, zero: bool = False) -> Tensor:
    """A contiguous tensor, zeroed on request."""
    _words, address = shape_words(shape)
    slot = entries.empty(CONTEXT, kind.code, len(shape), address, zero)
    return wrap(slot if slot >= 0 else demand("empty", kind.code, len(shape), address, zero))


def finish(made: Tensor, requires_grad: bool, device: Any = None) -> Tensor:
    if device is not None:
        check_device(device)
    return made.requires_grad_() if requires_grad else made


def dtype_or_default(value: Any, name: str) -> dtype:
    return get_default_dtype() if value is None else to_dtype(value, name)


# from data ----------------------------------------------------------------------------------------------


def from_array(values: np.ndarray, kind: dtype) -> Tensor:
    """A tensor with a copy of an array's values."""
    values = np.ascontiguousarray(values, kind.numpy).reshape(values.shape)
    made = make_empty(values.shape, kind)
    ctypes.memmove(
        store.slots[made._slot * SLOT_WORDS + S_ADDRESS], values.__array_interface__["data"][0], values.nbytes
    )
    if store.recording is not None:
        entries.keep_values(CONTEXT, made._slot)
    return made


def from_number(value: Any, kind: dtype) -> Tensor:
    """A tensor without dimensions."""
    made = number_tensor(value, kind)
    entries.set_flag(CONTEXT, made._slot, WRAPPED, False)
    return made


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A new tensor with a copy of the data.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
        Floats become the default dtype, ints int64, bools bool; arrays keep their dtype.
    dtype : dtype, optional
        Convert to this dtype.
    requires_grad : bool
        Record operations on the tensor.

    Raises
    ------
    ValueError
        When nested sequences have different lengths.
    TypeError
        When there is something other than numbers in them.
    """
    kind = type(data)
    if kind is float or kind is int or kind is bool:
        default = get_default_dtype() if kind is float else (int64 if kind is int else bool_)
        made = from_number(data, default if dtype is None else to_dtype(dtype, "tensor"))
        return finish(made, requires_grad, device)
    if isinstance(data, Tensor):
        made = data.detach().clone()  # type: ignore[attr-defined]
        if dtype is not None:
            made = made.to(to_dtype(dtype, "tensor"))
        return finish(made, requires_grad, device)
    if store.recording_here is not None and isinstance(data, np.ndarray) and _is_lendable(data):
        made = from_numpy(data).clone()  # type: ignore[attr-defined]  # a replay reads the array again
        made = made if dtype is None else made.to(to_dtype(dtype, "tensor"))
        return finish(made, requires_grad, device)
    values = data if isinstance(data, np.ndarray | np.generic) else _array_of(data, dtype is None)
    known = numpy_to_dtype(values.dtype, "tensor") if dtype is None else to_dtype(dtype, "tensor")
    return finish(from_array(np.asarray(values), known), requires_grad, device)


def _is_lendable(data: np.ndarray) -> bool:
    """Whether a tensor can be made on an array's memory."""
    return data.dtype in BY_NUMPY and data.flags.writeable and data.flags.c_contiguous and data.flags.aligned


def _array_of(data: Any, infer: bool) -> np.ndarray:
    """An array from nested sequences; with `infer`, floats have the default dtype, as in PyTorch."""
    if hasattr(data, "__array__"):
        return np.asarray(data)
    first = data
    while isinstance(first, list | tuple | range) and first:
        first = first[0]
    if isinstance(first, Tensor):
        data = _plain(data)
    try:
        values = np.array(data)
    except ValueError:
        _refuse_ragged(data, 0)
        raise
    if values.dtype.kind not in "fiub":
        _refuse_values(data, values)
    if infer and not isinstance(first, np.ndarray | np.generic) and values.dtype == np.float64:
        return values.astype(get_default_dtype().numpy, copy=False)
    if not isinstance(first, np.ndarray | np.generic) and values.dtype.kind == "u":
        raise RuntimeError("tensor: Overflow when unpacking long: an integer does not fit into int64")
    return values


def _plain(data: Any) -> Any:
    """Nested sequences with Python numbers in place of tensors."""
    if isinstance(data, Tensor):
        return data.tolist()
    return [_plain(x) for x in data] if isinstance(data, list | tuple) else data


def _refuse_ragged(data: Any, dim: int) -> None:
    lengths = [len(x) if isinstance(x, list | tuple | np.ndarray) else -1 for x in data]
    for length in lengths:
        if length != lengths[0]:
            raise ValueError(
                f"tensor: expected sequence of length {lengths[0]} at dim {dim + 1} (got {length}); "
                "nested sequences must have equal lengths"
            ) from None
    for x in data:
        if isinstance(x, list | tuple):
            _refuse_ragged(x, dim + 1)


def _refuse_values(data: Any, values: np.ndarray) -> None:
    bad = next((x for x in values.reshape(-1).tolist() if not isinstance(x, float | int)), data)
    if isinstance(bad, int):
        raise RuntimeError("tensor: Overflow when unpacking long: an integer does not fit into int64")
    if isinstance(bad, str):
        raise ValueError(f"tensor: too many dimensions 'str': expected numbers, got {bad!r}")
    raise RuntimeError(
        f"tensor: Could not infer dtype of {type(bad).__name__}: expected numbers, got {bad!r}"
    )


_lent = 0


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on an array's memory: writes to one are seen in the other.

    Raises
    ------
    TypeError
        When it is not an array, or has a dtype that tensors cannot have.
    ValueError
        When it has a negative stride.
    """
    global _lent
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected np.ndarray (got {type(ndarray).__name__})")
    kind = BY_NUMPY.get(ndarray.dtype)
    if kind is None:
        kind = numpy_to_dtype(ndarray.dtype, "from_numpy")
        return from_array(ndarray, kind)
    size = kind.itemsize
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            "from_numpy: At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not supported; make a copy with array.copy()"
        )
    if any(s % size for s in ndarray.strides) or ndarray.ctypes.data % size:
        raise ValueError(
            "from_numpy: given numpy array strides not a multiple of the element byte size; "
            "copy the array first"
        )
    if not ndarray.flags.writeable:
        warnings.warn(
            "from_numpy: the given NumPy array is not writable, and PyTorch's tensors are: copy the array "
            "before writing to the tensor",
            UserWarning,
            stacklevel=2,
        )
    shape_words(ndarray.shape)
    geometry = array("q", (*ndarray.shape, *(s // size for s in ndarray.strides)))
    address, nbytes = ndarray.__array_interface__["data"][0], ndarray.nbytes
    made = wrap(demand("external", address, kind.code, ndarray.ndim, geometry.buffer_info()[0], nbytes))
    store.externals[made._word(0)] = ndarray
    _lent += 1
    if _lent % DROP_EVERY == 0:
        store.drop_externals()
    return made


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The data as a tensor, without a copy where memory can be shared."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(to_dtype(dtype, "as_tensor"))  # type: ignore[attr-defined]
    if isinstance(data, np.ndarray) and data.dtype in BY_NUMPY and data.flags.writeable:
        kind = None if dtype is None else to_dtype(dtype, "as_tensor")
        if (kind is None or kind.numpy == data.dtype) and all(s >= 0 for s in data.strides):
            return from_numpy(data)
    return tensor(data, dtype=dtype)


def asarray(obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None,
            requires_grad: bool = False) -> Tensor:  # fmt: skip
    """`as_tensor`, or `tensor` when a copy is asked for."""
    make = tensor if copy else as_tensor
    return finish(make(obj, dtype=dtype, device=device), requires_grad)


def scalar_tensor(s: float, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A number as a tensor without dimensions, of the default dtype."""
    return finish(from_number(s, dtype_or_default(dtype, "scalar_tensor")), requires_grad, device)


# filled -------------------------------------------------------------------------------------------------


def make_full(shape: tuple[int, ...], value: Any, kind: dtype) -> Tensor:
    """A tensor with the same number everywhere."""
    made = make_empty(shape, kind)
    number = number_tensor(value.item() if isinstance(value, np.generic | Tensor) else value, kind)
    call(_OVERWRITE, (made, number), (), made._slot)
    return made


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
          layout: Any = None, pin_memory: bool = False, memory_format: Any = None) -> Tensor:  # fmt: skip
    """A tensor whose values are whatever the memory holds."""
    if out is not None:
        return make_out(
            "empty", lambda kind: empty(*size, dtype=kind, device=device), out, dtype, requires_grad
        )
    return finish(
        make_empty(sizes_of(size, "empty"), dtype_or_default(dtype, "empty")), requires_grad, device
    )


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
          layout: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A tensor of zeros."""
    if out is not None:
        return make_out(
            "zeros", lambda kind: zeros(*size, dtype=kind, device=device), out, dtype, requires_grad
        )
    return finish(
        make_empty(sizes_of(size, "zeros"), dtype_or_default(dtype, "zeros"), True), requires_grad, device
    )


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False, out: Any = None,
         layout: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A tensor of ones."""
    if out is not None:
        return make_out(
            "ones", lambda kind: ones(*size, dtype=kind, device=device), out, dtype, requires_grad
        )
    return finish(
        make_full(sizes_of(size, "ones"), 1, dtype_or_default(dtype, "ones")), requires_grad, device
    )


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
         out: Any = None, layout: Any = None, pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A tensor with `fill_value` everywhere; its type decides the dtype unless one is given."""
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
    return finish(make_full(sizes_of((size,), "full"), value, kind), requires_grad, device)


def _like_dtype(name: str, input: Any, wanted: Any) -> dtype:
    kind = DTYPES[dtype_code(tensor_of(input, name))]
    return kind if wanted is None else to_dtype(wanted, name)


def _like(make: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    def run(input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
            layout: Any = None, memory_format: Any = None) -> Tensor:  # fmt: skip
        kind = _like_dtype(name, input, dtype)
        return finish(make(shape_of(input), kind), requires_grad, device)

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"``{name.removesuffix('_like')}`` with the shape and dtype of `input`."
    return run


zeros_like = _like(lambda shape, kind: make_empty(shape, kind, True), "zeros_like")
ones_like = _like(lambda shape, kind: make_full(shape, 1, kind), "ones_like")
empty_like = _like(make_empty, "empty_like")


def full_like(input: Tensor, fill_value: Any, *, dtype: Any = None, device: Any = None,
              requires_grad: bool = False, layout: Any = None, memory_format: Any = None) -> Tensor:  # fmt: skip
    """``full`` with the shape and dtype of `input`."""
    kind = _like_dtype("full_like", input, dtype)
    return finish(make_full(input.shape, fill_value, kind), requires_grad, device)


# methods: new tensors in the dtype of another -----------------------------------------------------------


def _new_zeros(self: Tensor, *size: Any, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``zeros`` in this tensor's dtype."""
    return zeros(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def _new_ones(self: Tensor, *size: Any, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``ones`` in this tensor's dtype."""
    return ones(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def _new_empty(self: Tensor, *size: Any, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``empty`` in this tensor's dtype."""
    return empty(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def _new_full(self: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
              requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``full`` in this tensor's dtype."""
    return full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


def _new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None,
                requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``tensor`` in this tensor's dtype."""
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


for _function in (_new_zeros, _new_ones, _new_empty, _new_full, _new_tensor):
    _function.__name__ = _function.__qualname__ = _function.__name__.removeprefix("_")
    setattr(Tensor, _function.__name__, _function)
