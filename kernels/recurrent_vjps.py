"""Gradients of recurrent layers as formulas on tensors, for gradients of gradients; see `kernels.vjps`.

The walk along the sequences is computed anew, step by step, by operations that have gradients to any order, and
that is differentiated. It hands back the gradients of the hidden weights too, which a first walk back leaves to
the row of the products with the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import recurrent_layout as at
from .recurrent_layout import Kind
from .vjps import linear_w, linear_x

# the row of the products ------------------------------------------------------------------------------


def products_x(ops, w_ih, g):
    """Gradient of ``x @ w_ih.T + b_ih`` for x."""
    return linear_x(ops, w_ih, g)


def products_b_ih(ops, g, b_ih_shape):
    """Gradient of ``x @ w_ih.T + b_ih`` for the bias."""
    return ops.sum_to(g, b_ih_shape)


def of_walk(ops):
    """No gradient: what the hidden weights have to do with the outputs is the walk's affair."""
    return None


PRODUCTS = {
    "x": products_x,
    "w_ih": linear_w,
    "b_ih": products_b_ih,
    "w_hh": of_walk,
    "b_hh": of_walk,
    "w_hr": of_walk,
}

# steps: from the products with the input, the state and the weights to the next state -------------------


class _Weights(NamedTuple):
    w_hh: Any
    b_hh: Any
    w_hr: Any


def _lstm(ops, a, state, w):
    h, c = state
    i, f, g, o = (a + ops.linear(h, w.w_hh, w.b_hh)).chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    made = o.sigmoid() * c.tanh()
    return (made if w.w_hr is None else ops.linear(made, w.w_hr, None)), c


def _gru(ops, a, state, w):
    (h,) = state
    (ar, az, an), (br, bz, bn) = a.chunk(3, 1), ops.linear(h, w.w_hh, w.b_hh).chunk(3, 1)
    z = (az + bz).sigmoid()
    n = (an + (ar + br).sigmoid() * bn).tanh()
    return (n + z * (h - n),)


def _rnn_tanh(ops, a, state, w):
    return ((a + ops.linear(state[0], w.w_hh, w.b_hh)).tanh(),)


def _rnn_relu(ops, a, state, w):
    return ((a + ops.linear(state[0], w.w_hh, w.b_hh)).relu(),)


STEPS = {"lstm": _lstm, "gru": _gru, "rnn_tanh": _rnn_tanh, "rnn_relu": _rnn_relu}


# the walk -----------------------------------------------------------------------------------------------


class _Sequences:
    """How the steps of sequences lie in an array of inputs or outputs."""

    def __init__(self, words: Sequence[int], dims: int, sizes: Sequence[int] | None) -> None:
        self._sizes = sizes
        self._alone = sizes is None and dims == 2  # one step, without a dimension of steps
        self._dim = 1 if words[at.BY_BATCH] else 0
        self.order = range(words[at.STEPS])[:: -1 if words[at.REVERSE] else 1]

    def apart(self, x: Any) -> list[Any]:
        """The rows of each step in time."""
        if self._alone:
            return [x]
        return list(x.unbind(self._dim) if self._sizes is None else x.split(self._sizes, 0))

    def together(self, ops, steps: Sequence[Any]) -> Any:
        """What `apart` has taken apart."""
        if self._alone:
            return steps[0]
        return ops.stack(steps, self._dim) if self._sizes is None else ops.cat(steps, 0)


def _walk(step: Callable, parts: Sequence[Any], first: Sequence[Any], order: Sequence[int], ops):
    """The state h after each step in time, and the last states; sequences come and go in the order of rows."""
    states, ended = [x.narrow(0, 0, 0) for x in first], [[] for _ in first]
    made = [None] * len(parts)
    for t in order:
        there, count = len(states[0]), len(parts[t])
        if count > there:
            begun = [x.narrow(0, there, count - there) for x in first]
            states = [ops.cat([s, b], 0) for s, b in zip(states, begun, strict=True)] if there else begun
        elif count < there:
            for e, s in zip(ended, states, strict=True):
                e.insert(0, s.narrow(0, count, there - count))
            states = [s.narrow(0, 0, count) for s in states]
        states = list(step(parts[t], states))
        made[t] = states[0]
    return made, [ops.cat([s, *e], 0) if e else s for s, e in zip(states, ended, strict=True)]


def _states_of(kind: Kind) -> tuple[str, ...]:
    """Names of the first states."""
    return ("h0", "c0") if kind.has_cell else ("h0",)


def _own(ops, kind: Kind, operands: dict[str, Any], batch: int) -> dict[str, Any]:
    """States and weights, each in a tensor of its own, also where the same one came twice."""
    w_hh = operands["w_hh"]
    own = {n: operands[n].clone() for n in ("w_hh", "b_hh", "w_hr") if operands.get(n) is not None}
    widths = {"h0": w_hh.shape[1], "c0": w_hh.shape[0] // kind.gates}
    for n in _states_of(kind):
        x, shape = operands[n], (batch, widths[n])
        own[n] = ops.zeros(w_hh, shape) if x is None else x.reshape(shape).clone()
    return own


def _gradients(ops, kind: Kind, operands: dict[str, Any], cotangents, wanted, words) -> dict[str, Any]:
    """The gradients of the wanted operands: those of the walk computed anew."""
    products = ops.linear(operands["x"], operands["w_ih"], operands["b_ih"])
    sizes = operands["sizes"]
    lying = _Sequences(words, products.ndim, None if sizes is None else sizes.tolist())
    parts, own = lying.apart(products), _own(ops, kind, operands, words[at.BATCH])
    weights = _Weights(own["w_hh"], own.get("b_hh"), own.get("w_hr"))
    step, first = STEPS[kind.op], [own[n] for n in _states_of(kind)]
    made, last = _walk(lambda a, state: step(ops, a, state, weights), parts, first, lying.order, ops)

    whole, *ends = cotangents
    pairs = [] if whole is None else list(zip(made, lying.apart(whole), strict=True))
    pairs += [(s, g.reshape(s.shape)) for s, g in zip(last, ends, strict=True) if g is not None]
    pairs = [(x, g) for x, g in pairs if x.requires_grad]  # the cell of the first step knows of no projection
    names = [n for n in wanted if n in own]
    # the products have no history when only weights of the walk take gradients
    steps = parts if "gates" in wanted and products.requires_grad else []
    found = ops.gradients(pairs, [*(own[n] for n in names), *steps])
    result = {n: g.reshape(operands[n].shape) for n, g in zip(names, found, strict=False)}
    if steps:
        result["gates"] = lying.together(ops, found[len(names) :])
    return result


def of_kind(kind: Kind, operands: Sequence[str]) -> dict[str, Callable]:
    """The formulas of a layer's walk: one for all operands that take gradients."""
    if kind.has_cell:

        def formula(ops, x, w_ih, b_ih, h0, w_hh, b_hh, sizes, c0, w_hr, g, g1, g2, words, wanted):
            given = {"x": x, "w_ih": w_ih, "b_ih": b_ih, "h0": h0, "w_hh": w_hh, "b_hh": b_hh}
            given |= {"sizes": sizes, "c0": c0, "w_hr": w_hr}
            return _gradients(ops, kind, given, (g, g1, g2), wanted, words)
    else:

        def formula(ops, x, w_ih, b_ih, h0, w_hh, b_hh, sizes, g, g1, words, wanted):
            given = {"x": x, "w_ih": w_ih, "b_ih": b_ih, "h0": h0, "w_hh": w_hh, "b_hh": b_hh}
            return _gradients(ops, kind, given | {"sizes": sizes}, (g, g1), wanted, words)

    return {n: formula for n in ("gates", "h0", "c0", "w_hh", "b_hh", "w_hr") if n in operands}
