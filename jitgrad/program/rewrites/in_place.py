"""Elementwise rows that overwrite their operand instead of filling another block."""

from __future__ import annotations

from ...kernels.abi import NEST_BROADCAST, NEST_CONTIGUOUS, R_DIMS, R_LAYOUT
from ..log.rows import Row
from ..log.views import View
from .facts import Facts
from .uses import Uses, is_read_after

MOST_MOVED = 32  # rows: in a long chain of operations each would move all before it once more


def reuse_operands(rows: list[Row], facts: Facts) -> list[Row]:
    """Let the operand of an elementwise row be computed where its result goes, so that less memory is touched.

    A row may do so when the operand is the program's own, was written whole by an earlier row, is not needed after
    it, and nothing touches the block of the result in between.
    """
    rows = list(rows)
    uses = Uses(rows, facts)
    for e in range(len(rows)):
        row = rows[e]
        if not _is_flat(row):
            continue
        target = row.writes[0]
        if any(v.touches(target) for v in row.reads):  # in place already
            continue
        # of several operands the one written last: it is the likeliest to be in the cache still
        found = [(_first_writer(rows, e, operand, target, facts, uses), operand) for operand in row.reads]
        first, operand = max(found, key=lambda pair: pair[0], default=(-1, target))
        if first >= 0:
            life = [k for k in (*uses.before(operand, e), e) if k >= first]
            for k in life if len(life) <= MOST_MOVED else ():
                old, rows[k] = rows[k], rows[k].moved(operand, target.address)
                uses.change(k, old, rows[k])
    return rows


def _is_flat(row: Row) -> bool:
    """Whether a row reads and writes the same elements of contiguous blocks, one by one."""
    if row.variant < 0 or len(row.writes) != 1:
        return False
    flat = int(row.words[R_LAYOUT]) in (NEST_CONTIGUOUS, NEST_BROADCAST) and int(row.words[R_DIMS]) == 1
    return flat and row.writes[0].strides == (1,)


def _first_writer(rows: list[Row], e: int, operand: View, target: View, facts: Facts, uses: Uses) -> int:
    """The row that begins the life of an operand of row `e` that may move to `target`; -1 for none."""
    if operand.strides != (1,) or operand.itemsize != target.itemsize or facts.is_kept(operand):
        return -1
    if facts.block(operand.address) == facts.block(target.address):
        return -1
    if sum(v.touches(operand) for v in rows[e].reads) > 1 or is_read_after(rows, e, operand, uses):
        return -1
    for k in uses.before(operand, e):
        row = rows[k]
        touching = [v for v in (*row.reads, *row.writes) if v.touches(operand)]
        if any((v.begin, v.end) != (operand.begin, operand.end) for v in touching):
            return -1
        # all of it, not every other element
        written = any(v.touches(operand) and v.is_dense for v in row.writes)
        if written and not any(v.touches(operand) for v in row.reads):
            # a constant stays where it is
            return -1 if row.variant < 0 or uses.any_between(target, k, e) else k
    return -1
