"""Constants that stay in place: filled once, when the program is made."""

from __future__ import annotations

import ctypes

from ..rows import Row
from .facts import Facts


def hoist_constants(rows: list[Row], facts: Facts) -> list[Row]:
    """Drop rows that fill memory with a constant when no other row writes there; it is filled right now."""
    kept = []
    for row in rows:
        if row.kernel in ("program.copy", "program.clear") and not facts.is_kept(row.writes[0]):
            target = row.writes[0]
            if not any(w.touches(target) for other in rows if other is not row for w in other.writes):
                _fill(row)
                continue
        kept.append(row)
    return kept


def _fill(row: Row) -> None:
    target = row.writes[0]
    if row.reads:
        ctypes.memmove(target.address, row.reads[0].address, target.end - target.begin)
    else:
        ctypes.memset(target.address, 0, target.end - target.begin)
