"""What compiled code reads of a program: a header, and the tables of arguments, guards, gradients and results."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dispatch import CONTEXT
from ..engine.entry import entries
from ..engine.layout import (
    ANY_GRADIENT,
    ARGUMENT_WORDS,
    G_ADDRESS,
    G_DTYPE,
    G_FLAGS,
    G_GRAD,
    G_NUMEL,
    G_SLOT,
    GRADIENT_WORDS,
    GUARD_WORDS,
    GUARDED_FLAGS,
    MAX_DIMS,
    RESULT_WORDS,
    S_ADDRESS,
    S_DIMS,
    S_DTYPE,
    S_FLAGS,
    S_GRAD,
    S_HANDLES,
    S_LINKS,
    S_NUMEL,
    S_SHAPE,
    S_STORAGE,
    S_STRIDES,
    SLOT_WORDS,
    program_dtype,
)
from ..store import store
from .recording import Recording, Spoiled

_GUARDED = ((G_ADDRESS, S_ADDRESS), (G_DTYPE, S_DTYPE), (G_NUMEL, S_NUMEL))  # words of a guard, and of a slot


class Tables:
    """The header of a program and what it names.

    Attributes
    ----------
    header : numpy.ndarray
        One element of the engine's `program_dtype`.
    named : dict of str to numpy.ndarray
        The tables.
    """

    def __init__(self) -> None:
        self.header = np.zeros(1, program_dtype)
        self.named: dict[str, np.ndarray] = {}
        self._held: list[int] = []  # slots of which the program has a handle

    def write(self, name: str, lines: list[list[int]], width: int, count: str | None = None) -> None:
        """Write a table of the header."""
        padded = [line + [0] * (width - len(line)) for line in lines]
        table = np.array(padded, np.int64).reshape(-1, width)
        self._put(name, table, count or ("" if name == "arguments" else name.removesuffix("s") + "_count"))

    def _put(self, name: str, table: np.ndarray, count: str = "") -> None:
        """Let the header name a table, and say how long it is."""
        self.named[name] = table
        header = self.header[0]
        header[name] = table.ctypes.data
        if count:
            header[count] = len(table)

    def put_arguments(self, arguments: list[dict[str, Any]], storages: list[int], written: set[int]) -> None:
        """Say what the arguments, of which these are the geometry and the storages, have to be like."""
        lines = []
        for x, storage in zip(arguments, storages, strict=True):
            shape = x["shape"] + [0] * (MAX_DIMS - len(x["shape"]))
            strides = x["strides"] + [0] * (MAX_DIMS - len(x["strides"]))
            lines.append([x["dtype"], x["flags"], storage in written, len(x["shape"]), *shape, *strides])
        self.write("arguments", lines, ARGUMENT_WORDS)

    def put_guards(
        self, outside: list[int], before: dict[int, int], arguments: set[int], gradients: list[list[int]]
    ) -> None:
        """Guard every tensor that shows memory from outside, and hold it so that its slot stays its own."""
        count = store.field("slot_top")
        table = store.slot_table[:count].view(np.int64).reshape(count, SLOT_WORDS)
        is_outside = np.zeros(store.field("storage_top"), bool)
        is_outside[outside] = True
        shown = np.flatnonzero(is_outside[table[:, S_STORAGE]])
        shown = shown[table[shown, S_HANDLES] > 0]
        slots = dict.fromkeys(s for s in shown.tolist() if s not in arguments)
        slots.update(dict.fromkeys(leaf for leaf, _, _ in gradients))
        slots.update(dict.fromkeys(slot for slot in before if slot not in arguments))
        guarded = [*slots]
        lines = np.empty((len(guarded), GUARD_WORDS), np.int64)
        lines[:, G_SLOT] = guarded
        known = table[guarded] if guarded else table[:0]
        for word, field in _GUARDED:
            lines[:, word] = known[:, field]
        lines[:, G_FLAGS] = known[:, S_FLAGS] & GUARDED_FLAGS
        lines[:, G_GRAD] = [before.get(slot, ANY_GRADIENT) for slot in guarded]
        for slot in guarded:
            entries.retain(CONTEXT, slot)
        self._held += guarded
        self._put("guards", lines, "guard_count")

    def put_gradients(self, lines: list[list[int]]) -> None:
        """Name the leaves whose gradients are set, and hold what these are in the end."""
        for _leaf, grad, _own in lines:
            if grad:
                self._hold(grad)
        self.write("gradients", lines, GRADIENT_WORDS)

    def put_results(self, results: list[dict[str, Any]]) -> None:
        """Say where the results are and what they are like."""
        lines = [[x["address"], x["dtype"], len(x["shape"]), *x["shape"]] for x in results]
        self.write("results", lines, RESULT_WORDS)

    def _hold(self, slot: int) -> None:
        entries.retain(CONTEXT, slot)
        self._held.append(slot)

    def let_go(self) -> bool:
        """Give back the handles; whether there were any."""
        held, self._held = self._held, []
        for slot in held:
            entries.release(CONTEXT, slot)
        return bool(held)


def geometry(x: Tensor) -> dict[str, Any]:
    """Where a tensor lies and what it is like, as a guard sees it."""
    at = x._slot * SLOT_WORDS
    words = store.slots[at : at + SLOT_WORDS].tolist()
    dims = words[S_DIMS]
    return {
        "address": words[S_ADDRESS],
        "dtype": words[S_DTYPE],
        "shape": words[S_SHAPE : S_SHAPE + dims],
        "strides": words[S_STRIDES : S_STRIDES + dims],
        "flags": words[S_FLAGS] & GUARDED_FLAGS,
    }


def gradients_set(recording: Recording, arguments: list[Tensor]) -> list[list[int]]:
    """The leaves whose gradients the step sets, with what they are in the end."""
    lines: dict[int, list[int]] = {}
    own = {x._slot for x in arguments}
    words, owners, number = store.slots, store.storage_table["owner"], recording.number
    for leaf in dict.fromkeys(recording.events[:, 1].tolist()):
        at = leaf * SLOT_WORDS
        storage = words[at + S_STORAGE]
        if not storage or not (words[at + S_HANDLES] or words[at + S_LINKS]):
            continue
        if owners[storage] == number:
            continue  # a leaf made within the step
        if leaf in own:
            raise Spoiled("sets the gradient of an argument")
        grad = words[at + S_GRAD]
        mine = grad != 0 and bool(owners[words[grad * SLOT_WORDS + S_STORAGE]] == number)
        lines[leaf] = [leaf, grad, mine]
    return list(lines.values())
