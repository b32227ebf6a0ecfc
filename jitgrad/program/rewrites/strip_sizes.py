"""How finely a chain of rows is cut: by what stays in the cache, and what a row can do with."""

from __future__ import annotations

import math
from typing import NamedTuple

from ...kernels import gemm
from ..log.rows import Row
from .batches import Cut, is_map
from .facts import Facts

MIN_ROWS = 32  # of a matrix product in a strip, more than gemm.FEW: fewer would waste the multiply's tiles
WEIGHTS = 1024  # elements of a layer's weights above which
WEIGHTED_ROWS = 128  # a strip has at least so many rows: each strip puts the weights in order anew
MANY_WEIGHTS = 1 << 16  # elements that two threads had better not both read, having updated half of them each
LARGE = 1 << 16  # elements of an elementwise row that is worth cutting without a layer near
# what a strip's rows touch should stay in the near caches, but not be less for each row: calls take their time, too
ROW_BYTES = 8 << 10
LEAST_BYTES, MOST_BYTES = 64 << 10, 192 << 10
MIN_BYTES = 16 << 10  # a chain that touches less is not worth it
MOST_STRIPS = 256
LINE = 64  # elements that no two strips of a large row have a part of
GRAIN = 4  # samples
SUM_SHARE = 2  # a sum is made strip by strip when the samples it is made of have so many times its elements
SUMS_SHARE = 4  # and all sums of a chain, times the strips, are at most such a part of what the chain touches


class Link(NamedTuple):
    """A row of a chain."""

    row: Row
    cut: Cut


def sums_by_strips(cut: Cut, facts: Facts) -> bool:
    """Whether the sums are small beside what they are made of."""
    size = sum(p.view.numel for p in cut.reads if p.step)
    return facts.partial_sums and SUM_SHARE * sum(v.numel for v in cut.sums) <= size


def of_one_size(link: Link, chain: list[Link], batch: int) -> bool:
    """Whether a row can do with strips of the chain's size, where a workspace prescribes it."""
    links = [*chain, link]
    if not any(one.cut.space for one in links):
        return True
    grain = math.lcm(*(one.cut.grain for one in links))
    enough = grain >= fewest(links, MANY_WEIGHTS if 2 * grain >= batch else WEIGHTS)
    last = batch % grain or grain
    return enough and all(last * one.cut.rows > gemm.FEW for one in links if one.cut.rows)


def edges_of(chain: list[Link], batch: int) -> list[int]:
    """Where strips begin and end, in samples; nothing when the chain is too short to be worth it."""
    if all(is_map(link.row) for link in chain) and any(link.row.writes[0].numel != batch for link in chain):
        return []
    size = _bytes_of(chain)
    if size < MIN_BYTES:
        return []
    grain = math.lcm(*(link.cut.grain for link in chain))
    if any(link.cut.space for link in chain):
        return [*range(0, batch, grain), batch]
    strip = min(max(ROW_BYTES * len(chain), LEAST_BYTES), MOST_BYTES)
    strips = min(2 * round(size / strip / 2), batch // fewest(chain, WEIGHTS), MOST_STRIPS)
    strips = max(strips, min(2, batch // fewest(chain, MANY_WEIGHTS)))  # for two threads
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


def _bytes_of(chain: list[Link]) -> int:
    """Bytes of what has samples."""
    parts = (p for link in chain for p in (*link.cut.reads, *link.cut.writes) if p.step)
    return sum(end - begin for begin, end in {(p.view.begin, p.view.end) for p in parts})


def fewest(chain: list[Link], weights: int) -> int:
    """Samples that a strip must have, where layers of more than so many weights should have many."""
    most = 1
    for _, cut in chain:
        if cut.rows:
            own = max((p.view.numel for p in cut.reads if not p.step), default=0)
            most = max(most, -(-(WEIGHTED_ROWS if own > weights else MIN_ROWS) // cut.rows))
    return most
