"""Giving a value of a program another place in memory."""

from __future__ import annotations

from ..log.rows import Row
from ..log.views import View
from .facts import Facts

MOST_ROWS = 256  # how far to look for the last use of a value
MOST_BYTES = 64 << 20  # values larger than this stay where they are


def move_result(rows: list[Row], k: int, facts: Facts, place: int) -> None:
    """Give a result of row `k`, when it is a temporary value, memory of its own; `rows` is changed.

    `place` is the word of the record that names it.
    """
    row = rows[k]
    target = next(w for w in row.writes if w.place == place)
    size = target.end - target.begin
    if facts.is_kept(target) or size > MOST_BYTES or size != target.numel * target.itemsize:
        return
    if any(v.touches(target) for v in row.reads):
        return
    last = _last_use(rows, k, target)
    if last is None:
        return
    address = facts.new_block(size)
    for j in range(k, last + 1):
        rows[j] = rows[j].moved(target, address)


def _last_use(rows: list[Row], k: int, target: View) -> int | None:
    """The last row that uses what row `k` has written, or None when that cannot be told."""
    last, begin, end = k, target.begin, target.end
    for j in range(k + 1, min(k + MOST_ROWS, len(rows))):
        row = rows[j]
        read = [v for v in row.reads if v.begin < end and begin < v.end]
        inside = [*read, *[w for w in row.writes if w.begin < end and begin < w.end]]
        if not inside:
            continue
        if row.kernel.startswith("program."):
            return None if row.chain or read else last
        if not read and any(w.covers(begin, end) for w in inside):
            return last
        if any(v.begin < begin or v.end > end for v in inside):
            return None
        last = j
    return last if k + MOST_ROWS >= len(rows) else None
