"""The walk back that is itself recorded, for ``create_graph=True``.

The compiled walk runs kernels, which leave nothing to differentiate. This one goes over the same rows in Python
and turns cotangents into cotangents by formulas on tensors: an elementwise operation's gradient formula, or an
array operation's (`kernels.vjps`). What they run is recorded like any other operation, so gradients exist to
any order, also inside a compiled step. What a formula reads is found out once (`readings.py`).
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from .._tensor import Tensor, handle_of
from ..dispatch import CONTEXT
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import (
    NOT_SAVED,
    S_DIMS,
    S_DTYPE,
    S_FLAGS,
    S_ROW,
    S_SHAPE,
    SLOT_WORDS,
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_OP,
    T_OPERANDS,
    T_WORDS,
)
from ..functions._dims import shape_of
from ..kernels import OPS
from ..kernels.table import identity
from ..slots import slot_dtype, slot_shape
from ..store import store
from ..ways_out import DETACH
from . import formulas
from .anomaly import check_gradients, is_anomaly_enabled, name_line
from .function import with_history
from .graph import SECOND_TIME, describe_stale, drop_freed_nodes, python_nodes, row_name
from .hooks import cotangent_after_hooks, through_hooks
from .modes import enable_grad
from .notes import RowNote, note_of, settle_notes
from .readings import Formula, Plan, plan
from .walking import Walking

Cotangents = Sequence[Tensor | None]
Gradients = Iterator[tuple[int, Tensor]]  # (operand, its gradient)

_NOTHING = RowNote()  # of rows about which nothing has been noted


class Row:
    """One row of the tape, with its values as tensors.

    Attributes
    ----------
    slots : list of int
        The slots of its operands and outputs, 0 for what is not there.
    words : list of int
        Its attributes.
    noted : bool
        Whether there are notes about its outputs, such as hooks.
    """

    __slots__ = ("_versions", "code", "inputs", "kind", "note", "noted", "offset", "slots", "words")

    def __init__(self, offset: int) -> None:
        tape = store.tape_words
        line = tape[offset : offset + tape[offset + T_WORDS]].tolist()
        self.offset = offset
        self.kind, self.code, self.inputs = line[T_KIND], line[T_OP], line[T_INPUTS]
        end = line[T_ATTRS]
        self.slots, self._versions = line[T_OPERANDS:end:2], line[T_OPERANDS + 1 : end : 2]
        self.words = line[end:]
        words = store.slots
        flags = 0
        for slot in self.slots[self.inputs :]:
            flags |= words[slot * SLOT_WORDS + S_FLAGS]
        self.noted, self.note = flags & layout.NOTED != 0, _NOTHING
        if self.noted:
            noted = (n.row for n in map(note_of, self.outputs) if n is not None and n.row is not None)
            self.note = next(noted, _NOTHING)

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
        if self.noted and k in self.note.packed:
            value = self.note.packed[k].unpack()
            return with_history(value, handle_of(slot)) if slot else value
        if not slot or version == NOT_SAVED:
            return None
        now = store.version(slot)
        if now != version:
            raise RuntimeError(describe_stale([self.offset, k, version, now]))
        return handle_of(slot)

    def shape(self, k: int) -> tuple[int, ...]:
        """Shape of entry `k`."""
        return slot_shape(self.slots[k])


class Walk:
    """One walk back that is recorded.

    Parameters
    ----------
    captured : set of int, optional
        Slots whose cotangents are asked for; only rows on the way to them are walked. If not given, those of
        leaves and of tensors that retain their gradient.
    retain : bool
        Keep the rows that are walked.

    Attributes
    ----------
    found : dict
        The cotangents that were asked for, by slot.
    """

    def __init__(self, captured: set[int] | None, retain: bool) -> None:
        self.found: dict[int, Tensor] = {}
        self._captured, self._retain = captured, retain
        self._needed = 0 if captured is None else layout.NEEDED | layout.CAPTURE
        self._waiting: dict[int, Tensor] = {}
        self._rows: list[int] = []  # a heap of those to be walked, the last first
        self._met: set[int] = set()
        self._held: dict[
            int, Tensor
        ] = {}  # of rows that go: what only a row behind them has kept in the graph

    def give(self, slot: int, g: Tensor) -> None:
        """Hand a cotangent to a slot, adding to what it has."""
        words, at = store.slots, slot * SLOT_WORDS
        row = words[at + S_ROW]
        if self._captured is not None:
            asked = slot in self._captured
        else:
            asked = row == layout.NO_ROW or words[at + S_FLAGS] & layout.RETAIN_GRAD != 0
        if asked:
            _add(self.found, slot, g) if row < 0 else self.found.setdefault(slot, g)
        elif row <= layout.FREED_ROW:
            raise RuntimeError(SECOND_TIME)
        if row >= 0:
            if row not in self._met:
                self._met.add(row)
                heapq.heappush(self._rows, -row)
            if not self._retain and slot not in self._held:
                self._held[slot] = handle_of(slot)
            _add(self._waiting, slot, g)

    def finish(self) -> None:
        """Walk all rows that have been reached."""
        while self._rows:
            row = Row(-heapq.heappop(self._rows))
            if store.recording is not None:
                _tell_recording(row.offset)
            self._pass(row, self._seen(row))
            if not self._retain:
                _free(row.offset)
                for slot in row.outputs:
                    self._held.pop(slot, None)
            if row.noted:
                settle_notes(row.outputs)
        for slot in self.found:
            if store.slots[slot * SLOT_WORDS + S_ROW] == layout.NO_ROW:
                self.found[slot] = cotangent_after_hooks(slot, self.found[slot])

    def _seen(self, row: Row) -> list[Tensor | None]:
        """The complete cotangents of a row's outputs, after hooks."""
        waiting, found, came = self._waiting, self.found, []
        for slot in row.slots[row.inputs :]:
            g = waiting.pop(slot, None)
            if g is not None:
                if row.noted:
                    g = cotangent_after_hooks(slot, g)
                if slot in found:
                    found[slot] = g
            came.append(g)
        return came

    def _pass(self, row: Row, came: Cotangents) -> None:
        """Hand the cotangents of a row's outputs on to its operands."""
        words, needed = store.slots, self._needed
        wanted = []
        for slot in row.slots[: row.inputs]:
            flags = words[slot * SLOT_WORDS + S_FLAGS] if slot else 0
            wanted.append(flags & layout.REQUIRES_GRAD != 0 and (not needed or flags & needed != 0))
        if True not in wanted:
            return
        wanted = tuple(wanted)
        if row.noted or is_anomaly_enabled():
            for k, g in enumerate(_handed_back(row, came, wanted)):
                if g is not None:
                    self.give(row.slots[k], g)
        else:
            for k, g in _gradients(row, came, wanted):
                self.give(row.slots[k], g)


def walk(
    roots: Sequence[Tensor], seeds: Sequence[Tensor], captured: set[int] | None, retain: bool
) -> dict[int, Tensor]:
    """Walk back from the roots, recording; returns cotangents by slot.

    Parameters
    ----------
    roots, seeds : sequence of Tensor
        Where to start, and with which cotangents.
    captured, retain
        As for `Walk`.
    """
    made = Walk(captured, retain)
    with enable_grad(), Walking() as here:
        for root, seed in zip(roots, seeds, strict=True):
            made.give(root._slot, seed)
        made.finish()
        here.end()
    drop_freed_nodes()
    return made.found


def _handed_back(row: Row, cotangents: Cotangents, wanted: tuple[bool, ...]) -> list[Tensor | None]:
    """What a row hands back to each operand, after hooks."""
    came = through_hooks(row.note.before, cotangents)
    gradients: list[Tensor | None] = [None] * row.inputs
    try:
        for k, g in _gradients(row, came, wanted):
            gradients[k] = g
    except Exception as error:
        name_line(error, row.note)
        raise
    check_gradients(row.offset, gradients, row.note)
    return through_hooks(row.note.after, gradients, tuple(came))


def _add(where: dict[int, Tensor], slot: int, g: Tensor) -> None:
    known = where.get(slot)
    where[slot] = g if known is None else known + g  # type: ignore[operator]


def _tell_recording(offset: int) -> None:
    recording = store.recording_here
    if recording is not None and offset < recording.first_row:
        recording.spoil("walks back over operations from before the step", DETACH)


def _free(offset: int) -> None:
    state = array("q", bytes(8 * layout.WALK_WORDS))
    entries.leave_row(CONTEXT, state.buffer_info()[0], offset)


def _gradients(row: Row, cotangents: Cotangents, wanted: tuple[bool, ...]) -> Gradients:
    if row.kind == layout.PYTHON:
        yield from _of_function(row, cotangents, wanted)
        return
    if row.kind in (layout.STRIDED_VIEW, layout.RESHAPE):
        (g,) = cotangents
        if g is not None:
            shape = row.shape(0)
            yield 0, g.reshape(shape) if row.kind == layout.RESHAPE else formulas.unview(g, row.words, shape)
        return
    asked = plan(row.code, wanted)
    if asked.together:
        yield from _of_several(row, asked, cotangents)
        return
    gradient = _GRADIENTS[row.kind]
    for formula in asked.formulas:
        g = gradient(row, formula, cotangents)
        if g is not None:
            yield formula.operand, _fitted(g, row, formula.operand)


def _of_several(row: Row, asked: Plan, cotangents: Cotangents) -> Gradients:
    found = _of_arrays(row, asked.formulas[0], cotangents) or {}
    for k, name in asked.together.items():
        g = found.get(name)
        if g is not None:
            yield k, _fitted(g, row, k)


def _fitted(g: Any, row: Row, k: int) -> Tensor:
    """A gradient in the shape and dtype of operand `k`."""
    words, at, to = store.slots, g._slot * SLOT_WORDS, row.slots[k] * SLOT_WORDS
    dims = words[to + S_DIMS]
    sizes = words[to + S_SHAPE : to + S_SHAPE + dims]
    if words[at + S_DIMS] != dims or words[at + S_SHAPE : at + S_SHAPE + dims] != sizes:
        g = formulas.sum_to(g, row.shape(k))
    if words[at + S_DTYPE] != words[to + S_DTYPE]:
        g = g.to(slot_dtype(row.slots[k]))
    return g


def _of_function(row: Row, cotangents: Cotangents, wanted: Sequence[bool]) -> Gradients:
    node = python_nodes[row.code]
    places = [handle_of(s) if s else None for s in row.slots]
    gradients = node.run_backward(list(cotangents), record=True, entries=places)
    for k, g in enumerate(gradients):
        if g is not None and wanted[k]:
            yield k, g


def _of_map(row: Row, formula: Formula, cotangents: Cotangents) -> Any:
    g = cotangents[0]
    function = formula.function
    if g is None or function is identity:
        return g
    gradient = function(*[read(row, cotangents) for read in formula.readings])  # type: ignore[misc]
    # a formula may give one number for all elements
    shape = shape_of(g)
    return gradient if shape_of(gradient) == shape else gradient.expand(shape)


def _of_reduction(row: Row, formula: Formula, cotangents: Cotangents) -> Any:
    if cotangents[0] is None:
        return None
    gradient = formula.function(*[read(row, cotangents) for read in formula.readings])  # type: ignore[misc]
    shape = row.shape(0)
    return gradient if shape_of(gradient) == shape else gradient.expand(shape)


def _of_arrays(row: Row, formula: Formula, cotangents: Cotangents) -> Any:
    if formula.function is None:
        raise NotImplementedError(
            f"{row_name(row.offset)}: the gradient of {OPS[row.code].name} for {formula.name} has no formula, so it "
            "cannot itself be differentiated; call backward or grad without create_graph"
        )
    for k in formula.cotangents:
        if cotangents[k] is not None:
            break
    else:
        return None
    return formula.function(formulas, *[read(row, cotangents) for read in formula.readings])  # type: ignore[misc]


_GRADIENTS = {layout.MAP: _of_map, layout.REDUCE: _of_reduction, layout.ARRAYS: _of_arrays}
