"""Elementwise rows that overwrite their operand instead of filling another block."""

from __future__ import annotations

from ...kernels.abi import NEST_BROADCAST, NEST_CONTIGUOUS, R_DIMS, R_LAYOUT
from ..rows import Row, View, decode
from .facts import Facts


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
        for operand in row.reads:
            first = _first_writer(rows, e, operand, target, facts)
            if first is not None:
                for k in range(first, e + 1):
                    rows[k] = moved(rows[k], operand, target.address)
                break
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


def _first_writer(rows: list[Row], e: int, operand: View, target: View, facts: Facts) -> int | None:
    """The row that begins the life of an operand of row `e` that may move to `target`."""
    if operand.strides != (1,) or operand.itemsize != target.itemsize or facts.is_kept(operand):
        return None
    if any(v.touches(target) for v in rows[e].reads):
        return None
    if any(v.touches(operand) and v is not operand for v in rows[e].reads):
        return None
    start = None
    for k in range(e - 1, -1, -1):
        row = rows[k]
        if any(v.touches(target) for v in (*row.reads, *row.writes)):
            return None
        touching = [v for v in (*row.reads, *row.writes) if v.touches(operand)]
        if any((v.begin, v.end) != (operand.begin, operand.end) for v in touching):
            return None
        written = any(v.touches(operand) for v in row.writes)
        if written and not any(v.touches(operand) for v in row.reads):
            if row.variant < 0:
                return None  # constants stay where they are
            start = k
            break
    if start is None:
        return None
    for row in rows[e + 1 :]:
        if any(v.touches(operand) for v in row.reads):
            return None
        if any(v.begin <= operand.begin and v.end >= operand.end for v in row.writes):
            return start
    # nothing comes after: the next replay begins with writing it anew
    before = [v for row in rows[:start] for v in row.reads if v.touches(operand)]
    return start if not before else None


def moved(row: Row, old: View, address: int) -> Row:
    """The row with `address` in place of the block `old`."""
    words = row.words.copy()
    changed = False
    for view in (*row.reads, *row.writes):
        if view.begin == old.begin and view.end == old.end:
            words[view.place] = address
            changed = True
    return decode(words) if changed else row
