"""Hooks on the values that the tape keeps for the walk back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, demand
from ..engine.entry import entries
from ..engine.layout import (
    ARRAYS,
    NOT_SAVED,
    PYTHON,
    S_OUTPUT,
    S_ROW,
    SLOT_WORDS,
    T_INPUTS,
    T_KIND,
    T_OPERANDS,
    T_OUTPUTS,
)
from ..store import store
from .modes import no_grad
from .notes import drop_old_notes, row_note, watch_slot
from .observe import observe, stop_observing

_thread = threading.local()


class Packed:
    """A saved value in the form that a pack hook has given it."""

    __slots__ = ("_form", "_kept", "_unpack")

    def __init__(self, value: Tensor, pack: Callable, unpack: Callable) -> None:
        version = store.version(value._slot)
        with no_grad():
            self._kept = pack(value)
        if store.version(value._slot) != version:
            raise RuntimeError("A saved tensor pack hook is modifying its input in place; work on a clone()")
        self._unpack = unpack
        self._form = value.shape, value.dtype

    def unpack(self) -> Tensor:
        """The value, from what the pack hook has kept."""
        with no_grad():
            value = self._unpack(self._kept)
        if not isinstance(value, Tensor):
            raise TypeError(
                "Output of saved tensor unpack_hook expected to be a Tensor but got result of type "
                f"{type(value).__name__}"
            )
        if (value.shape, value.dtype) != self._form:
            shape, kind = self._form
            raise RuntimeError(
                f"saved_tensors_hooks: unpack_hook returned {value.dtype.name} of shape {list(value.shape)}; "
                f"expected {kind.name} of shape {list(shape)}, as was packed"
            )
        return value


def active() -> list[Any]:
    """The hooks that this thread has entered, the innermost last; one that is None switches them off."""
    found = getattr(_thread, "stack", None)
    if found is None:
        found = _thread.stack = []
    return found


def pack(value: Tensor) -> Packed | None:
    """The packed form of a value that is about to be saved; None without hooks."""
    stack = active()
    return Packed(value, *stack[-1]) if stack and stack[-1] is not None else None


def _is_extra(slot: int) -> bool:
    """Whether a slot is a second result of an array operation, which rows may use to pass notes to one another."""
    at = slot * SLOT_WORDS
    row = store.slots[at + S_ROW]
    if store.slots[at + S_OUTPUT] == 0:
        return False
    return row < 0 or int(store.tape[row + T_KIND]) == ARRAYS


def _pack_row(slot: int) -> None:
    """Pack what the row that has just made `slot` keeps."""
    stack = active()
    if not stack or stack[-1] is None:
        return
    offset = store.slots[slot * SLOT_WORDS + S_ROW]
    tape = store.tape
    count = int(tape[offset + T_INPUTS] + tape[offset + T_OUTPUTS])
    places = tape[offset + T_OPERANDS : offset + T_OPERANDS + 2 * count].tolist()
    saved = [k for k in range(count) if places[2 * k] and places[2 * k + 1] != NOT_SAVED]
    if int(tape[offset + T_KIND]) == PYTHON:
        return  # what it keeps has been packed with its context
    if not saved or any(_is_extra(s) for s in places[::2] if s):
        return
    note = row_note(slot)
    for k in saved:
        note.packed[k] = Packed(wrap(demand("detach", places[2 * k])), *stack[-1])
    for k in saved:
        entries.forget_saved(CONTEXT, offset, k)
    watch_slot(slot)


class saved_tensors_hooks:
    """Let two functions decide in which form values wait for the walk back.

    Parameters
    ----------
    pack_hook : callable
        ``pack_hook(tensor)`` is called with each value that is kept; what it returns is kept instead.
    unpack_hook : callable
        ``unpack_hook(packed)`` returns the value again, when a walk needs it.

    Notes
    -----
    The values are those that jitgrad's operations keep, which are not always the ones that PyTorch's keep: a fused
    operation has fewer. What operations with several results keep (a normalisation's
    statistics, the states of a recurrent layer) stays with them. The memory of what is packed is given back at once.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if getattr(_thread, "refused", None):
            raise RuntimeError(_thread.refused[-1])
        drop_old_notes()
        active().append((self.pack_hook, self.unpack_hook))
        observe(_pack_row)

    def __exit__(self, *error: Any) -> None:
        stop_observing(_pack_row)
        active().pop()
        drop_old_notes()


class save_on_cpu(saved_tensors_hooks):
    """Keep saved values on the CPU, where they are anyway."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        del pin_memory, device_type
        super().__init__(_same, _same)


def _same(value: Any) -> Any:
    return value


class disable_saved_tensors_hooks:
    """Inside, entering `saved_tensors_hooks` raises RuntimeError with this message.

    Parameters
    ----------
    error_message : str
        What the error says.
    """

    def __init__(self, error_message: str) -> None:
        self._message = error_message

    def __enter__(self) -> None:
        if active():
            raise RuntimeError(self._message)
        if not hasattr(_thread, "refused"):
            _thread.refused = []
        _thread.refused.append(self._message)

    def __exit__(self, *error: Any) -> None:
        _thread.refused.pop()


def allow_mutation_on_saved_tensors() -> Any:
    """Not available: a saved value that was overwritten is an error that names the operation."""
    raise RuntimeError(
        "allow_mutation_on_saved_tensors: jitgrad does not copy saved values when they are overwritten; clone() "
        "the tensor before the write, or use the operation without the underscore"
    )
