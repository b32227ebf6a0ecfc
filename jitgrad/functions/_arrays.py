"""Calling array operations whose operands all have the dtype that picks the kernel."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from .._tensor import Tensor
from ..dispatch import CONTEXT, refuse
from ..dtypes import dtype
from ..engine.entry import entries
from ..engine.layout import S_DTYPE, SLOT_WORDS
from ..kernels.abi import MAX_DIMS
from ..kernels.table import Op
from ..store import store

OUTPUT_WORDS = 2 + MAX_DIMS
HALF = 32  # bits of half a word
LOWER_HALF = (1 << HALF) - 1
_PADDING = [(0,) * (MAX_DIMS - dims) for dims in range(MAX_DIMS + 1)]


def run_arrays(
    op: Op,
    operands: Sequence[Tensor],
    outputs: Sequence[tuple[dtype, Sequence[int]]],
    words: tuple[int, ...],
) -> list[int]:
    """`dispatch.arrays` with less work per call; returns the output slots."""
    key = store.slots[operands[0]._slot * SLOT_WORDS + S_DTYPE]
    if len(outputs) == 1:
        kind, shape = outputs[0]
        slot = entries.listed(op.code, key, kind.code, 0, operands, shape, words)
        if slot >= 0:
            return [slot]
    elif len(outputs) == 2:
        (kind, shape), (other, its_shape) = outputs
        pair = entries.listed_pair(op.code, key, operands, kind.code, shape, other.code, its_shape, words)
        if pair >= 0:
            return [pair & LOWER_HALF, pair >> HALF]
    described = array("q")
    for kind, shape in outputs:
        described.extend((kind.code, len(shape), *shape, *_PADDING[len(shape)]))
    ids, attributes = array("q", [x._slot for x in operands]), array("q", words)
    place, count = ids.buffer_info()
    while True:
        slot = entries.apply_arrays(
            CONTEXT, op.code, key, 0, count, place, len(outputs), described.buffer_info()[0],
            *attributes.buffer_info(),
        )  # fmt: skip
        if slot >= 0:
            return [slot] if len(outputs) == 1 else [slot, *described[OUTPUT_WORDS::OUTPUT_WORDS]]
        if not store.mend(slot):
            refuse(op, operands, slot, 0)
