"""One recurrent layer in one direction over whole sequences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from .._tensor import Tensor
from ..dtypes import DTYPES
from ..engine.layout import CONTIGUOUS, S_DTYPE, S_FLAGS, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.recurrent_layout import Kind, layout
from ..store import store
from ._plans import Plan

__all__: list[str] = []

_INPUT = BY_NAME["recurrent_input"]


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


@lru_cache(256)
def _plans(
    kind: Kind,
    code: int,
    leading: tuple[int, ...],
    sizes: tuple[int, int],
    steps: int,
    batch: int,
    packed: bool,
    by_batch: bool,
    reverse: bool,
    projected: bool,
) -> tuple[Plan, Plan]:
    """The two rows of a layer; one step alone has states without the dimension of layers."""
    gates, out = sizes
    hidden = gates // kind.gates
    rows = leading[0] if len(leading) == 1 else steps * batch
    words, elements = layout(kind, steps, batch, rows, (hidden, out), by_batch, reverse, projected)
    state = (batch,) if len(leading) == 1 and not packed else (1, batch)
    dtype = DTYPES[code]
    outputs = [(dtype, (*leading, out)), (dtype, (*state, out))]
    if kind.has_cell:
        outputs.append((dtype, (*state, hidden)))
    return (
        Plan(_INPUT, [(dtype, (*leading, gates)), (dtype, (elements,))], words),
        Plan(BY_NAME[kind.op], outputs, words),
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
    code = store.slots[x._slot * SLOT_WORDS + S_DTYPE]
    first, walk = _plans(
        kind, code, tuple(x.shape[:-1]), tuple(w_hh.shape), steps, batch, sizes is not None, by_batch,
        reverse, w_hr is not None,
    )  # fmt: skip
    products, kept = first.all(x, w_ih, b_ih, w_hh, b_hh, w_hr)
    h0, *c0 = [None if s is None else _straight(s) for s in states]
    if kind.has_cell:
        return walk.all(products, kept, h0, w_hh, b_hh, sizes, *c0, w_hr, x, w_ih, b_ih)
    return walk.all(products, kept, h0, w_hh, b_hh, sizes, x, w_ih, b_ih)


def _straight(x: Tensor) -> Tensor:
    if store.slots[x._slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS:
        return x
    return x.contiguous()  # type: ignore[attr-defined]
