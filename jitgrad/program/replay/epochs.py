"""Many steps in one compiled call: whole epochs over batches of tensors, or one batch again and again.

Python is needed for the first step, which is recorded, and once an epoch for a callback or a schedule. Without these
short epochs follow one another in compiled code, with their random orders and a smaller last batch.
"""

from __future__ import annotations

import inspect
import operator
import time
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._tensor import Tensor
from ...dtypes import DTYPES, dtype
from ...functions import from_numpy
from ..remade import Parts
from ..tree import flatten, unflatten
from .batches import Batches, Order, Same, kind_for
from .runner import FIRST_STEPS, PAUSE, Runner, Walk, follow_one_another
from .sources import Sources

if TYPE_CHECKING:
    from ..steps import Steps

MOST_WORDS = 1 << 14  # of the table of an epoch's segments
Tick = Callable[[int], None]


class Part:
    """The whole batches of every epoch, or the smaller last ones.

    Parameters
    ----------
    function : Steps
        What runs on each.
    batches : Batches
        Where they are.
    steps : int
        How many batches an epoch has.
    epochs : int
        How many epochs there are.
    """

    def __init__(self, function: Steps, batches: Batches, steps: int, epochs: int) -> None:
        self.function, self.batches, self.steps, self.epochs = function, batches, steps, epochs
        self.form: Any = None
        self.runner: Runner | None = None
        self._kept: list[np.ndarray] | None = None
        self.like: list[tuple[tuple[int, ...], dtype]] = []  # shape and dtype of each result

    def results(self, epochs: slice) -> list[np.ndarray]:
        """The kept results, one array for each: (epochs, steps, ...)."""
        assert self._kept is not None
        return [a.reshape(self.epochs, self.steps, *a.shape[1:])[epochs] for a in self._kept]

    def run(self, epoch: int, tick: Tick) -> None:
        """The steps of one epoch: from Python until a program fits, then compiled."""
        done = 0
        while done < self.steps:
            ready = self.is_ready()
            walked = self.walk(epoch, done).run(self.steps - done, FIRST_STEPS, tick) if ready else 0
            if not walked:
                self._step_from_python(epoch, done)
                tick(1)
            done += walked or 1

    def walk(self, epoch: int, step: int) -> Walk:
        """The walk of steps from this one on; `is_ready` has just been true."""
        assert self.runner is not None
        self.runner.begin(epoch * self.steps + step, step)
        return Walk(self.runner.table, [self.runner])

    def is_ready(self) -> bool:
        """Whether there is a runner for the next steps; one is made as soon as a program fits them."""
        if self.batches.have_history:
            return False
        if self.runner is None or not self.runner.fits():
            self.runner = self._new_runner()
        return self.runner is not None

    def _new_runner(self) -> Runner | None:
        """A runner of the program that fits the next steps, if there is one."""
        examples = self.batches.examples
        program = self.function.known(*examples)
        if program is None or not program.ready(examples):
            return None
        if any(x is not None for x in program.returns.outputs):
            return None  # what it returns was there before, such as a parameter: Python keeps what it shows
        if self.batches.sources.are_written_by(program.improve()):
            return None
        if not self.batches.may_run(program):
            return self._new_runner()
        if not follow_one_another([program]):
            return None  # the next step is another program
        self.form = program.returns.tree
        kept = self._room_for([(tuple(x["shape"]), DTYPES[x["dtype"]]) for x in program.results])
        runner = Runner(program, self.batches, kept, self.steps, self.function)
        if not runner.fits():
            return None
        self.function.was_replayed()
        return runner

    def _room_for(self, results: list[tuple[tuple[int, ...], dtype]]) -> list[np.ndarray]:
        """Where the results of all steps go, which must be alike."""
        if self._kept is None:
            count = self.epochs * self.steps
            self._kept, self.like = [np.zeros((count, *s), kind.numpy) for s, kind in results], results
        if results != self.like:
            (now, before) = (", ".join(f"{kind} {s}" for s, kind in x) for x in (results, self.like))
            raise RuntimeError(
                f"run: the function returns tensors ({now}) in this step and ({before}) in others; "
                "return tensors whose number, dtypes and shapes do not depend on data or modes"
            )
        return self._kept

    def _step_from_python(self, epoch: int, step: int) -> None:
        leaves: list[Tensor] = []
        self.form = flatten(self.batches.call(self.function, step), leaves, Parts())
        kept = self._room_for([(tuple(x.shape), x.dtype) for x in leaves])
        for x, to in zip(leaves, kept, strict=True):
            to[epoch * self.steps + step] = x.numpy(force=True)


class Epochs:
    """The state of one `Steps.run`."""

    def __init__(self, parts: list[Part], order: Order | None, epochs: int) -> None:
        self.parts, self.order, self.epochs = parts, order, epochs
        self.total = sum(p.steps for p in parts)  # steps of an epoch
        self._took = PAUSE  # seconds of the last epoch that Python has gone through

    def run_epoch(self, epoch: int, tick: Tick) -> None:
        """All steps of one epoch."""
        start = time.perf_counter()
        if self.order is not None:
            self.order.next()
        for part in self.parts:
            part.run(epoch, tick)
        self._check_parts()
        self._took = time.perf_counter() - start

    def run_ahead(self, epoch: int, tick: Tick) -> int:
        """Epochs from this one on without Python between them, where each is short; how many have been done."""
        if 2 * self._took > PAUSE or epoch + 2 > self.epochs:
            return 0
        if not all(part.is_ready() for part in self.parts):
            return 0
        runners = [part.runner for part in self.parts if part.runner is not None]
        words = sum(len(r.table) * p.steps for r, p in zip(runners, self.parts, strict=True))
        if words > MOST_WORDS or not follow_one_another([r.program for r in runners]):
            return 0
        table = array("q") if self.order is None else self.order.table[:]
        for part in self.parts:
            table += part.walk(epoch, 0).table * part.steps
        first = max(1, FIRST_STEPS // self.total)
        return Walk(table, runners).run(self.epochs - epoch, first, lambda done: tick(done * self.total))

    def _check_parts(self) -> None:
        """Refuse results of a smaller last batch that do not go with the others."""
        whole, *last = [p.like for p in self.parts]
        for rest in last:
            pairs = [(a[0], b[0]) for a, b in zip(whole, rest, strict=False)]
            if len(whole) != len(rest) or any(a != b and a[1:] != b[1:] for a, b in pairs):
                raise RuntimeError(
                    f"run: the function returns tensors of shapes {[a for a, _ in whole]} for whole batches and "
                    f"{[b for b, _ in rest]} for the last one; return one row a sample, or use drop_last=True"
                )

    def collected(self, epochs: int) -> Any:
        """The results of the first `epochs` epochs in the form that the function returns."""
        return self._joined([p.results(slice(0, epochs)) for p in self.parts])

    def of_epoch(self, epoch: int) -> Any:
        """The results of one epoch, without the dimension of epochs."""
        return self._joined([p.results(slice(epoch, epoch + 1)) for p in self.parts], 0)

    def _joined(self, parts: list[list[np.ndarray]], epoch: int | None = None) -> Any:
        joined = []
        for arrays in zip(*parts, strict=True):
            if len(arrays) == 2 and arrays[0].shape[2:] != arrays[1].shape[2:]:
                # one row a sample: the batches join along it
                arrays = [a.reshape(a.shape[0], 1, a.shape[1] * a.shape[2], *a.shape[3:]) for a in arrays]
                whole = np.concatenate(arrays, axis=2)[:, 0]
            else:
                whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)
            joined.append(from_numpy(np.ascontiguousarray(whole if epoch is None else whole[epoch])))
        return unflatten(self.parts[0].form, iter(joined))


def repeat(function: Steps, n: int, tensors: list[Tensor]) -> Any:
    """`Steps.loop`."""
    n = _whole("loop", "n", n)
    if n < 1:
        raise ValueError(f"loop: expected at least 1 step, got {n}")
    _check_tensors("loop", tensors)
    part = Part(function, Same(tensors), n, 1)
    part.run(0, lambda _: None)
    return Epochs([part], None, 1).of_epoch(0)


def run_epochs(
    function: Steps,
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
    """`Steps.run`."""
    batch_size, epochs = _whole("run", "batch_size", batch_size), _whole("run", "epochs", epochs)
    _check(tensors, batch_size, epochs)
    _check_calls(progress, callback, schedule)
    kind = kind_for(tensors)
    given, tensors = tensors, kind.samples(tensors)
    sources = Sources(given, tensors)
    samples = len(tensors[0])
    steps, rest = divmod(samples, batch_size)
    sizes = [(batch_size, steps)] if steps else []
    sizes += [(rest, 1)] if rest and not drop_last else []
    if not sizes:
        raise ValueError(
            f"run: {samples} samples make no batch of {batch_size}; use a smaller batch_size, or drop_last=False"
        )
    order = Order(samples, generator) if shuffle else None
    firsts = (0, steps * batch_size) if steps else (0,)
    parts = [
        Part(function, kind(tensors, size, first, order, sources), count, epochs)
        for (size, count), first in zip(sizes, firsts, strict=False)
    ]
    try:
        return _run(Epochs(parts, order, epochs), progress, callback, schedule)
    finally:
        if order is not None:
            order.release()


def _run(
    state: Epochs,
    progress: bool | Callable[[int], Any],
    callback: Callable[[int, Any], Any] | None,
    schedule: Any,
) -> Any:
    alone = callback is None and schedule is None
    with _bar(progress, state.epochs * state.total) as tick:
        epoch = 0
        while epoch < state.epochs:
            ahead = state.run_ahead(epoch, tick) if alone else 0
            if not ahead:
                state.run_epoch(epoch, tick)
                _advance(schedule, epoch)
                if callback is not None and callback(epoch, state.of_epoch(epoch)):
                    return state.collected(epoch + 1)
            epoch += ahead or 1
    return state.collected(state.epochs)


def _whole(name: str, argument: str, value: Any) -> int:
    """A whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: {argument} must be int, not {type(value).__name__}") from None


def _check_tensors(name: str, tensors: list[Tensor]) -> None:
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}: expected tensors, got {type(x).__name__}; other arguments belong into a closure"
            )


def _check(tensors: list[Tensor], batch_size: int, epochs: int) -> None:
    _check_tensors("run", tensors)
    if not tensors:
        raise TypeError("run: expected at least one tensor of samples")
    if any(x.dim() == 0 for x in tensors):
        raise ValueError(
            "run: expected tensors with the samples along dimension 0, got one without dimensions"
        )
    if batch_size < 1 or epochs < 1:
        raise ValueError(f"run: batch_size and epochs must be at least 1, got {batch_size} and {epochs}")
    lengths = [len(x) for x in tensors]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"run: Size mismatch between tensors: they have {lengths} samples, expected one number"
        )


def _check_calls(progress: Any, callback: Any, schedule: Any) -> None:
    """Refuse now what could not be called when weights have changed."""
    if not (isinstance(progress, bool) or callable(progress)):
        raise TypeError(f"run: progress must be bool or callable, not {type(progress).__name__}")
    if not (callback is None or callable(callback)):
        raise TypeError(f"run: callback must be callable, not {type(callback).__name__}")
    step = getattr(schedule, "step", schedule)
    if not (schedule is None or callable(step)):
        raise TypeError(f"run: schedule must have a step or be callable, not {type(schedule).__name__}")
    if step is not schedule and any(
        p.default is p.empty for p in inspect.signature(step).parameters.values()
    ):
        raise TypeError(
            f"run: {type(schedule).__name__}.step needs arguments; call it in `callback`, which gets the results"
        )


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
