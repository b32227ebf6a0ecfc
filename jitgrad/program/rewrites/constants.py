"""Constants that stay in place: filled once, when the program is made."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from ..log.rows import Row
from ..log.views import View
from .facts import Facts
from .uses import Uses

CONSTANTS = ("program.copy", "program.clear")
GRAIN = 16  # bytes at a multiple of which a constant's own memory begins


class _Constant(NamedTuple):
    """A row that fills memory which is used for other values as well, and the rows that read the constant."""

    number: int
    target: View
    readers: list[int]


def hoist_constants(rows: list[Row], facts: Facts) -> list[Row]:
    """Drop rows that fill memory with a constant; it is filled right now.

    Where other rows write to the same memory, the constant gets memory of its own.
    """
    if not any(row.kernel in CONSTANTS for row in rows):
        return rows
    writers: dict[int, int] = {}  # how many rows write to each block
    for row in rows:
        for block in {facts.block(w.address) for w in row.writes}:
            writers[block] = writers.get(block, 0) + 1
    uses, kept, shared = Uses(rows, facts), list(rows), []
    dropped = set()
    for k, row in enumerate(rows):
        if row.kernel not in CONSTANTS or facts.is_kept(row.writes[0]):
            continue
        target = row.writes[0]
        if writers[facts.block(target.address)] == 1:
            _fill(row, target.address)
            dropped.add(k)
        elif (readers := _readers(rows, k, target, uses)) is not None:
            shared.append(_Constant(k, target, readers))
    _give_memory(kept, shared, facts)
    dropped.update(constant.number for constant in shared)
    return [row for k, row in enumerate(kept) if k not in dropped]


def _readers(rows: list[Row], k: int, target: View, uses: Uses) -> list[int] | None:
    """The rows that read what row `k` has written, or None where they cannot be given another address."""
    readers = []
    for j in uses.after(target, k):
        row = rows[j]
        read = any(v.touches(target) for v in row.reads)
        written = [v for v in row.writes if v.touches(target)]
        if written and not read:
            return readers if any(v.covers(target.begin, target.end) for v in written) else None
        inside = all(target.begin <= v.begin and v.end <= target.end for v in row.reads if v.touches(target))
        if read and (written or not inside or row.variant < 0):
            return None
        if read:
            readers.append(j)
    return readers


def _give_memory(rows: list[Row], constants: list[_Constant], facts: Facts) -> None:
    """Fill memory of their own with constants and let their readers, of `rows`, read it there."""
    if not constants:
        return
    sizes = [-(-(c.target.end - c.target.begin) // GRAIN) * GRAIN for c in constants]
    for (k, target, readers), address in zip(constants, facts.new_blocks(sizes), strict=True):
        _fill(rows[k], address)
        for j in readers:
            rows[j] = rows[j].moved(target, address)


def _fill(row: Row, address: int) -> None:
    """Do at once what a row does, at this address."""
    target = row.writes[0]
    if row.reads:
        ctypes.memmove(address, row.reads[0].address, target.end - target.begin)
    else:
        ctypes.memset(address, 0, target.end - target.begin)
