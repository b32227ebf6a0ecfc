"""How many multiply-adds an operation's forward pass takes, from the shapes of its operands and outputs.

Only products of matrices and what is made of them count; a model's other operations take one step an element.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]


def _product(inputs: Shapes, outputs: Shapes) -> int:
    """Every element of the result is a sum over the last dimension of the first operand."""
    x, y = inputs[0], outputs[0]
    return math.prod(y) * x[-1] if x and y is not None else 0


def _convolution(inputs: Shapes, outputs: Shapes) -> int:
    """Every element of the result is a sum over one filter; weight (out, in / groups, *kernel)."""
    weight, y = inputs[1], outputs[0]
    return math.prod(y) * math.prod(weight[1:]) if weight and y is not None else 0


def _convolution_transpose(inputs: Shapes, outputs: Shapes) -> int:
    """Every element of the operand goes to one filter's places; weight (in, out / groups, *kernel)."""
    x, weight = inputs[0], inputs[1]
    return math.prod(x) * math.prod(weight[1:]) if weight and x is not None else 0


def _attention(inputs: Shapes, outputs: Shapes) -> int:
    """Scores of every query with every key, and their sums of values; q (..., l, e), k (..., s, e), v (..., s, d)."""
    q, k, v = inputs[:3]
    return math.prod(q[:-1]) * k[-2] * (q[-1] + v[-1]) if q and k and v else 0


def _recurrent(inputs: Shapes, outputs: Shapes) -> int:
    """The products with the state, for every step; the product with the input is an operation of its own."""
    gates, w_hh = inputs[0], inputs[3]
    return math.prod(gates) * w_hh[-1] if w_hh and gates is not None else 0


def _lstm(inputs: Shapes, outputs: Shapes) -> int:
    """`_recurrent`, and the projections of the states, for every step."""
    gates, w_hh, w_hr = inputs[0], inputs[3], inputs[7]
    rows = math.prod(gates) // w_hh[0] if w_hh and gates is not None else 0
    return _recurrent(inputs, outputs) + (rows * math.prod(w_hr) if w_hr else 0)


WORK: dict[str, Callable[[Shapes, Shapes], int]] = {
    "linear": _product,
    "recurrent_input": _product,
    "matmul": _product,
    "convolution": _convolution,
    "convolution_transpose": _convolution_transpose,
    "attention": _attention,
    "lstm": _lstm,
    "gru": _recurrent,
    "rnn_tanh": _recurrent,
    "rnn_relu": _recurrent,
}


def multiply_adds(name: str, inputs: Shapes, outputs: Shapes) -> int:
    """Multiply-adds of one forward pass of the operation called `name`; 0 for what has no products."""
    count = WORK.get(name)
    return count(inputs, outputs) if count is not None else 0
