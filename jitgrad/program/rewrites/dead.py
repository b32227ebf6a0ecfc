"""Rows whose outputs nothing reads."""

from __future__ import annotations

from ..rows import Row, View
from .facts import Facts


def drop_dead_rows(rows: list[Row], facts: Facts) -> list[Row]:
    """Drop rows that write nothing that is read later, in the program or after it."""
    read: list[View] = []
    needed: list[Row] = []
    for row in reversed(rows):
        if not row.writes or any(facts.is_kept(w) or any(w.touches(r) for r in read) for w in row.writes):
            needed.append(row)
            read += row.reads
    return needed[::-1]
