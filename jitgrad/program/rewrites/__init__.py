"""Rewrites of a recorded program: each takes the rows and returns rows that do the same with less work.

A rewrite never changes what a program writes to memory that can be seen from outside it, and none changes a single
bit of it, but for sums over a batch that `strips` makes in pieces. Each can be switched off by its name in
``compile(options=...)``, and those sums by the name ``partial_sums``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..log.rows import Row
from .both_ways import join_both_ways
from .constants import hoist_constants
from .counters import merge_counters
from .dead import drop_dead_rows
from .facts import Facts
from .in_place import reuse_operands
from .optimizer import merge_updates, read_settings
from .planned import plan_products
from .slopes import keep_slopes
from .strips import cut_strips
from .zeros import skip_zeros

Rewrite = Callable[[list[Row], Facts], list[Row]]

REWRITES: dict[str, Rewrite] = {
    "dead_rows": drop_dead_rows,
    "constants": hoist_constants,
    "counters": merge_counters,
    "zeros": skip_zeros,
    "slopes": keep_slopes,
    "in_place": reuse_operands,
    "optimizer": merge_updates,
    "strips": cut_strips,
    "both_ways": join_both_ways,
    "plans": plan_products,
}


# names of `compile(options=...)`
PARTIAL_SUMS = "partial_sums"
OPTIONS = (*REWRITES, PARTIAL_SUMS)


def rewrite(rows: list[Row], facts: Facts, options: Mapping[str, bool]) -> list[Row]:
    """Apply every rewrite that is not switched off, in order."""
    for name, apply in REWRITES.items():
        if apply is cut_strips:  # it is the first that moves updates
            rows = read_settings(rows)
        if options.get(name, True):
            rows = apply(rows, facts)
    return rows


__all__ = ["OPTIONS", "REWRITES", "Facts", "rewrite"]
