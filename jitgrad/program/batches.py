"""Where the steps of an epoch find their batches: slices of the samples, or rows gathered in a random order."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..engine.layout import PATCH_ARGUMENT, PATCH_OFFSET, PATCH_PLACE
from ..functions import from_numpy, randperm
from ..kernels import program_rows
from .program import Program
from .recording import Recording
from .runner import segment
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
    """The batches of one size.

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

    Attributes
    ----------
    examples : list of Tensor
        A batch to record and to look at: the first one, or what is gathered into.
    """

    def __init__(self, tensors: list[Tensor], size: int, first: int, order: Order | None) -> None:
        self.tensors, self.size, self.first, self.order = tensors, size, first, order
        self.bytes = [x.nbytes // max(len(x), 1) for x in tensors]
        if order is not None:
            self.examples = [x.new_zeros((size, *x.shape[1:])) for x in tensors]  # type: ignore[attr-defined]
        else:
            self.examples = [x[first : first + size] for x in tensors]  # type: ignore[index]

    def take(self, step: int) -> list[Tensor]:
        """The batch of one step, for a call from Python."""
        start = self.first + step * self.size
        if self.order is None:
            return [x[start : start + self.size] for x in self.tensors]  # type: ignore[index]
        rows = from_numpy(self.order.indices[start : start + self.size])
        return [x[rows] for x in self.tensors]  # type: ignore[index]

    def rows(self, program: Program, batch: int) -> list[list[int]]:
        """Records that point `program` at the batch of the epoch that the word at address `batch` says."""
        if self.order is not None:
            index = self.order.indices.ctypes.data + 8 * self.first
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


class Same(Batches):
    """The same tensors in every step."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = self.examples = tensors
        self.first, self.order = 0, None

    def take(self, step: int) -> list[Tensor]:
        """The tensors."""
        return self.tensors

    def rows(self, program: Program, batch: int) -> list[list[int]]:
        """None: the program points at them already."""
        return []
