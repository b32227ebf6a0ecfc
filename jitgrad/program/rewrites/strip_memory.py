"""Memory of a strip: values that no row outside a chain reads, which every strip may put in the same place.

Where such a value lies in one piece for the whole batch, a strip's part of it is gone from the near caches long
before the next replay comes there. So strips that run one after the other keep these values in one place, their
*lane*; strips of different lanes may run at the same time. (Compilers know this as array contraction.)
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

from ..log.rows import Row
from ..log.views import View
from .batches import LINE_BYTES, Part
from .facts import Facts
from .strip_sizes import Link
from .uses import Uses, is_read_after


class _Use(NamedTuple):
    row: int  # its number in the chain
    writes: bool
    part: Part


class _Value(NamedTuple):
    """Bytes that rows of a chain use."""

    begin: int
    end: int
    uses: list[_Use]


class Lanes:
    """The lanes of a chain's strips.

    Parameters
    ----------
    chain : list of Link
        The rows.
    edges : list of int
        The samples at which strips begin, and where the last one ends.
    later : list of Row
        The rows of the program after the chain.
    facts : Facts
        The program's memory; a lane for each of `facts.lanes` threads is added to it.

    Attributes
    ----------
    strips : list of range
        For each lane the strips that use it.
    """

    def __init__(self, chain: list[Link], edges: list[int], later: list[Row], facts: Facts) -> None:
        count = len(edges) - 1
        lanes = min(facts.lanes, count)
        self.strips = [range(count * k // lanes, count * (k + 1) // lanes) for k in range(lanes)]
        most = max(last - first for first, last in itertools.pairwise(edges))
        self._places: dict[int, list[tuple[int, int]]] = {}  # of a row: words, and where in a lane they point
        self._pitch = 0
        for value in _passing(chain, later, facts):
            for k, _, part in value.uses:
                offset = self._pitch + part.view.address - value.begin
                self._places.setdefault(k, []).append((part.view.place, offset))
            self._pitch += -(-value.uses[0].part.step * most // LINE_BYTES) * LINE_BYTES
        self._memory = facts.new_block(self._pitch * lanes) if self._pitch else 0

    def places(self, row: int, lane: int) -> dict[int, int]:
        """Where row number `row` of the chain finds such values: addresses by the words that name them."""
        start = self._memory + lane * self._pitch
        return {place: start + offset for place, offset in self._places.get(row, ())}


def _passing(chain: list[Link], later: list[Row], facts: Facts) -> list[_Value]:
    """The values that the chain makes anew for every sample, and that nobody reads when it is done."""
    made = [value for value in _values(chain, facts) if _is_made(value, facts)]
    if not made:
        return []
    uses = Uses(later, facts)
    return [value for value in made if not is_read_after(later, -1, _whole(value), uses)]


def _values(chain: list[Link], facts: Facts) -> list[_Value]:
    """What the rows of a chain have in the program's own memory: one value for all that overlap."""
    uses = [
        _Use(k, writes, part)
        for k, link in enumerate(chain)
        for writes, parts in ((False, link.cut.reads), (True, link.cut.writes))
        for part in parts
        if facts.block(part.view.address) > 0
    ]
    values: list[_Value] = []
    for use in sorted(uses, key=lambda use: use.part.view.begin):
        begin, end = use.part.view.begin, use.part.view.end
        if values and begin < values[-1].end:
            last = values[-1]
            last.uses.append(use)
            values[-1] = last._replace(end=max(last.end, end))
        else:
            values.append(_Value(begin, end, [use]))
    return values


def _is_made(value: _Value, facts: Facts) -> bool:
    """Whether its first row writes all of it, and each sample has its bytes together."""
    first = min(use.row for use in value.uses)
    if any(use.row == first and not use.writes for use in value.uses):
        return False
    if not any(use.row == first and use.part.view.covers(value.begin, value.end) for use in value.uses):
        return False
    size = value.end - value.begin
    return all(part.around == size and not facts.is_kept(part.view) for _, _, part in value.uses)


def _whole(value: _Value) -> View:
    """A view of all of a value."""
    return next(use.part.view for use in value.uses if use.part.view.covers(value.begin, value.end))
