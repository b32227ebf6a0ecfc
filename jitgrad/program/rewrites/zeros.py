"""Additions to memory that has just been cleared: they need not read it, and it need not be cleared.

The gradient of a part of a value is added into zeros of the whole. Where such parts make up the whole, as those of
a split do, nothing is left of the zeros.
"""

from __future__ import annotations

import numpy as np

from ...kernels.abi import (
    NEST_BROADCAST,
    NEST_CONTIGUOUS,
    R_DIMS,
    R_LAYOUT,
)
from ..log.rows import Row, decode
from ..log.views import View
from .facts import Facts

ADD = "add"
MOST_ROWS = 256  # how far to look for additions
MOST_BYTES = 64 << 20


def skip_zeros(rows: list[Row], facts: Facts) -> list[Row]:
    """Let additions to zeros read a constant zero, and drop what clears memory that they overwrite."""
    rows = list(rows)
    dropped = set()
    for k, row in enumerate(rows):
        clears = row.kernel == "program.clear" and row.writes[0].end - row.writes[0].begin <= MOST_BYTES
        if clears and _take_in(rows, k, facts):
            dropped.add(k)
    return [row for k, row in enumerate(rows) if k not in dropped]


def _take_in(rows: list[Row], k: int, facts: Facts) -> bool:
    """Change the additions to what row `k` clears; whether they overwrite all of it."""
    target = rows[k].writes[0]
    written: np.ndarray | None = None
    for j in range(k + 1, min(k + MOST_ROWS, len(rows))):
        row = rows[j]
        if not row.touches(target):
            continue
        own = _added_to(row, target)
        if own is None:
            break
        if written is None:
            written = np.zeros((target.end - target.begin) // own.itemsize, bool)
        first = (own.begin - target.begin) // own.itemsize
        there = np.lib.stride_tricks.as_strided(written[first:], own.shape, own.strides)
        if there.any():
            break
        there[...] = True
        rows[j] = _reading_zero(row, own, facts)
    return written is not None and bool(written.all())


def _added_to(row: Row, target: View) -> View | None:
    """The part of cleared memory to which a row adds something, which must be all that it touches there."""
    if row.op != ADD or row.variant != 0 or len(row.reads) != 2 or row.chain:
        return None
    own, other = row.reads
    (out,) = row.writes
    same = (own.address, own.shape, own.strides) == (out.address, out.shape, out.strides)
    if not same or other.touches(target) or own.itemsize != out.itemsize or min(own.strides) < 0:
        return None
    inside = target.begin <= own.begin and own.end <= target.end
    return own if inside and (own.begin - target.begin) % own.itemsize == 0 else None


def _reading_zero(row: Row, own: View, facts: Facts) -> Row:
    """The row with a zero in place of the operand that it changes."""
    words = row.words.copy()
    words[own.place] = facts.zero
    dims = int(words[R_DIMS])
    words[own.place + 1 : own.place + 1 + dims] = 0
    if int(words[R_LAYOUT]) == NEST_CONTIGUOUS:
        words[R_LAYOUT] = NEST_BROADCAST
    return decode(words)
