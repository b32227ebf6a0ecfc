"""Many steps in one compiled call: whole epochs over batches of tensors, or one batch again and again.

A `Runner` puts rows around a program: before it, rows that point it at the batch of this step, or gather a
shuffled batch; after it, rows that keep the step's results and count the step. Walking all of them n times is n
steps of training without Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._tensor import Tensor
from ..engine.layout import PATCH_ARGUMENT, PATCH_OFFSET, PATCH_PLACE, SEGMENT_WORDS
from ..kernels import program_rows
from ..kernels.program_rows import GATHER_INDEX, KEEP_BASE
from .program import Program, follow_one_another
from .tree import unflatten
from .walk import walk

if TYPE_CHECKING:
    from .compiled import CompiledFunction

PAUSE = 0.05  # seconds between looks at the keyboard and the progress bar
FIRST_STEPS = 16  # how many steps the first look comes after


class Batches:
    """Where the batches of an epoch come from.

    Parameters
    ----------
    tensors : list of Tensor
        With the samples along dimension 0, all of one length.
    size : int
        Samples of a batch.
    first : int
        Number of the first sample, counted in the epoch's order.
    shuffled : bool
        Whether batches are gathered by indices.
    """

    def __init__(self, tensors: list[Tensor], size: int, first: int, shuffled: bool) -> None:
        self.tensors, self.size, self.first, self.shuffled = tensors, size, first, shuffled
        self.bytes = [x.nbytes // max(len(x), 1) for x in tensors]
        if shuffled:
            self.examples = [x.new_zeros((size, *x.shape[1:])) for x in tensors]  # type: ignore[attr-defined]
        else:
            self.examples = [x[first : first + size] for x in tensors]  # type: ignore[index]

    def take(self, order: np.ndarray | None, step: int) -> list[Tensor]:
        """The batch of one step, for a call from Python."""
        start = self.first + step * self.size
        if order is None:
            return [x[start : start + self.size] for x in self.tensors]  # type: ignore[index]
        from ..functions import from_numpy

        rows = from_numpy(order[start : start + self.size])
        return [x[rows] for x in self.tensors]  # type: ignore[index]

    def rows(self, program: Program, counter: int) -> list[list[int]]:
        """Records that point `program` at the batch of the step that the word at address `counter` says."""
        if self.shuffled:
            return [
                program_rows.record("gather", [counter, 0, self.size, x.data_ptr(), size, into.data_ptr()])
                for x, size, into in zip(self.tensors, self.bytes, self.examples, strict=True)
            ]
        made = []
        for k, (x, size) in enumerate(zip(self.tensors, self.bytes, strict=True)):
            mine = [p for p in program.patches if p[PATCH_ARGUMENT] == k]
            pairs = [word for p in mine for word in (p[PATCH_PLACE], p[PATCH_OFFSET])]
            base, stride = x.data_ptr() + self.first * size, self.size * size
            made.append(program_rows.record("bind", [counter, base, stride, len(mine), *pairs]))
        return made


class Runner:
    """A program with the rows around it that make it a loop.

    Parameters
    ----------
    program : Program
        Already pointed at its arguments.
    before : list of list of int
        Records to run ahead of it in every step.
    results : list of numpy.ndarray
        Where each result of the program goes: room for as many as there will be steps.
    counter : numpy.ndarray
        One word: the number of the next step.
    """

    def __init__(
        self, program: Program, before: list[list[int]], results: list[np.ndarray], counter: np.ndarray
    ) -> None:
        self.program, self.counter, self.results = program, counter, results
        place = counter.ctypes.data
        keep = [
            program_rows.record(
                "keep", [place, to.ctypes.data, x["address"], to.itemsize * int(np.prod(x["shape"]))]
            )
            for x, to in zip(program.results, results, strict=True)
        ]
        self._before = np.array([w for r in before for w in r], np.int64)
        self._after = np.array(
            [w for r in [*keep, program_rows.record("next", [place])] for w in r], np.int64
        )
        self._gathers = [sum(len(r) for r in before[:k]) for k in range(len(before))]
        self._keeps = [sum(len(r) for r in keep[:k]) for k in range(len(keep))]
        edges = [_segment(self._before), *program.segments.tolist(), _segment(self._after)]
        self.table = np.array([s for s in edges if s[0] != s[1]], np.int64)
        assert self.table.shape[1] == SEGMENT_WORDS

    def use_order(self, order: np.ndarray, first: int) -> None:
        """Gather the batches of an epoch by these indices, from number `first` on."""
        for at in self._gathers:
            self._before[at + GATHER_INDEX] = order.ctypes.data + 8 * first

    def keep_from(self, step: int) -> None:
        """Let step 0 keep its results at place `step`."""
        for at, to in zip(self._keeps, self.results, strict=True):
            self._after[at + KEEP_BASE] = to[step:].ctypes.data if step < len(to) else to.ctypes.data

    def run(self, steps: int, tick: Callable[[int], None]) -> None:
        """Run `steps` steps from the counter on; `tick` hears how many are done, about every `PAUSE` seconds."""
        done, chunk = 0, FIRST_STEPS
        while done < steps:
            count = min(chunk, steps - done)
            start = time.perf_counter()
            report = walk(self.table, count)
            if report:
                raise self.program.reports.error(report)
            took = max(time.perf_counter() - start, 1e-9)
            done += count
            tick(count)
            chunk = max(1, min(int(PAUSE / took * count), 8 * chunk))


def _segment(words: np.ndarray) -> list[int]:
    return [words.ctypes.data, words.ctypes.data + 8 * len(words), 1, 0]


class Epochs:
    """The state of one `CompiledFunction.run`."""

    def __init__(
        self,
        function: CompiledFunction,
        tensors: list[Tensor],
        size: int,
        epochs: int,
        shuffle: bool,
        drop_last: bool,
    ) -> None:
        self.function, self.epochs, self.shuffle = function, epochs, shuffle
        samples = len(tensors[0])
        self.samples = samples
        self.steps, rest = divmod(samples, size)
        self.parts: list[_Part] = []
        if self.steps:
            self.parts.append(_Part(self, Batches(tensors, size, 0, shuffle), self.steps))
        if rest and not drop_last:
            self.parts.append(_Part(self, Batches(tensors, rest, self.steps * size, shuffle), 1))
        self.total = sum(p.steps for p in self.parts)

    def run_epoch(self, epoch: int, order: np.ndarray | None, tick: Callable[[int], None]) -> None:
        """All steps of one epoch."""
        for part in self.parts:
            part.run(epoch, order, tick)

    def collected(self, epochs: int) -> Any:
        """The results of the first `epochs` epochs in the form that the function returns."""
        return self._joined([p.results(slice(0, epochs)) for p in self.parts])

    def of_epoch(self, epoch: int) -> Any:
        """The results of one epoch, without the dimension of epochs."""
        return self._joined([p.results(slice(epoch, epoch + 1)) for p in self.parts], 0)

    def _joined(self, parts: list[list[np.ndarray]], epoch: int | None = None) -> Any:
        from ..functions import from_numpy

        joined = []
        for arrays in zip(*parts, strict=True):
            if len(arrays) == 2 and arrays[0].shape[2:] != arrays[1].shape[2:]:
                # one row a sample: the batches join along it
                arrays = [a.reshape(a.shape[0], 1, -1, *a.shape[3:]) for a in arrays]
                whole = np.concatenate(arrays, axis=2)[:, 0]
            else:
                whole = np.concatenate(arrays, axis=1)
            joined.append(from_numpy(np.ascontiguousarray(whole if epoch is None else whole[epoch])))
        return unflatten(self.parts[0].form, iter(joined))


class _Part:
    """The whole batches of every epoch, or the smaller last ones."""

    def __init__(self, owner: Epochs, batches: Batches, steps: int) -> None:
        self.owner, self.batches, self.steps = owner, batches, steps
        self.form: Any = None
        self.kept: list[np.ndarray] | None = None
        self.runner: Runner | None = None

    def results(self, epochs: slice) -> list[np.ndarray]:
        """The kept results, one array for each: (epochs, steps, ...)."""
        assert self.kept is not None
        return [a.reshape(-1, self.steps, *a.shape[1:])[epochs] for a in self.kept]

    def run(self, epoch: int, order: np.ndarray | None, tick: Callable[[int], None]) -> None:
        """The steps of one epoch: from Python until a program fits, then compiled."""
        done = 0
        while done < self.steps and not self._ready():
            self._step_from_python(epoch, order, done)
            tick(1)
            done += 1
        if done == self.steps:
            return
        runner = self.runner
        assert runner is not None
        if order is not None:
            runner.use_order(order, self.batches.first)
        runner.counter[0] = done
        runner.keep_from(epoch * self.steps)
        try:
            runner.run(self.steps - done, tick)
        finally:
            runner.program.complete()

    def _ready(self) -> bool:
        """Whether there is a runner, and its program still fits."""
        examples = self.batches.examples
        if self.runner is not None and self.runner.program.refresh() and self.runner.program.fits(examples):
            return True
        self.runner = None
        program = self.owner.function.known(examples)
        if program is None or not program.ready(examples) or not self._classes_fit(program):
            return False
        if not follow_one_another([program]):
            return False  # the next step is another program
        if any(x is not None for x in program.outputs):
            raise TypeError(
                "run: the function returns a tensor that it does not compute (an argument, a parameter)"
            )
        self.form = program.form
        self._make_room([(x["shape"], x["dtype"]) for x in program.results])
        counter = np.zeros(1, np.int64)
        assert self.kept is not None
        rows = self.batches.rows(program, counter.ctypes.data)
        self.runner = Runner(program, rows, self.kept, counter)
        return True

    def _classes_fit(self, program: Program) -> bool:
        """Whether all class indices are in range, so that no step need look again."""
        return all(program.classes_fit(k, self.batches.tensors[k].numpy()) for k in program.class_arguments)

    def _make_room(self, results: list[tuple[list[int], int]]) -> None:
        from ..dtypes import DTYPES

        if self.kept is None:
            count = self.owner.epochs * self.steps
            self.kept = [np.zeros((count, *shape), DTYPES[code].numpy) for shape, code in results]

    def _step_from_python(self, epoch: int, order: np.ndarray | None, step: int) -> None:
        from .tree import flatten

        leaves: list[Tensor] = []
        self.form = flatten(self.owner.function(*self.batches.take(order, step)), leaves)
        self._make_room([(list(x.shape), x.dtype.code) for x in leaves])
        assert self.kept is not None
        for x, to in zip(leaves, self.kept, strict=True):
            if to.shape[1:] != tuple(x.shape):
                raise RuntimeError(
                    f"run: a result has shape {tuple(x.shape)} in this step and {to.shape[1:]} in others; "
                    "return tensors whose shape does not depend on the data"
                )
            to[epoch * self.steps + step] = x.detach().numpy()


def repeat(function: CompiledFunction, n: int, tensors: list[Tensor]) -> Any:
    """`CompiledFunction.loop`."""
    part = _Part(Epochs.__new__(Epochs), _Same(tensors), n)
    part.owner.function, part.owner.epochs, part.owner.parts = function, 1, [part]
    part.run(0, None, lambda _: None)
    return part.owner.of_epoch(0)


class _Same(Batches):
    """The same tensors in every step."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = self.examples = tensors
        self.first = 0

    def take(self, order: np.ndarray | None, step: int) -> list[Tensor]:
        """The tensors."""
        return self.tensors

    def rows(self, program: Program, counter: int) -> list[list[int]]:
        """None: the program points at them already."""
        return []


def run_epochs(
    function: CompiledFunction,
    tensors: list[Tensor],
    batch_size: int,
    epochs: int,
    shuffle: bool,
    drop_last: bool,
    generator: Any,
    progress: bool | Callable[[int], Any],
    callback: Callable[[int, Any], Any] | None,
    schedule: Any,
) -> Any:
    """`CompiledFunction.run`."""
    _check(tensors, batch_size, epochs)
    tensors = [x.detach().contiguous() for x in tensors]  # type: ignore[attr-defined]
    state = Epochs(function, tensors, batch_size, epochs, shuffle, drop_last)
    if not state.total:
        raise ValueError(
            f"run: {state.samples} samples make no batch of {batch_size}; "
            "use a smaller batch_size, or drop_last=False"
        )
    with _bar(progress, epochs * state.total) as tick:
        for epoch in range(epochs):
            order = _order(state.samples, generator) if shuffle else None
            state.run_epoch(epoch, order, tick)
            _advance(schedule, epoch)
            if callback is not None and callback(epoch, state.of_epoch(epoch)):
                return state.collected(epoch + 1)
    return state.collected(epochs)


def _check(tensors: list[Tensor], batch_size: int, epochs: int) -> None:
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"run: expected tensors, got {type(x).__name__}; other arguments belong into a closure"
            )
    if not tensors:
        raise TypeError("run: expected at least one tensor of samples")
    if batch_size < 1 or epochs < 1:
        raise ValueError(f"run: batch_size and epochs must be at least 1, got {batch_size} and {epochs}")
    lengths = [len(x) for x in tensors]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"run: Size mismatch between tensors: they have {lengths} samples, expected one number"
        )


def _order(samples: int, generator: Any) -> np.ndarray:
    from ..functions import randperm

    return randperm(samples, generator=generator).numpy()


def _advance(schedule: Any, epoch: int) -> None:
    if schedule is not None:
        schedule.step() if hasattr(schedule, "step") else schedule(epoch)


class _bar:
    """A progress bar, or nothing: a context that gives the function to call with the number of steps done."""

    def __init__(self, wanted: bool | Callable[[int], Any], total: int) -> None:
        self._bar = None
        self._tick = wanted if callable(wanted) else lambda _: None
        if wanted is True:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                raise ImportError("run: progress=True needs tqdm; pip install 'jitgrad[demo]'") from None
            self._bar = tqdm(total=total, unit="step")

    def __enter__(self) -> Callable[[int], Any]:
        return self._bar.update if self._bar is not None else self._tick

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()
