"""An operation and its way back as one row, where they follow one another: losses, whose gradient takes little more."""

from __future__ import annotations

from ...kernels import BY_NAME
from ...kernels.abi import A_ARRAYS, ARRAY_WORDS, DTYPE_NAMES, R_KERNEL
from ...kernels.table import BACKWARD, BOTH, FORWARD, Op, compile_kernel
from ..rows import Row, View, attributes, decode
from ..segments import SHARED_NS, depends, nanoseconds
from .facts import Facts


def join_both_ways(rows: list[Row], facts: Facts) -> list[Row]:
    """Let the way back compute the operation's result, too, and drop the row that did.

    The way back stays where it is, so nothing in between may touch the result. A row that several threads would
    share is left alone: the two as one are for one thread, as a sum is.
    """
    left: list[Row | None] = list(rows)
    for k, row in enumerate(rows):
        op = BY_NAME.get(row.op)
        if op is None or op.both is None or row.variant != FORWARD or facts.reports(row):
            continue
        for j in range(k + 1, len(rows)):
            other = left[j]
            if other is None:
                continue
            if depends(other, row):
                break
            if _is_way_back(other, row, op, facts):
                left[k], left[j] = None, _both(row, other, op)
                break
    return [row for row in left if row is not None]


def _is_way_back(other: Row, row: Row, op: Op, facts: Facts) -> bool:
    """Whether another row is a small way back from a row, or from one that computes the same."""
    if other.kernel != row.kernel.replace(f".{FORWARD}.", f".{BACKWARD}.") or nanoseconds(other) > SHARED_NS:
        return False
    same = [_operand(v) for v in row.reads] == [_operand(v) for v in other.reads][: len(op.operands)]
    return same and _same_attributes(other, row, facts)


def _same_attributes(other: Row, row: Row, facts: Facts) -> bool:
    """Whether two rows have the same attributes; where they report does not count."""
    ours, theirs = attributes(row.words).tolist(), attributes(other.words).tolist()
    if len(ours) != len(theirs):
        return False
    return all(a == b or (facts.is_cell(a) and facts.is_cell(b)) for a, b in zip(ours, theirs, strict=True))


def _operand(view: View) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    return view.place, view.address, view.shape, view.strides


def _both(row: Row, back: Row, op: Op) -> Row:
    """The record of the way back with the row's outputs and attributes."""
    words = back.words.copy()
    first, last = (A_ARRAYS + n * ARRAY_WORDS for n in (len(op.operands), len(op.operands) + op.outputs))
    words[first:last] = row.words[first:last]
    attributes(words)[:] = attributes(row.words)
    dtype = DTYPE_NAMES.index(row.kernel.rsplit(".", 1)[1])
    words[R_KERNEL] = compile_kernel(op.code, BOTH, dtype)
    return decode(words)
