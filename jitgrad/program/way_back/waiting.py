"""Programs whose way back runs Python code: they wait for the first walk, because recording it runs that code.

Hooks, custom functions and checkpoints may do anything, such as draw random numbers or count. So the way back is
recorded while the user walks back for the first time; until then the program serves no call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..._tensor import Tensor, handle_of
from ...autograd.graph import function_of, runs_python, slots_behind
from ...autograd.notes import hook_functions
from ...autograd.observe import is_observed
from ...store import store
from ...ways_out import MAKE_LEAF, PLAIN_CHECKPOINT
from ..guard.guards import Guards
from ..program import Program
from ..record.recording import Recording, clone_outside
from ..spoiled import Spoiled
from .differentiable import Call, WayBack, with_row

Settle = Callable[..., object]


def must_wait(way: WayBack) -> bool:
    """Whether the walk back runs Python code.

    Raises
    ------
    Spoiled
        If that walks back by itself, into ``.grad``, which a walk to the inputs of a program may not do, or if it lies
        on the way to leaves that the function has made, where a walk to the inputs does not come by.
    """
    slots = _stops(way)
    outside = {x._slot for x in way.tensors}
    if any(outside.isdisjoint(slots_behind([handle_of(slot)])) for slot in slots):
        raise Spoiled(
            "has a hook or custom function on the way back to a tensor that it has made and asked for gradients",
            MAKE_LEAF,
        )
    if any(getattr(function_of(slot), "fills_grad", False) for slot in slots):
        raise Spoiled("has a reentrant checkpoint", PLAIN_CHECKPOINT)
    return bool(slots)


def _stops(way: WayBack) -> list[int]:
    """Where the walk runs Python code."""
    outside = {x._slot for x in way.tensors}
    return [slot for slot in slots_behind(way.results) - outside if runs_python(slot)]


def _read_on(way: WayBack) -> Guards:
    """What the Python code on the way may read, as it is now; raises Spoiled when that cannot be looked at."""
    slots = _stops(way)
    functions = [f for slot in slots if (f := function_of(slot)) is not None]
    guards = Guards(None, [*functions, *(hook for slot in slots for hook in hook_functions(slot))])
    if guards.refused is not None:
        raise guards.refused
    return guards


class Waiting:
    """The call in which a program was recorded, until somebody walks back from its results.

    Parameters
    ----------
    program : Program
        The forward program.
    way : WayBack
        From its results, which have the graph of the recorded call.
    arguments : list of Tensor
        Of the call.
    settle : callable
        Gets the program when it has its `Pullback`, or else, too, why there can be none.
    unsure : bool
        Whether `settle` looks if anybody holds what was computed, which the graph does.
    """

    def __init__(
        self, program: Program, way: WayBack, arguments: list[Tensor], settle: Settle, unsure: bool
    ) -> None:
        self.results: list[Tensor] = []
        self._program, self._arguments, self._settle, self._unsure = program, arguments, settle, unsure
        self._way: WayBack | None = way  # whose graph serves further walks, too
        # when the way back is a program, which overwrites nothing while this lives
        self._call: Call | None = None

    def attach(self, results: list[Tensor]) -> list[Tensor]:
        """The results of the call, with a row on the tape for those that have a gradient."""
        assert self._way is not None
        self.results = [results[k] for k in self._way.outputs]
        return with_row(self, self._way.outputs, self._way.inputs, results, self._arguments)

    def backward(self, cotangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        """Walk back, and record that if it can be; the gradients of the inputs."""
        if self._way is None:
            assert self._call is not None
            return self._call.backward(tuple(cotangents))
        given = [g.detach().clone() for g in cotangents if g is not None]  # type: ignore[attr-defined]
        all_given = self._call is None and len(given) == len(cotangents)
        may_record = all_given and store.recording is None and not is_observed()
        # not waiting for the lock: who records may wait for the end of this walk
        if may_record and Recording.lock.acquire(blocking=False):
            try:
                if self._program.refresh():
                    return self._record(self._way, given)
            finally:
                Recording.lock.release()
        return self._way.walk(given, [g is not None for g in cotangents])

    def _record(self, way: WayBack, given: list[Tensor]) -> list[Tensor | None]:
        program = self._program
        try:
            way.reads = _read_on(way)
        except Spoiled as reason:
            self._settle(program, reason)
            return way.walk(given)
        try:
            pullback = way.record(given)
        except Spoiled as reason:
            if way.gradients:  # all has been done, but cannot be replayed
                self._settle(program, reason)
                return way.gradients
            return way.walk(given)
        found = clone_outside([g for g in way.gradients if g is not None])
        used = [g is not None for g in way.gradients]
        program.pullback = pullback
        self._call = pullback.call([], self._arguments)
        if self._unsure:
            way.forget()
            self._way = None
        self._settle(program)
        gradients = iter(found)
        return [next(gradients) if u else None for u in used]
