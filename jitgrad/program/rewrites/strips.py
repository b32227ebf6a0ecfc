"""Chains of rows over a batch, run strip by strip.

A layer, its activation, the next layer: each sample goes its own way through such rows. Instead of taking the
whole batch through one row after the other, a strip of it is taken through all of them while it lies in the cache;
and several threads can each take strips without waiting for one another in between.

The gradient of what all samples share, such as weights, is a sum over the samples. Each strip makes its own, in
memory of its own but for the first, and a row after the chain adds them up, always in the same order. Only this
changes the rounding of a program; without ``partial_sums`` such rows wait until the chain is done.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from ...kernels import partial_sums, program_rows
from ...kernels.abi import DTYPE_NAMES
from ..rows import Row, View, decode
from .batches import LINE_BYTES, Cut, Part, batch_of, cut_of, is_map, narrowed, space_of, without
from .facts import Facts
from .moving import move_result

MIN_ROWS = 32  # of a matrix product in a strip: fewer would waste the multiply's tiles
WEIGHTS = 1024  # elements of a layer's weights above which
WEIGHTED_ROWS = 128  # a strip has at least so many rows: each strip puts the weights in order anew,
MANY_WEIGHTS = 1 << 17  # and those of more elements than these not even for two threads
LARGE = 1 << 16  # elements of an elementwise row that is worth cutting without a layer near
STRIP_BYTES = 192 << 10  # what a strip's rows touch should stay in the near caches
MIN_BYTES = 16 << 10  # a chain that touches less is not worth it
MOST_STRIPS = 256
LINE = 64  # elements that no two strips of a large row have a part of
GRAIN = 4  # samples
MOST_ROWS = 128  # of a chain
MOST_DEFERRED = 16  # rows that a chain passes by
SUM_SHARE = 2  # a sum is made strip by strip when the samples it is made of have so many times its elements
SUMS_SHARE = 4  # and all sums of a chain, times the strips, are at most such a part of what the chain touches


Span = tuple[int, int]  # first byte of a view and the one after the last


class Link(NamedTuple):
    """A row of a chain."""

    row: Row
    cut: Cut


def cut_strips(rows: list[Row], facts: Facts) -> list[Row]:
    """Replace chains of at least two rows over one batch by rows that run them strip by strip."""
    whole: set[Span] = set()  # workspaces that are left in one piece
    while True:
        done, cut = _cut(list(rows), facts, whole)
        torn = _torn(done, cut)
        if not torn:
            return done
        whole |= torn


def _torn(rows: list[Row], cut: dict[Span, set[tuple[int, ...]]]) -> set[Span]:
    """Workspaces that some rows take in strips and others whole, or in other strips, or another program.

    What one row has left there another would not find.
    """
    torn = {span for span, strips in cut.items() if len(strips) > 1}
    spaces = [(row, space_of(row)) for row in rows for row in row.chain or (row,)]
    made = {(s.begin, s.end) for row, s in spaces if s is not None and row.variant == 0}
    alone = {(s.begin, s.end) for s in map(space_of, rows) if s is not None}
    return torn | (cut.keys() & alone) | (cut.keys() - made)


def _cut(
    rows: list[Row], facts: Facts, whole: set[Span]
) -> tuple[list[Row], dict[Span, set[tuple[int, ...]]]]:
    """The rows with chains in strips, and for each workspace that is cut the edges of its strips."""
    rows, halves = _split(rows, facts)
    batches = _batches(rows)
    done: list[Row] = []
    cut: dict[Span, set[tuple[int, ...]]] = {}
    at = 0
    while at < len(rows):
        chain, deferred, end = _chain(rows, at, batches[at], facts, whole)
        edges = _edges(chain, batches[at]) if len(chain) > 1 else []
        if len(edges) > 2:
            done += [*_joined(chain, batches[at], edges, facts), *deferred]
            at = end
            for space in (link.cut.space for link in chain):
                if space is not None:
                    cut.setdefault((space.begin, space.end), set()).add(tuple(edges))
            continue
        split = halves.get(id(rows[at]))
        if split and rows[at + 1] is split.rest:
            done.append(split.row)
            at += 2
        else:  # never split, or its parts have moved since
            done.append(rows[at])
            at += 1
    return done, cut


# rows that do two things --------------------------------------------------------------------------


class _Split(NamedTuple):
    row: Row
    rest: Row


def _split(rows: list[Row], facts: Facts) -> tuple[list[Row], dict[int, _Split]]:
    """Backward rows whose sums are made once for all samples, as two: the sums, and what goes sample by sample.

    Also returns, by the identity of the first of the two, which lives as long, the row that they were.
    """
    parts: list[Row] = []
    whole: dict[int, _Split] = {}
    for row in rows:
        cut = cut_of(row, batch_of(row) or 1) if row.variant == 1 else None
        if cut is None or not cut.sums or not cut.writes or _sums_by_strips(cut, facts):
            parts.append(row)
            continue
        sums, rest = without(row, tuple(p.view for p in cut.writes)), without(row, cut.sums)
        whole[id(sums)] = _Split(row, rest)
        parts += [sums, rest]
    return parts, whole


def _sums_by_strips(cut: Cut, facts: Facts) -> bool:
    """Whether the sums are small beside what they are made of."""
    size = sum(p.view.numel for p in cut.reads if p.step)
    return facts.partial_sums and SUM_SHARE * sum(v.numel for v in cut.sums) <= size


def _link(row: Row, batch: int, facts: Facts, whole: set[Span]) -> Link | None:
    """A row as one of a chain over a batch, if it can be."""
    if facts.reports(row):
        return None
    cut = cut_of(row, batch)
    if cut is None or (cut.sums and not _sums_by_strips(cut, facts)):
        return None
    space = cut.space
    if space is not None and ((space.begin, space.end) in whole or facts.is_kept(space)):
        return None
    return Link(row, cut)


# chains -------------------------------------------------------------------------------------------


def _batches(rows: list[Row]) -> list[int]:
    """For every row, the batch of the first operation that follows but for elementwise rows.

    Without such a one, large elementwise rows over contiguous blocks are a batch of single elements; else 0.
    """
    batches = [0] * (len(rows) + 1)
    for k in range(len(rows) - 1, -1, -1):
        batches[k] = batch_of(rows[k]) or (batches[k + 1] if is_map(rows[k]) else 0)
    for k, row in enumerate(rows):
        if not batches[k] and is_map(row) and len(row.writes[0].shape) == 1:
            numel = row.writes[0].numel
            batches[k] = numel if numel >= LARGE else 0
    return batches


def _chain(
    rows: list[Row], at: int, batch: int, facts: Facts, whole: set[Span]
) -> tuple[list[Link], list[Row], int]:
    """The chain that begins at row `at`, the rows put off until after it, and where it ends.

    A row of the chain that would overwrite what another row still needs gets other memory for its result.
    """
    chain: list[Link] = []
    deferred: list[Row] = []
    waiting: list[Row] = []  # put off, if another row of the chain follows
    end = at
    if batch < 2:
        return chain, deferred, at
    for k in range(at, min(at + MOST_ROWS, len(rows))):
        link = _link(rows[k], batch, facts, whole)
        if link is not None and not _of_one_size(link, chain, batch):
            link = None
        others = [*deferred, *waiting]
        if link is not None and not _goes_with(link, chain, others):
            for part in link.cut.writes:
                move_result(rows, k, facts, part.view.place)
            link = _link(rows[k], batch, facts, whole)
            link = link if link is not None and _goes_with(link, chain, others) else None
        if link is not None:
            chain.append(link)
            deferred, waiting, end = others, [], k + 1
        elif chain and rows[k].variant >= 0 and len(others) < MOST_DEFERRED and not facts.reports(rows[k]):
            waiting.append(rows[k])
        else:
            break
    # sums at the end of a chain are put off, too, so that the next one begins with its rows
    last = list(itertools.takewhile(_is_sum, waiting)) if chain else []
    return chain, [*deferred, *last], end + len(last)


def _of_one_size(link: Link, chain: list[Link], batch: int) -> bool:
    """Whether a row can do with strips of the chain's size, where a workspace prescribes it."""
    links = [*chain, link]
    if not any(one.cut.space for one in links):
        return True
    grain = math.lcm(*(one.cut.grain for one in links))
    return grain >= _fewest(links, MANY_WEIGHTS if 2 * grain >= batch else WEIGHTS)


def _is_sum(row: Row) -> bool:
    """Whether a row makes nothing but sums over a batch."""
    cut = cut_of(row, batch_of(row) or 1) if row.variant == 1 else None
    return cut is not None and bool(cut.sums) and not cut.writes


def _goes_with(link: Link, chain: list[Link], others: list[Row]) -> bool:
    return all(_follows(link.cut, before.cut) for before in chain) and not _conflicts(link.row, others)


def _follows(cut: Cut, before: Cut) -> bool:
    """Whether what a row shares with a row before it in the chain is cut into the same strips."""
    for w in before.writes:
        if not all(w.apart_from(p) for p in (*cut.reads, *cut.writes)):
            return False
    if not all(w.apart_from(r) for w in cut.writes for r in before.reads):
        return False
    return not _meet(before.sums, (*cut.reads, *cut.writes), cut.sums) and not _meet(
        cut.sums, (*before.reads, *before.writes), ()
    )


def _meet(sums: tuple[View, ...], parts: tuple[Part, ...], others: tuple[View, ...]) -> bool:
    return any(s.touches(v) for s in sums for v in (*(p.view for p in parts), *others))


def _conflicts(row: Row, others: list[Row]) -> bool:
    """Whether a row must not be moved ahead of rows that come before it."""
    for other in others:
        if any(w.touches(v) for w in row.writes for v in (*other.reads, *other.writes)):
            return True
        if any(w.touches(v) for w in other.writes for v in row.reads):
            return True
    return False


# strips -------------------------------------------------------------------------------------------


def _joined(chain: list[Link], batch: int, edges: list[int], facts: Facts) -> list[Row]:
    """One row for a chain, and those that add up its sums."""
    pieces = _Pieces(chain, len(edges) - 1, facts)
    cut = [
        [
            narrowed(row, cut, batch, first, last, pieces.places(k, strip))
            for k, (row, cut) in enumerate(chain)
        ]
        for strip, (first, last) in enumerate(itertools.pairwise(edges))
    ]
    return [program_strips([link.row for link in chain], cut), *pieces.rows()]


def _edges(chain: list[Link], batch: int) -> list[int]:
    """Where strips begin and end, in samples; nothing when the chain is too short to be worth it."""
    if all(is_map(link.row) for link in chain) and any(link.row.writes[0].numel != batch for link in chain):
        return []
    size = _touched(chain, batch)
    if size < MIN_BYTES:
        return []
    grain = math.lcm(*(link.cut.grain for link in chain))
    if any(link.cut.space for link in chain):
        return [*range(0, batch, grain), batch]
    strips = min(2 * round(size / STRIP_BYTES / 2), batch // _fewest(chain, WEIGHTS), MOST_STRIPS)
    strips = max(strips, min(2, batch // _fewest(chain, MANY_WEIGHTS)))  # for two threads
    sums = sum(v.numel * v.itemsize for link in chain for v in link.cut.sums)
    if sums:
        strips = min(strips, max(2, size // (SUMS_SHARE * sums)))
    if strips < 2:
        return []
    if batch >= LARGE:
        grain = math.lcm(grain, LINE)
    elif batch >= 2 * GRAIN * strips:
        grain = math.lcm(grain, GRAIN)
    edges = [batch * k // strips // grain * grain for k in range(strips)]
    return [*sorted(set(edges)), batch]


def _touched(chain: list[Link], batch: int) -> int:
    """Bytes of what has samples."""
    parts = (p for link in chain for p in (*link.cut.reads, *link.cut.writes) if p.step)
    return sum(end - begin for begin, end in {(p.view.begin, p.view.end) for p in parts})


def _fewest(chain: list[Link], weights: int) -> int:
    """Samples that a strip must have, where layers of more than so many weights should have many."""
    fewest = 1
    for _, cut in chain:
        if cut.rows:
            own = max((p.view.numel for p in cut.reads if not p.step), default=0)
            fewest = max(fewest, -(-(WEIGHTED_ROWS if own > weights else MIN_ROWS) // cut.rows))
    return fewest


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
    """The row that runs strips of a chain."""
    blocks = [np.concatenate([row.words for row in strip]) for strip in cut]
    spans = [word for block in blocks for word in (block.ctypes.data, block.ctypes.data + 8 * len(block))]
    words = np.array(program_rows.record("strips", [len(cut), *spans]), np.int64)
    reads = tuple({(v.begin, v.end): v for row in chain for v in row.reads}.values())
    writes = tuple({(v.begin, v.end): v for row in chain for v in row.writes}.values())
    inner = tuple(
        (row, block.ctypes.data + 8 * sum(len(r.words) for r in strip[:k]))
        for strip, block in zip(cut, blocks, strict=True)
        for k, row in enumerate(strip)
    )
    return Row(words, "program.strips", reads, writes, tuple(chain), inner, tuple(blocks))
