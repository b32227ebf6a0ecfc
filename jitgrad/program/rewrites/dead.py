"""Rows whose outputs nothing reads."""

from __future__ import annotations

from ..rows import Row, View
from .facts import Facts


def drop_dead_rows(rows: list[Row], facts: Facts) -> list[Row]:
    """Drop rows that write nothing that is read later, in the program or after it."""
    live = list(facts.kept)  # bytes that somebody will read, seen from behind
    needed: list[Row] = []
    for row in reversed(rows):
        if row.writes and not any(_is_live(w, live, facts) for w in row.writes):
            continue
        needed.append(row)
        live = [span for span in live if not any(_covers(w, span) for w in row.writes)]
        live += [(r.begin, r.end) for r in row.reads]
    return needed[::-1]


def _is_live(written: View, live: list[tuple[int, int]], facts: Facts) -> bool:
    if facts.outside(written.address):
        return True
    return any(begin < written.end and written.begin < end for begin, end in live)


def _covers(written: View, span: tuple[int, int]) -> bool:
    """Whether a row writes every byte of a span."""
    return written.is_dense and written.begin <= span[0] and span[1] <= written.end
