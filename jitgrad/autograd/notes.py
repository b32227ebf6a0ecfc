"""What Python has written down about slots: hooks, values that it keeps for them, and where they were computed.

A note lives in a dict under its slot's number. The slot's flag NOTED tells whether the note is that slot's or that
of one which had the number before. A hook is kept alive by the note as long as a walk can come by; after that only
by the tensor that it was registered on, so that a hook which refers to its own tensor goes with it.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .._tensor import Tensor
from ..dispatch import CONTEXT
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import (
    S_FLAGS,
    S_HANDLES,
    S_ROW,
    SLOT_WORDS,
)
from ..store import store
from ..tape import outputs_of
from ..utils.hooks import RemovableHandle

FEWEST = 64  # notes of slots that are gone do not matter up to this number


class RowNote:
    """What concerns the row that made a slot; its outputs share it.

    Attributes
    ----------
    before, after : OrderedDict
        Hooks of the node.
    packed : dict
        For each entry of the row whose value Python keeps: what keeps it.
    line : str
        Where it was recorded, or "".
    """

    __slots__ = ("after", "before", "line", "packed")

    def __init__(self) -> None:
        self.before: OrderedDict[int, Callable] = OrderedDict()
        self.after: OrderedDict[int, Callable] = OrderedDict()
        self.packed: dict[int, Any] = {}
        self.line = ""


class Note:
    """What concerns one slot: hooks of the tensor, and the note of its row."""

    __slots__ = ("_hooks", "_owner", "_weak", "row")

    def __init__(self) -> None:
        self._hooks: tuple[OrderedDict, OrderedDict] | None = None
        self._weak: Any = None
        self._owner: Any = None
        self.row: RowNote | None = None

    def _pair(self) -> Any:
        if self._hooks is not None:
            return self._hooks
        return None if self._weak is None else (self._weak[0](), self._weak[1]())

    @property
    def hooks(self) -> OrderedDict[int, Callable] | None:
        """Hooks that see, and may replace, the tensor's gradient."""
        pair = self._pair()
        return None if pair is None else pair[0]

    @property
    def accumulated(self) -> OrderedDict[int, Callable] | None:
        """Hooks that run when the gradient has been added to ``.grad``."""
        pair = self._pair()
        return None if pair is None else pair[1]

    def own(self, tensor: Tensor) -> tuple[OrderedDict, OrderedDict]:
        """The hooks, kept alive by the note and by the tensor."""
        pair = self._pair()
        if pair is None or pair[0] is None:
            pair = (OrderedDict(), OrderedDict())
        self._hooks = tensor.__dict__["_hooks"] = pair
        self._weak = (weakref.ref(pair[0]), weakref.ref(pair[1]))
        self._owner = weakref.ref(tensor)
        return pair

    def owner(self, handle: Tensor) -> Tensor:
        """The tensor itself on which hooks were registered, or this handle of its slot if that is gone."""
        tensor = None if self._owner is None else self._owner()
        return handle if tensor is None or tensor._slot != handle._slot else tensor

    def hold(self, on: bool) -> None:
        """Keep the hooks alive, or leave that to their tensor."""
        pair = self._pair()
        self._hooks = pair if on and pair is not None and pair[0] is not None else None


notes: dict[int, Note] = {}
_limit = FEWEST


def note_of(slot: int) -> Note | None:
    """The note of a slot, if there is one."""
    return notes.get(slot) if store.slots[slot * SLOT_WORDS + S_FLAGS] & layout.NOTED else None


def make_note(slot: int) -> Note:
    """The note of a slot."""
    global _limit
    note = note_of(slot)
    if note is None:
        if len(notes) >= _limit:
            drop_old_notes()
            _limit = max(FEWEST, 2 * len(notes))
        note = notes[slot] = Note()
        entries.set_flag(CONTEXT, slot, layout.NOTED, True)
    return note


def move_note(slot: int, to: int) -> None:
    """What was written down about one slot is about another now, which has its place in the graph."""
    if slot in notes:
        notes[to] = notes.pop(slot)


def row_note(slot: int) -> RowNote:
    """The note of the row that made a slot, or of the leaf as the place where gradients are accumulated."""
    offset = store.slots[slot * SLOT_WORDS + S_ROW]
    slots = outputs_of(offset) if offset >= 0 else [slot]
    found = next((n.row for n in map(note_of, slots) if n is not None and n.row is not None), None)
    if found is None:
        found = RowNote()
    for s in slots:
        make_note(s).row = found
    return found


def watch_slot(slot: int) -> None:
    """Let walks stop when they come to this slot's row, or end at this leaf."""
    offset = store.slots[slot * SLOT_WORDS + S_ROW]
    for s in outputs_of(offset) if offset >= 0 else (slot,):
        entries.set_flag(CONTEXT, s, layout.HOOKED, True)


def drop_old_notes() -> None:
    """Forget the notes of slots that are gone."""
    for slot in [s for s in notes if not _is_noted(s)]:
        del notes[slot]


def _is_noted(slot: int) -> bool:
    """Whether a slot is in use, and its note its own."""
    words, at = store.slots, slot * SLOT_WORDS
    used = any(words[at + S_HANDLES : at + layout.S_LINKS + 1]) or words[at + layout.S_COTANGENT]
    return bool(used and words[at + S_FLAGS] & layout.NOTED)


def settle_notes(slots: list[int]) -> None:
    """After a walk has passed these slots: what it freed needs no notes about rows, and holds no hooks."""
    words = store.slots
    for slot in slots:
        note = note_of(slot)
        if not _is_noted(slot):
            notes.pop(slot, None)
        elif note is not None:
            at = slot * SLOT_WORDS
            row = words[at + S_ROW]
            if row <= layout.FREED_ROW:
                note.row = None
            note.hold(row >= 0 or (row == layout.NO_ROW and words[at + layout.S_LINKS] > 0))


class HookHandle(RemovableHandle):
    """The handle of a hook on which recorded programs depend."""

    def remove(self) -> None:
        """Remove the hook; doing so twice is allowed."""
        super().remove()
        store.structure_changed()


def hook_keys(slot: int) -> tuple[int, ...]:
    """What tells the hooks that a leaf has now from those that it had at another time."""
    note = note_of(slot)
    return () if note is None else tuple(key for hooks in _all_of(note) for key in hooks)


def hook_functions(slot: int) -> list[Callable]:
    """The hooks of a leaf."""
    note = note_of(slot)
    return [] if note is None else [f for hooks in _all_of(note) for f in hooks.values()]


def _all_of(note: Note) -> list[OrderedDict]:
    row = (None, None) if note.row is None else (note.row.before, note.row.after)
    return [hooks for hooks in (note.hooks, note.accumulated, *row) if hooks]


def add_hook(slot: int, hooks: OrderedDict, hook: Callable, name: str) -> RemovableHandle:
    """Put a hook into a dict of hooks of this slot."""
    if not callable(hook):
        raise TypeError(f"{name}: expected a callable, got {type(hook).__name__}")
    handle = HookHandle(hooks)
    hooks[handle.id] = hook
    watch_slot(slot)
    if store.slots[slot * SLOT_WORDS + S_ROW] == layout.NO_ROW:
        store.structure_changed()
        recording = store.recording_here
        if recording is not None:
            storage = store.slots[slot * SLOT_WORDS + layout.S_STORAGE]
            if int(store.storage_table[storage]["owner"]) != recording.number:
                recording.assigned("a hook of a tensor from outside")
    return handle
