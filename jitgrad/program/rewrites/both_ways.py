"""An operation and its way back as one row: losses, whose gradient takes little more."""

from __future__ import annotations

from ...kernels import BY_NAME
from ...kernels.abi import A_ARRAYS, ARRAY_WORDS, R_KERNEL
from ...kernels.op_kernels import compile_kernel
from ...kernels.table import BOTH, FORWARD, Op
from ..layout.segments import SHARED_NS, depends, nanoseconds
from ..log.rows import Row, attributes, decode
from ..log.views import View
from .batches import cut_of
from .facts import Facts
from .strip_sizes import Link


def join_both_ways(rows: list[Row], facts: Facts) -> list[Row]:
    """Let the way back compute the operation's result, too, and drop the row that did.

    The way back stays where it is, so nothing in between may touch the result. A row that several threads would
    share is left alone: the two as one are for one thread, as a sum is.
    """
    left: list[Row | None] = list(rows)
    for k, row in enumerate(rows):
        op = _op_of(row, facts)
        if op is None:
            continue
        for j in range(k + 1, len(rows)):
            other = left[j]
            if other is None:
                continue
            if depends(other, row):
                break
            if nanoseconds(other) <= SHARED_NS and _is_way_back(other, row, op, facts):
                left[k], left[j] = None, _both(row, other, op)
                break
    return [row for row in left if row is not None]


def join_in_strips(
    links: list[Link], deferred: list[Row], batch: int, facts: Facts
) -> tuple[list[Link], list[Row]]:
    """Let ways back in a chain compute results, too, whose rows would have to wait until the chain is done.

    Such a result is a sum over the batch: each strip makes its part of it.
    """
    links, deferred = list(links), list(deferred)
    for row in list(deferred) if facts.partial_sums else ():
        op = _op_of(row, facts)
        if op is None or not _is_free(row, links, deferred):
            continue
        for k, link in enumerate(links):
            if _is_way_back(link.row, row, op, facts):
                if not _reads_the_same(row, k, links, deferred):
                    break
                both = _both(row, link.row, op)
                cut = cut_of(both, batch)
                if cut is not None:
                    links[k] = Link(both, cut)
                    deferred.remove(row)
                break
    return links, deferred


def _is_free(row: Row, links: list[Link], deferred: list[Row]) -> bool:
    """Whether a row's results may be written while the chain runs."""
    others = [link.row for link in links] + deferred[: deferred.index(row)]
    return not any(one.touches(w) for w in row.writes for one in others)


def _reads_the_same(row: Row, k: int, links: list[Link], deferred: list[Row]) -> bool:
    """Whether a row would read in link number `k` what it reads when the chain is done."""
    others = [link.row for link in links[k + 1 :]] + deferred[: deferred.index(row)]
    return not any(w.touches(v) for one in others for w in one.writes for v in row.reads)


def _op_of(row: Row, facts: Facts) -> Op | None:
    """The operation of a forward row, if it has a kernel that goes both ways."""
    op = BY_NAME.get(row.op)
    return None if op is None or op.both is None or row.variant != FORWARD or facts.reports(row) else op


def _is_way_back(other: Row, row: Row, op: Op, facts: Facts) -> bool:
    """Whether another row is the way back from a row, or from one that computes the same."""
    if not other.goes_back(row):
        return False
    behind = A_ARRAYS + len(op.operands) * ARRAY_WORDS
    theirs = [_operand(v) for v in other.reads if v.place < behind]
    return [_operand(v) for v in row.reads] == theirs and _same_attributes(other, row, facts)


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
    words[R_KERNEL] = compile_kernel(op.code, BOTH, row.dtype)
    return decode(words)
