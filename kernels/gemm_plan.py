"""Which register tiles the matrix multiply uses on this machine, and how rows are cut into strips of them."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from . import abi
from .host import host

# rows reached from one address by adding one or two row strides; more addresses are passed in ready. Were
# they computed inside, LLVM would walk from each row to the next in one long chain of additions.
ROWS_A_BASE = 3


class Plan(NamedTuple):
    """The register tiles of this machine for one dtype.

    Attributes
    ----------
    dtype : int
        FLOAT32 or FLOAT64.
    lanes : int
        Elements in a vector register.
    masked : bool
        Whether ragged columns are masked vectors (AVX and up) or single elements.
    sizes : tuple of int
        Row counts of the ordinary strips. Every count above `thin` is a sum of them.
    width : int
        Vectors across an ordinary tile.
    thin : int
        Products of at most this many rows use interleaved strips.
    accumulators : int
        Registers that an interleaved strip may fill.
    """

    dtype: int
    lanes: int
    masked: bool
    sizes: tuple[int, ...]
    width: int
    thin: int
    accumulators: int

    @property
    def item(self) -> int:
        """Bytes of an element."""
        return abi.ITEM_SIZES[self.dtype]

    @property
    def largest(self) -> int:
        """Rows of the tallest strip."""
        return self.sizes[-1]

    @property
    def all_sizes(self) -> tuple[int, ...]:
        """Row counts of all strips."""
        return (*range(1, self.thin + 1), *self.sizes)

    @property
    def bases(self) -> int:
        """Addresses of A that a strip is given."""
        return -(-self.largest // ROWS_A_BASE)

    def interleave(self, m: int) -> int:
        """Chains per element in a strip of `m` rows."""
        if m > self.thin:
            return 1
        return 4 if 4 * m <= self.accumulators // 2 else 2

    @property
    def dots(self) -> tuple[tuple[int, ...], ...]:
        """Tiles of dot products: rows, and the numbers of columns that go with them, most first."""
        tall, side = self.accumulators // 4, min(4, self.lanes)
        return (tall, *_downwards(side, 2, 1)), (1, *_downwards(self.lanes, side, 1))

    def widths(self, m: int) -> tuple[int, ...]:
        """Tile widths of a strip, in vectors, widest first."""
        if m > self.thin:
            return (self.width, 1)
        widest = max(1, self.accumulators // (m * self.interleave(m)))
        return (widest, 1) if widest > 1 else (1,)


def _downwards(*numbers: int) -> list[int]:
    return sorted(set(numbers), reverse=True)


@cache
def plan(dtype: int) -> Plan:
    """Choose the tiles from the host's registers."""
    target = host()
    lanes = target.lanes(abi.ITEM_SIZES[dtype])
    masked = target.vector_bytes >= 32
    if target.vector_registers == 32:
        # 24 accumulators, 2 or 3 vectors of B, one broadcast
        if masked:
            return Plan(dtype, lanes, masked, (5, 6, 7, 8, 9, 10, 12), 2, 4, 16)
        return Plan(dtype, lanes, masked, (3, 4, 5, 6, 7, 8), 3, 2, 16)
    if masked:
        return Plan(dtype, lanes, masked, (3, 4, 5, 6), 2, 2, 8)
    return Plan(dtype, lanes, masked, (2, 3, 4), 2, 1, 8)


def cuts(sizes: tuple[int, ...], limit: int, height: int) -> list[int]:
    """For every number of rows below `limit`, the size of the next strip to cut, by least total cost.

    A strip costs its rows and a little more, and a taller one than `height` more than that.
    """
    costs = {m: m + 0.75 + 0.5 * max(0, m - height) for m in sizes}
    # counts that no sum reaches (the thin ones) cost nothing: unused
    best = [0.0] + [float("inf")] * (limit - 1)
    first = [0] * limit
    for rows in range(1, limit):
        for m, cost in costs.items():
            if m <= rows and best[rows - m] + cost < best[rows]:
                best[rows], first[rows] = best[rows - m] + cost, m
    return first
