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

from ..functions.creation import make_empty
from .archive import checked_name, decoded
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
    named: dict[str, tuple[Kind, str, int]] = {}

    def note(name: tuple) -> _Unread:
        kind, key, location, count = checked_name(name, 6)
        if name[5] is not None:
            raise UnpicklingError("load: a storage that is part of another one is not supported")
        if kind is None or named.setdefault(key, (kind, location, count)) != (kind, location, count):
            raise RuntimeError(f"load: storage {key} is said to have two types; the file is damaged")
        if count * kind.itemsize > size:
            raise RuntimeError(f"load: storage {key} of {count} elements is larger than the file")
        return _Unread(key, kind, count)

    Unpickler(file, note).load()
    keys = Unpickler(file, _refuse).load()
    if type(keys) is not list or sorted(map(str, keys)) != sorted(named):
        raise UnpicklingError("load: the file's list of storages does not fit its tensors")
    storages = {}
    for key in keys:
        elements = _elements(file, key, *named[key])
        storages[key] = Storage(key, named[key][0], lambda kind, elements=elements: elements)
    file.seek(begin)
    for key, storage in storages.items():
        locate(storage, named[key][1])
    return Unpickler(file, lambda name: storages[checked_name(name, 6)[1]]).load()


class _Unread(Storage):
    """A storage in the first reading: its tensors are made on memory that nobody has filled."""

    def __init__(self, name: str, kind: Kind, count: int) -> None:
        super().__init__(name, kind, lambda kind: None)
        self._values[kind] = make_empty((count,), kind.dtype)


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


def _elements(file: BinaryIO, key: str, kind: Kind, location: str, count: int) -> Any:
    head = file.read(8)
    if len(head) < 8 or struct.unpack("<q", head)[0] != count:
        raise RuntimeError(f"load: storage {key} does not have its {count} elements; the file is damaged")
    size = count * kind.itemsize
    return decoded(file.read(size), kind, size, key, False)


def _refuse(name: tuple) -> Any:
    raise UnpicklingError("load: a storage is named where none can be")


def refuse_file(head: bytes) -> NoReturn:
    """A file that does not begin as any of PyTorch's."""
    raise UnpicklingError(
        "load: Invalid magic number; corrupt file? Expected a file written by torch.save or jitgrad.save, "
        f"got one that begins with {head!r}"
    )
