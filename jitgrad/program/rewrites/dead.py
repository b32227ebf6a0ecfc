"""Rows whose outputs nothing reads."""

from __future__ import annotations

from ..rows import Row, View
from .facts import Facts

Spans = dict[int, list[tuple[int, int]]]


def drop_dead_rows(rows: list[Row], facts: Facts) -> list[Row]:
    """Drop rows that write nothing that is read later, in the program or after it, and report nothing."""
    live: Spans = {block: list(spans) for block, spans in facts.kept.items()}  # what somebody will read
    needed: list[Row] = []
    for row in reversed(rows):
        if row.writes and not facts.reports(row) and not any(_is_live(w, live, facts) for w in row.writes):
            continue
        needed.append(row)
        for w in row.writes:
            block = facts.block(w.address)
            if block in live and w.is_dense:
                live[block] = [s for s in live[block] if not (w.begin <= s[0] and s[1] <= w.end)]
        for r in row.reads:
            spans = live.setdefault(facts.block(r.address), [])
            if (r.begin, r.end) not in spans:
                spans.append((r.begin, r.end))
    return needed[::-1]


def _is_live(written: View, live: Spans, facts: Facts) -> bool:
    block = facts.block(written.address)
    if block < 0:  # memory from outside
        return True
    return any(begin < written.end and written.begin < end for begin, end in live.get(block, ()))
