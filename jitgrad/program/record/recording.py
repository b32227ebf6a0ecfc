"""One execution of a function with everything it runs written down."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import weakref
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._tensor import Tensor
from ...autograd.graph import drop_freed_nodes
from ...autograd.notes import drop_old_notes
from ...dispatch import CONTEXT
from ...engine.entry import entries
from ...engine.layout import (
    DEAD_OP,
    EXTERNAL,
    NO_ROW,
    S_LINKS,
    S_ROW,
    S_SAVED,
    S_STORAGE,
    SLOT_WORDS,
    SPOILED_OUTSIDE,
    T_INPUTS,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_WORDS,
    TAKEN_BLOCKS,
    TAKEN_HEAD,
    TAKEN_LOG,
)
from ...kernels import program_rows
from ...store import store
from ...user_frames import user_line
from ...ways_out import CATCH_NOTHING, CLONE, DETACH, MEMORY, OUTSIDE, PASS_IN, READ_LATER
from ..spoiled import Spoiled
from .held import Held

RAISED = "raised an exception"
_OUTER = "walks back over operations from before the step", DETACH
_NO_MEMORY = "has no memory for its log", MEMORY
_numbers = itertools.count(1)
ZERO = array("q", [0])  # times a number it is memory, cleared in one pass
_NOTHING = ZERO * TAKEN_HEAD


class Recording:
    """What a function runs while it is recorded.

    Attributes
    ----------
    number : int
        By which storages know their program.
    spoiled : Spoiled or None
        Why it cannot be replayed.
    copies_at_numbers : bool
        Whether ``x[i]`` is a copy when `i` is an integer tensor without dimensions, and not a view.
    could_copy : bool
        Whether it may become a program where it is: nothing else has spoiled it first.
    held : Held
        Those copies or views, and what they were taken from.
    taken_over : list of weak references to Tensor
        Those whose memory has been written to where ``tensor.data = value`` would have moved them.
    address : int
        Of the words of the call records, the blocks of memory taken and what happened to gradients, as they are
        copied after `run`: see TAKEN_LOG.
    """

    lock = threading.RLock()

    def __init__(self, first_row: int = NO_ROW, copies_at_numbers: bool = False) -> None:
        self.number = next(_numbers)
        self.spoiled: Spoiled | None = None
        self.thread = threading.get_ident()
        self._taken = _NOTHING
        self.address = 0
        self.first_row = first_row
        self.boundary = 0  # row of the tape at which a walk back to chosen tensors stops
        self.made: list[Any] = []  # whose lasting memory has been made during the step
        self._moved: list[weakref.ref[Tensor]] = []
        self.arguments: list[Tensor] = []
        self.copies_at_numbers = copies_at_numbers
        self.taken_over: list[weakref.ref[Tensor]] = []
        # by id: tensors that are switched, and whether they asked for a gradient before
        self._switched: dict[int, tuple[weakref.ref[Tensor], bool]] = {}
        # by id: what `tensor.data` has given, and of which tensor
        self._shown: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        # attributes that tensors from outside do not have, of which Python has asked whether they do
        self.missed: list[tuple[Tensor, str]] = []
        self.held = Held()
        self.could_copy = False

    # what the rest of the library reports ------------------------------------------------------------

    def spoil(self, reason: str, way_out: str = OUTSIDE) -> None:
        """Note that the function does something that cannot be replayed, and what the user can do."""
        if self.spoiled is None and threading.get_ident() == self.thread:
            self.spoiled = Spoiled(reason, way_out, user_line())

    def read(self, name: str, way_out: str = READ_LATER) -> None:
        """A tensor's values have gone to Python."""
        self.spoil(f"reads a tensor's value ({name})", way_out)

    def asks_history(self, tensor: Tensor, name: str) -> None:
        """Python looks whether a tensor was computed: an argument with a gradient may be another time, or not."""
        if tensor.requires_grad and any(tensor is x for x in self.arguments):
            self.spoil(f"asks for the history of an argument ({name})")

    def asks_place(self, tensor: Tensor, name: str) -> None:
        """Python looks how memory lies; that of an argument may lie otherwise the next time, and no guard sees it."""
        storage = tensor._word(S_STORAGE)
        if any(x._word(S_STORAGE) == storage for x in self.arguments):
            self.spoil(f"asks how an argument lies in memory ({name})")

    def misses(self, tensor: Tensor, name: str) -> None:
        """Python finds no such attribute at a tensor, which may have it the next time; an argument is another one."""
        if threading.get_ident() != self.thread or _owner_of(tensor) == self.number or name.startswith("__"):
            return
        if any(tensor is x for x in self.arguments):
            self.spoil(f"looks whether an argument has an attribute ({name})", PASS_IN)
        else:
            self.missed.append((tensor, name))

    def picks(self) -> bool:
        """``x[i]`` is about to be taken, with `i` in memory; whether as a copy.

        Python's is a view, at a place that a replay does not know. If nobody sees later writes in it, a copy is as
        good: see `copies_at_numbers`. `held` has to know both.
        """
        if self.spoiled is None and not self.copies_at_numbers:
            self.could_copy = True
        return self.copies_at_numbers

    def assigned(self, what: str) -> None:
        """Python state that later steps may depend on has changed."""
        self.spoil(f"assigns {what}")

    def moved(self, tensor: Tensor, slot: int) -> None:
        """A tensor becomes another one in place: its shape, memory or history is no longer that of `slot`."""
        storage = store.slots[slot * SLOT_WORDS + S_STORAGE]
        if store.storage_word(storage, "owner") != self.number and threading.get_ident() == self.thread:
            self._moved.append(weakref.ref(tensor))

    def shows(self, data: Tensor, tensor: Tensor) -> None:
        """``tensor.data`` has been asked for; to assign it again, as ``tensor.data -= y`` does, changes nothing."""
        self._shown[id(data)] = weakref.ref(data), id(tensor)

    def has_shown(self, data: Tensor, tensor: Tensor) -> bool:
        """Whether that is ``tensor.data`` wherever `tensor` lies, and not a tensor that now happens to lie there."""
        known = self._shown.get(id(data))
        return known is not None and known[0]() is data and known[1] == id(tensor)

    def takes_over(self, tensor: Tensor, value: Tensor) -> bool:
        """For ``tensor.data = value``: write there what the step has computed, instead of moving, if it is the same.

        It is when nobody else sees the memory of either, and no row of the tape reads them: a replay finds the tensor
        where it was, and what was computed becomes a view of it. Replays have to look again: see `are_alone`.
        """
        mine = self.number
        if threading.get_ident() != self.thread or _owner_of(tensor) == mine or _owner_of(value) != mine:
            return False
        if not (_is_alone(tensor) and _is_alone(value) and tensor._form() == value._form()):
            return False
        tensor.detach().copy_(value)  # type: ignore[attr-defined]
        entries.adopt(CONTEXT, value._slot, tensor._slot)
        self.taken_over.append(weakref.ref(tensor))
        return True

    def are_alone(self) -> bool:
        """Whether the memory of what has been taken over is still seen by nobody else, and read by no row."""
        return all(x is None or _is_alone(x) for x in (reference() for reference in self.taken_over))

    def switches(self, tensor: Tensor) -> None:
        """``tensor.requires_grad_()`` is about to be called: a replay, which does not, has to find what this finds."""
        if threading.get_ident() == self.thread and _owner_of(tensor) != self.number:
            if self._is_argument_beside_others(tensor):  # one tensor twice is one leaf, two views are two
                self.spoil("switches requires_grad of an argument that shares memory with another", CLONE)
            self._switched.setdefault(id(tensor), (weakref.ref(tensor), tensor.requires_grad))

    def _is_argument_beside_others(self, tensor: Tensor) -> bool:
        """Whether a tensor is an argument, and more than one argument is in its storage."""
        storage = tensor._word(S_STORAGE)
        beside = [x for x in self.arguments if x._word(S_STORAGE) == storage]
        return len(beside) > 1 and any(x is tensor for x in beside)

    def ask_as_before(self) -> bool:
        """Whether the tensors that are switched ask for gradients where they did before the function ran."""
        pairs = ((reference(), asked) for reference, asked in self._switched.values())
        return all(x is None or x.requires_grad == asked for x, asked in pairs)

    def check_switched(self, outside: Callable[[], list[Tensor]]) -> None:
        """Raise Spoiled when tensors from outside ask for gradients otherwise than before; forget all others."""
        if not self._switched:
            return
        known = {id(x) for x in outside()}
        self._switched = {k: pair for k, pair in self._switched.items() if k in known}
        if not self.ask_as_before():
            raise Spoiled("switches requires_grad of a tensor from outside", OUTSIDE, None, False)

    @property
    def looks_again(self) -> bool:
        """Whether every replay has to look at tensors first: see `are_alone` and `ask_as_before`."""
        return bool(self.taken_over or self._switched)

    @property
    def has_moved(self) -> bool:
        """Whether tensors have become other ones."""
        return bool(self._moved)

    def check_moved(self, outside: set[int], returned: set[int]) -> None:
        """Raise Spoiled when a tensor that has moved was there before, or stays: ids of those known."""
        for reference in self._moved:
            tensor = reference()
            if tensor is not None and (id(tensor) in outside or id(tensor) not in returned):
                raise Spoiled(
                    "changes the shape, memory or history of a tensor from outside in place", OUTSIDE
                )

    # running -----------------------------------------------------------------------------------------

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function and keep its log; what it raises passes through, with nothing left behind."""
        with Recording.lock:
            if store.recording is not None:
                return function()  # a compiled function within one that is being recorded is part of it
            if store.field("count_kernel") == 0:
                for name in ("copy", "clear", "count"):
                    store.set_field(f"{name}_kernel", program_rows.address(name))
            try:  # from the beginning: Ctrl-C may come anywhere
                if entries.begin_recording(CONTEXT, self.number, self.first_row) != 0:
                    raise Spoiled(*_NO_MEMORY)
                self.first_row = store.field("first_row")
                store.recording = self
                result = function()
                self.held.let_go()
                return result
            except BaseException:
                self.spoil(RAISED, CATCH_NOTHING)
                raise
            finally:
                self.held.let_go()
                store.recording = None
                self._collect(entries.end_recording(CONTEXT))

    def _collect(self, words: int) -> None:
        self._taken = ZERO * words
        self.address = self._taken.buffer_info()[0]
        entries.take_recording(CONTEXT, self.address)
        spoiled = store.field("spoiled")
        if spoiled and self.spoiled is None:
            self.spoiled = Spoiled(*(_OUTER if spoiled == SPOILED_OUTSIDE else _NO_MEMORY))

    @property
    def log(self) -> np.ndarray:
        """The words of the call records, in order; where they are replayed at first."""
        return np.frombuffer(self._taken, np.int64, self._taken[TAKEN_LOG], 8 * TAKEN_HEAD)

    @property
    def words(self) -> memoryview:
        """The same, for single words."""
        return memoryview(self._taken)[TAKEN_HEAD:]

    @property
    def log_words(self) -> int:
        """How many there are."""
        return self._taken[TAKEN_LOG]

    @property
    def log_address(self) -> int:
        """Where the call records begin."""
        return self.address + 8 * TAKEN_HEAD

    @property
    def blocks(self) -> np.ndarray:
        """(address, size class) of the blocks of memory taken."""
        first, count = TAKEN_HEAD + self._taken[TAKEN_LOG], self._taken[TAKEN_BLOCKS]
        return np.frombuffer(self._taken, np.int64, 2 * count, 8 * first).reshape(count, 2)

    # memory ------------------------------------------------------------------------------------------

    def rows_left(self, reachable: set[int]) -> bool:
        """Whether a row of the step is still on the tape; other threads' rows know none of its memory."""
        tape, at = store.tape, self.first_row
        storages = store.slot_table["storage"]
        owners = store.storage_table["owner"]
        while at < len(tape):
            if tape[at + T_OP] != DEAD_OP:
                count = int(tape[at + T_INPUTS] + tape[at + T_OUTPUTS])
                slots = tape[at + T_OPERANDS : at + T_OPERANDS + 2 * count : 2]
                mine = storages[slots[slots > 0]]
                if any(int(s) in reachable or owners[s] == self.number for s in mine if s):
                    return True
            at += int(tape[at + T_WORDS])
        return False

    def outlived(self, slots: list[int]) -> bool:
        """Whether somebody holds memory of the recording but for these handles, one each, and leaves."""
        given = array("q", slots)
        return entries.outlived(CONTEXT, self.number, given.buffer_info()[0], len(given)) > 0

    def outlives(
        self, handles: Callable[[], list[int]], rows_left: Callable[[], bool] = lambda: False
    ) -> bool:
        """Whether memory of the recording is held but for these handles, also when Python's garbage is collected."""
        for last in (False, True):
            drop_freed_nodes()
            drop_old_notes()
            if not rows_left() and not self.outlived(handles()):
                return False
            if not last:
                gc.collect()
        return True

    def release(self) -> None:
        """Give the memory back: storages still in use keep theirs, as if it had never been recorded."""
        if not self.has_memory and not self.number:
            return
        blocks = self.log_address + 8 * self._taken[TAKEN_LOG]
        entries.give_blocks(CONTEXT, self.number, blocks, self._taken[TAKEN_BLOCKS])
        table = store.storage_table[: store.field("storage_count")]
        unused = (table["owner"] == self.number) & (table["refs"] == 0) & (table["size_class"] == EXTERNAL)
        for storage in np.flatnonzero(unused):
            table["owner"][storage] = 0
            store.externals.pop(int(storage), None)
            entries.recycle(CONTEXT, int(storage))
        self._taken[TAKEN_BLOCKS] = 0
        self.number = 0

    @property
    def has_memory(self) -> bool:
        """Whether blocks of memory have been taken, and not been given back."""
        return self._taken[TAKEN_BLOCKS] > 0


def clone_outside(tensors: list[Tensor]) -> list[Tensor]:
    """Copies that are not the recording's."""
    return [t.detach().clone() for t in tensors]  # type: ignore[attr-defined]


def _owner_of(x: Tensor) -> int:
    return store.storage_word(x._word(S_STORAGE), "owner")


def _is_alone(x: Tensor) -> bool:
    """Whether memory is seen through this tensor only, which was not computed from others and no row reads."""
    storage = x._word(S_STORAGE)
    if store.storage_word(storage, "refs") != 1 or x._word(S_ROW) != NO_ROW or _is_lent(storage):
        return False
    return x._word(S_SAVED) == x._word(S_LINKS) == 0


def _is_lent(storage: int) -> bool:
    """Whether the memory is an array's that somebody may still look at."""
    array = store.externals.get(storage)
    if array is None:
        return False
    only = 3  # what refers to it: the store, this function and the call that counts
    return not array.flags.owndata or sys.getrefcount(array) > only
