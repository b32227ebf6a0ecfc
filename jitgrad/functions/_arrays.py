"""Calling array operations whose operands all have the dtype that picks the kernel."""

from __future__ import annotations

from collections.abc import Sequence

from .._tensor import Tensor
from ..dispatch import arrays
from ..dtypes import dtype
from ..engine.entry import entries
from ..engine.layout import HALF, S_DTYPE, SLOT_WORDS
from ..kernels.table import Op
from ..store import store
from ._launch import run

LOWER_HALF = (1 << HALF) - 1


def run_arrays(
    op: Op,
    operands: Sequence[Tensor],
    outputs: Sequence[tuple[dtype, Sequence[int]]],
    words: tuple[int, ...],
) -> list[int]:
    """`dispatch.arrays` with less work per call where there are one or two results; returns their slots."""
    if len(outputs) == 1:
        return [run(op, operands, *outputs[0], words)]
    key = store.slots[operands[0]._slot * SLOT_WORDS + S_DTYPE]
    if len(outputs) == 2:
        (kind, shape), (other, its_shape) = outputs
        pair = entries.listed_pair(op.code, key, operands, kind.code, shape, other.code, its_shape, words)
        if pair >= 0:
            return [pair & LOWER_HALF, pair >> HALF]
    return arrays(op, operands, outputs, words)
