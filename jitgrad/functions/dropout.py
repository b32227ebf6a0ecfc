"""Dropout: elements zeroed at random, the others enlarged."""

from __future__ import annotations

from array import array
from functools import lru_cache

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, OUTPUT_WORDS
from ..dtypes import bool_
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import S_DIMS, S_DTYPE, S_FLAGS, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import float_bits
from ..refusals import refuse
from ..store import store
from ._call import require_tensors
from ._random import check_floating, source_of, threshold_of
from .generator import Generator

__all__ = ["dropout"]

DROPOUT = BY_NAME["dropout"]

_dropout_ids = array("q", (0, 0))
_dropout_outputs = array("q", [0] * (2 * OUTPUT_WORDS))
_dropout_outputs[0] = bool_.code
_dropout_shapes = memoryview(_dropout_outputs).cast("B").cast(store.slots.format)  # so that slices agree
_IDS_PLACE, _OUTPUTS_PLACE = _dropout_ids.buffer_info()[0], _dropout_outputs.buffer_info()[0]


@lru_cache(256)
def _dropout_words(p: float) -> array:
    scale = 0.0 if p == 1.0 else 1.0 / (1.0 - p)
    return array("q", (threshold_of("dropout", p), float_bits(scale)))


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, *, generator: Generator | None = None
) -> Tensor:
    """Zero every element with probability ``p`` and divide the others by ``1 - p``.

    Parameters
    ----------
    input : Tensor
    p : float, default 0.5
    training : bool, default True
        When False the input is returned as it is.
    generator : Generator, optional

    Raises
    ------
    RuntimeError
        If ``p`` is not between 0 and 1, or the input is not floating.
    """
    if not training:
        return input
    words = _dropout_words(p)
    source = source_of(generator)
    try:
        at = input._slot * SLOT_WORDS
    except AttributeError:
        require_tensors("dropout", input)
        raise
    slots = store.slots
    code = slots[at + S_DTYPE]
    if not slots[at + S_FLAGS] & layout.CONTIGUOUS or code < 4:
        check_floating("dropout", input)
        input = input.contiguous()  # type: ignore[attr-defined]
        at = input._slot * SLOT_WORDS
    place, count = words.buffer_info()
    while True:
        slots = store.slots
        _dropout_ids[0], _dropout_ids[1] = input._slot, source._ids[0]
        shape = _dropout_shapes
        shape[0], shape[OUTPUT_WORDS] = bool_.code, code
        shape[1] = shape[OUTPUT_WORDS + 1] = dims = slots[at + S_DIMS]
        shape[2 : 2 + dims] = shape[OUTPUT_WORDS + 2 : OUTPUT_WORDS + 2 + dims] = slots[
            at + S_SHAPE : at + S_SHAPE + dims
        ]
        status = entries.apply_arrays(
            CONTEXT, DROPOUT.code, code, 0, 2, _IDS_PLACE, 2, _OUTPUTS_PLACE, place, count
        )
        if status >= 0:
            kept = wrap(status)  # its handle goes with the local name; the tape keeps the mask if it must
            result = wrap(shape[OUTPUT_WORDS])
            del kept
            return result
        if not store.mend(status):
            refuse(DROPOUT, (input,), status, 0)
