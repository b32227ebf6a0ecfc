"""What the tape says of its rows, each known by its offset: which slots it names, and which rows are behind it."""

from __future__ import annotations

from .engine.layout import S_ROW, T_INPUTS, T_OPERANDS, T_OUTPUTS
from .slots import slot_word
from .store import store


def slots_of(offset: int) -> list[int]:
    """The slots of a row's operands, then of its outputs; 0 for what is not there."""
    tape = store.tape
    count = int(tape[offset + T_INPUTS] + tape[offset + T_OUTPUTS])
    return tape[offset + T_OPERANDS : offset + T_OPERANDS + 2 * count : 2].tolist()


def operands_of(offset: int) -> list[int]:
    """The slots of a row's operands, 0 for one that was left out."""
    return slots_of(offset)[: int(store.tape[offset + T_INPUTS])]


def outputs_of(offset: int) -> list[int]:
    """The outputs of a row that are still there."""
    return [slot for slot in slots_of(offset)[int(store.tape[offset + T_INPUTS]) :] if slot]


def rows_behind(slot: int) -> list[int]:
    """Offsets of every row that a slot depends on, in the order of the tape."""
    found: set[int] = set()
    waiting = [slot_word(slot, S_ROW)]
    while waiting:
        offset = waiting.pop()
        if offset < 0 or offset in found:
            continue
        found.add(offset)
        waiting += [slot_word(s, S_ROW) for s in operands_of(offset) if s]
    return sorted(found)
