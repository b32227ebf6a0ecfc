"""An operation and its way back as one row, where they follow one another: losses, whose gradient takes little more."""

from __future__ import annotations

from ...kernels import BY_NAME
from ...kernels.abi import A_ARRAYS, ARRAY_WORDS, DTYPE_NAMES, R_KERNEL
from ...kernels.table import BACKWARD, BOTH, FORWARD, Op, compile_kernel
from ..rows import Row, View, attributes, decode
from ..segments import SHARED_NS, nanoseconds
from .facts import Facts


def join_both_ways(rows: list[Row], facts: Facts) -> list[Row]:
    """Let the way back compute the operation's result, too, and drop the row that did.

    The way back stays where it is, so nothing in between may touch the result. A row that several threads would
    share is left alone: the two as one are for one thread, as a sum is.
    """
    joined: list[Row | None] = list(rows)
    for k, row in enumerate(rows):
        op = BY_NAME.get(row.op)
        if op is None or op.both is None or row.variant != FORWARD or facts.reports(row):
            continue
        back = next((j for j in range(k + 1, len(rows)) if _ends_search(rows[j], row)), None)
        if back is not None and _is_way_back(rows[back], row, op) and nanoseconds(rows[back]) <= SHARED_NS:
            joined[k], joined[back] = None, _both(row, rows[back], op)
    return [row for row in joined if row is not None]


def _ends_search(other: Row, row: Row) -> bool:
    """Whether another row is the way back, or keeps it from taking the row's place."""
    return (other.op == row.op and other.variant == BACKWARD) or _disturbs(other, row)


def _disturbs(other: Row, row: Row) -> bool:
    """Whether another row touches what a row has made, or changes what it has read."""
    return any(w.touches(v) for w in row.writes for v in (*other.reads, *other.writes)) or any(
        r.touches(v) for r in row.reads for v in other.writes
    )


def _is_way_back(other: Row, row: Row, op: Op) -> bool:
    """Whether another row is the way back from a row, with the same operands and attributes."""
    if other.kernel != row.kernel.replace(f".{FORWARD}.", f".{BACKWARD}.") or _disturbs(other, row):
        return False
    same = [_operand(v) for v in row.reads] == [_operand(v) for v in other.reads][: len(op.operands)]
    return same and len(attributes(row.words)) == len(attributes(other.words))


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
