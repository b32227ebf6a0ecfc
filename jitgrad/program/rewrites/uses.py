"""Which rows touch which block of memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

from ..log.rows import Row
from ..log.views import View
from .facts import Facts


class Uses:
    """For every block, the numbers of the rows that read or write it, in order."""

    def __init__(self, rows: list[Row], facts: Facts) -> None:
        self._facts = facts
        self._rows: dict[int, list[int]] = {}
        for k, row in enumerate(rows):
            for block in self._blocks(row):
                self._rows.setdefault(block, []).append(k)

    def _blocks(self, row: Row) -> set[int]:
        block = self._facts.block
        return {block(v.address) for v in (*row.reads, *row.writes)}

    def of(self, view: View) -> list[int]:
        """The rows that touch the block of a view."""
        return self._rows.get(self._facts.block(view.address), [])

    def before(self, view: View, k: int) -> list[int]:
        """Those of them that come before row `k`, the last one first."""
        rows = self.of(view)
        return rows[: bisect_left(rows, k)][::-1]

    def after(self, view: View, k: int) -> list[int]:
        """Those of them that come after row `k`."""
        rows = self.of(view)
        return rows[bisect_right(rows, k) :]

    def any_between(self, view: View, first: int, end: int) -> bool:
        """Whether one of rows ``first .. end - 1`` touches the block of a view."""
        rows = self.of(view)
        return bisect_left(rows, first) < bisect_left(rows, end)

    def change(self, k: int, old: Row, new: Row) -> None:
        """Row `k` is another one now."""
        gone, come = self._blocks(old), self._blocks(new)
        for block in gone - come:
            self._rows[block].remove(k)
        for block in come - gone:
            insort(self._rows.setdefault(block, []), k)


def is_read_after(rows: list[Row], k: int, view: View, uses: Uses) -> bool:
    """Whether a row after number `k` reads what a view holds, before another has overwritten all of it."""
    reads, _ = _fate(rows, k, view, uses)
    return reads


def is_gone_after(rows: list[Row], k: int, view: View, facts: Facts, uses: Uses) -> bool:
    """Whether nobody reads what a view holds after row number `k`, in the program or when it is done."""
    reads, overwrites = _fate(rows, k, view, uses)
    return not reads and (overwrites or not facts.is_kept(view))


def _fate(rows: list[Row], k: int, view: View, uses: Uses) -> tuple[bool, bool]:
    """Whether a row after number `k` reads what a view holds, and if not, whether one overwrites all of it."""
    for j in uses.after(view, k):
        if any(v.touches(view) for v in rows[j].reads):
            return True, False
        if any(v.covers(view.begin, view.end) for v in rows[j].writes):
            return False, True
    return False, False
