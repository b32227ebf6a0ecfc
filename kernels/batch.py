"""What the op table says of batches: which operations treat the samples of a batch one by one.

A compiled program may take a batch through such operations strip by strip. Elementwise operations need no word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SHARED, SUMMED, WORKSPACE, ABSENT = -1, -2, -3, -4  # roles of arrays, beside dimensions of samples

Words = Sequence[int]


class Strip(NamedTuple):
    """Some samples of a batch."""

    first: int
    samples: int
    batch: int  # samples in all
    dtype: int
    # of the first array that has samples, in each: its size along them is a multiple of `batch`
    rows: int = 1


def _same(words: Words, strip: Strip) -> list[int]:
    return list(words)


def _one(words: Words, dtype: int) -> int:
    return 1


@dataclass(frozen=True)
class Batch:
    """How an array operation treats the samples of a batch.

    Attributes
    ----------
    along : dict
        Operand or output (``y``, ``y1``, ...) to the dimension along which its samples lie.
    shared : tuple of str
        Operands that all samples share: the gradient of one is a sum over the samples. ``g`` stands for the
        cotangent of a result that is a sum. What is named neither here nor there must be absent.
    workspace : str
        The output, if any, that is scratch memory, of which some samples need their part.
    products : bool
        Whether the samples go through a matrix product, which wants several rows of them at a time.
    attributes : callable
        ``attributes(words, strip)``: the attribute words for some samples of the batch, or None where samples
        cannot be taken apart.
    needs : callable or None
        ``needs(words, dtype)``: elements of the workspace, by attribute words.
    grain : callable
        ``grain(words, dtype)``: the number of samples of which a strip should be a multiple.
    """

    along: Mapping[str, int]
    shared: tuple[str, ...] = ()
    workspace: str = ""
    products: bool = False
    attributes: Callable[[Words, Strip], list[int] | None] = _same
    needs: Callable[[Words, int], int] | None = None
    grain: Callable[[Words, int], int] = _one

    def role(self, name: str) -> int:
        """The dimension of an operand's or output's samples, or SHARED, WORKSPACE or ABSENT."""
        if name in self.along:
            return self.along[name]
        if name == self.workspace:
            return WORKSPACE
        return SHARED if name in self.shared else ABSENT


def samples_first(*names: str, shared: Sequence[str] = (), products: bool = False) -> Batch:
    """The description of an operation whose operands and outputs have their samples along dimension 0."""
    return Batch(dict.fromkeys(names, 0), tuple(shared), products=products)
