"""Programs whose results have gradients: the forward part is one program, the way back another.

A compiled function may return tensors that still need their graph, as a compiled model does. Then its recording
is followed by that of the walk back from those tensors to what they were computed from, and a call of the program
puts one row on the tape that runs the second program when a walk comes by.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any

from ..._tensor import Tensor, handle_of
from ...autograd import Function, grad, is_grad_enabled, no_grad
from ...autograd.graph import SECOND_TIME, drop_freed_nodes, slots_behind
from ...autograd.hooks import without_hooks_of
from ...dtypes import DTYPES
from ...engine.layout import FREED_ROW, REQUIRES_GRAD, S_FLAGS, S_ROW, S_STORAGE
from ...functions import ones_like, zeros
from ...slots import slot_word
from ...store import store
from ...ways_out import RETURN_TENSORS, WALK_WITHIN
from ..guard.guards import Guards
from ..program import Program
from ..record.checks import KEEPS
from ..record.recording import RAISED, Recording
from ..record.returned import owned
from ..spoiled import Spoiled


class Pullback:
    """The walk back from the results of a program to its arguments and to the tensors from outside.

    Attributes
    ----------
    outputs : list of int
        Which of the program's results have a gradient.
    inputs : list of Tensor or int
        Tensors from outside, or numbers of arguments, in the order of the gradients.

    Parameters
    ----------
    used : list of bool
        Which of the inputs get a gradient from the program of the way back.
    behind : list of set of int
        For each of the outputs, the numbers of the inputs that it was made from.
    freed : list of bool
        For each of the outputs, whether the step has walked back over, and freed, a part of its graph.
    reads : Guards or None
        What the Python code that ran on the way back reads.
    """

    def __init__(
        self,
        outputs: list[int],
        inputs: list[Any],
        used: list[bool],
        behind: list[set[int]],
        freed: list[bool],
        program: Program,
        reads: Guards | None = None,
    ) -> None:
        self.outputs, self.inputs, self._program = outputs, inputs, program
        self._reads = reads
        self._used, self._behind, self._freed = used, behind, freed
        self._call: Any = lambda: None
        written = {program._finder.at(v.address) for row in program.rows for v in row.writes}
        self._written = written.difference(program._argument_storages)  # storages from outside

    @property
    def busy(self) -> bool:
        """Whether a graph still needs the values of the last call, so that they must not be overwritten."""
        if self._call() is None:
            return False
        drop_freed_nodes()
        return self._call() is not None

    @property
    def changed(self) -> str | None:
        """What Python code on the way back reads that is not as it was."""
        return None if self._reads is None else self._reads.changed()

    def attach(self, results: list[Tensor], arguments: list[Tensor]) -> list[Tensor]:
        """The results of a call, with a row on the tape for those that have a gradient."""
        call = self.call([results[k] for k in self.outputs], arguments)
        return with_row(call, self.outputs, self.inputs, results, arguments)

    def call(self, results: list[Tensor], arguments: list[Tensor]) -> Call:
        """A call of the program, whose values nobody overwrites while this lives."""
        call = Call(self, results, arguments)
        self._call = weakref.ref(call)
        return call

    def versions(self, arguments: list[Tensor]) -> list[int]:
        """How often what the walk back reads has been written to.

        What it writes itself, as the state of the random numbers, it takes as it finds it.
        """
        program = self._program
        slots = [x._slot for x in arguments] + program.guarded
        read = program.read_arguments
        storages = [slot_word(s, S_STORAGE) for k, s in enumerate(slots) if k >= len(arguments) or k in read]
        kept = [s for s in storages if s not in self._written]
        return store.storage_table["version"][kept].tolist()

    def run(self, cotangents: list[Tensor | None], arguments: list[Tensor]) -> list[Tensor | None]:
        """The gradients of the inputs; None for those that no output with a cotangent was made from."""
        if any(freed and g is not None for freed, g in zip(self._freed, cotangents, strict=True)):
            raise RuntimeError(SECOND_TIME)
        if (name := self.changed) is not None:
            raise RuntimeError(
                f"backward: what a hook or custom function in a compiled function reads ({name}) has changed since "
                "the call; change it before the call, or walk back first"
            )
        program = self._program
        program.trust()
        like = program._arguments[len(arguments) :]
        given = [
            zeros(x["shape"], dtype=DTYPES[x["dtype"]]) if g is None else g.detach().contiguous()  # type: ignore[attr-defined]
            for g, x in zip(cotangents, like, strict=True)
        ]
        reached = set().union(*(b for b, g in zip(self._behind, cotangents, strict=True) if g is not None))
        with store.outside_recording():  # a program that is being recorded cannot contain this one
            found = program.call([*arguments, *given])
            if isinstance(found, int):  # cotangents that share memory
                found = program.call([*arguments, *[g.clone() for g in given]])
        if isinstance(found, int):
            raise RuntimeError(
                "backward: a tensor that a compiled function used has changed its memory since"
            )
        gradients = iter(found)
        made = [next(gradients) if used else None for used in self._used]
        return [g if k in reached else None for k, g in enumerate(made)]


class Refusal:
    """In place of a `Pullback` when no result can be walked back from: the step has written over what that would read.

    So it is after ``backward(retain_graph=True)`` and an optimizer's step. Eagerly, too, only a walk is an error.

    Parameters
    ----------
    outputs, inputs : list
        As those of a `Pullback`.
    reason : str
        What walking back raises.
    """

    busy, changed = False, None

    def __init__(self, outputs: list[int], inputs: list[Any], reason: str) -> None:
        self._outputs, self._inputs, self._reason = outputs, inputs, reason

    def attach(self, results: list[Tensor], arguments: list[Tensor]) -> list[Tensor]:
        """The results of a call, with a row on the tape for those whose gradients are refused."""
        inputs = [arguments[x] if isinstance(x, int) else x for x in self._inputs]
        results = list(results)
        for k in self._outputs:
            results[k] = _Refused.apply(self._reason, [results[k]], *inputs)
        return results


class _Refused(Function):
    """The row of the tape that stands for a graph which can no longer be walked."""

    @staticmethod
    def forward(ctx: Any, reason: str, result: list[Tensor], *inputs: Tensor) -> Tensor:
        ctx.reason = reason
        return result[0]

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        raise RuntimeError(ctx.reason)


class Call:
    """One call of a program whose results have gradients."""

    def __init__(self, pullback: Pullback, results: list[Tensor], arguments: list[Tensor]) -> None:
        self.pullback, self.results = pullback, results
        self._arguments = [x.detach() for x in arguments]
        self._versions = pullback.versions(self._arguments)

    def backward(self, cotangents: tuple[Tensor | None, ...]) -> list[Tensor | None]:
        """The gradients of the inputs, by the program of the way back."""
        if self.pullback.versions(self._arguments) != self._versions:
            raise RuntimeError(
                "backward: one of the variables needed for gradient computation has been modified by an "
                "inplace operation since a compiled function used it; clone() it before the write, or walk "
                "back first"
            )
        return self.pullback.run(list(cotangents), self._arguments)


def with_row(
    call: Any, outputs: list[int], inputs: list[Any], results: list[Tensor], arguments: list[Tensor]
) -> list[Tensor]:
    """Results of a call, with a row on the tape for those that have a gradient: that calls ``call.backward``."""
    given = [arguments[x] if isinstance(x, int) else x for x in inputs]
    made = CompiledFunction.apply(call, *given)
    made = made if isinstance(made, tuple) else (made,)
    results = list(results)
    for k, x in zip(outputs, made, strict=True):
        results[k] = x
    return results


class CompiledFunction(Function):
    """The row of the tape that stands for a whole program; errors and `grad_fn` say its name."""

    @staticmethod
    def forward(ctx: Any, call: Any, *inputs: Tensor) -> Any:
        """Give out what the program has computed."""
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs)
        results, call.results = tuple(call.results), []
        return results

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        """Run the program of the way back."""
        gradients = ctx.call.backward(cotangents)
        if not is_grad_enabled():
            return None, *gradients
        # the graph of a gradient is asked for, and a replay leaves none: whoever walks there has to hear of it
        found = [g for g in gradients if g is not None]
        given = [g for g in cotangents if g is not None]
        marked = iter(_WithoutGraph.apply(len(found), *found, *ctx.saved_tensors, *given))
        return None, *[None if g is None else next(marked) for g in gradients]


class _WithoutGraph(Function):
    """Gradients that were computed without a graph from the tensors behind them."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> Any:
        return tuple(x.detach() for x in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        raise RuntimeError(
            "backward: the gradient of a compiled function's result has no graph (create_graph=True); compile the "
            "function that takes the gradient, or call the one within it uncompiled"
        )


class WayBack:
    """What a walk back from results that still have their graph begins with, and where it goes.

    Attributes
    ----------
    outputs, inputs, tensors : list
        As those of a `Pullback`; the inputs themselves.
    reads : Guards or None
        What Python code on the way may read.
    gradients : list of (Tensor or None)
        Those of the inputs, when the walk has been made.

    Parameters
    ----------
    program : Program
        The forward program.
    graph : dict
        Number of each result that has a gradient, and the tensor itself.
    """

    def __init__(
        self, program: Program, recording: Recording, graph: dict[int, Tensor], arguments: list[Tensor]
    ) -> None:
        self.outputs, self.results = list(graph), list(graph.values())
        inputs: list[Any] = [k for k, x in enumerate(arguments) if x.requires_grad]
        inputs += [handle_of(slot) for slot in program.guarded if slot_word(slot, S_FLAGS) & REQUIRES_GRAD]
        tensors = [arguments[x] if isinstance(x, int) else x for x in inputs]
        behind = slots_behind(self.results)
        # a weight that the step only detaches is not behind them, and gets no gradient
        chosen = [x._slot in behind for x in tensors]
        chosen = chosen if any(chosen) else [True] * len(chosen)
        self.inputs = [*itertools.compress(inputs, chosen)]
        self.tensors: list[Tensor] = [*itertools.compress(tensors, chosen)]
        if not inputs:
            # all leaves are the function's own: nobody sees their gradients, but the results ask for some
            self.inputs = self.tensors = [zeros(()).requires_grad_()]
        self.gradients: list[Tensor | None] = []
        self.reads: Guards | None = None
        self._program, self._arguments = program, arguments
        self._number = recording.number
        self.back = Recording(recording.first_row)
        self.back.boundary = recording.first_row  # the history of an argument is none of the function's

    def walk(self, cotangents: list[Tensor], chosen: list[bool] | None = None) -> list[Tensor | None]:
        """Walk back from the results, or the chosen ones; the gradients of the inputs."""
        roots = self.results if chosen is None else [*itertools.compress(self.results, chosen)]
        with without_hooks_of(self.tensors):  # the walk of which this one becomes a part runs them
            return list(grad(roots, self.tensors, cotangents, retain_graph=True, allow_unused=True))

    def _handles(self) -> list[int]:
        return [x._slot for x in {id(g): g for g in self.gradients if g is not None}.values()]

    def forget(self) -> None:
        """Let go of the graph, and of the gradients."""
        self.results, self.gradients = [], []

    def record(self, cotangents: list[Tensor]) -> Pullback:
        """Walk back, and make a program of that; whatever is raised, the recording has been released then."""
        reads = self.reads or Guards(None, [])
        before = reads.standing()
        back, program = self.back, self._program
        behind = [slots_behind([x]) for x in self.results]
        outside = {x._slot for x in self.tensors}
        freed = [any(slot_word(s, S_ROW) <= FREED_ROW for s in slots - outside) for slots in behind]
        reached = [{k for k, x in enumerate(self.tensors) if x._slot in slots} for slots in behind]

        def body() -> None:
            self.gradients = [g if g is None else owned(g, back.number) for g in self.walk(cotangents)]

        try:
            back.run(body)
            if back.spoiled is not None:
                raise back.spoiled
            reads.check_untouched(before)
            if back.outlives(self._handles):
                raise Spoiled(KEEPS, RETURN_TENSORS, None, False)
            results = [g for g in self.gradients if g is not None]
            given = [*[x.detach() for x in self._arguments], *cotangents]
            way_back = Program(back, given, results, Guards(None, []), program.options, base=self._number)
        except BaseException:
            back.release()
            raise
        way_back.depends_on = program
        used = [g is not None for g in self.gradients]
        return Pullback(self.outputs, self.inputs, used, reached, freed, way_back, self.reads)


def record_pullback(way: WayBack) -> Pullback | Refusal:
    """Record the walk back from results that still have their graph, and of which no row runs Python code."""
    with no_grad():
        cotangents = [ones_like(x) for x in way.results]
    try:
        return way.record(cotangents)
    except RuntimeError as error:
        spoiled = way.back.spoiled
        if spoiled is not None and spoiled.reason != RAISED:  # which says nothing about other walks
            raise spoiled from None
        if all(_refuses(x, way.tensors) for x in way.results):
            return Refusal(way.outputs, way.inputs, str(error))
        raise Spoiled(f"cannot walk back from what it returns ({error})", WALK_WITHIN) from None


def _refuses(result: Tensor, tensors: list[Tensor]) -> bool:
    """Whether walking back from a result alone is an error."""
    try:
        with without_hooks_of(tensors):
            grad([result], tensors, retain_graph=True, allow_unused=True)
    except RuntimeError:
        return True
    return False
