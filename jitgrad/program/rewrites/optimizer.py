"""The optimizer's update of all parameters, as one row."""

from __future__ import annotations

import numpy as np

from ...kernels import updates_row
from ...kernels.abi import NEST_CONTIGUOUS, R_LAYOUT
from ..rows import Row, attributes, decode
from .facts import Facts


def merge_updates(rows: list[Row], facts: Facts) -> list[Row]:
    """Join neighbouring updates by one rule with one set of hyper-parameters."""
    merged: list[Row] = []
    run: list[tuple[Row, int]] = []  # updates that join, with the addresses of their step counts
    common: tuple[str, int] | None = None  # what they have in common: rule and hyper-parameters
    for row in rows:
        if not _is_flat_update(row):
            merged += _joined(run, common)
            run, common = [], None
            merged.append(row)
            continue
        hyper, step = attributes(row.words)[:2].tolist()
        if common != (row.kernel, hyper):
            merged += _joined(run, common)
            run, common = [], (row.kernel, hyper)
        run.append((row, step))
    return merged + _joined(run, common)


def _is_flat_update(row: Row) -> bool:
    return row.kernel.startswith("update.") and int(row.words[R_LAYOUT]) == NEST_CONTIGUOUS


def _joined(run: list[tuple[Row, int]], common: tuple[str, int] | None) -> list[Row]:
    if common is None or len(run) < 2:
        return [row for row, _ in run]
    kernel, hyper = common
    _, rule, dtype = kernel.split(".")
    parts = []
    for row, step in run:
        views = (*row.writes, *row.reads)
        parts.append((step, views[0].numel, [v.address for v in views]))
    return [decode(np.array(updates_row.record(rule, dtype, hyper, parts), np.int64))]
