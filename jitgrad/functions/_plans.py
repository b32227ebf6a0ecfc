"""Calls of array operations that are made again and again with operands of the same shapes.

What such a call consists of, apart from the operands' slots, is worked out once and kept.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, OUTPUT_WORDS, described
from ..dtypes import dtype
from ..engine.entry import entries
from ..kernels.table import Op
from ..refusals import refuse
from ..store import store

KEPT = 1024  # plans kept ready of one operation; a script that varies shapes endlessly starts over


class Plan:
    """A call of an array operation.

    Parameters
    ----------
    op : Op
    outputs : sequence of (dtype, shape)
    words : sequence of int
        Attributes; floats by their bits.
    """

    __slots__ = ("_count", "_described", "_key", "_op", "_outputs", "_place", "_words")

    def __init__(self, op: Op, outputs: Sequence[tuple[dtype, Sequence[int]]], words: Sequence[int]) -> None:
        self._op, self._outputs, self._key = op, len(outputs), outputs[0][0].code
        self._words = array("q", words)
        self._place, self._count = self._words.buffer_info()
        self._described = described([(kind.code, shape) for kind, shape in outputs])

    def run(self, ids: array, operands: Sequence[Tensor | None]) -> array:
        """Call it on operands whose slots are `ids`; returns an array with a slot at every OUTPUT_WORDS."""
        results = self._described[:]  # other threads may be here as well
        place, count = ids.buffer_info()
        while True:
            status = entries.apply_arrays(
                CONTEXT, self._op.code, self._key, 0, count, place, self._outputs, results.buffer_info()[0],
                self._place, self._count,
            )  # fmt: skip
            if status >= 0:
                return results
            if not store.mend(status):
                refuse(self._op, operands, status, 0)

    def all(self, *operands: Tensor | None) -> list[Tensor]:
        """Call it, and give all outputs."""
        ids = array("q", [0 if x is None else x._slot for x in operands])
        return [wrap(slot) for slot in self.run(ids, operands)[::OUTPUT_WORDS]]

    def first(self, ids: array, operands: Sequence[Tensor | None]) -> Tensor:
        """Call it, and give the first output; the others live as long as the walk back needs them."""
        slot, *others = self.run(ids, operands)[::OUTPUT_WORDS]
        for other in others:
            entries.release(CONTEXT, other)
        return wrap(slot)
