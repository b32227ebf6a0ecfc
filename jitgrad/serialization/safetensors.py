"""``safetensors`` files: a dict of tensors by name. Needs the package ``safetensors`` (extra of the same name)."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..functions.from_data import from_array
from .files import open_read, open_write
from .kinds import BY_SAFETENSORS


def save_file(tensors: dict[str, Tensor], filename: Any, metadata: dict[str, str] | None = None) -> None:
    """Write tensors by name, each by itself: memory that tensors share is written for each.

    Parameters
    ----------
    tensors : dict of str to Tensor
        For example a ``state_dict``.
    filename : str, path or binary file
        Where to write; a named file is replaced when everything has been written.
    metadata : dict of str to str, optional
        Texts to keep beside them.

    Raises
    ------
    ImportError
        When the package ``safetensors`` is not installed.
    ValueError
        When `tensors` is not a dict of tensors.
    """
    package = _package("safetensors.numpy")
    if not isinstance(tensors, dict):
        raise ValueError(
            f"save_file: expected a dict of [str, Tensor], got {type(tensors).__name__}; save a state_dict()"
        )
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"save_file: Key `{name}` is invalid, expected a name with a Tensor but received "
                f"{type(value).__name__}; a safetensors file holds nothing else"
            )
    # names and contiguous arrays; the package copies them in the order of their types
    arrays = {name: np.ascontiguousarray(value.numpy(force=True)) for name, value in tensors.items()}
    arrays = {name: array.reshape(tensors[name].shape) for name, array in arrays.items()}
    data = package.save(arrays, metadata=metadata)
    with open_write(filename) as file:
        file.write(data)


def load_file(filename: Any, device: Any = "cpu") -> dict[str, Tensor]:
    """Read all tensors of a file by name; types become others as in `load`.

    Raises
    ------
    ImportError
        When the package ``safetensors`` is not installed.
    FileNotFoundError
        When there is no such file.
    RuntimeError
        When it is damaged, or holds elements of a type that has no place here.
    """
    package = _package("safetensors")
    with open_read(filename) as file:
        data = file.read()
    try:
        found = package.deserialize(data)
    except package.SafetensorError as error:
        name = os.fspath(filename) if isinstance(filename, str | os.PathLike) else "the file"
        raise RuntimeError(f"load_file: {name} is no safetensors file, or is damaged ({error})") from None
    return {name: _tensor(name, entry) for name, entry in found}


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    kind = BY_SAFETENSORS.get(entry["dtype"])
    if kind is None:
        known = ", ".join(str(k) for k in BY_SAFETENSORS)
        raise RuntimeError(
            f"load_file: tensor {name!r} has the type {entry['dtype']}; expected one of {known}"
        )
    values = kind.decode(bytes(entry["data"]), sys.byteorder != "little")
    return from_array(values.reshape(entry["shape"]), kind.dtype)


def _package(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"safetensors files need the package safetensors ({error}); "
            'install it with: pip install "jitgrad[safetensors]"'
        ) from error
