"""Programs with rows around them that make them steps of a loop, and walks of many of those in compiled code.

Before a program stand rows that point it at the batch of this step, or gather a shuffled batch; after it, rows that
keep the step's results and count the step. Walking all of them n times is n steps of training without Python.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from ...engine.layout import ALONE, SEGMENT_WORDS
from ...kernels import program_rows
from .walk import walk

if TYPE_CHECKING:
    from ..program import Program
    from .batches import Batches

PAUSE = 0.05  # seconds between looks at the keyboard and the progress bar
FIRST_STEPS = 16  # how many steps the first look comes after
KEPT, BATCH = range(2)  # the counters of a step: the place of its results, and the number of its batch


def segment(begin: int, end: int) -> tuple[int, ...]:
    """A line of a table of segments: the records between two addresses, for one thread."""
    line = (begin, end, ALONE, 0)
    assert len(line) == SEGMENT_WORDS
    return line


class Runner:
    """A program as the step of a loop.

    Parameters
    ----------
    program : Program
        One that fits the batches.
    batches : Batches
        Which batch a step gets.
    results : list of numpy.ndarray
        Where each result of the program goes: room for as many as there will be steps.
    steps : int
        How many batches an epoch has.
    function : callable
        What the program was recorded from.

    Attributes
    ----------
    table : array
        The segments of a step.
    """

    def __init__(
        self,
        program: Program,
        batches: Batches,
        results: list[np.ndarray],
        steps: int,
        function: Callable[..., Any],
    ) -> None:
        self.program, self._batches, self._results, self._function = program, batches, results, function
        self._labels = [batches.tensors[k] for k in program.reports.class_arguments]
        self._seen = self._versions  # of the labels that have been looked at
        self._counters = array("q", (0, 0))
        place = self._counters.buffer_info()[0]
        # samples as they lie that make one batch: the program points at them already
        single = steps == 1 and batches.are_slices
        before = [] if single else batches.rows(program, place + 8 * BATCH)
        after = [
            program_rows.record(
                "keep", [place, to.ctypes.data, x["address"], to.itemsize * math.prod(x["shape"])]
            )
            for x, to in zip(program.results, results, strict=True)
        ]
        after.append(program_rows.record("next", [place, steps]))
        self._records = [array("q", [w for r in rows for w in r]) for rows in (before, after)]
        first, last = (segment(at, at + 8 * n) for at, n in (x.buffer_info() for x in self._records))
        inner = program.segments.ravel().tolist()
        self.table = array("q", [*(first if before else ()), *inner, *last])

    @property
    def _versions(self) -> list[int]:
        return [x._version for x in self._labels]

    def fits(self) -> bool:
        """Whether the next steps may be replays: the program fits, and all class indices are in range."""
        program, tensors = self.program, self._batches.tensors
        self._batches.sources.follow()
        self._seen = self._versions
        known = all(
            program.reports.classes_fit(k, tensors[k].numpy()) for k in program.reports.class_arguments
        )
        return known and not program.busy and program.refresh() and program.fits(self._batches.examples)

    def hold(self) -> bool:
        """Whether that is still so; then the program points at its batches, and nobody else replays it."""
        self._batches.sources.follow()
        return self._seen == self._versions and self.program.hold(self._batches.examples)

    def refuse(self, report: int) -> NoReturn:
        """Raise the error of a bad index that ended a step.

        Where the step had changed nothing yet the function itself is called, which leaves behind what it leaves.
        """
        reports = self.program.reports
        late = reports.is_late(report)
        error = reports.error(report)
        if not late:
            self._batches.call(self._function, self._counters[BATCH])
        raise error

    @property
    def kept(self) -> int:
        """The place of the results of the next step."""
        return self._counters[KEPT]

    @property
    def batch(self) -> int:
        """The number of the batch of the next step."""
        return self._counters[BATCH]

    def begin(self, kept: int, batch: int) -> None:
        """Say where the next step puts its results, and which batch it gets."""
        self._counters[KEPT], self._counters[BATCH] = kept, batch


class Walk(NamedTuple):
    """Segments to be walked again and again, and whose programs they run, in order."""

    table: array
    runners: Sequence[Runner]

    def run(self, times: int, first: int, tick: Callable[[int], None]) -> int:
        """Walk so many times, or fewer: until a program does not fit any more. Returns how many.

        `tick` hears of them after the `first` and then about every `PAUSE` seconds. It may do anything, such as call
        the function, and so may other threads then: programs are held while they are walked, and not longer.
        """
        done, chunk = 0, first
        while done < times and self._hold():
            count = min(chunk, times - done)
            start = time.perf_counter()
            self._walk(count)
            took = max(time.perf_counter() - start, 1e-9)
            done += count
            chunk = max(1, min(int(PAUSE / took * count), 8 * chunk))
            tick(count)
        return done

    def _hold(self) -> bool:
        """Whether all programs fit and are nobody else's now."""
        for k, runner in enumerate(self.runners):
            if not runner.hold():
                for other in self.runners[:k]:
                    other.program.release()
                return False
        return True

    def _walk(self, times: int) -> None:
        """Walk programs that are held; afterwards leaves have the gradients of the last step, also after an error."""
        before = [runner.kept for runner in self.runners]
        ran: Sequence[Runner] = self.runners
        failed: Runner | None = None
        report = 0
        try:
            report = walk(self.table, times)
            if report:
                failed = next(r for r in self.runners if report in r.program.reports)
                ran = self._ran(failed, report, before)
        finally:
            for runner in ran:
                runner.program.complete()
            for runner in self.runners:
                runner.program.release()
        if failed is not None:
            failed.refuse(report)

    def _ran(self, failed: Runner, report: int, before: list[int]) -> list[Runner]:
        """Who has changed something until one reported, in the order of their last steps.

        A step that reports first of all has changed nothing, so that leaves keep the gradients from before it.
        """
        late = failed.program.reports.is_late(report)
        ran = [
            r
            for r, kept in zip(self.runners, before, strict=True)
            if r.kept != kept or (late and r is failed)
        ]
        place = self.runners.index(failed)
        first = place + 1 if late or failed.batch else place  # in this epoch, or not since the one before
        return [r for r in (*self.runners[first:], *self.runners[:first]) if r in ran]


def follow_one_another(programs: Sequence[Program]) -> bool:
    """Whether programs that fit now can be replayed in this order, over and over, with nothing asked in between.

    One that reads gradients has to find those that it was recorded with: a step that adds to gradients is
    another program where there are none yet.
    """
    gradients: dict[int, int] = {}
    for program in (*programs, *programs):
        if any(gradients.get(leaf, found) != found for leaf, found in program.gradients_found.items()):
            return False
        gradients |= program.gradients_left
    return True
