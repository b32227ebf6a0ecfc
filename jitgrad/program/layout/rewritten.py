"""The rows of a program after the rewrites, where they will run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...engine.layout import PATCH_WORDS, SEGMENT_WORDS
from ..log.rows import Row
from .reports import Reports
from .segments import cut


class Rewritten:
    """Rows laid out behind one another.

    Parameters
    ----------
    rows : list of Row
        Their words are copied; from now on they are where they run.
    reports : Reports
        After which rows to look for a report.
    extra : list of numpy.ndarray
        Memory that the rewrites have added.

    Attributes
    ----------
    places : list of int
        The address of each row.
    segments : numpy.ndarray
        The table of segments.
    patches : numpy.ndarray
        Where the rows name an argument's memory.
    written : set of int
        Numbers of the arguments whose memory rows write; of several in one storage, of the first.
    outside : set of int
        The storages from outside that rows write to.
    """

    def __init__(self, rows: list[Row], reports: Reports, extra: list[np.ndarray]) -> None:
        self.words = np.concatenate([r.words for r in rows]) if rows else np.zeros(0, np.int64)
        self.rows, self.extra = rows, extra
        self.patches = np.zeros((0, PATCH_WORDS), np.int64)
        self.written: set[int] = set()
        self.outside: set[int] = set()
        base, at = self.words.ctypes.data, 0
        self.places: list[int] = []
        for row in rows:
            end = at + len(row.words)
            self.places.append(base + 8 * at)
            row.words = self.words[at:end]
            at = end
        edges = [*self.places, base + 8 * at]
        lines = [
            [edges[a], edges[b], parts, cell]
            for first, last, parts in cut(rows)
            for a, b, cell in reports.split(rows, first, last)
        ]
        self.segments = np.array(lines, np.int64).reshape(-1, SEGMENT_WORDS)

    def find_arguments(
        self, storage_at: Callable[[int], int], storages: list[int], arguments: list[dict[str, Any]]
    ) -> None:
        """Work out `patches`, `written` and `outside` for arguments that lie in these storages, at these addresses."""
        number = {storage: k for k, storage in reversed([*enumerate(storages)])}  # of the first one there
        laid = [*zip(self.rows, self.places, strict=True)]
        lines = []
        for row, place in [inner for pair in laid for inner in pair[0].inner or (pair,)]:
            mine = {v.place: v.address for v in row.reads if storage_at(v.address) in number}
            written = {v.place: v.address for v in row.writes if storage_at(v.address) in number}
            self.outside |= {storage_at(v.address) for v in row.writes} - {0}
            self.written |= {number[storage_at(address)] for address in written.values()}
            mine |= written
            for word, address in mine.items():
                k = number[storage_at(address)]
                lines.append([k, place + 8 * word, address - arguments[k]["address"]])
        self.patches = np.array(lines, np.int64).reshape(-1, PATCH_WORDS)
