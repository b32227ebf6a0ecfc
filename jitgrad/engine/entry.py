"""The compiled calls that Python makes, compiled together (or read from the cache) at the first of them.

Every entry takes the context's address and integers (floats where annotated), and returns likewise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..kernels import compiler

# the files that have entries
MODULES = (
    "arrays",
    "aside",
    "backward",
    "chosen",
    "composed",
    "cotangents",
    "create",
    "drawing",
    "exchange",
    "geometry",
    "growth",
    "handles",
    "hot",
    "lines",
    "making",
    "order",
    "pace",
    "points",
    "record",
    "recording",
    "replay",
    "sharing",
    "steps",
    "team",
    "together",
    "turns",
    "update",
    "values",
    "views",
    "walk",
    "watching",
)
# entries that a plain training step does not need: they are compiled apart, so that it starts sooner
LATER = "later"
GROUPS = {
    LATER: [
        "abandon",
        "add_slots",
        "add_storages",
        "adopt",
        "are_same",
        "begin_walk",
        "captured",
        "class_loss",
        "end_stand_in",
        "end_walk",
        "exchange",
        "folded_twice",
        "forget_saved",
        "free_state",
        "give_cotangent",
        "gradients",
        "hold_tape",
        "leave_row",
        "link",
        "mark_chosen",
        "move_nodes",
        "move_slots",
        "move_storages",
        "move_tape",
        "moved",
        "ones",
        "parted",
        "put_back",
        "put_beside_number",
        "recycle",
        "restrided",
        "rolled",
        "set_aside",
        "spaced",
        "stand_in",
        "swap_cotangent",
        "take_cotangent",
        "take_released",
        "triangle_places",
        "variance",
        "walk",
        "walk_one",
        "windows",
    ],
    "team": [
        "call_one_together",
        "call_two_together",
        "call_three_together",
        "dismiss",
        "found",
        "replay_team",
        "serve",
        "walk_team",
    ],
    "program": [
        "begin",
        "begin_recording",
        "call",
        "call_one",
        "call_two",
        "call_three",
        "complete",
        "complete_results",
        "end_recording",
        "give_blocks",
        "make_program",
        "outlived",
        "prepare",
        "program_room",
        "read_words",
        "replay",
        "share_memory",
        "stop",
        "take_recording",
        "use_records",
        "words_hold",
    ],
}
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}
MAIN = "main"


def group_of(name: str) -> str:
    """The group with which an entry is compiled."""
    return _GROUP_OF.get(name, MAIN)


def _signatures(group: str) -> dict[str, tuple[Any, Any, Any, int]]:
    """The dispatcher, signature and wrapper kinds of every entry of a group, and whether it records rows."""
    from numba import types

    from ..kernels.arguments import Kinds
    from .tables import CONTEXT

    found = {}
    for module in MODULES:
        for name, dispatcher in vars(import_module(f".{module}", __package__)).items():
            records = getattr(dispatcher, "records", None)
            if records is None or group_of(name) != group:
                continue
            python = dispatcher.py_func
            names = python.__code__.co_varnames[1 : python.__code__.co_argcount]
            notes = python.__annotations__
            kinds = Kinds(tuple(notes.get(n, int) for n in names), notes.get("return", int))
            arguments = (types.float64 if k is float else types.int64 for k in kinds.parameters)
            result = types.float64 if kinds.result is float else types.int64
            found[name] = (dispatcher, result(CONTEXT, *arguments), kinds, records)
    return found


class Entries:
    """The entries as attributes. The first one that is asked for brings its whole group."""

    context = 0  # the context's address and the class of handles, set before the first use
    handle_type: type = object
    finalizer: Callable[[Callable], None] | None = None  # told of the entry that ends a handle's life

    def __init__(self) -> None:
        self._records: dict[str, dict[str, int]] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        with _loading:
            if name not in self.__dict__:
                self._load(group_of(name))
        if name not in self.__dict__:
            raise AttributeError(f"the engine has no entry {name!r}")
        return self.__dict__[name]

    def that_record(self, records: int) -> list[str]:
        """The entries that are declared RECORDS_ONE, or RECORDS_SEVERAL; no team and no program has any."""
        with _loading:
            for group in (MAIN, LATER):
                if group not in self._records:
                    self._load(group)
        known = self._records[MAIN] | self._records[LATER]
        return [name for name in known if known[name] == records]

    def _load(self, group: str) -> None:
        found = compiler.entry_points(
            f"engine.{group}", lambda: _signatures(group), self.context, self.handle_type
        )
        self.__dict__.update({name: call for name, (call, _) in found.items()})
        self._records[group] = {name: records for name, (_, records) in found.items()}
        if group == MAIN and self.finalizer is not None:
            self.finalizer(self.finalize)


_loading = threading.RLock()
entries = Entries()
