"""Switching a leaf's gradient on and off while rows of the tape use it.

Rows know their operands by slots, and saved what the slot's flag asked for at that time: a walk back that found another
flag would miss a gradient, or look for values that nobody saved. So such rows keep the slot as it was, and the tensor
takes another one on the same memory. When it asks again, it goes back to the slot of the rows that it had asked in.
"""

from __future__ import annotations

from ._tensor import Tensor, wrap
from .autograd.notes import move_note
from .dispatch import CONTEXT, demand
from .engine import layout
from .engine.entry import entries
from .engine.layout import S_FLAGS, S_HISTORY, S_LINKS, SLOT_WORDS
from .store import store

_ASKING = (
    "_asking"  # in a tensor's __dict__: the slot in which it asked for gradients, while rows may use that
)
_NOTES = layout.HOOKED | layout.NOTED


def switch(x: Tensor, on: bool) -> None:
    """Let a leaf ask for gradients, or ask no more; what has been computed from it stays as it was."""
    before = x.__dict__.pop(_ASKING, None)
    if on and before is not None and before._word(S_LINKS):
        _move(x, entries.retain(CONTEXT, before._slot))
    elif x._word(S_LINKS):
        if not on:
            before = wrap(entries.retain(CONTEXT, x._slot))
        _move(x, demand("without_history", x._slot))
    if not on and before is not None:
        x.__dict__[_ASKING] = before
    entries.set_flag(CONTEXT, x._slot, layout.REQUIRES_GRAD, on)


def _move(x: Tensor, to: int) -> None:
    """Let the tensor have another slot on its memory, with its gradient, hooks and place among views."""
    before, gradient = x._slot, x.grad
    flags, history = x._word(S_FLAGS), x._word(S_HISTORY)
    held = entries.retain(CONTEXT, before)  # until its notes have gone over
    x._become(to)
    words = store.slots
    words[to * SLOT_WORDS + S_FLAGS] |= flags & (layout.IS_VIEW | _NOTES)
    words[to * SLOT_WORDS + S_HISTORY] = history
    words[before * SLOT_WORDS + S_FLAGS] &= ~_NOTES
    move_note(before, to)
    x.grad = gradient
    entries.set_grad(CONTEXT, before, 0)  # what walks still bring there is nobody's
    entries.release(CONTEXT, held)
