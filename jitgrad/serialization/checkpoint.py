"""`save` and `load`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..dtypes import check_device, device
from . import archive, legacy, safetensors
from .files import is_path, open_read, open_write, stem
from .pickler import Pickler, tensors_in
from .rebuild import Storage
from .storages import Storages

VERSION = b"3\n"  # of PyTorch's archives
FORMAT_VERSION = b"1"
SUFFIX = ".safetensors"


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write tensors and plain containers of them to a file that PyTorch reads, too.

    Tensors that share memory share it in the file, where only the part that they use is kept. A named file is
    replaced when everything has been written: a reader sees the old one or the new one.

    Parameters
    ----------
    obj : object
        Tensors, parameters, numbers, strings, bytes, dtypes, and dicts, lists, tuples and sets of them; such as a
        ``state_dict``. With a path that ends in ``.safetensors``, a dict of tensors by name.
    f : str, path or binary file
        Where to write.
    pickle_module, pickle_protocol, _use_new_zipfile_serialization
        Accepted as in PyTorch; they change nothing: the file is a zip archive, which PyTorch reads since 1.4.

    Raises
    ------
    pickle.PicklingError
        For anything else, such as a module: save its ``state_dict()``.
    RuntimeError
        When the folder does not exist.
    """
    if _is_safetensors(f):
        safetensors.save_file(obj, f)
        return
    storages = Storages(tensors_in(obj))
    pickle = Pickler(storages).dump(obj)
    from sys import byteorder

    def records() -> Any:
        yield "data.pkl", pickle
        yield ".format_version", FORMAT_VERSION
        yield ".storage_alignment", str(archive.ALIGNMENT).encode()
        yield "byteorder", byteorder.encode()
        for key, data in storages.blocks():
            yield f"data/{key}", data
        yield "version", VERSION

    with open_write(f) as file:
        archive.write(file, stem(f), records())


def load(f: Any, map_location: Any = None, pickle_module: Any = None, *, weights_only: bool = True,
         mmap: bool | None = None) -> Any:  # fmt: skip
    """Read what `save` or PyTorch's ``torch.save`` wrote.

    Nothing in the file is ever run: it is read by an unpickler that makes tensors and plain containers and refuses
    everything else by its name, also what was given to ``serialization.add_safe_globals``. ``float16`` and
    ``bfloat16`` become ``float32``; ``int8``, ``int16`` and ``uint16`` become ``int32``; ``uint32`` becomes ``int64``.

    Parameters
    ----------
    f : str, path or binary file
        Where to read. A path that ends in ``.safetensors`` is read as such a file.
    map_location : str, device, dict or callable, optional
        Where tensors of another device go. There is only the CPU, so anything that leads there will do.
    weights_only : bool, default True
        Accepted as in PyTorch; with False, too, only tensors and plain containers are read.
    pickle_module, mmap
        Accepted as in PyTorch; they change nothing.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    pickle.UnpicklingError
        When it holds anything but tensors and plain containers, or is no such file.
    RuntimeError
        When it is damaged, or holds tensors of another device and no `map_location` is given.
    EOFError
        When it is empty.
    """
    locate = _locator(map_location)
    if _is_safetensors(f):
        return safetensors.load_file(f)
    with open_read(f) as file:
        begin = file.tell()
        head = file.read(len(archive.SIGNATURE))
        if not head:
            raise EOFError("load: Ran out of input: the file is empty, or has been read to its end")
        if head == archive.SIGNATURE:
            return archive.Archive(file).load(locate)
        if not head.startswith(b"\x80"):
            legacy.refuse_file(head)
        file.seek(begin)
        return legacy.load(file.read(), locate)


def _is_safetensors(f: Any) -> bool:
    return is_path(f) and os.fsdecode(f).endswith(SUFFIX)


def _locator(map_location: Any) -> Callable[[Storage, str], None]:
    """What looks that a storage may go to the CPU."""
    if map_location is None:
        return _only_cpu
    if isinstance(map_location, str | device):
        check_device(map_location)
        return lambda storage, location: None
    if isinstance(map_location, dict):
        return lambda storage, location: _only_cpu(storage, str(map_location.get(location, location)))
    if not callable(map_location):
        raise TypeError(
            "load: map_location must be a string, a device, a dict or a function, got "
            f"{type(map_location).__name__}"
        )

    def call(storage: Storage, location: str) -> None:
        if map_location(storage, location) is None:
            _only_cpu(storage, location)

    return call


def _only_cpu(storage: Storage, location: str) -> None:
    if location != "cpu":
        raise RuntimeError(
            f"load: Attempting to deserialize object on device {location!r}, but jitgrad computes on the CPU; "
            "use jitgrad.load(..., map_location='cpu')"
        )
