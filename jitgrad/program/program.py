"""A recorded program: its records, what must hold for it to run, and what is left to do after it ran."""

from __future__ import annotations

import sys
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT
from ..engine.entry import entries
from ..engine.layout import (
    ANY_MODE,
    CHECK_WORDS,
    EXTERNAL,
    G_SLOT,
    PATCH_ARGUMENT,
    PATCH_WORDS,
    S_STORAGE,
    SEGMENT_PARTS,
    SEGMENT_WORDS,
    SLOT_WORDS,
)
from ..store import store
from ..team import run
from ..threads import get_num_threads
from .guards import Guards
from .recording import Recording, Spoiled
from .reports import Reports
from .rewrites import Facts, rewrite
from .rewritten import Rewritten
from .rows import Row, View, rows_of
from .segments import ALONE
from .surroundings import ADDRESS, BYTES, CLASS_BYTES, OWNER, REFS, SIZE_CLASS, Storages, class_size, storages
from .survey import Survey
from .tables import Tables, geometry, gradients_set

if TYPE_CHECKING:
    from .profile import Profile


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
        sources: list[dict[str, Any]],
        entry_gradients: dict[int, int],
        guards: Guards,
        options: Mapping[str, bool] | None = None,
        base: int = 0,
    ) -> None:
        self.key: Any = None  # description of the arguments apart from their tensors
        self.form: Any = None  # description of what the function returned
        self.outputs: list[
            Any
        ] = []  # per tensor returned: None, a tensor from outside, or number of an argument
        self.single = self.plain = False  # one computed tensor is returned; all arguments are tensors
        self.pullback: Any = None  # the way back, when results have gradients
        self.depends_on: Any = None  # a program whose memory this one reads
        self.options = options
        self.recording = recording
        self.guards = guards
        self.arity = len(arguments)
        self.shapes = [x.shape for x in arguments]
        self.results = sources
        self._tables = Tables()
        self._header = self._tables.header
        self.address: int = self._header.ctypes.data
        self._arguments = [geometry(x) for x in arguments]
        self._argument_storages = [store.slots[x._slot * SLOT_WORDS + S_STORAGE] for x in arguments]
        self._rewritten: Rewritten | None = None
        self._survey = self._look(base)
        self.mode = ANY_MODE if base else _mode()
        self._make(arguments, entry_gradients)
        if base:
            self.improve()

    def _look(self, base: int) -> Survey:
        """What the recorded rows touch."""
        table = storages()
        mine = table[np.flatnonzero(table[:, OWNER] == self.recording.number)]
        # what is alive now is a result, a gradient of a leaf, or a value that the way back will read; arrays are
        # the user's
        live = mine[(mine[:, REFS] > 0) | (mine[:, SIZE_CLASS] == EXTERNAL)]
        self._kept = [(a, a + n) for a, n in live[:, [ADDRESS, BYTES]].tolist()]
        blocks = self.recording.blocks
        arrays = mine[mine[:, SIZE_CLASS] == EXTERNAL]  # others lie in the blocks
        begins = np.concatenate([blocks[:, 0], arrays[:, ADDRESS]])
        sizes = np.concatenate([CLASS_BYTES[blocks[:, 1]], arrays[:, BYTES]])
        self._finder = Storages(self.recording.number, base, (begins, sizes))
        survey = Survey(self.recording.log, self._finder)
        self.reports = Reports(survey, self._arguments)
        if not base and not survey.all_known():
            raise Spoiled("lets go of a tensor from outside that it uses", None, False)
        return survey

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
            if self._header[0]["recorded"]:  # and no other thread is running the records just now
                place, count = made.segments.ctypes.data, len(made.segments)
                patches = made.patches
                entries.use_records(CONTEXT, self.address, place, count, patches.ctypes.data, len(patches))
            return made

    def _rewrite(self) -> Rewritten:
        log = self.recording.log.copy()  # another thread may be running the records
        for k, place, offset in self._patches:
            log[(place - self.recording.log.ctypes.data) // 8] = self._arguments[k]["address"] + offset
        finder, reports = self._finder, self.reports
        own = self.recording.blocks[:, 0].tolist()
        facts = Facts(
            finder.at,
            own,
            self._kept,
            lambda row: reports.cell_of(row) != 0,
            finder.overlap,
            max(2, get_num_threads()),
        )
        rows = rewrite(rows_of(log), facts, self.options or {})
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

    # building ----------------------------------------------------------------------------------------

    def _make(self, arguments: list[Tensor], entry_gradients: dict[int, int]) -> None:
        if len(set(self._argument_storages)) != len(arguments):
            raise Spoiled("is called with arguments that share memory")
        written = self._survey.written()
        outside = [s for s in self._survey.touched if s not in self._argument_storages]
        tables = self._tables
        tables.put_arguments(self._arguments, self._argument_storages, written)
        gradients = gradients_set(self.recording, arguments)
        tables.put_guards(outside, entry_gradients, {x._slot for x in arguments}, gradients)
        tables.put_gradients(gradients)
        self._put_checks(entry_gradients)
        self._put_log()
        tables.put_results(self.results)
        self._ids = np.zeros(self.arity + len(self.results) + 1, np.int64)
        tables.write("written", [[s] for s in outside if s in written], 1)
        header = self._header[0]
        header["mode"] = self.mode
        header["arity"] = self.arity
        header["structure"] = store.structure

    def _put_checks(self, before: dict[int, int]) -> None:
        """Class indices among the arguments are checked before anything runs, others when their row has run."""
        self.checks = self.reports.checks
        self._tables.write("checks", self.checks, CHECK_WORDS)
        seen = [store.slots[grad * SLOT_WORDS + S_STORAGE] for grad in before.values() if grad]
        self._seen = [(int(s["address"]), int(s["address"] + s["bytes"])) for s in store.storage_table[seen]]

    def _put_log(self) -> None:
        """Replay the records where they were written."""
        base, survey = self.recording.log.ctypes.data, self._survey
        parts = self.reports.split_log(survey.edges[-1], survey.first_seen(self._seen))
        lines = [[base + 8 * a, base + 8 * b, ALONE, cell] for a, b, cell in parts]
        patches = [
            [k, base + 8 * place, address - self._arguments[k]["address"]]
            for k, place, address in survey.arguments(self._argument_storages)
        ]
        self._patches = patches
        self._tables.write("patches", patches, PATCH_WORDS, "patch_count")
        self._tables.write("table", lines, SEGMENT_WORDS, "segments")
        self._header[0]["recorded"] = REPLAYS + 1

    # running -----------------------------------------------------------------------------------------

    @property
    def read_arguments(self) -> set[int]:
        """Numbers of the arguments whose memory the records name."""
        return {line[PATCH_ARGUMENT] for line in self._patches}

    @property
    def guarded(self) -> list[int]:
        """Slots of the tensors from outside that the program uses."""
        return self._tables.named["guards"][:, G_SLOT].tolist()

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
        self._header[0]["structure"] = store.structure

    def refresh(self) -> bool:
        """Whether what Python decides is as it was; then compiled code need not ask again."""
        if self._header[0]["structure"] != store.structure:
            if not self.guards.objects_hold():
                return False
            self._header[0]["structure"] = store.structure
        return self.guards.names_hold()

    def fits(self, arguments: list[Tensor]) -> bool:
        """Whether the program can be replayed on these arguments now."""
        return len(arguments) == self.arity and self._prepare(arguments) == 0

    def ready(self, arguments: list[Tensor]) -> bool:
        """Whether the rewritten rows (`segments`) can be run on these arguments now; they point at them then."""
        self.improve()
        return not self._header[0]["recorded"] and self.fits(arguments)

    def _prepare(self, arguments: list[Tensor]) -> int:
        """Check everything and point the records at the arguments; 0 or a status."""
        ids = self._ids
        for k, x in enumerate(arguments):
            ids[k] = x._slot
        return self._enter(entries.prepare, ids.ctypes.data)

    def _enter(self, entry: Callable[..., int], place: int) -> int:
        """Call an entry that checks the arguments whose slots are at address `place`; 0 or a status."""
        status = entry(CONTEXT, self.address, place)
        while store.mend(status):
            status = entry(CONTEXT, self.address, place)
        return status

    def call(self, arguments: list[Tensor]) -> list[Tensor] | int:
        """Replay on arguments; the results, or a status with nothing changed."""
        header = self._header[0]
        count = len(self.results)
        ids = array("q", [*[x._slot for x in arguments], *[0] * (count + 1)])
        place = ids.buffer_info()[0]
        status = self._enter(entries.begin, place)
        if status != 0:
            return status
        try:
            report = run(int(header["table"]), int(header["segments"]), 1)
            if report:
                return entries.stop(CONTEXT, self.address, place, report)
            entries.complete(CONTEXT, self.address, place, place + 8 * self.arity)
        finally:
            header["running"] = 0
        if header["recorded"] > 1:
            header["recorded"] -= 1
        elif header["recorded"]:
            self.improve()
        return [wrap(s) for s in ids[self.arity : self.arity + count]]

    def complete(self) -> list[Tensor]:
        """After replays: hand the gradients to their leaves; the results of the last one."""
        place = self._ids.ctypes.data
        entries.complete(CONTEXT, self.address, place, place + 8 * self.arity)
        return [wrap(int(s)) for s in self._ids[self.arity : self.arity + len(self.results)]]

    @property
    def class_arguments(self) -> list[int]:
        """The arguments that are class indices."""
        return [k for k, _, _ in self.checks]

    def classes_fit(self, argument: int, values: np.ndarray) -> bool:
        """Whether class indices given for an argument are in range."""
        return all(
            bool((((values >= 0) & (values < classes)) | (values == ignored)).all())
            for k, classes, ignored in self.checks
            if k == argument
        )

    @property
    def memory(self) -> int:
        """Bytes of memory that the program keeps for itself."""
        blocks = sum(class_size(int(k)) for _, k in self.recording.blocks)
        return int(blocks) + sum(len(block) for block in self._extra)

    def __repr__(self) -> str:
        from .show import summary

        return summary(self)

    def show(self, file: TextIO | None = None) -> None:
        """Print the rows: the kernel of each, what it reads and writes by name, bytes and operations.

        Parameters
        ----------
        file : text stream, optional
            Where to print; standard output if not given.
        """
        from .show import show

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
        from .profile import profile

        return profile(self, n, arguments)

    def __del__(self) -> None:
        if sys is None or sys.is_finalizing():  # the tables and the compiled code go too
            return
        tables = getattr(self, "_tables", None)
        held = tables is not None and tables.let_go()
        if held or len(self.recording.blocks):
            self.recording.release()


def _mode() -> int:
    from ..autograd.modes import current_mode

    return current_mode()
