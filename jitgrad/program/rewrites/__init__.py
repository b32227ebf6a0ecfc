"""Rewrites of a recorded program: each takes the rows and returns rows that do the same with less work.

A rewrite never changes what a program writes to memory that can be seen from outside it, and none but those that
say so change a single bit of it. Each can be switched off by its name in ``compile(options=...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..rows import Row
from .constants import hoist_constants
from .counters import merge_counters
from .dead import drop_dead_rows
from .facts import Facts
from .in_place import reuse_operands
from .optimizer import merge_updates
from .strips import cut_strips

Rewrite = Callable[[list[Row], Facts], list[Row]]

REWRITES: dict[str, Rewrite] = {
    "dead_rows": drop_dead_rows,
    "constants": hoist_constants,
    "counters": merge_counters,
    "in_place": reuse_operands,
    "optimizer": merge_updates,
    "strips": cut_strips,
}


def rewrite(rows: list[Row], facts: Facts, options: Mapping[str, bool]) -> list[Row]:
    """Apply every rewrite that is not switched off, in order."""
    for name, apply in REWRITES.items():
        if options.get(name, True):
            rows = apply(rows, facts)
    return rows


__all__ = ["REWRITES", "Facts", "rewrite"]
