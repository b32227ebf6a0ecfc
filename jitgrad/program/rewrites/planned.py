"""Matrix products whose way is looked up once: the last rewrite, as it takes shapes as they are."""

from __future__ import annotations

import numpy as np

from ...kernels import BY_NAME, planned
from ...kernels.abi import ARRAYS, R_FLAGS, R_LAYOUT
from ..log.rows import Row
from .facts import Facts


def plan_products(rows: list[Row], facts: Facts) -> list[Row]:
    """Put a plan into the records of small products, which would look around for longer than they multiply."""
    return [_planned(row) for row in rows]


def _planned(row: Row) -> Row:
    op = BY_NAME.get(row.op)
    if op is None or op.plan is None or int(row.words[R_LAYOUT]) != ARRAYS or int(row.words[R_FLAGS]):
        return row
    words = row.words.tolist()
    plan = op.plan(row.variant, planned.operands(words))
    longer = plan and planned.record(words, row.dtype, plan)
    return Row(np.array(longer, np.int64), row.kernel, row.reads, row.writes) if longer else row
