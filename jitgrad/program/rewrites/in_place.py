"""Elementwise rows that overwrite their operand instead of filling another block."""

from __future__ import annotations

from ...kernels.abi import NEST_BROADCAST, NEST_CONTIGUOUS, R_DIMS, R_LAYOUT
from ..rows import Row, View
from .facts import Facts
from .moving import moved


def reuse_operands(rows: list[Row], facts: Facts) -> list[Row]:
    """Let the operand of an elementwise row be computed where its result goes, so that less memory is touched.

    A row may do so when the operand is the program's own, was written whole by an earlier row, is not needed after
    it, and nothing touches the place of the result in between.
    """
    rows = list(rows)
    for e in range(len(rows)):
        row = rows[e]
        if not _is_flat(row):
            continue
        target = row.writes[0]
        # of several operands the one written last: it is the likeliest to be in the cache still
        found = [(_first_writer(rows, e, operand, target, facts), operand) for operand in row.reads]
        first, operand = max(found, key=lambda pair: pair[0], default=(-1, target))
        if first >= 0:
            for k in range(first, e + 1):
                rows[k] = moved(rows[k], operand, target.address)
    return rows


def _is_flat(row: Row) -> bool:
    """Whether a row reads and writes the same elements of contiguous blocks, one by one."""
    if (
        row.variant < 0
        or len(row.writes) != 1
        or int(row.words[R_LAYOUT]) not in (NEST_CONTIGUOUS, NEST_BROADCAST)
    ):
        return False
    return int(row.words[R_DIMS]) == 1 and row.writes[0].strides == (1,)


def _first_writer(rows: list[Row], e: int, operand: View, target: View, facts: Facts) -> int:
    """The row that begins the life of an operand of row `e` that may move to `target`; -1 for none."""
    if operand.strides != (1,) or operand.itemsize != target.itemsize or facts.is_kept(operand):
        return -1
    if any(v.touches(target) for v in rows[e].reads):
        return -1
    if any(v.touches(operand) and v is not operand for v in rows[e].reads):
        return -1
    start = -1
    for k in range(e - 1, -1, -1):
        row = rows[k]
        if any(v.touches(target) for v in (*row.reads, *row.writes)):
            return -1
        touching = [v for v in (*row.reads, *row.writes) if v.touches(operand)]
        if any((v.begin, v.end) != (operand.begin, operand.end) for v in touching):
            return -1
        written = any(v.touches(operand) for v in row.writes)
        if written and not any(v.touches(operand) for v in row.reads):
            if row.variant < 0:
                return -1  # constants stay where they are
            start = k
            break
    if start < 0:
        return -1
    for row in rows[e + 1 :]:
        if any(v.touches(operand) for v in row.reads):
            return -1
        if any(v.begin <= operand.begin and v.end >= operand.end for v in row.writes):
            return start
    # nothing comes after: the next replay begins with writing it anew
    before = [v for row in rows[:start] for v in row.reads if v.touches(operand)]
    return start if not before else -1
