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
    run: list[Row] = []  # updates that join
    common: tuple[str, int] | None = None  # what they have in common: rule and hyper-parameters
    for row in rows:
        if not _is_flat_update(row):
            merged += _joined(run, common)
            run, common = [], None
            merged.append(row)
            continue
        hyper = int(attributes(row.words)[0])
        if common != (row.kernel, hyper):
            merged += _joined(run, common)
            run, common = [], (row.kernel, hyper)
        run.append(row)
    return merged + _joined(run, common)


def _is_flat_update(row: Row) -> bool:
    return row.kernel.startswith("update.") and int(row.words[R_LAYOUT]) == NEST_CONTIGUOUS


def _joined(run: list[Row], common: tuple[str, int] | None) -> list[Row]:
    if common is None or len(run) < 2:
        return run
    kernel, hyper = common
    _, rule, dtype = kernel.split(".")
    parts = []
    for row in run:
        step, *operands = row.reads
        streams = (*row.writes, *operands)
        parts.append((step.address, streams[0].numel, [v.address for v in streams]))
    return [decode(np.array(updates_row.record(rule, dtype, hyper, parts), np.int64))]
