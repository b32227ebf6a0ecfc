"""Replaying: the choice of who walks a program."""

from __future__ import annotations

import numpy as np

from ..dispatch import CONTEXT
from ..engine.entry import entries


def walk(table: np.ndarray, steps: int) -> int:
    """Walk a table of segments `steps` times; the address of the report of a bad index that ended it, or 0."""
    return entries.replay_here(CONTEXT, table.ctypes.data, len(table), steps)
