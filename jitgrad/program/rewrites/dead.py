"""Rows whose outputs nothing reads."""

from __future__ import annotations

from ..log.rows import Row
from ..log.views import View
from .facts import Facts

Spans = dict[int, list[tuple[int, int]]]


def drop_dead_rows(rows: list[Row], facts: Facts) -> list[Row]:
    """Drop rows that write nothing that is read later, in the program or after it, and report nothing."""
    live: Spans = {block: list(spans) for block, spans in facts.kept.items()}  # what somebody will read
    needed: list[Row] = []
    for row in reversed(rows):
        writes = [(facts.block(w.address), w) for w in row.writes]
        if writes and not facts.reports(row) and not any(_is_live(block, w, live) for block, w in writes):
            continue
        needed.append(row)
        for block, w in writes:
            if live.get(block) and w.is_dense:
                live[block] = [s for s in live[block] if not (w.begin <= s[0] and s[1] <= w.end)]
        for r in row.reads:
            block = facts.block(r.address)
            if block >= 0:  # what lies outside is live at any rate
                spans = live.setdefault(block, [])
                if (r.begin, r.end) not in spans:
                    spans.append((r.begin, r.end))
    return needed[::-1]


def _is_live(block: int, written: View, live: Spans) -> bool:
    if block < 0:  # memory from outside
        return True
    for begin, end in live.get(block, ()):
        if begin < written.end and written.begin < end:
            return True
    return False
