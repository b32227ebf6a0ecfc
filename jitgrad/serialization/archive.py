"""PyTorch's zip archives: one pickle, and one uncompressed record for each storage."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections.abc import Callable, Iterable
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np

from .kinds import Kind
from .rebuild import Storage, StorageType
from .unpickler import Unpickler

ALIGNMENT = 64  # of each record's first byte, as PyTorch writes them, so that files can be mapped into memory
LOCAL_HEADER = 30
PADDING = b"FB"  # the tag of PyTorch's padding among a record's extra fields
SIGNATURE = b"PK\x03\x04"


class Archive:
    """An archive to read from.

    Parameters
    ----------
    file : binary file
        Must be able to seek.

    Raises
    ------
    RuntimeError
        When it is no such archive, or is damaged.
    """

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, io.SEEK_END)
        self._zip = _guarded(lambda: zipfile.ZipFile(file), "finding central directory")
        entries = self._zip.infolist()
        names = [entry.filename for entry in entries]
        main = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if not main:
            raise RuntimeError("load: PytorchStreamReader failed locating file data.pkl: file not found")
        self._folder = main[0].removesuffix("data.pkl")
        if self._folder + "constants.pkl" in names:
            raise RuntimeError(
                "load: this is a TorchScript archive, which holds code; save the module's state_dict() instead"
            )
        # what is stored as it is cannot be larger than the file, unless records overlap
        packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
        if packed or sum(entry.file_size for entry in entries) > size:
            reason = (
                f"record {packed[0]!r} is compressed" if packed else "its records are larger than the file"
            )
            raise RuntimeError(f"load: PytorchStreamReader failed reading zip archive: {reason}, and refused")
        self._swapped = "byteorder" in self and self.read("byteorder").decode("ascii", "replace") not in (
            sys.byteorder,
        )

    def __contains__(self, name: str) -> bool:
        return self._folder + name in self._zip.NameToInfo

    def read(self, name: str) -> bytes:
        """A record."""
        if name not in self:
            raise RuntimeError(f"load: PytorchStreamReader failed locating file {name}: file not found")
        return _guarded(lambda: self._zip.read(self._folder + name), f"file {name}")

    def load(self, locate: Callable[[Storage, str], Any]) -> Any:
        """The object, with every storage passed to `locate` together with its place."""
        storages: dict[str, Storage] = {}

        def storage(name: tuple) -> Storage:
            kind, key, location, count = checked_name(name, 5)
            if key not in storages:
                storages[key] = Storage(key, kind, self._reader(key, size_of(kind, count)))
                locate(storages[key], location)
            found = storages[key]
            if found.kind is not kind:
                raise RuntimeError(f"load: storage {key} is said to have two types; the file is damaged")
            return found

        return Unpickler(io.BytesIO(self.read("data.pkl")), storage).load()

    def _reader(self, key: str, size: int) -> Callable[[Kind], np.ndarray]:
        def read(kind: Kind) -> np.ndarray:
            return decoded(self.read(f"data/{key}"), kind, size, key, self._swapped)

        return read


def size_of(kind: Kind | None, count: int) -> int:
    """Bytes of a storage of `count` elements; without a kind it is of bytes."""
    return count if kind is None else count * kind.itemsize


def checked_name(name: tuple, length: int) -> tuple[Kind | None, str, str, int]:
    """Kind, key, location and number of elements from the tuple that names a storage."""
    if len(name) != length or not isinstance(name[1], StorageType):
        raise UnpicklingError(f"load: a storage is named by {name!r:.80}; the file is damaged")
    _, kind, key, location, count = name[:5]
    if type(key) is not str or type(location) is not str or type(count) is not int or count < 0:
        raise RuntimeError(f"load: a storage is named by {(key, location, count)!r:.80}; the file is damaged")
    return kind.kind, key, location, count


def decoded(data: bytes, kind: Kind, size: int, key: str, swapped: bool) -> np.ndarray:
    """The elements of a storage; the bytes must be as many as the pickle says."""
    if len(data) != size:
        raise RuntimeError(
            f"load: storage {key} has {len(data)} bytes where {size} were expected; the file is damaged"
        )
    if len(data) % kind.itemsize:
        raise RuntimeError(f"load: storage {key} of {size} bytes has no whole number of {kind.name} elements")
    return kind.decode(data, swapped)


def write(file: BinaryIO, name: str, records: Iterable[tuple[str, bytes]]) -> None:
    """Write an archive.

    Parameters
    ----------
    file : binary file
        Where to.
    name : str
        The folder in the archive.
    records : iterable of (str, bytes)
        Names and contents.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for record, data in records:
            entry = zipfile.ZipInfo(f"{name}/{record}")
            begin = archive.start_dir + LOCAL_HEADER + len(entry.filename.encode()) + len(PADDING) + 2
            fill = -begin % ALIGNMENT
            entry.extra = PADDING + struct.pack("<H", fill) + b"Z" * fill
            archive.writestr(entry, data)


def _guarded(work: Callable[[], Any], what: str) -> Any:
    try:
        return work()
    except (
        zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, struct.error,
        UnicodeError, ValueError,
    ) as error:  # fmt: skip
        raise RuntimeError(
            f"load: PytorchStreamReader failed reading zip archive: failed {what} ({error}); "
            "the file is damaged or was not written to its end"
        ) from None
