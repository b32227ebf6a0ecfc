"""Run an array kernel on NumPy arrays, as the engine would, or a row of a program, in any number of parts."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from jitgrad.kernels import BY_NAME, abi, op_kernels
from jitgrad.program.log.rows import Row

_CALL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


def record_of(arrays: Sequence[np.ndarray | None], words: Sequence[int]) -> np.ndarray:
    """The call record of some arrays (None: absent) and attribute words."""
    at = abi.A_ARRAYS + len(arrays) * abi.ARRAY_WORDS
    record = np.zeros(at + len(words), np.int64)
    record[abi.R_LAYOUT] = abi.ARRAYS
    record[abi.R_COUNT] = len(arrays)
    record[abi.R_ATTRS] = at
    record[at:] = words
    for k, x in enumerate(arrays):
        if x is None:
            continue
        first = abi.A_ARRAYS + k * abi.ARRAY_WORDS
        record[first + abi.ARRAY_ADDRESS] = x.ctypes.data
        record[first + abi.ARRAY_DTYPE] = abi.NUMPY_DTYPES.index(x.dtype)
        record[first + abi.ARRAY_DIMS] = x.ndim
        record[first + abi.ARRAY_NUMEL] = x.size
        shape, strides = first + abi.ARRAY_SHAPE, first + abi.ARRAY_STRIDES
        record[shape : shape + x.ndim] = x.shape
        record[strides : strides + x.ndim] = [s // x.itemsize for s in x.strides]
    return record


def run(
    name: str,
    dtype: int,
    arrays: Sequence[np.ndarray | None],
    words: Sequence[int] = (),
    parts: int = 1,
    variant: int = 0,
) -> None:
    """Call a kernel of the table part by part; the last part first, to show that order does not matter."""
    address = op_kernels.compile_kernel(BY_NAME[name].code, variant, dtype)
    record = record_of(arrays, words)
    for part in reversed(range(parts)):
        _CALL(address)(record.ctypes.data, part, parts)


def row_in_parts(row: Row, parts: int) -> list[bytes]:
    """What a row writes when it is computed in so many parts, the last one first."""
    for view in row.writes:
        ctypes.memset(view.begin, 0x55, view.end - view.begin)
    kernel = _CALL(int(row.words[abi.R_KERNEL]))
    for part in reversed(range(parts)):
        kernel(row.words.ctypes.data, part, parts)
    return [ctypes.string_at(view.begin, view.end - view.begin) for view in row.writes]
