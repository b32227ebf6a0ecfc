"""Writing objects as PyTorch's pickles: tensors by their storages, and plain containers.

The pickle names PyTorch's own functions, which need not be installed: only the names are written.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from pickle import PicklingError
from typing import Any, NoReturn

import numpy as np

from .._tensor import Tensor
from ..dtypes import Size, device, dtype
from ..nn.parameter import Buffer, Parameter
from .rebuild import PLAIN_KEYS
from .storages import Storages

_PROTOCOL = b"\x80\x02"
_REBUILD = "torch._utils\n_rebuild_tensor_v2"


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors of nested containers."""
    seen, waiting = set(), [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Tensor):
            yield found
        elif isinstance(found, dict | list | tuple) and id(found) not in seen:
            seen.add(id(found))
            waiting.extend([*found.keys(), *found.values()] if isinstance(found, dict) else found)


class Pickler:
    """Writes one object.

    Parameters
    ----------
    storages : Storages
        Where the tensors' values are kept.
    """

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._out: list[bytes] = [_PROTOCOL]
        self._memo: dict[Any, int] = {}
        self._kept: list[Any] = []  # objects whose identity the memo goes by
        self._path: list[str] = []

    def dump(self, value: Any) -> bytes:
        """The pickle of an object.

        Raises
        ------
        pickle.PicklingError
            When there is something other than tensors and plain containers in it, naming where.
        """
        try:
            self._write(value)
        except RecursionError:
            raise PicklingError("save: the containers are nested too deeply") from None
        return b"".join([*self._out, b"."])

    def _write(self, value: Any) -> None:
        writer = _WRITERS.get(type(value))
        if writer is None:
            writer = next((w for kind, w in _FAMILIES if isinstance(value, kind)), None)
        if writer is None:
            self._refuse(value)
        writer(self, value)

    def _refuse(self, value: Any) -> NoReturn:
        where = "".join(self._path) or "the object itself"
        way_out = "save a module's or an optimizer's state_dict() and rebuild the object around it"
        if isinstance(value, np.ndarray):
            way_out = "make it a tensor with from_numpy(...)"
        raise PicklingError(
            f"save: expected tensors, numbers, strings and plain containers of them, got "
            f"{type(value).__module__}.{type(value).__qualname__} at {where}; {way_out}"
        )

    # the memo: what is met again is not written again ---------------------------------------------------

    def _known(self, key: Any) -> bool:
        number = self._memo.get(key)
        if number is None:
            return False
        self._out.append(b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number))
        return True

    def _remember(self, key: Any, kept: Any = None) -> None:
        number = self._memo[key] = len(self._memo)
        self._kept.append(kept)
        self._out.append(b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number))

    # plain values -----------------------------------------------------------------------------------

    def _none(self, value: None) -> None:
        self._out.append(b"N")

    def _bool(self, value: bool) -> None:
        self._out.append(b"\x88" if value else b"\x89")

    def _int(self, value: int) -> None:
        if 0 <= value < 1 << 8:
            self._out.append(b"K" + bytes([value]))
        elif 0 <= value < 1 << 16:
            self._out.append(b"M" + struct.pack("<H", value))
        elif -(1 << 31) <= value < 1 << 31:
            self._out.append(b"J" + struct.pack("<i", value))
        else:
            size = value.bit_length() // 8 + 1
            if size > 255:
                raise PicklingError(f"save: a whole number of {value.bit_length()} bits is too long")
            self._out.append(b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True))

    def _float(self, value: float) -> None:
        self._out.append(b"G" + struct.pack(">d", value))

    def _number(self, value: np.generic) -> None:
        plain = value.item()
        if isinstance(plain, np.generic):
            self._refuse(value)
        self._write(plain)

    def _text(self, value: str) -> None:
        if not self._known(value):
            data = value.encode("utf-8", "surrogatepass")
            self._out.append(b"X" + struct.pack("<I", len(data)) + data)
            self._remember(value)

    def _complex(self, value: complex) -> None:
        self._call("__builtin__\ncomplex", (value.real, value.imag))

    def _bytes(self, value: bytes) -> None:
        self._call("_codecs\nencode", (value.decode("latin1"), "latin1"))

    def _byte_array(self, value: bytearray) -> None:
        self._call("__builtin__\nbytearray", (bytes(value),))

    def _dtype(self, value: dtype) -> None:
        self._global(f"torch\n{value.name}")

    def _device(self, value: device) -> None:
        self._call("torch\ndevice", (value.type,) if value.index is None else (value.type, value.index))

    def _size(self, value: Size) -> None:
        self._call("torch\nSize", (tuple(value),))

    # containers -------------------------------------------------------------------------------------

    def _tuple(self, value: tuple) -> None:
        if not self._known(id(value)):
            self._parts(value)
            self._remember(id(value), value)

    def _parts(self, value: tuple) -> None:
        """A tuple that is met once."""
        if len(value) > 3:
            self._out.append(b"(")
        for place, item in enumerate(value):
            self._inside(f"[{place}]", item)
        self._out.append((b")", b"\x85", b"\x86", b"\x87")[len(value)] if len(value) <= 3 else b"t")

    def _list(self, value: list) -> None:
        if self._known(id(value)):
            return
        self._out.append(b"]")
        self._remember(id(value), value)
        self._out.append(b"(")
        for place, item in enumerate(value):
            self._inside(f"[{place}]", item)
        self._out.append(b"e")

    def _dict(self, value: dict) -> None:
        if self._known(id(value)):
            return
        self._out.append(b"}")
        self._remember(id(value), value)
        self._items(value)

    def _ordered(self, value: OrderedDict) -> None:
        if self._known(id(value)):
            return
        self._call("collections\nOrderedDict", ())
        self._remember(id(value), value)
        self._items(value)
        metadata = getattr(value, "_metadata", None)
        if metadata is not None:
            self._write({"_metadata": metadata})
            self._out.append(b"b")

    def _counter(self, value: Counter) -> None:
        self._call("collections\nCounter", (dict(value),))

    def _set(self, value: set) -> None:
        for item in value:
            self._check_key(item)
        self._call("__builtin__\nset", (list(value),))

    def _check_key(self, key: Any) -> None:
        for part in key if type(key) is tuple else (key,):
            if type(part) not in PLAIN_KEYS:
                self._refuse(part)

    def _items(self, value: dict) -> None:
        self._out.append(b"(")
        for key, item in list(value.items()):
            self._check_key(key)
            self._write(key)
            self._inside(f"[{key!r:.60}]", item)
        self._out.append(b"u")

    def _inside(self, step: str, value: Any) -> None:
        self._path.append(step)
        self._write(value)
        self._path.pop()

    # tensors ----------------------------------------------------------------------------------------

    def _tensor(self, value: Tensor) -> None:
        if self._known(id(value)):
            return
        if isinstance(value, Parameter):
            self._global("torch._utils\n_rebuild_parameter")
            self._values(value, False)
            self._bool(value.requires_grad)
            self._hooks()
            self._out.append(b"\x87R")
        elif isinstance(value, Buffer):
            self._global("torch._tensor\n_rebuild_from_type_v2")
            self._out.append(b"(")
            self._global(_REBUILD)
            self._global("torch\nTensor")
            self._arguments(value, False)
            self._dict({"persistent": value.persistent, "_is_buffer": True})
            self._out.append(b"tR")
        else:
            self._values(value, value.requires_grad)
        self._remember(id(value), value)

    def _values(self, value: Tensor, requires_grad: bool) -> None:
        self._global(_REBUILD)
        self._arguments(value, requires_grad)
        self._out.append(b"R")

    def _arguments(self, value: Tensor, requires_grad: bool) -> None:
        place = self._storages.place(value)
        self._out.append(b"((")
        self._text("storage")
        self._global(f"torch\n{place.kind.storage}")
        for part in (place.key, "cpu"):
            self._text(part)
        self._int(place.elements)
        self._out.append(b"tQ")
        self._int(place.offset)
        self._parts(tuple(value.shape))
        self._parts(value.stride())
        self._bool(requires_grad)
        self._hooks()
        self._out.append(b"t")

    def _hooks(self) -> None:
        self._call("collections\nOrderedDict", ())

    # names ------------------------------------------------------------------------------------------

    def _global(self, name: str) -> None:
        key = ("global", name)
        if not self._known(key):
            self._out.append(f"c{name}\n".encode())
            self._remember(key)

    def _call(self, name: str, arguments: tuple) -> None:
        self._global(name)
        self._parts(arguments)
        self._out.append(b"R")


_WRITERS: dict[type, Callable[[Pickler, Any], None]] = {
    type(None): Pickler._none,
    bool: Pickler._bool,
    int: Pickler._int,
    float: Pickler._float,
    str: Pickler._text,
    complex: Pickler._complex,
    bytes: Pickler._bytes,
    bytearray: Pickler._byte_array,
    dtype: Pickler._dtype,
    device: Pickler._device,
    Size: Pickler._size,
    tuple: Pickler._tuple,
    list: Pickler._list,
    dict: Pickler._dict,
    OrderedDict: Pickler._ordered,
    Counter: Pickler._counter,
    set: Pickler._set,
}
_FAMILIES: tuple[tuple[type, Callable[[Pickler, Any], None]], ...] = (
    (Tensor, Pickler._tensor),
    (np.generic, Pickler._number),
)
