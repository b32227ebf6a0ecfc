"""Making tensors from Python data and NumPy arrays: copies of values, and tensors on an array's memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any, NoReturn

import numpy as np

from .._tensor import Tensor, method
from ..dispatch import CONTEXT, insist
from ..dtypes import (
    BY_NUMPY,
    bool_,
    check_device,
    dtype,
    get_default_dtype,
    int64,
    numpy_to_dtype,
    promote_types,
    to_dtype,
)
from ..engine.entry import entries
from ..engine.layout import S_STORAGE, WRAPPED
from ..operators import LIMITS, exact_number, whole_number
from ..store import store
from ..user_frames import warn
from .creation import dtype_or_default, finish, shape_words

__all__ = ["as_tensor", "asarray", "from_numpy", "frombuffer", "scalar_tensor", "tensor"]

DROP_EVERY = 64  # arrays lent to the engine between two looks for those it has given back


def from_array(values: np.ndarray, kind: dtype) -> Tensor:
    """A tensor with a copy of an array's values."""
    if values.dtype != kind.numpy or not values.flags.c_contiguous:
        values = np.ascontiguousarray(values, kind.numpy).reshape(values.shape)
    made = entries.copied(kind.code, values)
    if type(made) is not int:
        return made
    shape_words(values.shape)  # refuses those of too many dimensions
    return insist("copied", kind.code, values)


def from_number(value: Any, kind: dtype) -> Tensor:
    """A tensor without dimensions."""
    made = exact_number("tensor", value, kind)
    entries.set_flag(CONTEXT, made._slot, WRAPPED, False)
    return made


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
           pin_memory: bool = False) -> Tensor:  # fmt: skip
    """A new tensor with a copy of the data.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
        Floats become the default dtype, ints int64, bools bool; arrays keep their dtype. Sequences get the dtype to
        which their elements are promoted; a tensor in them counts as the one number that it holds.
    dtype : dtype, optional
        Convert to this dtype.
    requires_grad : bool
        Record operations on the tensor.

    Raises
    ------
    ValueError
        When nested sequences have different lengths or hold text, or a tensor in them has more than one element.
    RuntimeError
        When the data is neither a number nor a sequence, or there is something else than numbers in it.
    TypeError
        When the data is a string.
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
    known = None if dtype is None else to_dtype(dtype, "tensor")
    if isinstance(data, np.ndarray | np.generic):
        values = np.asarray(data)
    else:
        values = _array_of(data, known is None)
        if known is not None:
            _check_range(values, known)
    return finish(from_array(values, known or numpy_to_dtype(values.dtype, "tensor")), requires_grad, device)


def _is_lendable(data: np.ndarray) -> bool:
    """Whether a tensor can be made on an array's memory."""
    return data.dtype in BY_NUMPY and data.flags.writeable and data.flags.c_contiguous and data.flags.aligned


def _array_of(data: Any, infer: bool) -> np.ndarray:
    """An array from nested sequences; with `infer`, of the dtype to which all elements are promoted, as in PyTorch."""
    if hasattr(data, "__array__"):
        return np.asarray(data)
    if isinstance(data, str):
        raise TypeError(f"tensor: invalid data type 'str': expected numbers, got {data!r}")
    if not hasattr(data, "__iter__"):
        _refuse_kind(data)
    kinds: set[type] = set()
    _collect_types(data, kinds)
    try:
        values = np.array(_plain(data) if any(issubclass(k, Tensor) for k in kinds) else data)
    except ValueError:
        _refuse_ragged(data, 0)
        raise
    if kinds <= _PYTHON_NUMBERS:
        if values.dtype.kind not in "fib":
            _refuse_values(data, values)
        floats = infer and values.dtype == float
        return values.astype(get_default_dtype().numpy, copy=False) if floats else values
    if values.dtype.kind not in "fiub":
        _refuse_values(data, values)
    return values.astype(reduce(promote_types, _dtypes_of(data)).numpy, copy=False) if infer else values


_PYTHON_NUMBERS = {float, int, bool}


def _collect_types(data: Any, kinds: set[type]) -> None:
    """Add the types of the elements of nested sequences."""
    if isinstance(data, range):
        kinds.add(int)
        return
    here = set(map(type, data))
    inner = here & {list, tuple, range}
    kinds |= here - inner
    if inner:
        for x in data:
            if type(x) in inner:
                _collect_types(x, kinds)


def _dtypes_of(data: Any) -> Iterator[dtype]:
    """The dtypes that the elements of nested sequences would have as tensors of their own."""
    for x in data:
        kind = type(x)
        if kind in _PYTHON_NUMBERS:
            yield get_default_dtype() if kind is float else (int64 if kind is int else bool_)
        elif isinstance(x, list | tuple | range):
            yield from _dtypes_of(x)
        else:
            yield x.dtype if isinstance(x, Tensor) else numpy_to_dtype(np.asarray(x).dtype, "tensor")


def _plain(data: Any) -> Any:
    """Nested sequences with Python numbers in place of tensors."""
    if isinstance(data, Tensor):
        if data.numel() != 1:
            raise ValueError(
                "tensor: only one element tensors can be converted to Python scalars; got one of shape "
                f"{tuple(data.shape)} in a sequence: join tensors with stack() or cat()"
            )
        return data.item()
    return [_plain(x) for x in data] if isinstance(data, list | tuple) else data


def _check_range(values: np.ndarray, kind: dtype) -> None:
    """Refuse numbers that a dtype of integers does not have."""
    if kind.code in LIMITS and values.size and values.dtype != kind.numpy:
        for extreme in (values.min(), values.max()):
            whole_number("tensor", extreme, kind.code)


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


def _refuse_values(data: Any, values: np.ndarray) -> NoReturn:
    bad = next((x for x in values.reshape(-1).tolist() if not isinstance(x, float | int)), data)
    if values.dtype.kind == "u" or isinstance(bad, int):
        raise ValueError("tensor: Overflow when unpacking long long: an integer does not fit into int64")
    if isinstance(bad, str):
        raise ValueError(f"tensor: too many dimensions 'str': expected numbers, got {bad!r}")
    _refuse_kind(bad)


def _refuse_kind(value: Any) -> NoReturn:
    raise RuntimeError(
        f"tensor: Could not infer dtype of {type(value).__name__}: expected numbers, got {value!r}"
    )


_lent = 0


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A tensor of one dimension on the memory of an object such as a bytearray.

    Parameters
    ----------
    dtype : dtype
    count : int
        Number of elements, -1 for all that follow.
    offset : int
        Bytes before the first one.

    Raises
    ------
    ValueError
        When the object is empty, or has not that many bytes.
    """
    size = memoryview(buffer).nbytes
    if not size or not count:
        raise ValueError(
            f"frombuffer: expected bytes and a count other than 0, got {size} bytes and count {count}"
        )
    try:
        array = np.frombuffer(buffer, to_dtype(dtype, "frombuffer").numpy, count, offset)
    except ValueError as error:
        raise ValueError(f"frombuffer: {error}") from None
    return from_numpy(array).requires_grad_(requires_grad)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on an array's memory: writes to one are seen in the other.

    Raises
    ------
    TypeError
        When it is not an array, or has a dtype that tensors cannot have.
    ValueError
        When it has a negative stride.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy: expected np.ndarray (got {type(ndarray).__name__})")
    if ndarray.dtype not in BY_NUMPY:
        return from_array(ndarray, numpy_to_dtype(ndarray.dtype, "from_numpy"))
    made = tensor_on(ndarray, "from_numpy")
    if not ndarray.flags.writeable:
        warn(
            "from_numpy: the given NumPy array is not writable, and PyTorch's tensors are: copy the array "
            "before writing to the tensor",
            UserWarning,
        )
    return made


def tensor_on(ndarray: np.ndarray, name: str) -> Tensor:
    """A tensor on the memory of an array of a dtype that tensors can have; errors say `name`."""
    global _lent
    kind = BY_NUMPY[ndarray.dtype]
    made = entries.lent(kind.code, ndarray.strides, ndarray)
    if type(made) is int:
        _refuse_memory(ndarray, name)
        made = insist("lent", kind.code, ndarray.strides, ndarray)
    store.externals[made._word(S_STORAGE)] = ndarray
    _lent += 1
    if _lent % DROP_EVERY == 0:
        store.drop_externals()
    return made


def _refuse_memory(values: np.ndarray, name: str) -> None:
    """Raise what keeps a tensor from showing an array's memory, if anything does."""
    size, strides = values.itemsize, values.strides
    if min(strides, default=0) < 0:
        raise ValueError(
            f"{name}: At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not supported; make a copy with array.copy()"
        )
    if values.ctypes.data % size or any(s % size for s in strides):
        raise ValueError(
            f"{name}: given numpy array strides not a multiple of the element byte size; copy the array first"
        )
    shape_words(values.shape)  # refuses those of too many dimensions


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


@method
def new_tensor(self: Tensor, data: Any, *, dtype: Any = None, device: Any = None,
               requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``tensor`` in this tensor's dtype."""
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)
