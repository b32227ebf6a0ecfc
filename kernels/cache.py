"""The kernel cache: compiled object code on disk, one file a kernel, shared by all processes of a user.

The folder is named by everything that object code depends on (versions, CPU, the text of every source file
that generates code), so a stale file cannot be loaded: a change simply looks elsewhere. Files are written to
a temporary name and moved into place, so any number of processes may read and write at once; two that
compile the same kernel write the same bytes. A folder that cannot be written costs only the time to compile.

``JITGRAD_CACHE_DIR`` moves the cache; ``JITGRAD_CACHE=off`` switches it off.
"""

import hashlib
import os
import pickle
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

_SOURCES = Path(__file__).parent
_IMPORTED = time.time()
DIGEST = 16  # bytes at the start of each file that tell whether the rest is whole


def enabled() -> bool:
    """Whether compiled kernels are kept on disk."""
    return os.environ.get("JITGRAD_CACHE", "").lower() not in ("off", "0", "no", "false")


def root() -> Path:
    """The folder that holds all generations of the cache (it may not exist yet)."""
    chosen = os.environ.get("JITGRAD_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "jitgrad"


def source_files(group: str) -> list[Path]:
    """Every file whose text decides what code a group of kernels becomes.

    The compiled engine depends on its own files, on the layout of call records and on the means to read and run
    them, not on any operation.
    """
    if group != "engine":
        return sorted(_SOURCES.glob("*.py"))
    names = ("abi", "arguments", "compiler", "host", "lean", "plain", "program_rows", "values_out", "wrapper")
    shared = [_SOURCES / f"{name}.py" for name in names]
    package = sys.modules["jitgrad"].__file__
    assert package is not None
    return shared + sorted((Path(package).parent / "engine").glob("*.py"))


@cache
def generation(group: str) -> str:
    """The name of a group's current generation: a hash of all that its object code depends on."""
    import llvmlite
    import numba
    import numpy

    from .compiler import codegen

    digest = hashlib.sha256()
    versions = (sys.version, numpy.__version__, numba.__version__, llvmlite.__version__)
    for part in (*versions, *codegen().magic_tuple()):
        digest.update(part.encode() + b"\0")
    for path in source_files(group):
        digest.update(path.read_bytes())
    return f"{group}-{digest.hexdigest()[:20]}"


@cache
def edited(group: str) -> bool:
    """Whether a source file changed after this process had read it: its hash would name other code."""
    now = time.time()
    return any(_IMPORTED < path.stat().st_mtime <= now for path in source_files(group))


def _group(name: str) -> str:
    return "engine" if name.startswith("engine") else "kernels"


def _usable(name: str) -> bool:
    return enabled() and not edited(_group(name))


def folder(name: str) -> Path:
    """The folder of the current generation for the object called `name`."""
    return root() / generation(_group(name))


def load(name: str) -> Any:
    """The stored object called `name`, or None when there is none that can be read."""
    if not _usable(name):
        return None
    try:
        data = (folder(name) / f"{name}.kernel").read_bytes()
    except OSError:
        return None
    digest, content = data[:DIGEST], data[DIGEST:]
    # a damaged file is not an error either, but its code must not run: it is as good as none
    return pickle.loads(content) if _digest(content) == digest else None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def save(name: str, value: Any) -> None:
    """Store `value` under `name`; a cache that cannot be written is not an error."""
    if not _usable(name):
        return
    from numba.core.serialize import dumps

    target, content = folder(name), dumps(value)
    try:
        target.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target, prefix=f".{name}.")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_digest(content) + content)
        os.replace(temporary, target / f"{name}.kernel")
    except OSError:
        Path(temporary).unlink(missing_ok=True)


def files() -> list[Path]:
    """Every file of every generation."""
    return sorted(root().glob("*/*.kernel"))


def clear() -> int:
    """Delete the cache; returns how many files went."""
    import shutil

    count = len(files())
    for generation_folder in root().glob("*"):
        if generation_folder.is_dir() and generation_folder.name.startswith(("engine-", "kernels-")):
            shutil.rmtree(generation_folder, ignore_errors=True)
    return count
