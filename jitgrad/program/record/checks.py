"""What a replay could not do: looked for when a function has been recorded."""

from __future__ import annotations

import operator
from collections.abc import Callable

from ..._tensor import Tensor
from ...store import store
from ...ways_out import COPY, RETURN_TENSORS
from ..guard.guards import Guards
from ..spoiled import Spoiled
from ..tree import LEAF, Call, constants_in, flatten_call
from .recording import Recording
from .returned import Returned

KEEPS = "keeps tensors that were computed in the step"


def check_run(
    recording: Recording,
    rows: int,
    returned: Returned,
    guards: Guards,
    call: Call,
) -> None:
    """Raise Spoiled when the function has done what a replay cannot do.

    `rows` is how many rows there were on the tape before.
    """
    if recording.spoiled is not None and not recording.could_copy:
        raise recording.spoiled
    guards.check_made(recording.made)
    _check_left_behind(recording, rows, returned, lambda: guards.storages(call.tensors))
    _check_arguments(call)
    guards.compare_attributes(recording.missed, call.tensors)
    if returned.tree is not LEAF:
        guards.check_returned(constants_in(returned.tree))
    recording.check_switched(guards.reachable)
    if recording.has_moved:
        known = {id(x) for x in call.tensors} | guards.tensor_ids()
        recording.check_moved(known, {id(x) for x in returned.leaves})


def _check_arguments(call: Call) -> None:
    """Raise Spoiled when the function has changed lists or dicts that it was given: a replay would not."""
    after: list[Tensor] = []
    same = flatten_call(call.args, call.kwargs, after) == call.key and len(after) == len(call.tensors)
    if not (same and all(map(operator.is_, after, call.tensors))):
        raise Spoiled("changes a container that it is called with", COPY, None, False)


def _check_left_behind(
    recording: Recording, rows: int, returned: Returned, reachable: Callable[[], set[int]]
) -> None:
    """Raise Spoiled when something outlives the step but for what it returns and the gradients of leaves.

    `rows` is how many rows there were on the tape before, `reachable` tells the storages that the function can reach.
    A graph that is returned may keep tensors, too, as contexts of custom functions do: then `returned.unsure` says that
    this has to be seen once more when the graph is gone.
    """

    def left() -> bool:
        more_rows = not returned.graph and store.field("live_rows") > rows
        return more_rows and recording.rows_left(reachable())

    if recording.outlives(returned.handles, left):
        if not returned.graph:
            raise Spoiled(KEEPS, RETURN_TENSORS, None, False)
        returned.unsure = True
