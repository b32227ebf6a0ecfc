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


class Lengths(NamedTuple):
    """How sequences lie: steps of the longest, their number, and when packed how many have each step."""

    steps: int
    batch: int
    sizes: Tensor | None = None


def walk_layer(
    kind: Kind,
    input: Tensor,
    states: Sequence[Tensor | None],
    weights: Weights,
    lengths: Lengths,
    by_batch: bool = False,
    reverse: bool = False,
) -> tuple[Tensor, ...]:
    """Run one layer of `kind` along its sequences; operands must fit.

    Parameters
    ----------
    kind : Kind
        From `kernels.recurrent_layout`.
    input : Tensor, shape (steps, batch, features)
        Or (batch, steps, features) with `by_batch`, or (rows, features) when packed or of one step.
    states : sequence of Tensor or None, shape (1, batch, P) or (batch, P)
        The first state h, and for an LSTM the first cell with H numbers; None for zeros.
    weights : Weights
    lengths : Lengths
    reverse : bool
        Whether to begin at the end.

    Returns
    -------
    tuple of Tensor
        Outputs, laid out like the input; the last state h; for an LSTM the last cell. Those are of shape
        (1, batch, P) and (1, batch, H).
    """
    x = _straight(input)
    w_ih, w_hh, b_ih, b_hh, w_hr = (None if w is None else _straight(w) for w in weights)
    gates, out = w_hh.shape  # type: ignore[union-attr]
    hidden = gates // kind.gates
    leading = tuple(x.shape[:-1])
    steps, batch, sizes = lengths
    rows = leading[0] if len(leading) == 1 else steps * batch
    words, elements = _layout(kind, steps, batch, rows, (hidden, out), by_batch, reverse, w_hr is not None)
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
    return x if x.is_contiguous() else x.contiguous()  # type: ignore[attr-defined]
