"""Constants that stay in place: filled once, when the program is made."""

from __future__ import annotations

import ctypes

from ..rows import Row
from .facts import Facts

CONSTANTS = ("program.copy", "program.clear")


def hoist_constants(rows: list[Row], facts: Facts) -> list[Row]:
    """Drop rows that fill memory with a constant when no other row writes there; it is filled right now."""
    if not any(row.kernel in CONSTANTS for row in rows):
        return rows
    writers: dict[int, int] = {}  # how many rows write to each block
    for row in rows:
        for block in {facts.block(w.address) for w in row.writes}:
            writers[block] = writers.get(block, 0) + 1
    kept = []
    for row in rows:
        is_constant = row.kernel in CONSTANTS and not facts.is_kept(row.writes[0])
        if is_constant and writers[facts.block(row.writes[0].address)] == 1:
            _fill(row)
        else:
            kept.append(row)
    return kept


def _fill(row: Row) -> None:
    target = row.writes[0]
    if row.reads:
        ctypes.memmove(target.address, row.reads[0].address, target.end - target.begin)
    else:
        ctypes.memset(target.address, 0, target.end - target.begin)
