"""What a file may ask for: tensors, parameters, sizes, dtypes and plain containers, each made with checks."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

from .. import dtypes
from .._tensor import Tensor
from ..functions.creation import make_empty
from ..functions.from_data import from_array
from ..functions.shape import NONE, strided_view, view_words
from ..kernels.abi import MAX_DIMS
from .kinds import BY_NAME, KINDS, Kind

LARGEST = 2**62  # strides and numbers of elements beyond this are no address on any machine
PLAIN_KEYS = (str, int, float, bool, bytes, type(None), complex)  # of dicts, alone or in a tuple


class Maker:
    """Something that a file may call by its name in PyTorch.

    Attributes
    ----------
    name : str
        That name.
    """

    __slots__ = ("_make", "name")

    def __init__(self, name: str, make: Callable[..., Any]) -> None:
        self.name = name
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        """Make it; wrong arguments are the file's fault."""
        try:
            return self._make(*arguments)
        except (TypeError, ValueError, OverflowError) as error:
            raise UnpicklingError(f"load: {self.name} cannot take its arguments: {error}") from None

    def __repr__(self) -> str:
        return f"<{self.name} of a file>"


class StorageType(Maker):
    """The type of a storage: its elements' kind, or None for bytes of any kind."""

    __slots__ = ("kind",)

    def __init__(self, name: str, kind: Kind | None) -> None:
        super().__init__(name, self._refuse)
        self.kind = kind

    def _refuse(self, *arguments: Any) -> Any:
        raise TypeError("storages are named by the file, not called")


class Storage:
    """A block of elements that tensors share; its values are taken from the file when first needed.

    Parameters
    ----------
    name : str
        For messages.
    kind : Kind or None
        What the elements are; None when the tensors say it.
    read : callable
        Gives the array of elements for a kind.
    """

    def __init__(self, name: str, kind: Kind | None, read: Callable[[Kind], Any]) -> None:
        self.name, self.kind = name, kind
        self._read = read
        self._values: dict[Kind, Tensor] = {}

    def values(self, kind: Kind) -> Tensor:
        """All elements, in one dimension."""
        if kind not in self._values:
            self._values[kind] = from_array(self._read(kind), kind.dtype)
        return self._values[kind]


def strided(values: Tensor, offset: int, size: tuple, stride: tuple, name: str) -> Tensor:
    """A tensor on the memory of `values`, after looking that it stays inside.

    Raises
    ------
    RuntimeError
        When some element would lie outside.
    """
    numbers = (offset, *size, *stride)
    if any(type(n) is not int or not 0 <= n < LARGEST for n in numbers) or len(size) != len(stride):
        raise RuntimeError(
            f"load: a tensor in storage {name} has offset {offset!r}, size {size!r} and stride {stride!r}; "
            "expected whole numbers from 0 on, one stride for each size"
        )
    if len(size) > MAX_DIMS:
        raise RuntimeError(f"load: a tensor has {len(size)} dimensions, at most {MAX_DIMS} are supported")
    count = math.prod(size)
    if count == 0:
        return make_empty(size, values.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= values.numel() or count >= LARGEST:
        raise RuntimeError(
            f"load: setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset} need "
            f"{last + 1} elements, which are out of bounds for storage {name} of {values.numel()}; "
            "the file is damaged"
        )
    columns = [(n, 0, step, NONE) for n, step in zip(size, stride, strict=True)]
    return strided_view(values, view_words(columns, (offset,), "load"), "as_strided").detach()


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, kind: Kind | None = None) -> Tensor:
    if not isinstance(storage, Storage):
        raise TypeError(f"expected a storage, got {type(storage).__name__}")
    if not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise TypeError("expected tuples as size and stride")
    kind = kind or storage.kind
    if kind is None:
        raise TypeError("the storage's elements have no type")
    return strided(storage.values(kind), offset, tuple(size), tuple(stride), storage.name)


def _flagged(tensor: Any, requires_grad: Any) -> Any:
    if type(requires_grad) is not bool:
        raise TypeError(f"expected a bool as requires_grad, got {type(requires_grad).__name__}")
    return tensor.requires_grad_() if requires_grad else tensor


def _tensor_v2(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False,
               hooks: Any = None, metadata: Any = None) -> Tensor:  # fmt: skip
    return _flagged(_tensor(storage, offset, size, stride), requires_grad)


def _tensor_v3(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, kind: Any,
               metadata: Any = None) -> Tensor:  # fmt: skip
    if isinstance(kind, dtypes.dtype):
        kind = BY_NAME[kind.name]
    if not isinstance(kind, Kind):
        raise TypeError(f"expected a dtype, got {type(kind).__name__}")
    return _flagged(_tensor(storage, offset, size, stride, kind), requires_grad)


def _parameter(data: Any, requires_grad: Any = True, hooks: Any = None, state: Any = None) -> Tensor:
    from ..nn.parameter import Parameter

    if not isinstance(data, Tensor):
        raise TypeError(f"expected a tensor, got {type(data).__name__}")
    return _flagged(Parameter(data, requires_grad=False), requires_grad)


def _from_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with attributes, of which only a buffer's are kept."""
    if not isinstance(function, Maker) or type(arguments) is not tuple:
        raise TypeError("expected the function of a tensor and a tuple of its arguments")
    made = function(*arguments)
    if isinstance(state, dict) and state.get("_is_buffer"):
        from ..nn.parameter import Buffer

        return Buffer(made, persistent=state.get("persistent") is not False)
    return made


def _size(sizes: Any = ()) -> dtypes.Size:
    if type(sizes) is not tuple or any(type(n) is not int for n in sizes):
        raise TypeError("expected a tuple of whole numbers")
    return dtypes.Size(sizes)


def _ordered(items: Any = ()) -> OrderedDict:
    if type(items) not in (list, tuple):
        raise TypeError(f"expected a list of pairs, got {type(items).__name__}")
    made = OrderedDict()
    for pair in items:
        if type(pair) not in (list, tuple) or len(pair) != 2 or type(pair[0]) not in PLAIN_KEYS:
            raise TypeError("expected a list of pairs with plain keys")
        made[pair[0]] = pair[1]
    return made


def _counter(counts: Any = None) -> Counter:
    if counts is not None and type(counts) is not dict:
        raise TypeError(f"expected a dict, got {type(counts).__name__}")
    return Counter(counts)


def _set(items: Any = ()) -> set:
    if type(items) not in (list, tuple) or any(type(item) not in PLAIN_KEYS for item in items):
        raise TypeError("expected a list of plain values")
    return set(items)


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise TypeError("expected text and latin1")
    return text.encode(encoding)


def _byte_array(data: Any = b"", encoding: Any = None) -> bytearray:
    return bytearray(data if type(data) is bytes else _encoded(data, encoding))


def _complex(real: Any, imaginary: Any) -> complex:
    if type(real) is not float or type(imaginary) is not float:
        raise TypeError("expected two floats")
    return complex(real, imaginary)


def _device(kind: Any, index: Any = None) -> dtypes.device:
    if type(kind) is not str:
        raise TypeError("expected the name of a device")
    return dtypes.device(kind, index)


_MAKERS = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Tensor": None,
    "torch.nn.parameter.Parameter": None,
    "torch.nn.parameter.Buffer": None,
    "torch.Size": _size,
    "torch.device": _device,
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "builtins.set": _set,
    "builtins.bytearray": _byte_array,
    "builtins.complex": _complex,
    "_codecs.encode": _encoded,
}


def _only_named(*arguments: Any) -> Any:
    raise TypeError("it cannot be called")


def _all_globals() -> dict[str, Any]:
    found: dict[str, Any] = {name: Maker(name, make or _only_named) for name, make in _MAKERS.items()}
    for kind in KINDS:
        if kind.dtype.name == kind.name:
            found[f"torch.{kind.name}"] = kind.dtype
        elif kind.storage is None:
            found[f"torch.{kind.name}"] = kind  # it only says what a storage of bytes holds
        if kind.storage:
            found[f"torch.{kind.storage}"] = StorageType(f"torch.{kind.storage}", kind)
    found["torch.storage.UntypedStorage"] = StorageType("torch.storage.UntypedStorage", None)
    return found


GLOBALS = _all_globals()
