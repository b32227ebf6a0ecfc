"""Step counters, one row for all of them."""

from __future__ import annotations

import numpy as np

from ...kernels import program_rows
from ..rows import Row, View, decode
from .facts import Facts


def merge_counters(rows: list[Row], facts: Facts) -> list[Row]:
    """Count all counters where the first one is counted, unless rows between use one of them."""
    merged: list[Row] = []
    place = -1  # of the row that counts
    counted: list[View] = []
    since: set[int] = set()  # blocks touched after it, or counted there
    for row in rows:
        blocks = {facts.block(v.address) for v in (*row.reads, *row.writes)}
        if row.kernel != "program.count":
            merged.append(row)
        elif place >= 0 and not blocks & since:
            counted += row.writes
            words = program_rows.record("count", [len(counted), *[v.address for v in counted]])
            merged[place] = decode(np.array(words, np.int64))
        else:
            place, counted, since = len(merged), list(row.writes), set()
            merged.append(row)
        since |= blocks
    return merged
