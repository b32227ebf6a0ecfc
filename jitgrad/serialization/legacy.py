"""Files from before PyTorch 1.6: pickles one after another, then the storages' elements.

The pickle of the object comes before the elements that its tensors need, so it is read twice: once for the names
of its storages, and once for the tensors.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any, BinaryIO, NoReturn

from .._tensor import Tensor
from ..functions.creation import make_empty
from .archive import checked_name, decoded, size_of
from .kinds import Kind
from .rebuild import Storage
from .unpickler import Unpickler

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def load(data: bytes, locate: Callable[[Storage, str], Any]) -> Any:
    """Read an object from a file's bytes; see `archive.Archive.load`.

    Raises
    ------
    pickle.UnpicklingError
        When the file is not of PyTorch's.
    """
    size = len(data)
    file = io.BytesIO(data)
    _check_head(file)
    begin = file.tell()
    named: dict[str, tuple[Kind | None, str, int]] = {}
    unread: dict[str, _Unread] = {}

    def note(name: tuple) -> _Unread:
        kind, key, location, count = checked_name(name, 6)
        if name[5] is not None:
            raise UnpicklingError("load: a storage that is part of another one is not supported")
        if named.setdefault(key, (kind, location, count)) != (kind, location, count):
            raise RuntimeError(f"load: storage {key} is said to have two types; the file is damaged")
        if size_of(kind, count) > size:
            raise RuntimeError(f"load: storage {key} of {count} elements is larger than the file")
        return unread.setdefault(key, _Unread(key, kind, count))

    Unpickler(file, note).load()
    keys = Unpickler(file, _refuse).load()
    if type(keys) is not list or any(type(key) is not str for key in keys) or sorted(keys) != sorted(named):
        raise UnpicklingError("load: the file's list of storages does not fit its tensors")
    storages = {}
    for key in keys:
        kind, _, count = named[key]
        storages[key] = Storage(key, kind, _reader(key, _elements(file, key, kind, count)))
    file.seek(begin)
    for key, storage in storages.items():
        locate(storage, named[key][1])
    return Unpickler(file, lambda name: storages[checked_name(name, 6)[1]]).load()


class _Unread(Storage):
    """A storage in the first reading: its tensors are made on memory that nobody has filled."""

    def __init__(self, name: str, kind: Kind | None, count: int) -> None:
        super().__init__(name, kind, lambda kind: None)
        self._size = size_of(kind, count)

    def values(self, kind: Kind) -> Tensor:
        """Memory for all elements."""
        if kind not in self._values:
            self._values[kind] = make_empty((self._size // kind.itemsize,), kind.dtype)
        return self._values[kind]


def _check_head(file: BinaryIO) -> None:
    try:
        head = [Unpickler(file, _refuse).load() for _ in range(3)]
    except (UnpicklingError, RuntimeError) as error:
        raise UnpicklingError(
            f"load: expected a file written by torch.save or jitgrad.save, got something else ({error})"
        ) from None
    magic, protocol, system = head
    if magic != MAGIC or protocol != PROTOCOL:
        raise UnpicklingError("load: Invalid magic number; corrupt file? It does not begin as PyTorch's do")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnpicklingError("load: a file in the old format from a big-endian machine is not supported")


def _elements(file: BinaryIO, key: str, kind: Kind | None, count: int) -> bytes:
    head, data = file.read(8), file.read(size_of(kind, count))
    if len(head) < 8 or struct.unpack("<q", head)[0] != count or len(data) < size_of(kind, count):
        raise RuntimeError(f"load: storage {key} does not have its {count} elements; the file is damaged")
    return data


def _reader(key: str, data: bytes) -> Callable[[Kind], Any]:
    return lambda kind: decoded(data, kind, len(data), key, False)


def _refuse(name: tuple) -> Any:
    raise UnpicklingError("load: a storage is named where none can be")


def refuse_file(head: bytes) -> NoReturn:
    """A file that does not begin as any of PyTorch's."""
    raise UnpicklingError(
        "load: Invalid magic number; corrupt file? Expected a file written by torch.save or jitgrad.save, "
        f"got one that begins with {head!r}"
    )
