"""The row that runs a chain strip by strip, and the sums that strips make in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from ...kernels import partial_sums, program_rows
from ...kernels.abi import DTYPE_NAMES
from ..log.rows import Row, decode
from ..log.views import View
from .batches import LINE_BYTES, narrowed
from .facts import Facts
from .strip_memory import Lanes
from .strip_sizes import Link


def joined(links: list[Link], batch: int, edges: list[int], later: list[Row], facts: Facts) -> list[Row]:
    """One row for a chain over a batch, cut at these samples, and those that add up its sums.

    `later` are the rows of the program after the chain.
    """
    pieces = _Pieces(links, len(edges) - 1, facts)
    lanes = Lanes(links, edges, later, facts)

    def strip_of(strip: int, lane: int) -> list[Row]:
        first, last = edges[strip : strip + 2]
        return [
            narrowed(row, cut, batch, first, last, {**pieces.places(k, strip), **lanes.places(k, lane)})
            for k, (row, cut) in enumerate(links)
        ]

    cut = [[row for k in strips for row in strip_of(k, lane)] for lane, strips in enumerate(lanes.strips)]
    return [program_strips([link.row for link in links], cut), *pieces.rows()]


class _Pieces:
    """The sums of a chain, and where every strip but the first puts its own."""

    def __init__(self, chain: list[Link], strips: int, facts: Facts) -> None:
        self._strips = strips
        self._sums: list[tuple[int, View, str]] = []
        self._offsets: list[int] = []
        size = 0
        for k, (row, cut) in enumerate(chain):
            for view in cut.sums:
                self._sums.append((k, view, row.kernel.rsplit(".", 1)[1]))
                self._offsets.append(size)
                size += -(-view.numel * view.itemsize // LINE_BYTES) * LINE_BYTES
        self._pitch = size
        self._memory = facts.new_block(size * (strips - 1)) if size else 0

    def places(self, row: int, strip: int) -> dict[int, int]:
        """Where row number `row` of a chain puts its sums: addresses by the words that name them."""
        if not strip:
            return {}
        start = self._memory + (strip - 1) * self._pitch
        return {
            view.place: start + offset
            for (k, view, _), offset in zip(self._sums, self._offsets, strict=True)
            if k == row
        }

    def rows(self) -> list[Row]:
        """The rows that add up, one for each dtype."""
        rows = []
        for dtype in dict.fromkeys(dtype for _, _, dtype in self._sums):
            targets = [
                (view.address, view.numel, self._memory + offset)
                for (_, view, own), offset in zip(self._sums, self._offsets, strict=True)
                if own == dtype
            ]
            words = partial_sums.record(DTYPE_NAMES.index(dtype), self._strips - 1, self._pitch, targets)
            rows.append(decode(np.array(words, np.int64)))
        return rows


def program_strips(chain: list[Row], cut: list[list[Row]]) -> Row:
    """The row that runs strips of a chain, given the rows of each lane's strips."""
    blocks = [np.concatenate([row.words for row in strips]) for strips in cut]
    spans = [word for block in blocks for word in (block.ctypes.data, block.ctypes.data + 8 * len(block))]
    words = np.array(program_rows.record("strips", [len(cut), *spans]), np.int64)
    reads = tuple({(v.begin, v.end): v for row in chain for v in row.reads}.values())
    writes = tuple({(v.begin, v.end): v for row in chain for v in row.writes}.values())
    inner = tuple(
        (row, place)
        for strips, block in zip(cut, blocks, strict=True)
        for row, place in zip(strips, _places(strips, block.ctypes.data), strict=True)
    )
    return Row(words, "program.strips", reads, writes, tuple(chain), inner, tuple(blocks))


def _places(rows: list[Row], start: int) -> Iterator[int]:
    """Where the records of rows lie that follow one another."""
    return itertools.accumulate((8 * len(row.words) for row in rows[:-1]), initial=start)
