"""Segments: which rows are shared among threads, and between which all threads wait for one another."""

from __future__ import annotations

from ...engine.layout import ALONE, SHARED
from ...kernels import BY_NAME
from ...kernels.table import BACKWARD, LINEAR, MATMUL, SCALAR
from ..log.rows import Row

SHARED_NS = 1200  # a row that takes less is left to one thread
GIGAFLOPS = 90  # of a matrix product, roughly
CALL_NS = 20  # of a matrix product, whatever its size
BYTES_A_NS = 20  # that a row moves
NS_AN_ELEMENT = 0.4  # of an elementwise row
MEETING_NS = 50  # of the threads after a segment, at least
NS_AN_UPDATE = 0.15  # of a number that an optimizer changes
MOST_TOGETHER = 32  # shared rows of one segment


def nanoseconds(row: Row) -> float:
    """Roughly how long a row takes on one thread."""
    if row.chain:
        return sum(map(nanoseconds, row.chain))
    elements = sum(v.numel for v in row.writes)
    op = BY_NAME.get(row.op)
    if op is not None and op.rule == SCALAR and row.variant != BACKWARD:
        return 0  # one thread makes the sum
    if op is not None and op.rule in (LINEAR, MATMUL):
        return CALL_NS + sum(2 * v.numel * _depth(row, v.shape) for v in row.writes) / GIGAFLOPS
    if row.kernel.startswith("update"):
        return NS_AN_UPDATE * elements
    if row.kernel.startswith("program."):
        return sum(v.end - v.begin for v in row.writes) / BYTES_A_NS
    read = sum(v.numel for v in row.reads)
    return NS_AN_ELEMENT * max(elements, read)


def _depth(row: Row, shape: tuple[int, ...]) -> int:
    """Terms of each element of a product of that shape: what the operands have more than the result."""
    sizes = [n for v in row.reads for n in v.shape[-2:]]
    for n in shape[-2:]:
        if n in sizes:
            sizes.remove(n)
    return max(sizes, default=1) if len(shape) > 1 else 1


def cut(rows: list[Row]) -> list[tuple[int, int, int]]:
    """First row, end and parts of every segment.

    Neighbouring rows that are left to one thread make one segment, and so do neighbouring shared rows of which
    none touches what another writes; a row that is done sooner than threads meet may go with these.
    """
    segments: list[tuple[int, int, int]] = []
    for k, row in enumerate(rows):
        took = nanoseconds(row)
        parts = SHARED if took > SHARED_NS else ALONE
        if segments:
            first, _, before = segments[-1]
            if before == ALONE:
                joins = parts == ALONE
            else:
                joins = (parts == SHARED or took < MEETING_NS) and k - first < MOST_TOGETHER
                joins = joins and not any(depends(row, r) for r in rows[first:k])
            if joins:
                segments[-1] = (first, k + 1, before)
                continue
        segments.append((k, k + 1, parts))
    return segments


def depends(row: Row, before: Row) -> bool:
    """Whether a row touches what one before it writes, or writes what that one reads."""
    return any(w.touches(v) for w in before.writes for v in (*row.reads, *row.writes)) or any(
        w.touches(v) for w in row.writes for v in before.reads
    )
