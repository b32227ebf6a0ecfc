"""Running array operations with one result, and the cells in which their kernels report a bad index."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Sequence

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, OUTPUT_WORDS, settle
from ..dtypes import dtype
from ..engine.entry import entries
from ..engine.layout import MAX_DIMS, S_DTYPE, S_STORAGE, SAME, SLOT_WORDS
from ..kernels.abi import RUNTIME_ERROR
from ..kernels.table import Op
from ..store import store

REPORTS = 64  # calls whose reports may be unread at once: one a thread is enough
REPORT_WORDS = 4
_reports = array("q", bytes(8 * REPORTS * REPORT_WORDS))
REPORTS_AT = _reports.buffer_info()[0]
_turns = itertools.count()
PADDING = tuple((0,) * (MAX_DIMS - n) for n in range(MAX_DIMS + 1))


def launch(
    op: Op,
    operands: Sequence[Tensor],
    shape: Sequence[int],
    words: Sequence[int],
    into: int = 0,
    name: str = "",
) -> int:
    """Run an array operation whose kernel checks indices; returns the slot of the result.

    Parameters
    ----------
    operands : sequence of Tensor
        The first decides which kernel runs, and the result's dtype.
    shape : sequence of int
        Of the result.
    words : sequence of int
        Attribute words behind the first, which is where the kernel reports a bad index.
    name : str, optional
        What the script has called, for errors, where it is not the operation's name.

    Raises
    ------
    IndexError, RuntimeError
        When an index is out of range, as the kernel says; nothing has been written then.
    """
    turn = next(_turns) % REPORTS * REPORT_WORDS
    _reports[turn] = 0
    key = store.slots[operands[0]._slot * SLOT_WORDS + S_DTYPE]
    given = (REPORTS_AT + turn * 8, *words)
    slot = entries.listed(op.code, key, key, into, operands, shape, given)
    if slot < 0:

        def again(copies: Sequence[Tensor], where: int) -> int:
            # what is raised here is raised before the result has been written to where it belongs
            return launch(op, copies, shape, words, where, name)

        slot = _insist(op, operands, key, shape, given, into, key, again)
    if _reports[turn]:
        if slot != into:
            entries.release(CONTEXT, slot)
        if into:  # the kernel wrote nothing, so the write that was counted did not happen
            store.storage_table["version"][store.slots[into * SLOT_WORDS + S_STORAGE]] -= 1
        raise bad_index(name or op.name, _reports[turn : turn + REPORT_WORDS])
    return slot


def report_cell() -> int:
    """The address of a fresh cell in which a kernel can report a bad index."""
    turn = next(_turns) % REPORTS * REPORT_WORDS
    _reports[turn] = 0
    return REPORTS_AT + turn * 8


def take_report(name: str, cell: int) -> None:
    """Raise what a kernel has reported in a cell."""
    turn = (cell - REPORTS_AT) // 8
    if _reports[turn]:
        raise bad_index(name, _reports[turn : turn + REPORT_WORDS])


def bad_index(name: str, report: Sequence[int], where: str = "") -> Exception:
    """What the words of a report say: which error it is, the dimension, the index and the dimension's size."""
    error, dim, value, size = report
    kind = RuntimeError if error == RUNTIME_ERROR else IndexError
    return kind(f"{name}: index {value} is out of bounds for dimension {dim} with size {size}{where}")


def run(
    op: Op, operands: Sequence[Tensor], kind: dtype, shape: Sequence[int], words: Sequence[int], into: int = 0
) -> int:
    """Run an array operation with one result of dtype `kind`; returns the slot."""
    key = store.slots[operands[0]._slot * SLOT_WORDS + S_DTYPE]
    return _run(op, operands, kind.code, shape, words, into, key)


def run_alike(op: Op, operands: Sequence[Tensor], words: Sequence[int], kind: dtype | None = None) -> Tensor:
    """`run` whose result has the first operand's shape, and its dtype unless another is given."""
    made = entries.shaped(op.code, SAME if kind is None else kind.code, operands, words)
    if type(made) is not int:
        return made
    first = operands[0]
    return wrap(run(op, operands, kind or first.dtype, entries.sizes(first), words))


def _run(
    op: Op,
    operands: Sequence[Tensor],
    kind: int,
    shape: Sequence[int],
    words: Sequence[int],
    into: int,
    key: int,
) -> int:
    slot = entries.listed(op.code, key, kind, into, operands, shape, words)
    if slot >= 0:
        return slot

    def again(copies: Sequence[Tensor], where: int) -> int:
        return _run(op, copies, kind, shape, words, where, key)

    return _insist(op, operands, kind, shape, words, into, key, again)


def _insist(
    op: Op,
    operands: Sequence[Tensor],
    kind: int,
    shape: Sequence[int],
    words: Sequence[int],
    into: int,
    key: int,
    again: Callable[[Sequence[Tensor], int], int],
) -> int:
    """Run what `listed` could not; `again` runs it on other operands, into the slot where the result belongs."""
    count, dims = len(operands), len(shape)
    # operand slots, the description of the result, and the attributes share one block
    block = array("q", (*[x._slot for x in operands], kind, dims, *shape, *PADDING[dims], *words))
    at, total = block.buffer_info()
    result = at + 8 * count
    attributes = result + 8 * OUTPUT_WORDS
    while True:
        slot = entries.apply_arrays(
            CONTEXT, op.code, key, into, count, at, 1, result, attributes, total - count - OUTPUT_WORDS
        )
        if slot >= 0:
            return slot
        slot = settle(op, operands, slot, into, again)
        if slot >= 0:
            return slot
