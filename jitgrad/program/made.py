"""From a recording to a program, and to the way back from what the function returned."""

from __future__ import annotations

from collections.abc import Mapping

from .guard.guards import Guards
from .program import Program
from .record.recording import Recording
from .record.returned import Returned
from .tree import Call, tensors_only
from .way_back.differentiable import WayBack, record_pullback
from .way_back.waiting import must_wait


def made_program(
    recording: Recording, returned: Returned, guards: Guards, call: Call, options: Mapping[str, bool]
) -> tuple[Program, WayBack | None]:
    """The program of a recording, and its way back if that has to wait for somebody who walks it.

    Raises Spoiled when the way back cannot be replayed.
    """
    arguments = call.tensors
    recording.made.clear()
    recording.missed.clear()
    recording.arguments = []
    program = Program(recording, arguments, returned.sources, guards, options)
    guards.leave()  # so that it is seen not to hold any more
    program.key, program.shapes = call.key, call.shapes
    program.identities = guards.identities(arguments)
    program.plain = call.key == tensors_only(len(call.args)) and program.identities is None
    way = WayBack(program, recording, returned.graph, arguments) if returned.graph else None
    if way is not None and not must_wait(way):
        program.pullback, way = record_pullback(way), None
    program.returns = returned.form()
    return program, way
