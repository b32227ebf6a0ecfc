"""Where the steps of an epoch find their batches: slices of the samples, or rows gathered in a random order."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._tensor import Tensor
from ...autograd import is_grad_enabled
from ...engine.layout import PATCH_ARGUMENT, PATCH_OFFSET, PATCH_PLACE, S_STORAGE
from ...functions import from_numpy, randperm
from ...kernels import program_rows
from ..program import Program
from ..record.recording import Recording
from .runner import segment
from .sources import Sources
from .walk import walk


class Order:
    """A random order of the samples, drawn anew in compiled code for every epoch.

    It is recorded when the first one is drawn; replaying the record writes the next one to the same memory.

    Parameters
    ----------
    samples : int
        How many there are.
    generator : Generator or None
        Where the random numbers come from; None for the default generator.

    Attributes
    ----------
    table : array
        The segment that draws an order.
    indices : numpy.ndarray
        The order, int64.
    """

    def __init__(self, samples: int, generator: Any) -> None:
        self._draw = lambda: randperm(samples, generator=generator)
        self._recording = Recording()
        self._drawn: list[Tensor] = []
        self._recording.run(lambda: self._drawn.append(self._draw()))
        self._fresh = True
        self.indices: np.ndarray = self._drawn[0].numpy()
        begin = self._recording.log_address
        self.table = array("q", segment(begin, begin + 8 * self._recording.log_words))

    def next(self) -> None:
        """Draw the order of the next epoch; that of the first is there."""
        if not self._fresh and self._recording.log_words:
            walk(self.table, 1)
        elif not self._fresh:  # within a function that was being recorded nothing else is
            self.indices[:] = self._draw().numpy()
        self._fresh = False

    def release(self) -> None:
        """Give the memory back; nothing can be drawn any more."""
        self._drawn.clear()
        self._recording.release()


class Batches:
    """The batches of one size: slices of samples as they lie, or copies.

    A step may write into its batch, and the samples are to stay as they are. So batches are gathered for a step that
    does, also in order, and a call from Python gets copies.

    Parameters
    ----------
    tensors : list of Tensor
        With the samples along dimension 0, all of one length.
    size : int
        Samples of a batch.
    first : int
        Number of the first sample, counted in the epoch's order.
    order : Order or None
        By which batches are gathered; None for samples as they lie.
    sources : Sources, optional
        What the tensors have been copied from.

    Attributes
    ----------
    examples : list of Tensor
        A batch to record and to look at: the first one, or what is gathered into.
    """

    def __init__(
        self,
        tensors: list[Tensor],
        size: int,
        first: int,
        order: Order | None,
        sources: Sources | None = None,
    ) -> None:
        self.sources = sources or Sources([], [])
        self.tensors, self.size, self.first = tensors, size, first
        self.bytes = [x.nbytes // max(len(x), 1) for x in tensors]
        self._are_together = len({x._word(S_STORAGE) for x in tensors}) < len(tensors)  # views of one tensor
        self._only_read = False  # by the last call from Python
        self._indices: np.ndarray | None = None
        self.examples = [x[first : first + size] for x in tensors]  # type: ignore[index]
        if order is not None:
            self._gather(order.indices)

    @staticmethod
    def samples(tensors: list[Tensor]) -> list[Tensor]:
        """The tensors as batches are taken of them: without history, contiguous.

        Batches of tensors with one storage have to lie as far apart in every step as in the first.
        """
        made: list[Tensor] = []
        for x in tensors:
            x = x.detach().contiguous()  # type: ignore[attr-defined]
            beside = [y for y in made if y._word(S_STORAGE) == x._word(S_STORAGE)]
            alike = all(y.dtype == x.dtype and y[:1].shape == x[:1].shape for y in beside)  # type: ignore[index]
            made.append(x if alike else x.clone())
        return made

    def _gather(self, indices: np.ndarray) -> None:
        """Take samples from now on by their numbers, as they stand in this memory."""
        self._indices = indices
        self.examples = [x.new_zeros((self.size, *x.shape[1:])) for x in self.tensors]  # type: ignore[attr-defined]

    @property
    def are_slices(self) -> bool:
        """Whether steps get the memory of the samples themselves."""
        return self._indices is None

    @property
    def have_history(self) -> bool:
        """Whether gradients go through the batches to the samples, so that each is taken in Python."""
        return False

    def may_run(self, program: Program) -> bool:
        """Whether a program that fits can run on these batches; else they are copies from now on."""
        if not (self.are_slices and program.improve().written):
            return True
        self._gather(np.arange(len(self.tensors[0])))
        return False

    def call(self, function: Callable[..., Any], step: int) -> Any:
        """Call a function with the batch of one step, from Python."""
        self.sources.follow()
        start = self.first + step * self.size
        if self._indices is not None:
            rows = from_numpy(self._indices[start : start + self.size])
            return function(*[x[rows] for x in self.tensors])  # type: ignore[index]
        batch = [x[start : start + self.size] for x in self.tensors]  # type: ignore[index]
        if self._are_together and self._only_read:  # a program holds for views as far apart
            return function(*batch)
        batch = [x.clone() for x in batch]  # type: ignore[attr-defined]
        versions = [x._version for x in batch]
        result = function(*batch)
        self._only_read = [x._version for x in batch] == versions
        if not self._only_read:
            self._gather(np.arange(len(self.tensors[0])))
        return result

    def rows(self, program: Program, batch: int) -> list[list[int]]:
        """Records that point `program` at the batch of the epoch that the word at address `batch` says."""
        if self._indices is not None:
            index = self._indices.ctypes.data + 8 * self.first
            return [
                program_rows.record("gather", [batch, index, self.size, x.data_ptr(), size, into.data_ptr()])
                for x, size, into in zip(self.tensors, self.bytes, self.examples, strict=True)
            ]
        made = []
        for k, (x, size) in enumerate(zip(self.tensors, self.bytes, strict=True)):
            mine = [p for p in program.patches if p[PATCH_ARGUMENT] == k]
            pairs = [word for p in mine for word in (p[PATCH_PLACE], p[PATCH_OFFSET])]
            base, stride = x.data_ptr() + self.first * size, self.size * size
            made.append(program_rows.record("bind", [batch, base, stride, len(mine), *pairs]))
        return made


class Tracked(Batches):
    """Batches of samples that require grad, which backward passes reach: every step is called from Python."""

    @staticmethod
    def samples(tensors: list[Tensor]) -> list[Tensor]:
        """The tensors themselves."""
        return tensors

    @property
    def have_history(self) -> bool:
        """Always."""
        return True

    def call(self, function: Callable[..., Any], step: int) -> Any:
        """Call a function with the batch of one step; none lies in the memory of the samples."""
        start = self.first + step * self.size
        if self._indices is not None:
            rows = from_numpy(self._indices[start : start + self.size])
            return function(*[x[rows] for x in self.tensors])  # type: ignore[index]
        return function(*[x[start : start + self.size].clone() for x in self.tensors])  # type: ignore[index]


class Same(Batches):
    """The same tensors in every step."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = self.examples = tensors
        self.first, self._indices, self.sources = 0, None, Sources([], [])

    def may_run(self, program: Program) -> bool:
        """Every program: what it writes, the next step reads."""
        return True

    def call(self, function: Callable[..., Any], step: int) -> Any:
        """Call a function with the tensors."""
        return function(*self.tensors)

    def rows(self, program: Program, batch: int) -> list[list[int]]:
        """None: the program points at them already."""
        return []


def kind_for(tensors: list[Tensor]) -> type[Batches]:
    """How batches of samples are taken: where gradients are computed, some may have to reach the samples."""
    return Tracked if is_grad_enabled() and any(x.requires_grad for x in tensors) else Batches
