"""Values out of range: rows that meet one report it, and a replay stops there instead of going on with nonsense.

A kernel cannot raise, so it reports a bad index or value in a cell of memory. In a program every such row has a cell of
its own, at which the walk looks when the row has run. Classes that come straight from an argument are looked at
before anything runs.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..functions import _launch, losses
from ..functions._checks import REFUSALS
from ..kernels.abi import R_ATTRS
from .rows import Row, View, attributes, decode
from .survey import Survey

VALUE_CHECK = "within"
CLASS_LOSSES = ("cross_entropy_mean", "nll_gather")
IGNORE_NOTHING = -(1 << 62)
CELL_WORDS = 5
BAD, FIRST, VALUE, SIZE, LATE = range(
    CELL_WORDS
)  # FIRST: the class, the dimension of the index, or which check


class Reports:
    """The cells of a program.

    Parameters
    ----------
    survey : Survey
        Of the records; those that report are changed to name cells of the program's own.
    arguments : list of dict
        Where the arguments were, see `Program`.

    Attributes
    ----------
    checks : list of [argument, classes, ignored]
        Arguments whose values are looked at before a replay.
    """

    def __init__(self, survey: Survey, arguments: list[dict[str, Any]]) -> None:
        places = list(_reporting(survey))
        self.cells = np.zeros((len(places), CELL_WORDS), np.int64)
        self.checks: list[list[int]] = []
        self._ops: dict[int, str] = {}
        self._late: list[tuple[int, int, int]] = []  # records (begin, end) after which a cell is looked at
        first = self.cells.ctypes.data
        for k, (row, place, begin) in enumerate(places):
            cell = first + 8 * CELL_WORDS * k
            row.words[place] = cell
            if row.variant != 0 or row.op == "mse_loss":
                continue
            check = _direct(row, arguments)
            if check is not None:
                self.checks.append(check)
            else:
                self._ops[cell] = row.op
                self._late.append((begin, begin + len(row.words), cell))
        self._named = set(self._ops.values())

    def cell_of(self, row: Row) -> int:
        """The address of the cell to look at after a row, or 0."""
        if row.variant != 0 or row.op not in self._named or not row.words[R_ATTRS]:
            return 0
        return next((w for w in attributes(row.words).tolist() if w in self._ops), 0)

    def split(self, rows: list[Row], first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Rows ``first .. last`` in parts that end where a cell is to be looked at, with its address or 0."""
        for k in range(first, last) if self._ops else ():
            cell = self.cell_of(rows[k])
            if cell:
                yield first, k + 1, cell
                first = k + 1
        if first < last:
            yield first, last, 0

    def split_log(self, words: int, first_seen: int) -> list[tuple[int, int, int]]:
        """A log in parts, as `split`: words ``first .. last`` and a cell or 0.

        Cells are marked as `mark_late` does; `first_seen` is a word of the first row that changes what can be seen.
        """
        parts = []
        first = 0
        for begin, end, cell in self._late:
            self.cells[self._number(cell), LATE] = first_seen < begin
            parts.append((first, end, cell))
            first = end
        return [*parts, (first, words, 0)] if first < words else parts

    def _number(self, cell: int) -> int:
        return (cell - self.cells.ctypes.data) // (8 * CELL_WORDS)

    def mark_late(self, rows: list[Row], is_seen: Callable[[View], bool]) -> None:
        """Note for each cell whether rows before it change memory that can be seen from outside."""
        late = False
        if not self._ops:
            return
        for row in rows:
            cell = self.cell_of(row)
            if cell:
                self.cells[self._number(cell), LATE] = late
            late = late or any(is_seen(w) and w.numel for w in row.writes)

    def error(self, cell: int) -> Exception:
        """What a cell says."""
        words = self.cells[self._number(cell)]
        op = self._ops[cell]
        words[BAD] = 0
        if op == VALUE_CHECK:
            kind, message = REFUSALS[words[FIRST]]
            return kind(f"{message}, in a compiled step")
        if op in (*CLASS_LOSSES, "ctc_loss"):
            return IndexError(f"Target {words[FIRST]} is out of bounds. {op}: in a compiled step")
        return IndexError(
            f"{op}: index {words[VALUE]} is out of bounds for dimension {words[FIRST]} with size "
            f"{words[SIZE]}, in a compiled step"
        )


def _report_memory() -> tuple[tuple[int, int], ...]:
    """Where rows report that run eagerly."""
    indices, loss = _launch.REPORTS_AT, losses.REPORT_ADDRESS
    size = 8 * _launch.REPORTS * _launch.REPORT_WORDS
    return (indices, indices + size), (loss, loss + 8 * len(losses.REPORT))


def _reporting(survey: Survey) -> Iterator[tuple[Row, int, int]]:
    """The rows that report, each with its word that says where, and the word at which it begins."""
    (first, last), (begin, end) = _report_memory()
    values, edges = survey.values, survey.edges
    inside = ((values >= first) & (values < last)) | ((values >= begin) & (values < end))
    for at in survey.attributes[inside].tolist():
        k = bisect.bisect_right(edges, at)
        start, end = edges[k - 1], edges[k]
        yield decode(survey.log[start:end]), at - start, start


def _direct(row: Row, arguments: list[dict[str, Any]]) -> list[int] | None:
    """The check of an argument that is all the classes of a loss."""
    if row.op not in CLASS_LOSSES:
        return None
    targets, classes = row.reads[1], row.reads[0].shape[-1]
    for k, x in enumerate(arguments):
        same = targets.address == x["address"] and list(targets.shape) == x["shape"]
        if same and (targets.strides == (1,) or targets.numel <= 1):
            words = attributes(row.words)
            return [k, classes, int(words[0]) if len(words) > 1 else IGNORE_NOTHING]
    return None
