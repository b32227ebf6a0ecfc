"""Activations that make their derivative on the way there: what is left for the way back is a multiplication.

That pays where both take one costly function of the operand (the op table says ``with_slope``). The derivative lies
where the operand was, which nothing else needs, so no more memory is touched.
"""

from __future__ import annotations

import numpy as np

from ...kernels import BY_NAME
from ...kernels.abi import (
    N_STREAMS,
    NEST_CONTIGUOUS,
    R_ATTRS,
    R_COUNT,
    R_FLAGS,
    R_KERNEL,
    R_LAYOUT,
    R_WORDS,
    STREAM_WORDS,
)
from ...kernels.op_kernels import compile_kernel
from ...kernels.table import BOTH, FORWARD
from ..log.rows import Row, decode
from ..log.views import View
from .facts import Facts
from .uses import Uses, is_gone_after

MULTIPLY = "mul"


def keep_slopes(rows: list[Row], facts: Facts) -> list[Row]:
    """Put the derivative in the operand's place, where only the way back reads that again."""
    rows = list(rows)
    uses = Uses(rows, facts)
    for k, row in enumerate(rows):
        op = BY_NAME.get(row.op)
        if op is None or op.with_slope is None or row.variant != FORWARD or not _is_plain(row):
            continue
        j = _way_back(rows, k, row.reads[0], facts, uses)
        if j >= 0:
            rows[k], rows[j] = _with_slope(row), _multiplied(rows[j])
    return rows


def _is_plain(row: Row) -> bool:
    """Whether a row goes once through all of some contiguous blocks, and adds to nothing."""
    straight = all(v.end - v.begin == v.numel * v.itemsize for v in (*row.reads, *row.writes))
    return straight and int(row.words[R_LAYOUT]) == NEST_CONTIGUOUS and not int(row.words[R_FLAGS])


def _way_back(rows: list[Row], k: int, operand: View, facts: Facts, uses: Uses) -> int:
    """The row that goes back to an operand of row `k`, and is the only one that reads it again; or -1."""
    if facts.block(operand.address) < 0 or rows[k].writes[0].touches(operand):
        return -1
    begin, end = _place(operand)
    if not any(v.covers(begin, end) for i in uses.before(operand, k) for v in rows[i].writes):
        return -1  # a constant, which no replay fills again
    j = next((j for j in uses.after(operand, k) if rows[j].touches(operand)), -1)
    if j < 0:
        return -1
    row = rows[j]
    if not row.goes_back(rows[k]) or not _is_plain(row):
        return -1
    if _place(row.reads[0]) != _place(operand) or row.writes[0].touches(operand):
        return -1
    return j if is_gone_after(rows, j, operand, facts, uses) else -1


def _place(view: View) -> tuple[int, int]:
    return view.begin, view.end


def _with_slope(row: Row) -> Row:
    """The record with the operand's place as its second output."""
    words = row.words.tolist()
    first, second = N_STREAMS + STREAM_WORDS, N_STREAMS + 2 * STREAM_WORDS
    words[first:first] = words[first:second]
    words[R_KERNEL] = compile_kernel(BY_NAME[row.op].code, BOTH, row.dtype)
    words[R_COUNT] += 1
    words[R_WORDS] += STREAM_WORDS
    words[R_ATTRS] += STREAM_WORDS
    return decode(np.array(words, np.int64))


def _multiplied(row: Row) -> Row:
    """The record of the way back, whose operand's place has the derivative now, as that of a product."""
    words = row.words.copy()
    words[R_KERNEL] = compile_kernel(BY_NAME[MULTIPLY].code, FORWARD, row.dtype)
    return decode(words)
