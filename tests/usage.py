"""What the engine's tables hold, for tests of memory and lifetime."""

from __future__ import annotations

import gc
from typing import NamedTuple

from jitgrad.autograd.graph import drop_freed_nodes, python_nodes
from jitgrad.autograd.notes import drop_old_notes
from jitgrad.store import store


class Usage(NamedTuple):
    """Live entries of the tables."""

    slots: int
    rows: int
    words: int  # of the tape, without the gaps that dead rows leave
    bytes: int
    nodes: int  # custom functions on the tape


def usage() -> Usage:
    found = 1
    while found:  # what is freed may have held on to more
        drop_freed_nodes()
        drop_old_notes()
        found = gc.collect()
    field = store.field
    return Usage(
        slots=field("slot_count") - field("free_slots"),
        rows=field("live_rows"),
        words=field("tape_top") - field("dead_words"),
        bytes=field("bytes"),
        nodes=len(python_nodes),
    )
