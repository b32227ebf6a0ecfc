"""One recurrent layer in one direction over whole sequences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from .._tensor import Tensor, wrap
from ..dispatch import arrays
from ..kernels import BY_NAME
from ..kernels.recurrent_layout import Kind, layout

__all__: list[str] = []

_INPUT = BY_NAME["recurrent_input"]
_layout = lru_cache(256)(layout)


class Weights(NamedTuple):
    """The parameters of one layer in one direction; biases and the projection may be None."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor | None = None
    b_hh: Tensor | None = None
    w_hr: Tensor | None = None


def walk_layer(
    kind: Kind,
    input: Tensor,
    states: Sequence[Tensor | None],
    weights: Weights,
    by_batch: bool = False,
    reverse: bool = False,
    packed: tuple[Tensor, int, int] | None = None,
) -> tuple[Tensor, ...]:
    """Run one layer of `kind` along its sequences; operands must fit.

    Parameters
    ----------
    kind : Kind
        From `kernels.recurrent_layout`.
    input : Tensor, shape (steps, batch, features)
        Or (batch, steps, features) with `by_batch`, or (rows, features) when packed.
    states : sequence of Tensor or None, shape (1, batch, P)
        The first state h, and for an LSTM the first cell of shape (1, batch, H); None for zeros.
    weights : Weights
    reverse : bool
        Whether to begin at the end.
    packed : (sizes, steps, batch), optional
        How many sequences have each step, the longest sequence, the number of sequences.

    Returns
    -------
    tuple of Tensor
        Outputs, laid out like the input; the last state h; for an LSTM the last cell.
    """
    x = _straight(input)
    w_ih, w_hh, b_ih, b_hh, w_hr = (None if w is None else _straight(w) for w in weights)
    gates, out = w_hh.shape
    hidden = gates // kind.gates
    if packed is None:
        sizes = None
        batch, steps = x.shape[:2] if by_batch else x.shape[1::-1]
        rows = batch * steps
    else:
        sizes, steps, batch = packed
        rows = x.shape[0]
    leading = tuple(x.shape[:-1])
    words, elements = _layout(
        kind, steps, batch, rows, (hidden, out), by_batch, reverse, w_hr is not None
    )
    dtype = x.dtype
    made = arrays(
        _INPUT, (x, w_ih, b_ih, w_hh, b_hh, w_hr), ((dtype, (*leading, gates)), (dtype, (elements,))), words
    )
    products, store = wrap(made[0]), wrap(made[1])
    h0, *c0 = (None if s is None else _straight(s) for s in states)
    operands = [products, store, h0, w_hh, b_hh, sizes]
    outputs = [(dtype, (*leading, out)), (dtype, (1, batch, out))]
    if kind.has_cell:
        operands += [*c0, w_hr]
        outputs.append((dtype, (1, batch, hidden)))
    return tuple(wrap(s) for s in arrays(BY_NAME[kind.op], operands, outputs, words))


def _straight(x: Tensor) -> Tensor:
    return x if x.is_contiguous() else x.contiguous()
