"""One recurrent layer in one direction over whole sequences."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, arrays
from ..dtypes import DTYPES
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DTYPE, S_FLAGS, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.recurrent_layout import Kind, layout
from ..kernels.table import Op
from ..store import store
from ._arrays import OUTPUT_WORDS

__all__: list[str] = []

_INPUT = BY_NAME["recurrent_input"]
_PADDING = [(0,) * (OUTPUT_WORDS - 2 - dims) for dims in range(OUTPUT_WORDS - 1)]


class Weights(NamedTuple):
    """The parameters of one layer in one direction; biases and the projection may be None."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    w_hr: Tensor | None = None


class Lengths(NamedTuple):
    """How sequences lie: steps of the longest, their number, and when packed how many have each step."""

    steps: int
    batch: int
    sizes: Tensor | None = None


class _Call:
    """A row ready to be called again: only the operands differ."""

    def __init__(self, op: Op, dtype: int, shapes: Sequence[tuple[int, ...]], words: tuple[int, ...]) -> None:
        self._op, self._dtype, self._shapes = op, dtype, shapes
        self._words = array("q", words)
        self._words_at = self._words.buffer_info()
        self._outputs = array("q")
        for shape in shapes:
            self._outputs.extend((dtype, len(shape), *shape, *_PADDING[len(shape)]))

    def __call__(self, *operands: Tensor | None) -> list[Tensor]:
        """The outputs."""
        ids = array("q", [0 if x is None else x._slot for x in operands])
        made = self._outputs[:]  # the call leaves the outputs' slots where their dtypes are
        status = entries.apply_arrays(
            CONTEXT, self._op.code, self._dtype, 0, len(ids), ids.buffer_info()[0], len(self._shapes),
            made.buffer_info()[0], *self._words_at,
        )  # fmt: skip
        if status >= 0:
            return [wrap(slot) for slot in made[::OUTPUT_WORDS]]
        kind = DTYPES[self._dtype]
        slots = arrays(self._op, operands, [(kind, shape) for shape in self._shapes], self._words)
        return [wrap(slot) for slot in slots]


@lru_cache(256)
def _calls(
    kind: Kind,
    dtype: int,
    leading: tuple[int, ...],
    sizes: tuple[int, int],
    steps: int,
    batch: int,
    packed: bool,
    by_batch: bool,
    reverse: bool,
    projected: bool,
) -> tuple[_Call, _Call]:
    """The two rows of a layer; one step alone has states without the dimension of layers."""
    gates, out = sizes
    hidden = gates // kind.gates
    rows = leading[0] if len(leading) == 1 else steps * batch
    words, elements = layout(kind, steps, batch, rows, (hidden, out), by_batch, reverse, projected)
    state = (batch,) if len(leading) == 1 and not packed else (1, batch)
    outputs = [(*leading, out), (*state, out)]
    if kind.has_cell:
        outputs.append((*state, hidden))
    return (
        _Call(_INPUT, dtype, [(*leading, gates), (elements,)], words),
        _Call(BY_NAME[kind.op], dtype, outputs, words),
    )


def walk_layer(
    kind: Kind,
    input: Tensor,
    states: Sequence[Tensor | None],
    weights: Weights,
    lengths: Lengths,
    by_batch: bool = False,
    reverse: bool = False,
) -> list[Tensor]:
    """Run one layer of `kind` along its sequences; operands must fit.

    Parameters
    ----------
    kind : Kind
        From `kernels.recurrent_layout`.
    input : Tensor, shape (steps, batch, features)
        Or (batch, steps, features) with `by_batch`, or (rows, features) when packed or of one step.
    states : sequence of Tensor or None, shape (1, batch, P), or (batch, P) for one step
        The first state h, and for an LSTM the first cell with H numbers; None for zeros.
    weights : Weights
    lengths : Lengths
    reverse : bool
        Whether to begin at the end.

    Returns
    -------
    list of Tensor
        Outputs, laid out like the input; the last state h; for an LSTM the last cell. Those are shaped as the
        first ones.
    """
    x = _straight(input)
    w_ih, w_hh, b_ih, b_hh, w_hr = [None if w is None else _straight(w) for w in weights]
    assert w_hh is not None
    steps, batch, sizes = lengths
    dtype = store.slots[x._slot * SLOT_WORDS + S_DTYPE]
    first, walk = _calls(
        kind, dtype, tuple(x.shape[:-1]), tuple(w_hh.shape), steps, batch, sizes is not None, by_batch,
        reverse, w_hr is not None,
    )  # fmt: skip
    products, kept = first(x, w_ih, b_ih, w_hh, b_hh, w_hr)
    h0, *c0 = [None if s is None else _straight(s) for s in states]
    if kind.has_cell:
        return walk(products, kept, h0, w_hh, b_hh, sizes, *c0, w_hr, x, w_ih, b_ih)
    return walk(products, kept, h0, w_hh, b_hh, sizes, x, w_ih, b_ih)


def _straight(x: Tensor) -> Tensor:
    if store.slots[x._slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS:
        return x
    return x.contiguous()  # type: ignore[attr-defined]
