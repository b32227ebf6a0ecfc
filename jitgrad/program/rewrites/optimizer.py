"""The optimizer's update of all parameters, as one row."""

from __future__ import annotations

import numpy as np

from ...kernels import updates_row
from ...kernels.abi import NEST_CONTIGUOUS, R_LAYOUT
from ...kernels.update_table import UPDATES
from ..log.rows import Row, attributes, decode
from ..log.views import View, view
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


def read_settings(rows: list[Row]) -> list[Row]:
    """Let updates name hyper-parameters that other rows write, so that threads wait for those rows.

    A learning rate that is held as a tensor is copied to where the update reads it. Others are written by Python.
    """
    written = [v for row in rows if not row.kernel.startswith("update") for v in row.writes]
    found = []
    for row in rows:
        settings = _settings_of(row)
        if settings is not None and any(v.touches(settings) for v in written):
            row = Row(row.words, row.kernel, (*row.reads, settings), row.writes)
        found.append(row)
    return found


def _settings_of(row: Row) -> View | None:
    """The hyper-parameters of an optimizer's row."""
    kind, rule, *_ = row.kernel.split(".")
    if kind not in ("update", "updates"):
        return None
    address = attributes(row.words)[0] if kind == "update" else row.words[updates_row.HYPER]
    count = len(UPDATES[rule].hyper)
    return view(0, int(address), 8, (count,), (1,))


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
