"""The walk back that is itself recorded, for ``create_graph=True``.

The compiled walk runs kernels, which leave nothing to differentiate. This one goes over the same rows in Python
and turns cotangents into cotangents by formulas on tensors: an elementwise operation's gradient formula, or an
array operation's (`kernels.vjps`). What they run is recorded like any other operation, so gradients exist to
any order, also inside a compiled step.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._tensor import Tensor, handle_of
from ..dispatch import CONTEXT
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import (
    NOT_SAVED,
    S_FLAGS,
    S_ROW,
    S_STORAGE,
    SLOT_WORDS,
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_WORDS,
)
from ..kernels import OPS
from ..kernels.abi import bits_float
from ..kernels.table import Op, identity, parameters
from ..slots import slot_dtype, slot_shape
from ..store import store
from . import formulas
from .anomaly import check_gradients, naming_line
from .function import with_history
from .graph import describe_stale, drop_freed_nodes, python_nodes, refuse_derivative, row_name
from .hooks import cotangent_after_hooks, through_hooks
from .modes import enable_grad
from .notes import RowNote, note_of, settle_notes

Cotangents = Sequence[Tensor | None]
Gradients = Iterator[tuple[int, Tensor]]  # (operand, its gradient)


class Row:
    """One row of the tape, with its values as tensors."""

    def __init__(self, offset: int) -> None:
        tape = store.tape
        self.offset = offset
        self.kind = int(tape[offset + T_KIND])
        self.code = int(tape[offset + T_OP])
        self.inputs = int(tape[offset + T_INPUTS])
        count = self.inputs + int(tape[offset + T_OUTPUTS])
        pairs = tape[offset + T_OPERANDS : offset + T_OPERANDS + 2 * count].tolist()
        self.slots, self._versions = pairs[::2], pairs[1::2]
        noted = (n.row for n in map(note_of, self.outputs) if n is not None and n.row is not None)
        self.note = next(noted, None) or RowNote()
        attributes, end = offset + int(tape[offset + T_ATTRS]), offset + int(tape[offset + T_WORDS])
        self.words = tape[attributes:end].tolist()

    @property
    def outputs(self) -> list[int]:
        """The slots of its outputs that are still there."""
        return [s for s in self.slots[self.inputs :] if s]

    def value(self, k: int) -> Tensor | None:
        """Entry `k`, operands first, then outputs; None when it was left out or not kept.

        Raises
        ------
        RuntimeError
            When it has been overwritten since.
        """
        slot, version = self.slots[k], self._versions[k]
        if k in self.note.packed:
            value = self.note.packed[k].unpack()
            return with_history(value, handle_of(slot)) if slot else value
        if not slot or version == NOT_SAVED:
            return None
        now = int(store.storage_table["version"][store.slots[slot * SLOT_WORDS + S_STORAGE]])
        if now != version:
            raise RuntimeError(describe_stale([self.offset, k, version, now]))
        return handle_of(slot)

    def shape(self, k: int) -> tuple[int, ...]:
        """Shape of entry `k`."""
        return slot_shape(self.slots[k])


def walk(
    roots: Sequence[Tensor], seeds: Sequence[Tensor], captured: set[int] | None, retain: bool
) -> dict[int, Tensor]:
    """Walk back from the roots, recording; returns cotangents by slot.

    Parameters
    ----------
    roots, seeds : sequence of Tensor
        Where to start, and with which cotangents.
    captured : set of int, optional
        Slots whose cotangents are asked for; only rows on the way to them are walked. If not given, those of
        leaves and of tensors that retain their gradient.
    retain : bool
        Keep the rows that are walked.
    """
    waiting: dict[int, Tensor] = {}
    found: dict[int, Tensor] = {}
    rows: list[int] = []
    held: dict[int, Tensor] = {}  # of rows that go: what only a row behind them has kept in the graph

    def give(slot: int, g: Tensor) -> None:
        words, at = store.slots, slot * SLOT_WORDS
        row, flags = words[at + S_ROW], words[at + S_FLAGS]
        asked = captured is not None and slot in captured
        if asked or (captured is None and (row == layout.NO_ROW or flags & layout.RETAIN_GRAD)):
            _add(found, slot, g)
        if row <= layout.FREED_ROW and not asked:
            from .backward import SECOND_TIME

            raise RuntimeError(SECOND_TIME)
        if row >= 0:
            if slot not in waiting and -row not in rows:
                heapq.heappush(rows, -row)
            if not retain and slot not in held:
                held[slot] = handle_of(slot)
            _add(waiting, slot, g)

    with enable_grad():
        for root, seed in zip(roots, seeds, strict=True):
            give(root._slot, seed)
        while rows:
            row = Row(-heapq.heappop(rows))
            _tell_recording(row.offset)
            cotangents = _seen(row, waiting, found)
            wanted = [_wanted(slot, captured is not None) for slot in row.slots[: row.inputs]]
            if any(wanted):
                for slot, g in zip(row.slots, _handed_back(row, cotangents, wanted), strict=False):
                    if g is not None:
                        give(slot, g)
            outputs = row.outputs
            if not retain:
                _free(row.offset)
                for slot in outputs:
                    held.pop(slot, None)
            settle_notes(outputs)
        for slot in found:
            if store.slots[slot * SLOT_WORDS + S_ROW] == layout.NO_ROW:
                found[slot] = cotangent_after_hooks(slot, found[slot])
    drop_freed_nodes()
    return found


def _seen(row: Row, waiting: dict[int, Tensor], found: dict[int, Tensor]) -> list[Tensor | None]:
    """The complete cotangents of a row's outputs, after hooks."""
    for slot in row.outputs:
        if slot in waiting:
            waiting[slot] = cotangent_after_hooks(slot, waiting[slot])
            if slot in found:
                found[slot] = waiting[slot]
    return [waiting.pop(s, None) for s in row.slots[row.inputs :]]


def _handed_back(row: Row, cotangents: Cotangents, wanted: Sequence[bool]) -> list[Tensor | None]:
    """What a row hands back to each operand, after hooks."""
    came = through_hooks(row.note.before, cotangents)
    gradients: list[Tensor | None] = [None] * row.inputs
    with naming_line(row.note):
        for k, g in _gradients(row, came, wanted):
            gradients[k] = g
    check_gradients(row.offset, gradients, row.note)
    return through_hooks(row.note.after, gradients, tuple(came))


def _add(where: dict[int, Tensor], slot: int, g: Tensor) -> None:
    known = where.get(slot)
    where[slot] = g if known is None else known + g  # type: ignore[operator]


def _wanted(slot: int, chosen: bool) -> bool:
    if not slot:
        return False
    flags = store.slots[slot * SLOT_WORDS + S_FLAGS]
    if not flags & layout.REQUIRES_GRAD:
        return False
    return not chosen or bool(flags & (layout.NEEDED | layout.CAPTURE))


def _tell_recording(offset: int) -> None:
    recording = store.recording_here
    if recording is not None and offset < recording.first_row:
        recording.spoil("walks back over operations from before the step")


def _free(offset: int) -> None:
    state = array("q", bytes(8 * layout.WALK_WORDS))
    entries.leave_row(CONTEXT, state.buffer_info()[0], offset)


def _gradients(row: Row, cotangents: Cotangents, wanted: Sequence[bool]) -> Gradients:
    if row.kind == layout.PYTHON:
        yield from _of_function(row, cotangents, wanted)
        return
    if row.kind in (layout.STRIDED_VIEW, layout.RESHAPE):
        (g,) = cotangents
        if g is not None:
            shape = row.shape(0)
            yield 0, g.reshape(shape) if row.kind == layout.RESHAPE else formulas.unview(g, row.words, shape)
        return
    op = OPS[row.code]
    if op.underivable:
        refuse_derivative(op.code)
    names = op.operands if op.operands != ("*",) else ("*",) * row.inputs
    asked = [k for k in range(min(len(names), row.inputs)) if wanted[k] and _takes_gradient(op, names[k])]
    if asked and "wanted" in parameters(op.vjp.get(names[asked[0]], identity)):
        together = _of_arrays(row, op, asked[0], cotangents, [names[k] for k in asked]) or {}
        each = ((k, together.get(names[k])) for k in asked)
    else:
        gradient = {layout.MAP: _of_map, layout.REDUCE: _of_reduction, layout.ARRAYS: _of_arrays}[row.kind]
        each = ((k, gradient(row, op, k, cotangents)) for k in asked)
    for k, g in each:
        if g is not None:
            yield k, _fitted(g, row, k)


def _takes_gradient(op: Op, name: str) -> bool:
    """Whether an operand has a gradient, though its formula may be another row's affair in a compiled walk."""
    return name in op.gradients or name in op.vjp


def _fitted(g: Any, row: Row, k: int) -> Tensor:
    """A gradient in the shape and dtype of operand `k`."""
    g = formulas.sum_to(g, row.shape(k))
    kind = slot_dtype(row.slots[k])
    return g if g.dtype is kind else g.to(kind)  # type: ignore[attr-defined]


def _of_function(row: Row, cotangents: Cotangents, wanted: Sequence[bool]) -> Gradients:
    node = python_nodes[row.code]
    places = [handle_of(s) if s else None for s in row.slots]
    gradients = node.run_backward(list(cotangents), record=True, entries=places)
    for k, g in enumerate(gradients):
        if g is not None and wanted[k]:
            yield k, g


def _of_map(row: Row, op: Op, k: int, cotangents: Cotangents) -> Any:
    (g,) = cotangents
    formula = op.gradients[op.operands[k]]
    if g is None or formula is identity:
        return g
    numbers = dict(zip(op.attributes, map(bits_float, row.words), strict=False))
    gradient = formula(*(_read(row, op, name, cotangents, numbers) for name in parameters(formula)))
    return gradient.expand(g.shape)  # a formula may give one number for all elements


def _of_reduction(row: Row, op: Op, k: int, cotangents: Cotangents) -> Any:
    formula, mask, shape = op.gradients["x"], row.words[0], row.shape(0)
    folded = 1.0
    for d, n in enumerate(shape):
        folded *= n if mask >> d & 1 else 1
    numbers = dict(zip(op.attributes, map(bits_float, row.words[2:]), strict=False)) | {"n": folded}
    values = []
    for name in parameters(formula):
        value = _read(row, op, name, cotangents, numbers)
        values.append(_unfolded(value, mask, shape) if name in ("y", "g") else value)
    return formula(*values).expand(shape)


def _unfolded(x: Tensor, mask: int, shape: tuple[int, ...]) -> Tensor:
    """The result of a reduction, or its cotangent, with size 1 where dimensions were folded."""
    return x.reshape([1 if mask >> d & 1 else n for d, n in enumerate(shape)])  # type: ignore[attr-defined]


def _of_arrays(row: Row, op: Op, k: int, cotangents: Cotangents, wanted: Sequence[str] = ()) -> Any:
    name = "*" if op.operands == ("*",) else op.operands[k]
    formula: Callable | None = op.vjp.get(name)
    if formula is None:
        raise NotImplementedError(
            f"{row_name(row.offset)}: the gradient of {op.name} for {name} has no formula, so it cannot itself be "
            "differentiated; call backward or grad without create_graph"
        )
    names = parameters(formula)
    if all(cotangents[int(n[1:] or 0)] is None for n in names if _is_cotangent(n)):
        return None
    extra: dict[str, Any] = {"position": k, "wanted": wanted, "words": row.words}
    if "shapes" in names:
        extra["shapes"] = [row.shape(j) if row.slots[j] else None for j in range(row.inputs)]
    if "operands" in names:
        extra["operands"] = [row.value(j) for j in range(row.inputs)]
    return formula(formulas, *(_read(row, op, n, cotangents, extra) for n in names[1:]))


def _is_cotangent(name: str) -> bool:
    return name == "g" or (name[0] == "g" and name[1:].isdigit())


def _read(row: Row, op: Op, name: str, cotangents: Cotangents, extra: dict[str, Any]) -> Any:
    """What a formula means by a parameter's name."""
    if name in extra:
        return extra[name]
    if _is_cotangent(name):
        return cotangents[int(name[1:] or 0)]
    if name in op.operands:
        return row.value(op.operands.index(name))
    if name[0] == "y" and (name == "y" or name[1:].isdigit()):
        return row.value(row.inputs + int(name[1:] or 0))
    if name.endswith("_shape"):
        return row.shape(op.operands.index(name.removesuffix("_shape")))
    raise NameError(f"{op.name}: a gradient formula asks for {name!r}, which means nothing")
