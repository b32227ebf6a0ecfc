"""Recorded writes in place, seen from the other tensors on the same memory.

A write into a view changes its base, and a write into a base changes its views: all of them must have a history
that contains the write. So the write is recorded on the whole memory, as one row, and every tensor on that memory
becomes a view of the result. Their handles stay: `exchange` gives each slot its new place in the graph, and what
was recorded before goes on with the old one. A detached tensor and its views are a family of their own on the same
memory: they see the values that others write, but not their history.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from ._tensor import Tensor, handle_of, wrap
from .dispatch import CONTEXT, demand, view
from .engine import layout
from .engine.entry import entries
from .engine.layout import (
    CONTIGUOUS,
    FAMILIES,
    IS_VIEW,
    NOTED,
    REQUIRES_GRAD,
    RESHAPE,
    S_ADDRESS,
    S_FLAGS,
    S_ROW,
    S_STORAGE,
    SLOT_WORDS,
    STRIDED_VIEW,
    T_KIND,
    T_OPERANDS,
)
from .kernels import BY_NAME
from .lines import line_of
from .refusals import refuse_broadcast
from .slots import slot_dtype, slot_shape
from .store import store

SLICE_PUT = BY_NAME["slice_put"]
NONE = -1


def write(name: str, into: int, operands: Sequence[Any], compute: Callable[[list[Any]], int]) -> int:
    """Record a write into the view in slot `into`; `compute` gives the slot of the new values from the operands.

    Returns
    -------
    int
        `into`, which now shows the result.

    Raises
    ------
    RuntimeError
        When the base is a leaf that requires grad or its memory is not one run, or a walk back is under way.
    """
    _check(name)
    t = handle_of(into)
    others = _on_storage(into)
    storage = t._word(S_STORAGE)
    # what shares the memory is copied, because the walk back may want it as it was
    kept = [x.clone() if x is not None and x._word(S_STORAGE) == storage else x for x in operands]
    value = wrap(compute(kept))
    if value.shape != t.shape:
        refuse_broadcast(f"{name}_", [tuple(value.shape)], tuple(t.shape))
    if value.dtype is not t.dtype:
        value = value.to(t.dtype)  # type: ignore[attr-defined]
    root = _root(into)
    _revive(root, into)
    whole = _flat(name, root, into)
    from .functions._launch import run

    where = _words_in(whole, into)
    written = wrap(run(SLICE_PUT, (whole, value), whole.dtype, tuple(whole.shape), where, whole._slot))
    _spare_others(into)
    for slot in others:
        _show(slot, written, slot == root)
    return into


def follow(base: Tensor) -> None:
    """After a recorded write into `base`: make the views of its memory views of the result."""
    storage = base._word(S_STORAGE)
    if store.storage_table["refs"][storage] <= 2:  # the tensor before and after the write
        return
    _spare_others(base._slot)
    history = store.storage_table["history"][storage]
    table = store.slot_table
    stale = [
        slot
        for slot in _on_storage(base._slot)
        if table["flags"][slot] & IS_VIEW and table["history"][slot] != history
    ]
    if not stale:
        return
    flat = None if store.field("walks") else line_of(base)
    if flat is None:
        # using a view that is left behind is an error, also if nothing flowed to it before
        for slot in stale:
            entries.set_flag(CONTEXT, slot, REQUIRES_GRAD, True)
        return
    for slot in stale:
        _show(slot, flat, False)


def without_repetitions(slot: int) -> Tensor | None:
    """A view of the tensor in a slot with size 1 where it repeats along a dimension; None when it does nowhere."""
    dims = int(store.slot_table[slot]["dims"])
    strides, shape = store.slot_table[slot]["strides"][:dims], slot_shape(slot)
    sizes = [min(n, 1) if s == 0 else n for s, n in zip(strides, shape, strict=True)]
    if tuple(sizes) == shape:
        return None
    words = [dims, *(word for d, n in enumerate(sizes) for word in (n, d, 1, NONE)), *(0,) * dims]
    return wrap(view(STRIDED_VIEW, handle_of(slot), array("q", words), "slice"))


def _check(name: str) -> None:
    if store.field("walks"):
        raise RuntimeError(
            f"{name}_: a view is being modified in place inside a walk back while operations are recorded; "
            "use the operation without the underscore"
        )


def _on_storage(slot: int) -> list[int]:
    """Slots with a handle that follow the history of the memory behind `slot`."""
    table = store.slot_table[: store.field("slot_count")]
    kind, storage = table["dtype"][slot], table["storage"][slot]
    found = (table["storage"] == storage) & (table["handles"] > 0) & (table["dtype"] == kind)
    family = table["flags"] & FAMILIES
    return [int(s) for s in np.flatnonzero(found & (family == family[slot]))]


def _spare_others(slot: int) -> None:
    """After a recorded write by the family of `slot`: the memory's other families have nothing to follow."""
    table = store.slot_table[: store.field("slot_count")]
    storage, family = table["storage"][slot], table["flags"] & FAMILIES
    history = store.storage_table["history"][storage]
    others = (table["storage"] == storage) & (family != family[slot]) & (table["history"] == history - 1)
    table["history"][others] = history


def _root(into: int) -> int:
    """The slot that the view in `into` was taken from, and that from; 0 when it is not known any more."""
    tape, words = store.tape, store.slots
    slot = into
    while words[slot * SLOT_WORDS + S_FLAGS] & IS_VIEW:
        row = words[slot * SLOT_WORDS + S_ROW]
        if row < 0 or int(tape[row + T_KIND]) not in (STRIDED_VIEW, RESHAPE):
            break
        slot = int(tape[row + T_OPERANDS])
    if not words[slot * SLOT_WORDS + S_FLAGS] & IS_VIEW:
        return slot
    bases = [s for s in _on_storage(into) if not words[s * SLOT_WORDS + S_FLAGS] & IS_VIEW]
    return bases[0] if bases else 0


def _flat(name: str, root: int, into: int) -> Tensor:
    """All of the memory as one dimension, with the history of `root`."""
    if root == 0:
        return _unknown_memory(name, into)
    base = handle_of(root)
    if base.is_leaf and base.requires_grad:
        raise RuntimeError(
            f"{name}_: a view of a leaf Variable that requires grad is being used in an in-place operation; do it "
            "under torch.no_grad(), or write into a clone()"
        )
    flat = line_of(base)
    if flat is None:
        _refuse(name)
    store.slots[flat._slot * SLOT_WORDS + S_FLAGS] &= ~IS_VIEW  # it is written into as a base
    return flat


def _revive(root: int, into: int) -> None:
    """Give a base that only the graph still knows its memory again."""
    table, storage = store.slot_table, store.slot_table["storage"][into]
    if root and table["storage"][root] == 0:
        table["storage"][root] = storage
        table["history"][root] = store.storage_table["history"][storage]
        store.storage_table["refs"][storage] += 1


def _refuse(name: str) -> NoReturn:
    raise RuntimeError(
        f"{name}_: a view of a tensor whose memory has gaps is being modified in place while operations "
        "are recorded; write through the base, as in base[index] = value, or use the operation without the "
        "underscore"
    )


def _unknown_memory(name: str, into: int) -> Tensor:
    """The storage from its beginning, for a view whose base nobody holds and that had no history."""
    flat = wrap(demand("without_history", into))
    record = store.slot_table[flat._slot]
    storage = store.storage_table[record["storage"]]
    if storage["address"] == 0 or storage["size_class"] == layout.EXTERNAL:
        _refuse(name)
    size = slot_dtype(into).itemsize
    numel = int(storage["bytes"]) // size
    record["address"], record["dims"], record["numel"] = storage["address"], 1, numel
    record["shape"][0], record["strides"][0] = numel, 1
    record["flags"] = CONTIGUOUS | (record["flags"] & FAMILIES)
    return flat


def _words_in(whole: Tensor, slot: int) -> list[int]:
    """The words of a slot's geometry as a view of one dimension."""
    record = store.slot_table[slot]
    dims = int(record["dims"])
    columns = [
        word
        for size, stride in zip(record["shape"][:dims], record["strides"][:dims], strict=True)
        for word in (int(size), 0 if stride else NONE, int(stride), NONE)  # without a step it repeats
    ]
    start = (int(record["address"]) - whole._word(S_ADDRESS)) // whole.itemsize
    return [dims, *columns, start]


def _show(slot: int, whole: Tensor, is_base: bool) -> None:
    """Let the handles of `slot` show the same part of `whole`."""
    _tell_recording(slot)
    if is_base and store.slots[slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS:
        made = view(RESHAPE, whole, array("q", slot_shape(slot)), "view")
    else:
        made = view(STRIDED_VIEW, whole, array("q", _words_in(whole, slot)), "as_strided")
    if is_base:
        store.slots[made * SLOT_WORDS + S_FLAGS] &= ~IS_VIEW
    entries.exchange(CONTEXT, slot, made)
    if store.slots[made * SLOT_WORDS + S_FLAGS] & NOTED:
        from .autograd.notes import move_note

        move_note(slot, made)
    entries.release(CONTEXT, made)
    store.structure_changed()


def _tell_recording(slot: int) -> None:
    recording: Any = store.recording_here
    if recording is None:
        return
    storage = store.slot_table[slot]["storage"]
    if int(store.storage_table["owner"][storage]) != recording.number:
        recording.spoil("changes the shape, memory or history of a tensor from outside in place")
