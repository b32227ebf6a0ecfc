"""Replaying: who walks a program."""

from __future__ import annotations

from array import array

import numpy as np

from ...engine.layout import SEGMENT_WORDS
from ...team import run


def walk(table: np.ndarray | array, times: int) -> int:
    """Walk a table of segments `times` times; the address of the report of a bad index that ended it, or 0."""
    if isinstance(table, array):
        place, words = table.buffer_info()
        return run(place, words // SEGMENT_WORDS, times)
    return run(table.ctypes.data, len(table), times)
