"""What the tables say of a slot that no tensor need have."""

from __future__ import annotations

from .dtypes import DTYPES, dtype
from .engine.layout import S_DIMS, S_DTYPE, S_SHAPE, SLOT_WORDS
from .store import store


def slot_word(slot: int, field: int) -> int:
    """One word of a slot."""
    return store.slots[slot * SLOT_WORDS + field]


def slot_shape(slot: int) -> tuple[int, ...]:
    """The shape of a slot."""
    words = store.slots
    at = slot * SLOT_WORDS
    return tuple(words[at + S_SHAPE : at + S_SHAPE + words[at + S_DIMS]])


def slot_dtype(slot: int) -> dtype:
    """The dtype of a slot."""
    return DTYPES[store.slots[slot * SLOT_WORDS + S_DTYPE]]
