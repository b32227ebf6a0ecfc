"""Hooks on tensors and nodes: how they are registered, and what a walk does when it meets them."""

from __future__ import annotations

import contextlib
import ctypes
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._tensor import Tensor, handle_of, method
from ..dispatch import CONTEXT
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import S_COTANGENT, S_FLAGS, S_NEXT, SLOT_WORDS
from ..store import store
from ..tape import operands_of, outputs_of, slots_of
from ..utils.hooks import RemovableHandle
from .aside import walk_aside
from .modes import no_grad
from .notes import Note, RowNote, add_hook, make_note, note_of, settle_notes

_skipped: set[int] = set()


@contextlib.contextmanager
def without_hooks_of(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Do not run the hooks of these tensors inside: another walk, of which this one is a part, will."""
    added = {x._slot for x in tensors} - _skipped
    _skipped.update(added)
    try:
        yield
    finally:
        _skipped.difference_update(added)


@method
def register_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call ``hook(grad)`` whenever a walk back has the complete gradient of this tensor.

    Parameters
    ----------
    hook : callable
        May return a tensor that takes the place of the gradient. Hooks run in the order of their registration,
        and before the gradient is kept in ``.grad``.

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.

    Raises
    ------
    RuntimeError
        If the tensor does not require gradients.
    """
    if not self.requires_grad:
        raise RuntimeError(
            "register_hook: cannot register a hook on a tensor that doesn't require gradient; set "
            "requires_grad=True before it is used"
        )
    hooks = _own(self)[0]
    return add_hook(self._slot, hooks, hook, "register_hook")


@method
def register_post_accumulate_grad_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> RemovableHandle:
    """Call ``hook(tensor)`` after a walk back has added to this leaf's ``.grad``.

    The hooks of all leaves run at the end of the walk, when every gradient is in place.

    Returns
    -------
    RemovableHandle
        Its ``remove()`` takes the hook away.

    Raises
    ------
    RuntimeError
        If the tensor does not require gradients, or is not a leaf.
    """
    if not self.requires_grad:
        raise RuntimeError(
            "register_post_accumulate_grad_hook: cannot register a hook on a tensor that doesn't require gradient"
        )
    if not self.is_leaf:
        raise RuntimeError(
            "register_post_accumulate_grad_hook: post accumulate grad hooks cannot be registered on non-leaf "
            "tensors; use register_hook"
        )
    hooks = _own(self)[1]
    return add_hook(self._slot, hooks, hook, "register_post_accumulate_grad_hook")


def _own(tensor: Tensor) -> tuple[OrderedDict, OrderedDict]:
    return make_note(tensor._slot).own(tensor)


def state_word(address: int, word: int) -> int:
    """A word of a walk's state."""
    return ctypes.c_int64.from_address(address + 8 * word).value


def set_state_word(address: int, word: int, value: int) -> None:
    """Set a word of a walk's state."""
    ctypes.c_int64.from_address(address + 8 * word).value = value


class Sights:
    """What one walk has shown to Python, to be dealt with when it is over."""

    def __init__(self) -> None:
        self._accumulated: list[tuple[Tensor, Tensor | None]] = []
        self._slots: list[int] = []

    def look(self, state: int, capture: bool) -> None:
        """Run the hooks for which a walk has stopped, and let it go on."""
        offset = state_word(state, layout.W_CURSOR)
        with no_grad():
            if state_word(state, layout.W_PENDING) <= 0 or offset < 0:
                self._leaves(state, capture)
                set_state_word(state, layout.W_SEEN, layout.LEAVES_SEEN)
            elif self._row(state, offset, capture):
                entries.leave_row(CONTEXT, state, offset)
            else:
                set_state_word(state, layout.W_SEEN, offset + 1)

    def finish(self) -> None:
        """After the walk: the hooks of leaves that have their gradients now."""
        accumulated, self._accumulated = self._accumulated, []
        with no_grad():
            for leaf, gradient in accumulated:
                run_accumulated(leaf, gradient)
        settle_notes(self._slots)

    def _row(self, state: int, offset: int, capture: bool) -> bool:
        """A row that the walk has come to; True when it has been walked here."""
        slots = outputs_of(offset)
        self._slots += slots
        leads, note = not capture, None
        for slot in slots:
            mine = note_of(slot)
            flags = store.slots[slot * SLOT_WORDS + S_FLAGS]
            reached = store.slots[slot * SLOT_WORDS + S_COTANGENT] != 0
            leads = leads or bool(reached and flags & layout.NEEDED)
            if mine is not None:
                note = note or mine.row
                if reached and (not capture or flags & (layout.NEEDED | layout.CAPTURE)):
                    run_tensor_hooks(slot, mine)
        if not leads:
            return False
        if note is not None and note.before:
            run_node_hooks(note, slots_of(offset)[len(operands_of(offset)) :])
        if not (store.field("watch") or (note is not None and (note.after or note.packed))):
            return False
        walk_aside(state, offset, capture, note or RowNote())
        return True

    def _leaves(self, state: int, capture: bool) -> None:
        leaves = []
        slot = state_word(state, layout.W_LEAVES)
        while slot:
            leaves.append(slot)
            slot = store.slots[slot * SLOT_WORDS + S_NEXT]
        for slot in reversed(leaves):  # in the order in which the walk came to them
            note = note_of(slot)
            if note is None or (capture and not store.slots[slot * SLOT_WORDS + S_FLAGS] & layout.CAPTURE):
                continue
            self._slots.append(slot)
            run_tensor_hooks(slot, note)
            if capture:
                continue
            if note.row is not None and note.row.before:
                run_node_hooks(note.row, [slot])
            if note.accumulated or (note.row is not None and note.row.after):
                after = note.row is not None and note.row.after
                gradient = handle_of(store.slots[slot * SLOT_WORDS + S_COTANGENT]) if after else None
                self._accumulated.append((handle_of(slot), gradient))


def run_tensor_hooks(slot: int, note: Note) -> None:
    """Show the cotangent of a slot to its hooks, and put what they return in its place."""
    hooks = note.hooks
    if not hooks or slot in _skipped:
        return
    before = handle_of(store.slots[slot * SLOT_WORDS + S_COTANGENT])
    after = hooked_gradient(hooks, before)
    if after is not before:
        _swap(slot, after)


def hooked_gradient(hooks: OrderedDict[int, Callable], gradient: Tensor) -> Tensor:
    """A gradient after the hooks of its tensor."""
    for hook in list(hooks.values()):
        result = hook(gradient)
        if result is not None:
            gradient = _fitting(hook, result, gradient)
    return gradient


def _swap(slot: int, gradient: Tensor) -> None:
    entries.swap_cotangent(CONTEXT, slot, entries.retain(CONTEXT, gradient._slot))


def _name(hook: Any) -> str:
    return getattr(hook, "__name__", type(hook).__name__)


def _fitting(hook: Any, result: Any, before: Tensor | None) -> Tensor:
    """What a hook returned in place of a gradient, if it fits."""
    if not isinstance(result, Tensor):
        raise TypeError(f"expected Variable, but hook '{_name(hook)}' returned '{type(result).__name__}'")
    if before is None:
        raise RuntimeError(f"hook '{_name(hook)}': can't replace a None gradient with a non-None value")
    if result.dtype is not before.dtype:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the type of value (was {before.dtype.name} got "
            f"{result.dtype.name}); return a gradient of the same dtype"
        )
    if result.shape != before.shape:
        raise RuntimeError(
            f"hook '{_name(hook)}' has changed the size of value (was {list(before.shape)} got "
            f"{list(result.shape)}); return a gradient of the same shape"
        )
    return result


def replaced(hook: Any, result: Any, before: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """Several gradients after one hook that may have returned others."""
    if result is None:
        return before
    found = result if isinstance(result, tuple) else (result,)
    if len(found) != len(before):
        raise RuntimeError(
            f"hook '{_name(hook)}' has returned an incorrect number of values (got {len(found)}, but expected "
            f"{len(before)})"
        )
    pairs = zip(found, before, strict=True)
    return tuple(None if new is None else _fitting(hook, new, old) for new, old in pairs)


def cotangent_after_hooks(slot: int, gradient: Tensor) -> Tensor:
    """The complete cotangent of a slot after the hooks of its tensor."""
    note = note_of(slot)
    if note is None or not note.hooks or slot in _skipped:
        return gradient
    return hooked_gradient(note.hooks, gradient)


def run_accumulated(leaf: Tensor, gradient: Tensor | None) -> None:
    """The hooks of a leaf that has just got its gradient."""
    note = note_of(leaf._slot)
    if note is not None and leaf.is_leaf:
        leaf = note.owner(leaf)  # hooks may know it as the key of a dict
        for hook in list((note.accumulated or {}).values()):
            hook(leaf)
        if note.row is not None:
            for hook in list(note.row.after.values()):
                hook((), (gradient,))


def through_hooks(
    hooks: OrderedDict[int, Callable], values: Sequence[Tensor | None], *others: Any
) -> list[Tensor | None]:
    """Gradients after the hooks of a node, which are called with them and with `others`."""
    found = tuple(values)
    for hook in list(hooks.values()):
        found = replaced(hook, hook(found, *others), found)
    return list(found)


def run_node_hooks(note: RowNote, slots: list[int]) -> None:
    """Show the cotangents of a row's outputs to the hooks that run before it."""
    found = [store.slots[s * SLOT_WORDS + S_COTANGENT] if s else 0 for s in slots]
    before = tuple(handle_of(s) if s else None for s in found)
    for hook in list(note.before.values()):
        after = replaced(hook, hook(before), before)
        for slot, old, new in zip(slots, before, after, strict=True):
            if new is not old:
                if new is None:
                    from ..functions.creation import zeros_like

                    new = zeros_like(old)  # type: ignore[arg-type]
                _swap(slot, new)
        before = after
