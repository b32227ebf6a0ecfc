"""`Program.profile`: how long each row of a program takes, against what the machine can do."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._tensor import Tensor
from ...dtypes import DTYPES
from ...engine.layout import ALONE, BAD_CLASS, REQUIRES_GRAD, SEGMENT_PARTS
from ...kernels.abi import NUMPY_DTYPES
from ..log.rows import Row
from ..replay.walk import walk
from .peaks import best_time, best_time_of_few, copy_rate, multiply_add_peak, one_record, peaks_text
from .table import Line, count_text, lines_of, size_text, table

if TYPE_CHECKING:
    from ..program import Program

# repetitions of a row that changes what it reads, before memory is put back: more would lead its numbers astray
FEW = 16


@dataclass(frozen=True)
class RowTime:
    """What one row of a program takes.

    Attributes
    ----------
    line : Line
        The row, described: its number, kernel, operands, bytes and floating-point operations.
    ns : float
        Nanoseconds of one execution when it is repeated alone, so that its operands are in the cache.
    chain : tuple of RowTime
        Of a row that runs others strip by strip: those rows, each repeated alone over all strips.
    """

    line: Line
    ns: float
    chain: tuple[RowTime, ...] = ()

    @property
    def gflops(self) -> float | None:
        """Floating-point operations a nanosecond; None where they are not known."""
        return None if self.line.flops is None else self.line.flops / self.ns

    @property
    def gbytes(self) -> float:
        """Bytes read and written a nanosecond."""
        return self.line.bytes / self.ns

    @property
    def of_multiply_adds(self) -> float:
        """Fraction of the machine's multiply-adds; 0 for other kernels than products."""
        if self.line.flops is None or not self.line.product:
            return 0.0
        return self.line.flops / self.ns / multiply_add_peak(self.line.dtype)

    @property
    def of_copies(self) -> float:
        """Fraction of the bandwidth of a copy that touches as much memory."""
        return self.gbytes / copy_rate(self.line.footprint)

    @property
    def of_peak(self) -> float:
        """The larger fraction: of what limits the row, if anything does."""
        return max(self.of_multiply_adds, self.of_copies)


@dataclass(frozen=True)
class Profile:
    """Times of a program's rows; prints as a table.

    Attributes
    ----------
    rows : list of RowTime
        In the order of the program.
    step : float
        Nanoseconds of the whole program, replayed.
    n : int
        How often everything was repeated, at least.
    """

    rows: list[RowTime]
    step: float
    n: int

    @property
    def total(self) -> float:
        """Nanoseconds of all rows together."""
        return sum(r.ns for r in self.rows)

    def share(self, row: RowTime) -> float:
        """The part of `total` that a row takes."""
        return row.ns / self.total if self.total else 0.0

    def __str__(self) -> str:
        header = ("row", "seg", "kernel", "size", "us", "share", "GF/s", "GB/s", "of peak", "")
        shown = [x for row in self.rows for x in (row, *row.chain)]
        lines = [header, *map(self._cells, shown), self._total()]
        dtypes = sorted({r.line.dtype for r in self.rows if r.line.product})
        step = (
            f"a whole step replayed takes {_us(self.step)} us, {self.step / self.total:.2f} times the sum of its "
            "rows: a row repeated alone finds its operands in the cache"
            if self.rows
            else "the program has no rows"
        )
        text = table(lines, right=(0, 4, 5, 6, 7, 8))
        return "\n".join([*text, step, *peaks_text(dtypes)])

    def _cells(self, row: RowTime) -> tuple[str, ...]:
        line = row.line
        by_products = row.of_multiply_adds > row.of_copies
        return (
            line.number,
            f"{line.segment}{'+' if line.shared else ''}",
            f"{line.kernel} {line.dtype}".strip(),
            _size(line),
            _us(row.ns),
            f"{100 * self.share(row):.1f}%" if row in self.rows else "",
            "" if row.gflops is None else f"{row.gflops:.1f}",
            f"{row.gbytes:.1f}",
            f"{100 * row.of_peak:.0f}%",
            "multiply-adds" if by_products else "copy",
        )

    def _total(self) -> tuple[str, ...]:
        flops = sum(r.line.flops or 0 for r in self.rows)
        moved = sum(r.line.bytes for r in self.rows)
        total = max(self.total, 1e-9)
        size = f"{size_text(moved)}, {count_text(flops)}flops"
        rates = (f"{flops / total:.1f}", f"{moved / total:.1f}")
        return ("", "", "sum of rows", size, _us(self.total), "100%", *rates, "", "")


def _size(line: Line) -> str:
    """The largest array of a row, or how much it moves."""
    shapes = [o.view.shape for operands in line.operands for o in operands]
    if not line.dtype or not shapes:
        return size_text(line.bytes)
    largest = max(shapes, key=lambda s: int(np.prod(s)))
    return f"[{','.join(map(str, largest))}]"


def _us(ns: float) -> str:
    return f"{ns / 1e3:.3f}" if ns < 1e5 else f"{ns / 1e3:.1f}"


# measuring ----------------------------------------------------------------------------------------


def profile(program: Program, n: int, arguments: Sequence[Tensor] | None) -> Profile:
    """Measure a program, see `Program.profile`."""
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"profile: n must be at least 1, got {n!r}")
    given = _stand_ins(program) if arguments is None else list(arguments)
    _prepare(program, given)
    everything = _written(program.rows)
    with _kept(everything) as put_back:
        report = walk(program.segments, 1)
        if report:
            raise program.reports.error(report)
        step = best_time(program.segments, n, put_back)
    with _kept(everything):
        rows = [
            _measured(program, row, line, n)
            for row, line in zip(program.rows, lines_of(program), strict=True)
        ]
    return Profile(rows, step, n)


def _measured(program: Program, row: Row, line: Line, n: int) -> RowTime:
    """The time of a row, which has run once in the end: the rows after it find what it leaves in a step."""
    alone = one_record(row.words, int(program.segments[line.segment - 1, SEGMENT_PARTS]))
    took = _repeated(row, alone, n)
    if not row.chain:
        walk(alone, 1)
        return RowTime(line, took)
    members = []
    for k, (member, told) in enumerate(zip(row.chain, line.chain, strict=True)):
        strips = row.inner[k :: len(row.chain)]
        table = np.array([[place, place + 8 * len(r.words), ALONE, 0] for r, place in strips], np.int64)
        members.append(RowTime(told, _repeated(member, table, n, strips)))
        walk(table, 1)
    return RowTime(line, took, tuple(members))


def _repeated(row: Row, table: np.ndarray, n: int, records: Sequence[tuple[Row, int]] = ()) -> float:
    """Nanoseconds of a walk over a table that runs one row, after which memory is put back."""
    with _kept(_written([row], records)) as put_back:
        if _changes_what_it_reads(row):
            return best_time_of_few(table, n, FEW, put_back)
        return best_time(table, n)


def _changes_what_it_reads(row: Row) -> bool:
    return any(w.touches(r) for w in row.writes for r in row.reads)


def _prepare(program: Program, arguments: list[Tensor]) -> None:
    """Point the records at the arguments."""
    if len(arguments) != program.arity:
        raise TypeError(f"profile: the program takes {program.arity} tensors, got {len(arguments)}")
    program.improve()
    status = program.point_at(arguments) if program.refresh() else -1
    if status == BAD_CLASS:
        raise IndexError("profile: a class index among the arguments is out of range")
    if status != 0:
        raise RuntimeError(
            "profile: the program does not fit these arguments, or what it was recorded with has changed since "
            "(parameters, gradients, modes); take the program that fits now from step.program(...)"
        )


def _stand_ins(program: Program) -> list[Tensor]:
    """Tensors like the arguments that the program was recorded with: normal numbers, and indices that fit."""
    from ...functions import from_numpy, zeros
    from ...functions.shape import NONE, strided_view, view_words

    rng = np.random.default_rng(0)
    classes = {k: count for k, count, _ignored in program.checks}
    views: dict[
        int, list[tuple[int, dict[str, Any]]]
    ] = {}  # of each memory, with the numbers of the arguments
    for k, x in enumerate(program._arguments):
        views.setdefault(x["first"], []).append((k, x))
    made: dict[int, Tensor] = {}
    for beside in views.values():
        dtype = NUMPY_DTYPES[beside[0][1]["dtype"]]
        starts = [x["behind"] // dtype.itemsize for _, x in beside]
        begin = min(starts)
        end = max(start + _extent(x) for start, (_, x) in zip(starts, beside, strict=True))
        values: Any = np.zeros(end - begin, dtype)
        limits = [classes[k] for k, _ in beside if k in classes]
        if dtype.kind == "f":
            values[:] = rng.standard_normal(len(values))
        elif limits:
            values[:] = rng.integers(0, min(limits), len(values))
        memory = from_numpy(values)
        for start, (k, x) in zip(starts, beside, strict=True):
            columns = [(size, 0, step, NONE) for size, step in zip(x["shape"], x["strides"], strict=True)]
            if 0 in x["shape"]:  # views of nothing have no strides
                made[k] = zeros(x["shape"], dtype=DTYPES[x["dtype"]])
            else:
                made[k] = strided_view(memory, view_words(columns, [start - begin], "profile"), "profile")
            if x["flags"] & REQUIRES_GRAD:
                made[k].requires_grad_()
    return [made[k] for k in range(program.arity)]


def _extent(x: dict[str, Any]) -> int:
    """How many elements an argument reaches over."""
    if 0 in x["shape"]:
        return 0
    return 1 + sum((size - 1) * step for size, step in zip(x["shape"], x["strides"], strict=True))


def _written(rows: list[Row], records: Sequence[tuple[Row, int]] = ()) -> list[tuple[int, int]]:
    """The pieces of memory that rows write, as (address, bytes), none twice.

    `records` are their records with the address of each, where those are not their own words.
    """
    records = records or [one for row in rows for one in row.inner or ((row, row.words.ctypes.data),)]
    spans = []
    for row, place in records:
        for view in row.writes:
            # an argument may lie elsewhere by now: what counts is the address in the record
            address = ctypes.c_int64.from_address(place + 8 * view.place).value
            if view.end > view.begin:
                spans.append((view.begin - view.address + address, view.end - view.address + address))
    pieces: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if pieces and begin <= pieces[-1][0] + pieces[-1][1]:
            first, size = pieces[-1]
            pieces[-1] = first, max(size, end - first)
        else:
            pieces.append((begin, end - begin))
    return pieces


@contextmanager
def _kept(pieces: list[tuple[int, int]]) -> Iterator[Callable[[], None]]:
    """Put memory back as it was in the end, whatever happens; gives a function that does so at any time."""
    saved = [(address, size, ctypes.string_at(address, size)) for address, size in pieces]

    def put_back() -> None:
        for address, size, content in saved:
            ctypes.memmove(address, content, size)

    try:
        yield put_back
    finally:
        put_back()
