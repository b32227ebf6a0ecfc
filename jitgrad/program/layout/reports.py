"""Values out of range: rows that meet one report it, and a replay stops there instead of going on with nonsense.

A kernel cannot raise, so it reports a bad index or value in a cell of memory. In a program every such row has a cell of
its own, at which the walk looks when the row has run. Classes that come straight from an argument are looked at
before anything runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from ...functions._checks import REFUSALS
from ...functions._launch import bad_index
from ...kernels import BY_NAME, compiler
from ...kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_NUMEL,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    ARRAY_WORDS,
    ARRAYS,
    R_ATTRS,
    R_KERNEL,
    R_LAYOUT,
    R_WORDS,
)
from ...kernels.table import CLASSES, COUNTS, LABELS, SHAPES, VALUES
from ..log.rows import Row, attributes
from ..log.views import View, op_and_variant
from ..record.recording import ZERO, Recording

CELL_WORDS = 5
# of a cell; FIRST is the class, the dimension of the index, or which check
BAD, FIRST, VALUE, SIZE, LATE = range(CELL_WORDS)


class Reports:
    """The cells of a program.

    Parameters
    ----------
    recording : Recording
        Whose records that report are changed to name cells of the program's own.
    places : list of (int, int)
        The address of each record that reports, and the word of it that says where.
    argument_like : callable
        Finds an argument, see `Tables`.

    Attributes
    ----------
    checks : list of [argument, classes, ignored]
        Arguments whose values are looked at before a replay.
    """

    def __init__(
        self,
        recording: Recording,
        places: list[tuple[int, int]],
        argument_like: Callable[[int, list[int]], int | None],
    ) -> None:
        self.checks: list[list[int]] = []
        self._cells = ZERO * (CELL_WORDS * len(places))
        self._ops: dict[int, str] = {}
        self._late: list[tuple[int, int, int]] = []  # records (begin, end) after which a cell is looked at
        self._first = cell = self._cells.buffer_info()[0]
        words, log = recording.words, recording.log_address
        for address, place in places:
            begin = (address - log) // 8
            words[begin + place] = cell
            op = _looked_at(words[begin + R_KERNEL])
            if op is not None:
                end = begin + words[begin + R_WORDS]
                check = _direct(words[begin:end], argument_like) if BY_NAME[op].reports == CLASSES else None
                if check is not None:
                    self.checks.append(check)
                else:
                    self._ops[cell] = op
                    self._late.append((begin, end, cell))
            cell += 8 * CELL_WORDS
        self._named = set(self._ops.values())

    @property
    def has_late(self) -> bool:
        """Whether there is anything to look at on the way."""
        return bool(self._late)

    def __contains__(self, cell: int) -> bool:
        return cell in self._ops

    def is_cell(self, word: int) -> bool:
        """Whether a word of a record is the address of a cell, looked at or not."""
        return self._first <= word < self._first + 8 * len(self._cells)

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
            self._cells[self._number(cell) + LATE] = first_seen < begin
            parts.append((first, end, cell))
            first = end
        return [*parts, (first, words, 0)] if first < words else parts

    def _number(self, cell: int) -> int:
        """Where a cell begins among the words of all of them."""
        return (cell - self._first) // 8

    def mark_late(self, rows: list[Row], is_seen: Callable[[View], bool]) -> None:
        """Note for each cell whether rows before it change memory that can be seen from outside."""
        late = False
        if not self._ops:
            return
        for row in rows:
            cell = self.cell_of(row)
            if cell:
                self._cells[self._number(cell) + LATE] = late
            late = late or any(is_seen(w) and w.numel for w in row.writes)

    def is_late(self, cell: int) -> bool:
        """Whether the step had changed what can be seen from outside before it met what a cell says."""
        return bool(self._cells[self._number(cell) + LATE])

    @property
    def class_arguments(self) -> list[int]:
        """The arguments that are class indices."""
        return [k for k, _, _ in self.checks]

    def classes_fit(self, argument: int, values: np.ndarray) -> bool:
        """Whether class indices given for an argument are in range."""
        return all(
            bool((((values >= 0) & (values < classes)) | (values == ignored)).all())
            for k, classes, ignored in self.checks
            if k == argument
        )

    def error(self, cell: int) -> Exception:
        """What a cell says."""
        first, op = self._number(cell), self._ops[cell]
        words = self._cells[first : first + CELL_WORDS]
        self._cells[first + BAD] = 0
        about = BY_NAME[op].reports
        if about == VALUES:
            kind, message = REFUSALS[words[FIRST]]
            return kind(f"{message}, in a compiled step")
        if about in (CLASSES, LABELS):
            return IndexError(f"Target {words[FIRST]} is out of bounds for {op} in a compiled step")
        if about == COUNTS:
            return RuntimeError(
                f"{op}: {words[SIZE]} elements were given for {words[VALUE]} places, in a compiled step"
            )
        return bad_index(op, words[:LATE], ", in a compiled step")


@functools.cache
def _looked_at(kernel: int) -> str | None:
    """The operation of a kernel whose reports are looked at; None where a program has nothing to look at."""
    op, variant = op_and_variant(compiler.name_of(kernel))
    return op if variant == 0 and BY_NAME[op].reports != SHAPES else None


def _direct(words: memoryview, argument_like: Callable[[int, list[int]], int | None]) -> list[int] | None:
    """The check of an argument that is all the classes of a loss with this record."""
    scores, targets = A_ARRAYS, A_ARRAYS + ARRAY_WORDS
    if words[R_LAYOUT] != ARRAYS or not words[scores + ARRAY_ADDRESS] or not words[targets + ARRAY_ADDRESS]:
        return None
    classes = words[scores + ARRAY_SHAPE + 1]
    dims, numel = words[targets + ARRAY_DIMS], words[targets + ARRAY_NUMEL]
    shape = words[targets + ARRAY_SHAPE : targets + ARRAY_SHAPE + dims].tolist()
    strides = words[targets + ARRAY_STRIDES : targets + ARRAY_STRIDES + dims].tolist()
    k = argument_like(words[targets + ARRAY_ADDRESS], shape) if strides == [1] or numel <= 1 else None
    if k is None:
        return None
    return [k, classes, words[words[R_ATTRS]]]
