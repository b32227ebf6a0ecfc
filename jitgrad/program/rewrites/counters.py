"""Step counters, one row for all of them."""

from __future__ import annotations

import numpy as np

from ...kernels import program_rows
from ..log.rows import Row, decode
from ..log.views import View
from .facts import Facts


def merge_counters(rows: list[Row], facts: Facts) -> list[Row]:
    """Count all counters where the first one is counted, unless rows between use one of them or may end the step."""
    merged: list[Row] = []
    place = -1  # of the row that counts
    counted: list[View] = []
    since: set[int] = set()  # blocks touched after it, or counted there
    for row in rows:
        is_counter = row.kernel == "program.count"
        if place < 0 and not is_counter:
            merged.append(row)
            continue
        blocks = {facts.block(v.address) for v in row.writes}
        if facts.reports(row):
            _put(merged, place, counted)
            merged.append(row)
            place, counted = -1, []
        elif not is_counter:
            merged.append(row)
            blocks |= {facts.block(v.address) for v in row.reads}
        elif place >= 0 and blocks.isdisjoint(since):
            counted += row.writes
        else:
            _put(merged, place, counted)
            place, counted, since = len(merged), list(row.writes), set()
            merged.append(row)
        since |= blocks
    _put(merged, place, counted)
    return merged


def _put(rows: list[Row], place: int, counted: list[View]) -> None:
    """Let the row at a place count all of these."""
    if len(counted) > len(rows[place].writes if counted else ()):
        words = program_rows.record("count", [len(counted), *[v.address for v in counted]])
        rows[place] = decode(np.array(words, np.int64))
