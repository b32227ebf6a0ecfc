"""Opening what a user names: a path or a file object, and writing a file so that it is whole or not there."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO


def is_path(f: Any) -> bool:
    """Whether `f` is a path and not a file object."""
    return isinstance(f, str | os.PathLike)


def stem(f: Any) -> str:
    """The name of a file without folder and suffix; ``archive`` where there is none."""
    name = os.path.splitext(os.path.basename(os.fspath(f)))[0] if is_path(f) else ""
    return name.replace("/", "") or "archive"


@contextlib.contextmanager
def open_read(f: Any) -> Iterator[BinaryIO]:
    """A binary file to read from.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, PermissionError
        As `open` does.
    AttributeError
        When `f` is neither a path nor a file object that can seek.
    """
    if is_path(f):
        with open(f, "rb") as file:
            yield file
        return
    for name in ("read", "readline", "seek", "tell"):
        if not hasattr(f, name):
            raise AttributeError(
                f"'{type(f).__name__}' object has no attribute '{name}'. load: expected a path or a file object "
                "that is seekable; read the data into an io.BytesIO and load from it instead"
            )
    yield f


@contextlib.contextmanager
def open_write(f: Any) -> Iterator[BinaryIO]:
    """A binary file to write to; a named file is replaced when everything has been written.

    Raises
    ------
    RuntimeError
        When the folder does not exist.
    AttributeError
        When `f` is neither a path nor a file object that can write.
    """
    if not is_path(f):
        if not hasattr(f, "write"):
            raise AttributeError(
                "save: expected 'f' to be string, path, or a file-like object with a 'write' attribute, got "
                f"{type(f).__name__}"
            )
        if all(hasattr(f, name) for name in ("flush", "seek", "tell")):
            yield f
            return
        whole = io.BytesIO()  # an archive needs more than `write`
        yield whole
        f.write(whole.getvalue())
        return
    path = os.path.realpath(os.fsdecode(f))  # a link stays a link: what it leads to is replaced
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"save: Parent directory {folder} does not exist.")
    if os.path.isdir(path):
        raise RuntimeError(f"save: File {path} cannot be opened: it is a directory")
    if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
        with open(path, "wb") as file:  # a device or a pipe cannot be replaced
            yield file
        return
    with _replacing(path, folder) as file:
        yield file


@contextlib.contextmanager
def _replacing(path: str, folder: str) -> Iterator[BinaryIO]:
    temporary = os.path.join(folder, f".{os.path.basename(path)[:100]}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
