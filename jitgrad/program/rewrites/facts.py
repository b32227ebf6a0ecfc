"""What a rewrite may need to know of a program besides its rows."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable

import numpy as np

from ..log.rows import Row
from ..log.views import View

ALIGNMENT = 64
OTHERS = -(1 << 62)  # in place of a block: memory of another program, such as what the way forward has saved


class Facts:
    """The memory of a program.

    Parameters
    ----------
    outside : callable
        The storage that an address lies in when it is not the program's own, or 0.
    blocks : iterable of (int, int)
        First byte and one past the last byte of the program's own blocks of memory.
    kept : iterable of (int, int)
        First byte and one past the last byte of own memory that is read after a replay: results, and gradients
        of leaves.
    reports : callable
        Whether a row may find something wrong, and so must run though nothing reads what it writes.
    overlaps : callable
        Whether there was memory from outside between two addresses. It may be free by now.
    lanes : int
        How many threads may work at the strips of a chain at the same time.
    is_cell : callable
        Whether a word is the address at which a row reports what it finds wrong.
    partial_sums : bool
        Whether sums over a batch may be made in pieces, which changes their rounding.
    """

    def __init__(
        self,
        outside: Callable[[int], int],
        blocks: Iterable[tuple[int, int]],
        kept: Iterable[tuple[int, int]],
        reports: Callable[[Row], bool],
        *,
        overlaps: Callable[[int, int], bool] = lambda begin, end: False,
        lanes: int = 2,
        is_cell: Callable[[int], bool] = lambda word: False,
        partial_sums: bool = True,
    ) -> None:
        self.outside = outside
        self.overlaps = overlaps
        self.reports = reports
        self.lanes = lanes
        self.is_cell = is_cell
        self.partial_sums = partial_sums
        self._zero = 0
        spans = sorted(blocks)
        self._begins, self._ends = [begin for begin, _ in spans], [end for _, end in spans]
        self._known: dict[int, int] = {}  # answers of `block`
        self.kept: dict[int, list[tuple[int, int]]] = {}
        for span in kept:
            self.kept.setdefault(self.block(span[0]), []).append(span)
        self.extra: list[np.ndarray] = []  # memory that rewrites have added

    def block(self, address: int) -> int:
        """What distinguishes the block or storage of an address: views of two different ones never overlap.

        Negative when it is not the program's own.
        """
        known = self._known.get(address)
        if known is None:
            storage = self.outside(address)
            k = bisect_right(self._begins, address) - 1
            inside = k >= 0 and address < self._ends[k]
            known = self._known[address] = -storage if storage else self._begins[k] if inside else OTHERS
        return known

    def is_kept(self, view: View) -> bool:
        """Whether what is written there matters after the replay."""
        block = self.block(view.address)
        if block < 0:
            return True
        return any(view.begin < end and begin < view.end for begin, end in self.kept.get(block, ()))

    @property
    def zero(self) -> int:
        """The address of a zero of any dtype, which no row changes."""
        if not self._zero:
            self._zero = self.new_block(ALIGNMENT)
        return self._zero

    def new_block(self, size: int) -> int:
        """The address of more memory for the program."""
        return self.new_blocks([size])[0]

    def new_blocks(self, sizes: list[int]) -> list[int]:
        """The addresses of several blocks, side by side; sizes are multiples of what their contents are aligned to."""
        total = sum(sizes)
        taken = []  # what lies where something from outside was while the program was recorded
        while True:
            memory = np.zeros(total + ALIGNMENT, np.uint8)
            memory = memory[-memory.ctypes.data % ALIGNMENT :][:total]
            first = memory.ctypes.data
            if not self.overlaps(first, first + total):
                break
            taken.append(memory)
        self.extra.append(memory)
        addresses = [first + before for before in itertools.accumulate(sizes[:-1], initial=0)]
        at = bisect_right(self._begins, first)
        self._begins[at:at] = addresses  # no address that is known lies there
        self._ends[at:at] = [*addresses[1:], first + total]
        return addresses
