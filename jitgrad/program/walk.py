"""Replaying: the choice of who walks a program."""

from __future__ import annotations

import numpy as np

from ..dispatch import CONTEXT
from ..engine.entry import entries


def walk(table: np.ndarray, steps: int) -> None:
    """Walk a table of segments `steps` times."""
    entries.replay_here(CONTEXT, table.ctypes.data, len(table), steps)
