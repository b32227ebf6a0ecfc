"""Walking one row so that Python sees, and may replace, the gradients that it hands back."""

from __future__ import annotations

from array import array

from .._tensor import Tensor, handle_of, wrap
from ..dispatch import CONTEXT, demand
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import (
    S_COTANGENT,
    S_FLAGS,
    S_STORAGE,
    T_INPUTS,
    T_KIND,
    T_OPERANDS,
)
from ..slots import slot_word
from ..store import store
from ..tape import operands_of, slots_of
from .notes import RowNote
from .python_rows import deliver, run_python_row


def walk_aside(state: int, offset: int, capture: bool, note: RowNote) -> None:
    """Hand on the cotangents of the row at `offset`: unpack what it needs, check it, show it to hooks."""
    from .anomaly import check_gradients, naming_line
    from .hooks import through_hooks

    operands = operands_of(offset)
    outputs = [int(s) for s in slots_of(offset)[len(operands) :]]
    came = tuple(_cotangent(s) for s in outputs)
    with naming_line(note):
        gradients = _gradients(offset, capture, note)
    check_gradients(offset, gradients, note)
    gradients = through_hooks(note.after, gradients, came)
    for slot, gradient in zip(operands, gradients, strict=True):
        if gradient is not None:
            deliver(state, slot, entries.retain(CONTEXT, gradient._slot))


def _cotangent(slot: int) -> Tensor | None:
    found = slot_word(slot, S_COTANGENT) if slot else 0
    return handle_of(found) if found else None


def _gradients(offset: int, capture: bool, note: RowNote) -> list[Tensor | None]:
    """What a row hands back to each of its operands; None where nothing is wanted."""
    tape = store.tape
    inputs = int(tape[offset + T_INPUTS])
    slots = slots_of(offset)
    values = {k: packed.unpack() for k, packed in note.packed.items()}
    places = offset + T_OPERANDS
    before = tape[places : places + 2 * len(slots)].copy()
    stand_ins: dict[int, int] = {}
    own = array("q", (layout.NO_ROW, 0, 0, 1, capture, 0, layout.LEAVES_SEEN))
    try:
        for k, slot in enumerate(slots):
            wanted = k < inputs and slot and slot_word(slot, S_FLAGS) & layout.REQUIRES_GRAD
            if not (wanted or k in values):
                continue
            value = values[k]._slot if k in values else 0
            # an output of which only the value was needed is gone
            stand_ins[k] = demand("stand_in", slot or value, value, k >= inputs and slot != 0)
            store.tape[places + 2 * k] = stand_ins[k]
            if value:
                version = int(store.storage_table[slot_word(value, S_STORAGE)]["version"])
                store.tape[places + 2 * k + 1] = version
        _walk(own.buffer_info()[0], offset, capture)
        found: list[Tensor | None] = [None] * inputs
        for k in range(inputs):
            if k in stand_ins:
                slot = entries.take_cotangent(CONTEXT, stand_ins[k])
                found[k] = wrap(slot) if slot else None
        return found
    finally:
        store.tape[places : places + len(before)] = before
        for k, slot in stand_ins.items():
            if k < inputs:
                left = entries.take_cotangent(CONTEXT, slot)
                if left:
                    entries.release(CONTEXT, left)
            entries.end_stand_in(CONTEXT, slot)
        del values


def _walk(state: int, offset: int, capture: bool) -> None:
    from .backward import raise_status

    if int(store.tape[offset + T_KIND]) == layout.PYTHON:
        run_python_row(state, offset, capture)
        return
    while (status := entries.walk_one(CONTEXT, state, offset)) != 0:
        if not store.mend(status):
            raise_status(status)
