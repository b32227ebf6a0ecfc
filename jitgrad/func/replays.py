"""Mapped functions without Python between the samples: one is recorded, the others are replays of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .._tensor import Tensor
from ..autograd.modes import is_grad_enabled, no_grad
from ..engine.layout import S_STORAGE
from ..program.compiled import CompiledFunction
from ..program.eagerly import must_run_eagerly
from ..program.program import Program
from ..program.record.copied import versions_of
from ..program.refusals import MAX_ATTEMPTS
from ..program.replay.batches import Batches
from ..program.replay.epochs import Epochs, Part
from ..program.tree import flatten, unflatten
from ..store import store
from .samples import Samples

WORTH_RECORDING = 64  # samples that Python takes first, in about the time that a recording takes


class Replays:
    """A function that is mapped over batches, and the record of one sample once that pays.

    Only what has no history is replayed: where results have gradients, where the function does what no replay can
    do, and within a function that is itself being recorded, Python takes one sample after the other.

    Parameters
    ----------
    function : callable
        Of one sample.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._seen = 0  # samples so far
        self._compiled: _OneSample | None = None

    def results(self, samples: Samples) -> tuple[list[Any], Any]:
        """The results of the first samples, one by one, and those of the others, stacked, or None."""
        self._seen += samples.count
        done: list[Any] = []
        rest = self._replayed(samples, done) if self._may_replay(samples) else None
        if rest is None:
            done += [self._call(samples, k) for k in range(len(done), samples.count)]
        return done, rest

    def _call(self, samples: Samples, k: int) -> Any:
        args, kwargs = samples.arguments(k)
        return self._function(*args, **kwargs)

    def _may_replay(self, samples: Samples) -> bool:
        if self._seen < WORTH_RECORDING or samples.count < 2:
            return False
        if store.recording is not None or must_run_eagerly():
            return False
        return not (is_grad_enabled() and any(x.requires_grad for x in samples.leaves))

    def _replayed(self, samples: Samples, done: list[Any]) -> Any:
        """The results of the samples behind those that Python had to run first, which `done` gets, or None."""
        compiled = self._compiled
        if compiled is None or not compiled.fits(samples):
            compiled = self._compiled = _OneSample(self._function, samples)
        if compiled.is_eager:
            return None
        batches = _SampleBatches(samples)
        if compiled.program_for(batches) is None and not self._record(compiled, batches, samples, done):
            return None
        left = samples.count - len(done)
        if not left:
            return None
        batches.begin_at(len(done))
        part = Part(compiled, batches, left, 1)
        part.run(0, lambda _: None)
        return Epochs([part], None, 1).of_epoch(0)

    def _record(
        self, compiled: _OneSample, batches: _SampleBatches, samples: Samples, done: list[Any]
    ) -> bool:
        """Whether samples can be replayed, after Python has run and recorded the first of them, which `done` gets.

        The first is run with the samples themselves: to write to those, and to return what has a history, is nothing
        that a replay, on copies, may do.
        """
        before = versions_of(samples.leaves)
        done.append(self._call(samples, 0))
        if versions_of(samples.leaves) != before:
            compiled.stays_eager()
            return False
        leaves: list[Tensor] = []
        flatten(done[0], leaves)
        if not leaves or any(x.requires_grad for x in leaves):
            return False
        while compiled.program_for(batches) is None:
            if compiled.is_eager or len(done) in (samples.count, 1 + MAX_ATTEMPTS):
                return False
            done.append(compiled(*batches.sample(len(done))))
            if batches.hand_back(samples, len(done) - 1):
                compiled.stays_eager()
                return False
        return True


class _SampleBatches(Batches):
    """Batches of one sample; tensors that all samples share are in each as they are."""

    def __init__(self, samples: Samples) -> None:
        pairs = list(zip(samples.leaves, samples.dims, strict=True))
        mapped = [x.movedim(d, 0) if d else x for x, d in pairs if d is not None]  # type: ignore[attr-defined]
        super().__init__(Batches.samples(mapped), 1, 0, None)
        own = {x._word(S_STORAGE) for x in self.tensors}
        shared = [x.detach() for x, d in pairs if d is None]  # type: ignore[attr-defined]
        shared = [x.clone() if x._word(S_STORAGE) in own else x for x in shared]
        self._mapped = len(mapped)
        self.tensors, self.examples = [*self.tensors, *shared], [*self.examples, *shared]
        self.bytes += [0] * len(shared)  # from one sample to the next
        self._versions = versions_of(self.tensors)

    def sample(self, k: int) -> list[Tensor]:
        """The batch of one sample."""
        mapped, shared = self.tensors[: self._mapped], self.tensors[self._mapped :]
        return [*(x[k : k + 1] for x in mapped), *shared]  # type: ignore[index]

    def hand_back(self, samples: Samples, k: int) -> bool:
        """Whether the function has written to sample `k` or to what all share; what it wrote to copies goes there.

        Not where a copy lies otherwise: before, with the sample itself, the function has written to nothing, so it
        wrote to a copy of its own then, as ``x.contiguous().mul_(2)`` does.
        """
        if versions_of(self.tensors) == self._versions:
            return False
        pairs = sorted(zip(samples.leaves, samples.dims, strict=True), key=lambda pair: pair[1] is None)
        with no_grad():
            for (x, d), mine in zip(pairs, self.sample(k), strict=True):
                place, value = (x, mine) if d is None else (x.select(d, k), mine[0])  # type: ignore
                if mine._word(S_STORAGE) != x._word(S_STORAGE) and place._strides() == value.stride():
                    place.copy_(value)
        return True

    def begin_at(self, first: int) -> None:
        """Let the first batch be that of a certain sample."""
        self.first, self.examples = first, self.sample(first)

    def may_run(self, program: Program) -> bool:
        """Whether a program that fits can run on these batches: `program_for` has seen to that."""
        return True

    def call(self, function: Callable[..., Any], step: int) -> Any:
        """Call a function with one sample, from Python."""
        return function(*self.sample(self.first + step))


class _OneSample(CompiledFunction):
    """The function of one sample, from tensors alone: first those with samples along dimension 0, then the shared."""

    def __init__(self, function: Callable[..., Any], samples: Samples) -> None:
        self._form, self._dims = form, dims = samples.form, samples.dims
        mapped = sum(d is not None for d in dims)

        @wraps(function, ())  # so that what `function` depends on is found
        def one(*tensors: Tensor) -> Any:
            own, shared = iter(tensors[:mapped]), iter(tensors[mapped:])
            leaves = [next(shared) if d is None else next(own).select(0, 0) for d in dims]  # type: ignore[attr-defined]
            args, kwargs = unflatten(form, iter(leaves))
            found: list[Tensor] = []
            described = flatten(function(*args, **kwargs), found)
            return unflatten(described, iter([x.clone() for x in found]))  # type: ignore[attr-defined]

        super().__init__(one)
        self._refusals.quiet = True  # what is not replayed is run sample by sample

    def fits(self, samples: Samples) -> bool:
        """Whether the arguments of these samples are like those it was made for."""
        return self._form == samples.form and self._dims == samples.dims

    def stays_eager(self) -> None:
        """Run the function in Python from now on: it writes to its samples, which are copies where it is replayed."""
        self._refusals.eager = True

    def program_for(self, batches: Batches) -> Program | None:
        """The program that all samples can be replays of, if there is one.

        It neither has a history nor writes into its arguments.
        """
        program = self.known(*batches.examples)
        if program is None or program.pullback is not None or program.improve().written:
            return None
        return program
