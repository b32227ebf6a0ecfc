"""A recorded program: its records, what must hold for it to run, and what is left to do after it ran."""

from __future__ import annotations

import functools
import sys
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT
from ..dtypes import Size
from ..engine.entry import entries
from ..engine.layout import (
    ALONE,
    ANY_GRADIENT,
    G_GRAD,
    G_SLOT,
    GRADIENT_LEAF,
    GRADIENT_SLOT,
    OTHER_PROGRAM,
    PATCH_ARGUMENT,
    SEEN,
    SEGMENT_PARTS,
    SPAN_BEGIN,
    SPAN_END,
    SPAN_USE,
)
from ..store import raise_out_of_memory, store
from ..team import run
from ..threads import thread_count
from .guard.guards import Guards
from .layout.reports import Reports
from .layout.rewritten import Rewritten
from .layout.tables import FIELDS, Tables
from .log.rows import Row, rows_of
from .log.storages import Storages, class_size
from .log.views import View
from .record.recording import Recording
from .rewrites import PARTIAL_SUMS, Facts, rewrite

if TYPE_CHECKING:
    from .show.profile import Profile


RECORDED, RUNNING, SEGMENTS, STRUCTURE, TABLE = (
    FIELDS[name] for name in ("recorded", "running", "segments", "structure", "table")
)
_rewriting = threading.RLock()
REPLAYS = 2  # of the records as they are, before they are rewritten


class Program:
    """One recorded execution, ready to be replayed on arguments like those it was recorded with.

    Attributes
    ----------
    rows : list of Row
        The call records in order, after the rewrites.
    address : int
        Of the header that compiled code reads.
    """

    def __init__(
        self,
        recording: Recording,
        arguments: list[Tensor],
        results: list[Tensor],
        guards: Guards,
        options: Mapping[str, bool] | None = None,
        base: int = 0,
    ) -> None:
        self.key: Any = None  # description of the arguments apart from their tensors
        self.shapes: list[Size] = []  # of the tensors among them
        self.identities: list[int] | None = None  # which of them are one tensor: see `Guards.identities`
        self.plain = False  # whether all arguments are tensors, and it does not matter which
        self.returns: Any = None  # the `Form` of what the function returns
        self.pullback: Any = None  # the way back, when results have gradients
        self.depends_on: Any = None  # a program whose memory this one reads
        self.options = options
        self.recording = recording
        self.guards = guards
        self.arity = len(arguments)
        self._rewritten: Rewritten | None = None
        self._tables = tables = Tables(recording, arguments, results, base)
        self.address = tables.address
        self._header = tables.words
        self._header[RECORDED] = REPLAYS + 1
        self._result_count = len(results)
        if not base:
            tables.watch(guards.world.watch.address, guards.world.watch.count)
        self.reports = Reports(recording, tables.pairs("reporting"), tables.argument_like)
        if self.reports.checks:  # class indices among the arguments, looked at before anything runs
            tables.put("checks", "check_count", self.reports.checks)
        if self.reports.has_late:
            self._cut_log()
        if base:
            self.improve()

    def _cut_log(self) -> None:
        """Cut the log behind rows that may report, so that each report is looked at when its row has run."""
        tables, base = self._tables, self.recording.log_address
        words, seen = self.recording.log_words, tables.field("first_seen")
        parts = self.reports.split_log(words, (seen - base) // 8 if seen else words)
        tables.put("table", "segments", [[base + 8 * a, base + 8 * b, ALONE, cell] for a, b, cell in parts])

    # what was recorded -------------------------------------------------------------------------------

    @property
    def checks(self) -> list[list[int]]:
        """Class indices among the arguments: argument, classes, and the one that is ignored."""
        return self.reports.checks

    @functools.cached_property
    def results(self) -> list[dict[str, Any]]:
        """Where the results are, and what they are like."""
        return self._tables.results()

    @functools.cached_property
    def _arguments(self) -> list[dict[str, Any]]:
        return self._tables.arguments()

    @property
    def _argument_storages(self) -> list[int]:
        return self._tables.argument_storages()[0]

    @functools.cached_property
    def _finder(self) -> Storages:
        return Storages(self._tables.spans)

    # rewriting ---------------------------------------------------------------------------------------

    def improve(self) -> Rewritten:
        """Apply the rewrites, once: after a few replays, or when somebody looks at the program.

        They take as long as many steps of a small program, which one that is hardly replayed would never give back.
        Its records are then in another place, so the program has to be made ready for its arguments again.
        """
        with _rewriting:
            made = self._rewritten
            if made is None:
                made = self._rewritten = self._rewrite()
            if self._header[RECORDED]:  # and no other thread is running the records just now
                place, count = made.segments.ctypes.data, len(made.segments)
                patches = made.patches
                entries.use_records(CONTEXT, self.address, place, count, patches.ctypes.data, len(patches))
            return made

    def _rewrite(self) -> Rewritten:
        log = self.recording.log.copy()  # another thread may be running the records
        begin = self.recording.log_address
        for k, place, offset in self._tables.patches:
            log[(place - begin) // 8] = self._arguments[k]["address"] + offset
        finder, reports, options = self._finder, self.reports, self.options or {}
        own = [(begin, begin + class_size(k)) for begin, k in self.recording.blocks.tolist()]
        self._seen = [
            (line[SPAN_BEGIN], line[SPAN_END]) for line in self._tables.spans if line[SPAN_USE] & SEEN
        ]
        facts = Facts(
            finder.at,
            own,
            self._tables.pairs("alive"),
            lambda row: reports.cell_of(row) != 0,
            overlaps=finder.overlap,
            lanes=max(2, thread_count()),
            is_cell=reports.is_cell,
            partial_sums=options.get(PARTIAL_SUMS, True),
        )
        rows = rewrite(rows_of(log), facts, options)
        reports.mark_late(rows, self._is_seen)
        made = Rewritten(rows, reports, facts.extra)
        made.find_arguments(finder.at, self._argument_storages, self._arguments)
        return made

    def _is_seen(self, view: View) -> bool:
        """Whether memory can be seen from outside."""
        return bool(self._finder.at(view.address)) or any(a <= view.address < b for a, b in self._seen)

    @property
    def rows(self) -> list[Row]:
        """The call records in order, after the rewrites."""
        return self.improve().rows

    @property
    def segments(self) -> np.ndarray:
        """The table of segments, after the rewrites."""
        return self.improve().segments

    @property
    def patches(self) -> list[list[int]]:
        """Where the records name an argument's memory, after the rewrites: see PATCH_ARGUMENT and so on."""
        return self.improve().patches.tolist()

    @property
    def _extra(self) -> list[np.ndarray]:
        return self.improve().extra

    # running -----------------------------------------------------------------------------------------

    @functools.cached_property
    def gradients_found(self) -> dict[int, int]:
        """By the slots of leaves whose gradients are read before they are set: those gradients' slots, or 0."""
        lines = self._tables.guards.tolist()
        return {line[G_SLOT]: line[G_GRAD] for line in lines if line[G_GRAD] != ANY_GRADIENT}

    @functools.cached_property
    def gradients_left(self) -> dict[int, int]:
        """By the slots of leaves whose gradients are set: the slots of what they are afterwards, or 0."""
        lines = self._tables.gradients.tolist()
        return {line[GRADIENT_LEAF]: line[GRADIENT_SLOT] for line in lines}

    @functools.cached_property
    def read_arguments(self) -> set[int]:
        """Numbers of the arguments whose memory the records name."""
        return {line[PATCH_ARGUMENT] for line in self._tables.patches}

    @property
    def guarded(self) -> list[int]:
        """Slots of the tensors from outside that the program uses."""
        return self._tables.guards[:, G_SLOT].tolist()

    @property
    def busy(self) -> bool:
        """Whether a graph needs the values of the last replay."""
        return self.pullback is not None and self.pullback.busy

    @property
    def is_shared(self) -> bool:
        """Whether it has rows that several threads may share; not known before the rewrites."""
        made = self._rewritten
        return made is not None and bool((made.segments[:, SEGMENT_PARTS] != ALONE).any())

    def trust(self) -> None:
        """Run whatever has become of modules: a program of the way back does not depend on them."""
        self._header[STRUCTURE] = store.structure

    def refresh(self) -> bool:
        """Whether what Python decides is as it was; then compiled code need not ask again."""
        if self._header[STRUCTURE] != store.structure:
            if not self.guards.objects_hold():
                return False
            self._header[STRUCTURE] = store.structure
        recording = self.recording
        if recording.looks_again and not (recording.are_alone() and recording.ask_as_before()):
            return False
        return self.guards.world_holds() and (self.pullback is None or self.pullback.changed is None)

    def fits(self, arguments: list[Tensor]) -> bool:
        """Whether the program can be replayed on these arguments now."""
        return len(arguments) == self.arity and self.point_at(arguments) == 0

    def point_at(self, arguments: list[Tensor]) -> int:
        """Check everything and point the records at the arguments; 0 or a status."""
        return self._enter(entries.prepare, self._slots_of(arguments))

    def ready(self, arguments: list[Tensor]) -> bool:
        """Whether the rewritten rows (`segments`) can be run on these arguments now; they point at them then."""
        self.improve()
        return not self._header[RECORDED] and self.fits(arguments)

    def _slots_of(self, arguments: list[Tensor]) -> array:
        """The slots of arguments, with room for those of the results behind them."""
        return array("q", [*[x._slot for x in arguments], *[0] * (self._result_count + 1)])

    def hold(self, arguments: list[Tensor]) -> bool:
        """Whether the program fits these arguments; then nobody else can replay it until `release`."""
        ids = self._slots_of(arguments)
        if not self.refresh() or self._begin(ids) != 0:
            return False
        self._ids = ids
        return True

    def release(self) -> None:
        """Let others replay it again."""
        self._header[RUNNING] = 0

    def _enter(self, entry: Callable[..., int], ids: array) -> int:
        """Call an entry that checks the arguments with these slots; 0 or a status."""
        place = ids.buffer_info()[0]
        status = entry(CONTEXT, self.address, place)
        while store.mend(status):
            status = entry(CONTEXT, self.address, place)
        return status

    def _begin(self, ids: array) -> int:
        """Check everything, point the records at the arguments and keep others off until `release`; 0 or a status."""
        status = self._enter(entries.begin, ids)
        if status == 0 and self.busy:  # which no other thread can change any more
            self.release()
            return OTHER_PROGRAM
        return status

    def call(self, arguments: list[Tensor]) -> list[Tensor] | int:
        """Replay on arguments; the results, with their graph if they have one, or a status with nothing changed."""
        header, ids = self._header, self._slots_of(arguments)
        status = self._begin(ids)
        if status != 0:
            return status
        try:
            report = run(header[TABLE], header[SEGMENTS], 1)
            if report:
                return entries.stop(CONTEXT, self.address, ids.buffer_info()[0], report)
            results = self._completed(ids)
            if self.pullback is not None:
                results = self.pullback.attach(results, arguments)
        finally:
            self.release()
        if header[RECORDED] > 1:
            header[RECORDED] -= 1
        elif header[RECORDED]:
            self.improve()
        return results

    def complete(self) -> list[Tensor]:
        """After replays: hand the gradients to their leaves; the results of the last one."""
        return self._completed(self._ids)

    def _completed(self, ids: array) -> list[Tensor]:
        """`complete`, given the slots of the arguments with room for those of the results behind them."""
        place, results = ids.buffer_info()[0], range(self.arity, self.arity + self._result_count)
        target = place + 8 * self.arity
        status = entries.complete(CONTEXT, self.address, place, target)
        while store.mend(status):
            status = entries.complete_results(CONTEXT, self.address, target, store.detail()[0])
        if status < 0:
            for k in results[: store.detail()[0]]:
                entries.release(CONTEXT, ids[k])
            raise_out_of_memory()
        return [wrap(ids[k]) for k in results]

    @property
    def memory(self) -> int:
        """Bytes of memory that the program keeps for itself."""
        blocks = sum(class_size(int(k)) for _, k in self.recording.blocks)
        return int(blocks) + sum(len(block) for block in self._extra)

    def __repr__(self) -> str:
        from .show.table import summary

        return summary(self)

    def show(self, file: TextIO | None = None) -> None:
        """Print the rows: the kernel of each, what it reads and writes by name, bytes and operations.

        Parameters
        ----------
        file : text stream, optional
            Where to print; standard output if not given.
        """
        from .show.table import show

        show(self, file)

    def profile(self, n: int = 1000, arguments: Sequence[Tensor] | None = None) -> Profile:
        """Measure how long each row takes, and what part of the machine's peak that is; ``print`` the result.

        The program really runs; afterwards all memory that it wrote, such as parameters, gradients, optimizer
        state and random state, is put back as it was. A row is repeated alone, so its operands are in the cache.

        Parameters
        ----------
        n : int
            How often to run the program, and each row, at least.
        arguments : sequence of Tensor, optional
            What to run it on; tensors of random numbers (of zeros where integers are wanted) if not given.

        Raises
        ------
        RuntimeError
            When the program does not fit the arguments or the state of the model any more.
        """
        from .show.profile import profile

        return profile(self, n, arguments)

    def __del__(self) -> None:
        if sys is None or sys.is_finalizing():  # the tables and the compiled code go too
            return
        tables, recording = getattr(self, "_tables", None), getattr(self, "recording", None)
        held = tables is not None and tables.let_go()
        if recording is not None and (held or recording.has_memory):
            recording.release()
