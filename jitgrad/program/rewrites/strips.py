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
from collections.abc import Callable
from typing import NamedTuple

from ..log.rows import Row
from ..log.views import View, Views
from . import strip_sizes as sizes
from .batches import Cut, Part, batch_of, cut_of, is_map, space_of, without
from .both_ways import join_in_strips
from .facts import Facts
from .joined import joined
from .moving import move_result
from .strip_sizes import Link

MOST_ROWS = 128  # of a chain
MOST_DEFERRED = 16  # rows that a chain passes by

Span = tuple[int, int]  # first byte of a view and the one after the last


def cut_strips(rows: list[Row], facts: Facts) -> list[Row]:
    """Replace chains of at least two rows over one batch by rows that run them strip by strip."""
    whole: set[Span] = set()  # workspaces that are left in one piece, by where they were recorded
    while True:
        cutter = _Cutter(rows, facts, whole)
        done = cutter.run()
        torn = _torn(done, cutter.spaces)
        if not torn:
            return done
        whole |= {cutter.origins.get(span, span) for span in torn}


def _torn(rows: list[Row], cut: dict[Span, set[tuple[int, ...]]]) -> set[Span]:
    """Workspaces that some rows take in strips and others whole, or in other strips, or another program.

    What one row has left there another would not find.
    """
    torn = {span for span, strips in cut.items() if len(strips) > 1}
    spaces = [(row, space_of(row)) for row in rows for row in row.chain or (row,)]
    made = {(s.begin, s.end) for row, s in spaces if s is not None and row.variant == 0}
    alone = {(s.begin, s.end) for s in map(space_of, rows) if s is not None}
    return torn | (cut.keys() & alone) | (cut.keys() - made)


class _Chain(NamedTuple):
    batch: int
    links: list[Link]
    deferred: list[Row]  # put off until after the chain
    end: int  # the row behind all of these


class _Cutter:
    """Looks for chains from the first row to the last.

    Attributes
    ----------
    spaces : dict
        Workspaces that have been cut, each with the edges of its strips.
    origins : dict
        Where workspaces that have other memory now were recorded.
    """

    def __init__(self, rows: list[Row], facts: Facts, whole: set[Span]) -> None:
        self.facts, self.whole = facts, whole
        self.rows, self.halves = _split(rows, facts)
        self.spaces: dict[Span, set[tuple[int, ...]]] = {}
        self.origins: dict[Span, Span] = {}
        self._links: dict[tuple[int, int], tuple[Row, Link | None]] = {}

    def run(self) -> list[Row]:
        """The rows with chains in strips."""
        batches = _batches(self.rows)
        done: list[Row] = []
        at = 0
        while at < len(self.rows):
            before = self.rows
            chain = self._chain_at(at, batches[at])
            edges = sizes.edges_of(chain.links, chain.batch) if len(chain.links) > 1 else []
            if len(edges) > 2:
                links, deferred = join_in_strips(chain.links, chain.deferred, chain.batch, self.facts)
                later = [*deferred, *self.rows[chain.end :]]
                done += [*joined(links, chain.batch, edges, later, self.facts), *deferred]
                at = chain.end
                for space in (link.cut.space for link in chain.links):
                    if space is not None:
                        self.spaces.setdefault((space.begin, space.end), set()).add(tuple(edges))
                continue
            self.rows = before  # as if nothing had moved
            # what is too little for a chain is too little for a part of it
            end = max(chain.end if len(chain.links) > 1 else at, at + 1)
            while at < end:
                at += self._pass_by(at, done)
        return done

    def _pass_by(self, at: int, done: list[Row]) -> int:
        """Leave a row as it is, the halves of one together; how many rows that are."""
        split = self.halves.get(id(self.rows[at]))
        if split and self.rows[at + 1] is split.rest:
            done.append(split.row)
            return 2
        done.append(self.rows[at])  # never split, or its other half has moved since
        return 1

    def _link(self, row: Row, batch: int) -> Link | None:
        """A row as one of a chain over a batch, if it can be."""
        known = self._links.get((id(row), batch))
        if known is None:
            known = self._links[id(row), batch] = row, self._new_link(row, batch)
        return known[1]

    def _new_link(self, row: Row, batch: int) -> Link | None:
        if self.facts.reports(row):
            return None
        cut = cut_of(row, batch)
        if cut is None or (cut.sums and not sizes.sums_by_strips(cut, self.facts)):
            return None
        space = cut.space
        if space is not None and ((space.begin, space.end) in self.whole or self.facts.is_kept(space)):
            return None
        link = Link(row, cut)
        return link if 2 * sizes.fewest([link], sizes.MANY_WEIGHTS) <= batch else None

    def _chain_at(self, at: int, batch: int) -> _Chain:
        """The chain that begins at a row.

        A row of the chain that would overwrite what another row still needs gets other memory for its result.
        """
        links: list[Link] = []
        touched = _Touched(self.facts)
        deferred: list[Row] = []
        waiting: list[Row] = []  # put off, if another row of the chain follows
        others = _Passed(self.facts)
        end = at
        for k in range(at, min(at + MOST_ROWS, len(self.rows)) if batch > 1 else at):
            link = self._next(k, batch, links, touched, others)
            row = self.rows[k]
            if link is not None:
                links.append(link)
                touched.add(link.cut)
                deferred, waiting, end = [*deferred, *waiting], [], k + 1
            elif links and row.variant >= 0 and others.count < MOST_DEFERRED and not self.facts.reports(row):
                waiting.append(row)
                others.add(row)
            else:
                break
        # sums at the end of a chain are put off, too, so that the next one begins with its rows
        last = list(itertools.takewhile(_is_sum, waiting))
        return _Chain(batch, links, [*deferred, *last], end + len(last))

    def _next(self, k: int, batch: int, links: list[Link], touched: _Touched, others: _Passed) -> Link | None:
        """Row `k` as the next of a chain, if it can be."""
        link = self._link(self.rows[k], batch)
        if link is None or not sizes.of_one_size(link, links, batch):
            return None
        if touched.admits(link.cut) and others.let_by(link.row):
            return link
        self.rows = list(self.rows)
        for part in link.cut.writes:
            move_result(self.rows, k, self.facts, part.view.place)
        before, after = link.cut.space, space_of(self.rows[k])
        if before is not None and after is not None and after.begin != before.begin:
            span = before.begin, before.end
            self.origins[after.begin, after.end] = self.origins.get(span, span)
        link = self._link(self.rows[k], batch)
        fits = link is not None and touched.admits(link.cut) and others.let_by(link.row)
        return link if fits else None


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
        if cut is None or not cut.sums or not cut.writes or sizes.sums_by_strips(cut, facts):
            parts.append(row)
            continue
        sums, rest = without(row, tuple(p.view for p in cut.writes)), without(row, cut.sums)
        whole[id(sums)] = _Split(row, rest)
        parts += [sums, rest]
    return parts, whole


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
            batches[k] = numel if numel >= sizes.LARGE else 0
    return batches


def _is_sum(row: Row) -> bool:
    """Whether a row makes nothing but sums over a batch."""
    cut = cut_of(row, batch_of(row) or 1) if row.variant == 1 else None
    return cut is not None and bool(cut.sums) and not cut.writes


class _Touched:
    """What the rows of a chain read and write, by blocks of memory: views of two blocks never meet."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._read: dict[int, list[Part]] = {}
        self._written: dict[int, list[Part]] = {}
        self._sums: dict[int, list[View]] = {}

    def _block(self, view: View) -> int:
        return self._facts.block(view.address)

    def add(self, cut: Cut) -> None:
        """Take in the next row."""
        for part in cut.reads:
            self._read.setdefault(self._block(part.view), []).append(part)
        for part in cut.writes:
            self._written.setdefault(self._block(part.view), []).append(part)
        for view in cut.sums:
            self._sums.setdefault(self._block(view), []).append(view)

    def admits(self, cut: Cut) -> bool:
        """Whether what a row shares with those rows is cut into the same strips."""
        for part in (*cut.reads, *cut.writes):
            block = self._block(part.view)
            if any(s.touches(part.view) for s in self._sums.get(block, ())):
                return False
            if not _apart(part, self._written.get(block)):
                return False
        for part in cut.writes:
            if not _apart(part, self._read.get(self._block(part.view))):
                return False
        return not any(self._meets(view) for view in cut.sums)

    def _meets(self, view: View) -> bool:
        block = self._block(view)
        parts = (*self._read.get(block, ()), *self._written.get(block, ()))
        return any(view.touches(v) for v in (*(p.view for p in parts), *self._sums.get(block, ())))


def _apart(part: Part, others: list[Part] | None) -> bool:
    """Whether no sample's part of a view touches another sample's part of one of the others."""
    begin, end = part.view.begin, part.view.end
    for other in others or ():
        view = other.view
        if view.begin < end and begin < view.end and not part.apart_from(other):
            return False
    return True


class _Passed:
    """Rows that a chain passes by: what they read and write, by blocks of memory."""

    def __init__(self, facts: Facts) -> None:
        self._block = facts.block
        self.count = 0
        self._touched: dict[int, list[View]] = {}
        self._written: dict[int, list[View]] = {}

    def add(self, row: Row) -> None:
        """One more."""
        self.count += 1
        for view in row.reads:
            self._touched.setdefault(self._block(view.address), []).append(view)
        for view in row.writes:
            block = self._block(view.address)
            self._touched.setdefault(block, []).append(view)
            self._written.setdefault(block, []).append(view)

    def let_by(self, row: Row) -> bool:
        """Whether a row that comes after them may run before them."""
        return not (
            _meet(row.writes, self._touched, self._block) or _meet(row.reads, self._written, self._block)
        )


def _meet(views: Views, others: dict[int, list[View]], block: Callable[[int], int]) -> bool:
    """Whether one of the views may have bytes in common with one of the others, which are listed by blocks."""
    if others:
        for view in views:
            for other in others.get(block(view.address), ()):
                if view.begin < other.end and other.begin < view.end:
                    return True
    return False
