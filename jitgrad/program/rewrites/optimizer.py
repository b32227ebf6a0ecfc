"""The optimizer's update of all parameters, as one row."""

from __future__ import annotations

import numpy as np

from ...kernels import updates_row
from ...kernels.abi import NEST_CONTIGUOUS, R_ATTRS, R_LAYOUT
from ..rows import Row, decode
from .facts import Facts


def merge_updates(rows: list[Row], facts: Facts) -> list[Row]:
    """Join neighbouring updates by one rule with one set of hyper-parameters."""
    merged: list[Row] = []
    run: list[Row] = []
    for row in rows:
        if run and not _joins(run[0], row):
            merged += _joined(run)
            run = []
        if _is_flat_update(row):
            run.append(row)
        else:
            merged.append(row)
    return merged + _joined(run)


def _is_flat_update(row: Row) -> bool:
    return row.kernel.startswith("update.") and int(row.words[R_LAYOUT]) == NEST_CONTIGUOUS


def _joins(first: Row, row: Row) -> bool:
    if not _is_flat_update(row) or row.kernel != first.kernel:
        return False
    return int(_attributes(row)[0]) == int(_attributes(first)[0])


def _attributes(row: Row) -> np.ndarray:
    return row.words[int(row.words[R_ATTRS]) :]


def _joined(run: list[Row]) -> list[Row]:
    if len(run) < 2:
        return run
    _, rule, dtype = run[0].kernel.split(".")
    hyper = int(_attributes(run[0])[0])
    parts = []
    for row in run:
        views = (*row.writes, *row.reads)
        parts.append((int(_attributes(row)[1]), views[0].numel, [v.address for v in views]))
    return [decode(np.array(updates_row.record(rule, dtype, hyper, parts), np.int64))]
