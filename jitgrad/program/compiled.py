"""Compiled functions: a function that is recorded on its first call and replayed on the following ones."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from .._tensor import Tensor
from ..dtypes import Size
from ..engine.entry import entries
from ..engine.layout import (
    BAD_CLASS,
    BAD_INDEX,
    OTHER_PROGRAM,
    OUT_OF_MEMORY,
)
from ..store import raise_out_of_memory, store
from ..team import current
from ..ways_out import PASS_TENSOR, RETURN_TENSORS
from .eagerly import must_run_eagerly
from .guard.guards import Guards
from .guard.owners import compiles
from .guard.ran import Ran, Unseen, Wide, is_watched
from .guard.world import World
from .made import made_program
from .method import CompiledMethod
from .program import Program
from .record.checks import KEEPS, check_run
from .record.copied import copies_of, versions_of, with_tensors
from .record.recording import Recording, clone_outside
from .record.returned import Returned
from .refusals import MAX_ATTEMPTS, Refusals
from .remade import Parts
from .rewrites import OPTIONS
from .spoiled import Spoiled
from .steps import Steps
from .tree import Call, constants_in, flatten_call, taken_apart, unflatten
from .way_back.waiting import Waiting

MAX_PROGRAMS = 16  # of one function; the one not used for longest makes room
MAX_MISSES = 64  # recordings in a row of which none was replayed, before the function runs eagerly for good
_DIRECT = {1: "call_one", 2: "call_two", 3: "call_three"}


class CompiledFunction(Steps):
    """What `compile` returns: call it like the function.

    Attributes
    ----------
    programs : list of Program
        What has been recorded so far, the one used last in front.
    """

    def __init__(
        self, function: Callable[..., Any], fullgraph: bool = False, options: dict[str, bool] | None = None
    ) -> None:
        unknown = sorted(set(options or {}) - set(OPTIONS))
        if unknown:
            raise RuntimeError(
                f"compile: Unexpected optimization option {unknown[0]!r}; known options: {', '.join(OPTIONS)}"
            )
        self._options = dict(options or {})
        self._function = function
        compiles(function)
        self._refusals = Refusals(function, fullgraph)
        self.programs: list[Program] = []
        self._misses = 0
        self._ran = Ran()  # looked at where there is much code
        self._copies = False  # the next recording may copy what tensors without dimensions point at
        # whether the function needs the memory that an argument shares with another tensor; None: not known
        self._needs_shared: bool | None = None
        # the entry that replays the program used last, the program, and what of Python's world it depends on; set
        # and read at once, as other threads may call too
        self._direct: tuple[Callable[..., Any], Program, World | None] | None = None
        functools.update_wrapper(self, function, updated=())
        self._own = frozenset(self.__dict__)  # names of attributes that are not the user's

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Replay the program that fits the arguments, or run the function and record it."""
        direct = self._direct
        if direct is not None and not kwargs:
            fast, program, world = direct
            if world is not None and not world.holds():
                return self._general(args, kwargs)
            try:
                result = fast(program.address, *args)
            except TypeError:  # other arguments than tensors, or another number of them
                return self._general(args, kwargs)
            if type(result) is not int:
                self._misses = 0
                return result
            if result == BAD_INDEX:
                raise program.reports.error(store.detail()[0])
            if result == OUT_OF_MEMORY:  # for the result: the step has been run
                raise_out_of_memory()
        return self._general(args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return CompiledMethod(self, instance)

    def __reduce__(self) -> tuple:
        return type(self), (self._function, self._refusals.fullgraph, self._options)

    def __repr__(self) -> str:
        name = getattr(self._function, "__qualname__", type(self._function).__name__)
        return f"<compiled {name}: {len(self.programs)} programs>"

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """The program for these arguments; the function runs once to record it when there is none yet.

        Raises
        ------
        RuntimeError
            When the function cannot be replayed for these arguments.
        """
        leaves: list[Tensor] = []
        key = flatten_call(args, kwargs, leaves)
        for _ in range(MAX_ATTEMPTS + 1):
            known = self._find(key, leaves)
            if known is not None:
                return known
            if self.is_eager:
                break
            self.record(args, kwargs)
        raise RuntimeError(f"program: {self!r} cannot be replayed for these arguments; it runs eagerly")

    def known(self, *args: Any) -> Program | None:
        """See `Steps.known`."""
        leaves: list[Tensor] = []
        return self._find(flatten_call(args, {}, leaves), leaves, idle=True)

    def _find(self, key: Any, arguments: list[Tensor], idle: bool = False) -> Program | None:
        """The program for arguments with this description, if there is one that can run now, and then once more."""
        shapes = [x.shape for x in arguments]
        found = (p for p in self._described(key, arguments, shapes, idle) if not p.guards.modes)
        return next((program for program in found if program.fits(arguments)), None)

    def _described(
        self, key: Any, arguments: list[Tensor], shapes: list[Size], idle: bool
    ) -> Iterator[Program]:
        """The programs for arguments with this description; only those that nobody walks, if `idle`."""
        for program in self.programs:
            if program.shapes != shapes or program.key != key or (idle and program.busy):
                continue
            alike = program.refresh() and program.identities == program.guards.identities(arguments)
            if alike and all(arguments[a] is arguments[b] for a, b in program.returns.one):
                yield program

    def was_replayed(self) -> None:
        """See `Steps.was_replayed`."""
        self._misses = 0

    @property
    def is_eager(self) -> bool:
        """Whether the function runs eagerly for good."""
        return self._refusals.eager

    # finding and making programs ---------------------------------------------------------------------

    def _general(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A call that `_direct` does not serve: replay the first program that fits, or record one."""
        if self._refusals.eager or store.recording is not None or must_run_eagerly():
            return self._function(*args, **kwargs)
        call = taken_apart(args, kwargs)
        for program in self._described(call.key, call.tensors, call.shapes, idle=True):
            results = program.call(call.tensors)
            if results == BAD_CLASS:
                break  # the function itself raises the error
            if results == BAD_INDEX:
                raise program.reports.error(store.detail()[0])
            if not isinstance(results, int):
                self._misses = 0
                program.guards.leave()
                self._use(program)
                return program.returns.value(results, call.tensors)
            assert results == OTHER_PROGRAM
        else:
            return self._record(call)[0]
        return self._function(*args, **kwargs)

    def _use(self, program: Program) -> None:
        """Try this program first, and if it is simple enough, without looking at anything in Python."""
        if self.programs[0] is not program:
            self.programs = [program, *(p for p in self.programs if p is not program)]
        guards = program.guards
        simple = (
            program.returns.single and program.plain and not (guards.modes or program.recording.looks_again)
        )
        direct = simple and program.arity in _DIRECT
        together = "_together" if direct and program.is_shared and current() is not None else ""
        fast = getattr(entries, _DIRECT[program.arity] + together) if direct else None
        self._direct = None if fast is None else (fast, program, guards.world_to_check)

    def record(self, args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Program | None]:
        """Run the function once and record it; what it returned, and the program if there is one."""
        return self._record(taken_apart(args, kwargs))

    def _record(self, call: Call) -> tuple[Any, Program | None]:
        """See `record`."""
        if must_run_eagerly() or is_watched():
            return self._function(*call.args, **call.kwargs), None
        guards = self._guards(call.key)
        if isinstance(guards.refused, Wide):
            return self._ran.watch(self._function, *call.args, **call.kwargs), None
        shared = guards.shared_memory(call.tensors)
        if shared is not None:
            return self._record_shared(shared, call, guards)
        return self._record_apart(call, guards)

    def _record_shared(self, reason: str, call: Call, guards: Guards) -> tuple[Any, Program | None]:
        """`_record` for arguments that share memory: on copies, once a run has written to nothing from outside."""
        arguments, reachable = call.tensors, guards.reachable()
        copies = copies_of(arguments, reachable)
        if (
            self._needs_shared
            or guards.compares
            or copies is None
            or guards.shared_memory(copies) is not None
        ):
            self._refusals.refuse_arguments(reason)
            return self._function(*call.args, **call.kwargs), None
        if self._needs_shared is None:
            outside = [*arguments, *reachable]
            before = versions_of(outside)
            result = self._function(*call.args, **call.kwargs)
            self._needs_shared = versions_of(outside) != before
            if self._needs_shared and not self._refusals.fullgraph:
                self._refusals.refuse_arguments(reason)
            return result, None
        args, kwargs = with_tensors((call.args, call.kwargs), arguments, copies)
        before = versions_of(arguments + copies)
        result, program = self._record_apart(Call(args, kwargs, call.key, copies, call.shapes), guards)
        if versions_of(arguments + copies) != before:
            raise RuntimeError(
                f"compile: {self._refusals.name} writes to memory that an argument shares with another tensor, "
                "as it has not done before; clone() the argument"
            )
        if program is not None and not program.fits(arguments):  # it uses the other tensor, too
            self._needs_shared = True
        return with_tensors(result, copies, arguments, Parts()), program

    def _record_apart(self, call: Call, guards: Guards) -> tuple[Any, Program | None]:
        """`_record` for arguments that share no memory with what the function can reach otherwise."""
        arguments = call.tensors
        self._misses += 1
        if self._misses > MAX_MISSES and not self._refusals.fullgraph:
            changed = self._changed(call.key, call.shapes)
            self._give_up(Spoiled(f"depends on something that is new in every call{changed}", PASS_TENSOR))
            return self._function(*call.args, **call.kwargs), None
        recording = Recording(copies_at_numbers=self._copies)
        self._copies = False
        recording.arguments = arguments
        rows = store.field("live_rows")
        returned, before = Returned(arguments, guards.reachable, guards.was_there), guards.standing()
        late = self._run_recorded(recording, returned, call, guards.codes is not None)
        try:
            if guards.codes is not None and self._ran.codes is not guards.codes:
                raise Unseen
            check_run(recording, rows, returned, guards, call)
            guards = guards.settled(recording.number, before)
            if recording.spoiled is not None:  # by nothing but places that a copy may stand for
                self._copies = not late
                raise recording.spoiled
            program, way = made_program(recording, returned, guards, call, self._options)
        except Spoiled as reason:
            recording.release()
            if not (self._copies or isinstance(reason, Unseen)):
                self._give_up(reason)
            return unflatten(returned.tree, iter(returned.leaves)), None
        copies = clone_outside(returned.sources)  # before other threads can replay the program
        if program.pullback is not None:
            copies = program.pullback.attach(copies, arguments)
        settle = functools.partial(self._settle, recording, returned.unsure)
        if way is not None:
            copies = Waiting(program, way, arguments, settle, returned.unsure).attach(copies)
        returned.forget()
        kept = settle(program) if way is None else None
        return program.returns.value(copies, arguments), kept

    def _settle(
        self, recording: Recording, unsure: bool, program: Program, refused: Spoiled | None = None
    ) -> Program | None:
        """Keep a program that has been recorded with its way back, unless that is refused or tensors are kept."""
        if refused is None and unsure and recording.outlives(list):
            refused = Spoiled(KEEPS, RETURN_TENSORS, None, False)
        if refused is not None:
            self._give_up(refused)
            return None
        self.programs = [program, *self.programs[: MAX_PROGRAMS - 1]]
        self._refusals.kept()
        self._use(program)
        return program

    def _run_recorded(self, recording: Recording, returned: Returned, call: Call, watch: bool) -> bool:
        """Run the function while it is recorded; when that fails, nothing of the recording stays.

        `watch` says whether it must be seen which code runs. Returns whether views at integer tensors are looked at
        when a copy would not do.
        """
        run = functools.partial(self._ran.watch, self._function) if watch else self._function
        try:
            recording.run(lambda: returned.take(run(*call.args, **call.kwargs), recording))
        except BaseException:
            recording.release()
            raise
        held, results = recording.held, (returned.leaves, returned.sources)
        late = held.is_overwritten and held.are_seen_late(recording.log, itertools.chain(*results))
        if recording.copies_at_numbers and late:
            recording.release()
            raise RuntimeError(
                f"compile: {self._refusals.name} writes to x or x[i], where i is a tensor, as it has not done "
                "before; use x.index_select, or x[i].clone()"
            )
        return late

    def _guards(self, key: Any) -> Guards:
        """What the function depends on: as another program has found, while nothing has changed since."""
        for program in self.programs[:1]:
            guards = program.guards
            same = program.key == key or guards.arguments_are(constants_in(key))
            same = same and guards.codes is self._ran.codes and (guards.codes is None or self._ran.can_see)
            if same and program.refresh() and guards.serve_again():
                return guards
        return Guards(self._function, constants_in(key), self._ran)

    def _changed(self, key: Any, shapes: list[Size]) -> str:
        """What has changed since the last recording with arguments like these."""
        alike = [p for p in self.programs if p.key == key]
        if alike and all(p.shapes != shapes for p in alike):
            return " (the shapes of its arguments)"
        name = alike[0].guards.world.changed() if alike else None
        return f" ({name})" if name else ""

    def _give_up(self, reason: Spoiled) -> None:
        """The recording cannot be used."""
        self._refusals.refuse_recording(reason, in_a_row=self._misses > 1)
        if self._refusals.eager:
            self._direct = None
