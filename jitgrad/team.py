"""The threads that replay programs together: `run` is how a program is replayed.

The threads are started when a program first takes long enough to be worth sharing, or eager code has taken much time.
They live in compiled code, without Python's lock, and sleep when there has been nothing to do for a while.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from .dispatch import CONTEXT
from .engine.block import (
    BUSY,
    LINE,
    NO_TEAM,
    SEAT_WORDS,
    T_BUSY,
    T_SEATS,
    T_WORKERS,
    UNDECIDED,
    WANTS_WORKERS,
    WORD,
)
from .engine.entry import entries
from .kernels import compiler
from .store import SHARED_FROM, store
from .threads import Setting, processors, thread_count


class Team:
    """A number of threads, of which the caller of a replay is one.

    Parameters
    ----------
    threads : int
        How many, the caller included.

    Attributes
    ----------
    address : int
        Of the block of memory through which the threads see one another.
    workers : list of threading.Thread
        Those that have been started.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        words = T_SEATS + threads * SEAT_WORDS
        memory = np.zeros(words + LINE, np.int64)
        first = -memory.ctypes.data % (LINE * WORD) // WORD
        self._block = memory[first : first + words]
        self._started = self._block[T_WORKERS : T_WORKERS + 1]
        self.address: int = self._block.ctypes.data
        self.workers: list[threading.Thread] = []
        self._lock = threading.Lock()
        entries.found(CONTEXT, self.address, threads)

    @property
    def is_busy(self) -> bool:
        """Whether a call has the team."""
        return bool(self._block[T_BUSY])

    def start(self) -> None:
        """Start the workers, if they are not there yet."""
        with self._lock:
            if self.workers or self._started[0] < 0:
                return
            try:
                for k in range(1, self.threads):
                    worker = threading.Thread(target=self._serve, args=(k,), name=f"jitgrad-{k}", daemon=True)
                    worker.start()
                    self.workers.append(worker)
            except RuntimeError:
                pass  # the system gives no more threads; the others do the work of those that are missing
            self._started[0] = len(self.workers) or -1

    def _serve(self, number: int) -> None:
        entries.serve(CONTEXT, self.address, number)  # `self` keeps the block

    def run(self, table: int, segments: int, steps: int) -> int:
        """Replay a program, with the workers where that is faster; returns as `run` of this module."""
        outcome = entries.replay_team(CONTEXT, self.address, table, segments, steps)
        if outcome >= 0:
            return outcome
        if outcome == BUSY:
            return entries.replay(CONTEXT, table, segments, steps)
        self.start()
        return self.run(table, segments, WANTS_WORKERS - outcome)

    def walk(self, table: int, segments: int, steps: int) -> int:
        """Replay a program with the workers, whatever it takes; BUSY when another call has them."""
        self.start()
        return entries.walk_team(CONTEXT, self.address, table, segments, steps)

    def dismiss(self, wait: float = 0.0) -> None:
        """Let the workers go, and wait for them for some seconds. A replay under way goes on without them."""
        with self._lock:
            self._started[0] = -1
            entries.dismiss(CONTEXT, self.address)
        for worker in self.workers:
            worker.join(wait)


NEVER = 1 << 62  # elements of a record


class _Current:
    decided = False
    team: Team | None = None  # None for one thread
    leaving: ClassVar[list[Team]] = []  # teams let go in the middle of a call, which knows but their address


_choosing = threading.RLock()


def run(table: int, segments: int, steps: int) -> int:
    """Replay a program with as many threads as `set_num_threads` allows, where that is faster.

    Python's lock is held only through replays of some microseconds. Of two calls at the same time one has the
    team and the other runs on its own thread.

    Parameters
    ----------
    table : int
        Address of the segment table.
    segments : int
        Its length.
    steps : int
        How often to walk it.

    Returns
    -------
    int
        0, or the address of the report of a bad index, at which the replay has ended.
    """
    team = _Current.team if _Current.decided else current()
    if team is None:
        return entries.replay(CONTEXT, table, segments, steps)
    return team.run(table, segments, steps)


def current() -> Team | None:
    """The team that replays use now; None for one thread."""
    with _choosing:
        if not _Current.decided:
            # more threads than processors would only wait for one another
            count = min(thread_count(), processors())
            _Current.team = Team(count) if count > 1 else None
            store.set_field("team", _Current.team.address if _Current.team else NO_TEAM)
            _Current.decided = True
        return _Current.team


def help_eager_code() -> None:
    """From now on large records of eager code are run with the team, if there is one: the answer to NEED_TEAM."""
    with _choosing:
        team = current()
        if team is None:
            store.set_field("shared_from", NEVER)
        else:
            team.start()
            store.set_field("sharer", compiler.kernel("engine.share", _build_share))
        store.set_field("large", 0)


def _build_share() -> Callable:
    from .engine.eager import share

    return share


def _leave_eager_code() -> None:
    store.set_field("sharer", 0)
    store.set_field("shared_from", SHARED_FROM)


def _replace() -> None:
    """Let the team go; the next replay makes one of the right size."""
    with _choosing:
        team, _Current.team, _Current.decided = _Current.team, None, False
        store.set_field("team", UNDECIDED)
        _leave_eager_code()
        store.structure_changed()  # calls choose their way anew
        _Current.leaving = [t for t in (*_Current.leaving, team) if t is not None and t.is_busy]
    if team is not None:
        team.dismiss()


def _end() -> None:
    """Have no thread in compiled code when the interpreter goes."""
    team, _Current.team, _Current.decided = _Current.team, None, True
    store.set_field("team", NO_TEAM)
    _leave_eager_code()
    if team is not None:
        team.dismiss(wait=1.0)


def _after_fork() -> None:
    """A forked process has only the thread that forked: its team is made anew."""
    global _choosing
    _choosing = threading.RLock()
    _Current.team, _Current.decided = None, False
    store.set_field("team", UNDECIDED)
    _leave_eager_code()


Setting.changed = _replace
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
