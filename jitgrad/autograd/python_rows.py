"""Rows of a walk that Python runs itself, and how gradients that Python has computed enter a walk."""

from __future__ import annotations

import threading

from .._tensor import handle_of
from ..dispatch import CONTEXT
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import S_FLAGS, SLOT_WORDS, T_INPUTS, T_OP
from ..store import raise_out_of_memory, store
from ..tape import slots_of
from ..ways_out import CATCH_NOTHING
from .graph import SECOND_TIME, python_nodes

_walk = threading.local()


def walks_to_inputs() -> bool:
    """Inside a custom function's backward: whether the walk collects the gradients of chosen tensors only."""
    return getattr(_walk, "to_inputs", False)


def run_python_row(state: int, offset: int, capture: bool) -> None:
    """Run the backward of a custom function's row and hand its results to the operands."""
    slots, inputs = slots_of(offset), int(store.tape[offset + T_INPUTS])
    node = python_nodes[int(store.tape[offset + T_OP])]
    cotangents = []
    for slot in slots[inputs:]:
        found = store.slots[slot * SLOT_WORDS + layout.S_COTANGENT] if slot else 0
        cotangents.append(handle_of(found) if found else None)
    before, _walk.to_inputs = walks_to_inputs(), capture
    try:
        gradients = node.run_backward(cotangents)
    except Exception:
        if store.recording is not None:  # it may do otherwise another time, or in another walk
            store.recording.spoil("raises an exception in a custom function's backward", CATCH_NOTHING)
        raise
    finally:
        _walk.to_inputs = before
    for slot, gradient in zip(slots[:inputs], gradients, strict=True):
        if gradient is None or not slot:
            continue
        flags = store.slots[slot * SLOT_WORDS + S_FLAGS]
        if not flags & layout.REQUIRES_GRAD or (capture and not flags & (layout.NEEDED | layout.CAPTURE)):
            continue
        deliver(state, slot, entries.retain(CONTEXT, gradient._slot))


def deliver(state: int, slot: int, cotangent: int) -> None:
    """Give a cotangent, whose handle goes with it, to a slot in a walk; it is added to what is there.

    Raises
    ------
    RuntimeError
        If the slot's row has been freed, or if there is no memory for the sum.
    """
    while (status := entries.give_cotangent(CONTEXT, state, slot, cotangent)) != 0:
        if status == layout.FREED:
            raise RuntimeError(SECOND_TIME)
        if not store.mend(status):
            raise_out_of_memory()
