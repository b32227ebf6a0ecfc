"""How much arithmetic an operation is, from the shapes of its operands and outputs.

Products of matrices, and what is made of them, are counted in multiply-adds; other array operations in steps for
each element of their largest array. Counts are those of the formulas: what a kernel saves by a mask, or
computes again instead of keeping it, makes no difference, except that attention's scores are computed again on
the way back by every kernel that keeps no square of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence

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


# the way back ---------------------------------------------------------------------------------------

Back = Callable[[Shapes, Shapes, Collection[int]], int]  # also takes the operands whose gradients are wanted


def _each(*factors: int) -> Callable[[Callable[[Shapes, Shapes], int]], Back]:
    """The gradient of each factor of a product is a product of the same size."""

    def of(forward: Callable[[Shapes, Shapes], int]) -> Back:
        return lambda inputs, outputs, wanted: forward(inputs, outputs) * sum(k in wanted for k in factors)

    return of


def _attention_back(inputs: Shapes, outputs: Shapes, wanted: Collection[int]) -> int:
    """Scores once more, the gradient of the weights, and a product for each of q, k and v."""
    q, k, v = inputs[:3]
    if not (q and k and v):
        return 0
    pairs = math.prod(q[:-1]) * k[-2]
    narrow, wide = 1 + sum(n in wanted for n in (0, 1)), 1 + (2 in wanted)
    return pairs * (narrow * q[-1] + wide * v[-1])


def _recurrent_input_back(inputs: Shapes, outputs: Shapes, wanted: Collection[int]) -> int:
    """Gradients of the input and of its weights, and those of the hidden weights, for which this row cares too."""
    w_hh, w_hr, y = inputs[3], inputs[5], outputs[0]
    total = _each(0, 1)(_product)(inputs, outputs, wanted)
    if y and w_hh and 3 in wanted:
        total += math.prod(y) * w_hh[1]
    if y and w_hh and w_hr and 5 in wanted:
        total += math.prod(y) // w_hh[0] * math.prod(w_hr)
    return total


def _walk_back(forward: Callable[[Shapes, Shapes], int]) -> Back:
    """A recurrent layer's walk multiplies by the same weights, turned."""
    return lambda inputs, outputs, wanted: forward(inputs, outputs)


BACK: dict[str, Back] = {
    **{
        name: _each(0, 1)(WORK[name]) for name in ("linear", "matmul", "convolution", "convolution_transpose")
    },
    "recurrent_input": _recurrent_input_back,
    "attention": _attention_back,
    **{name: _walk_back(WORK[name]) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
}


# other array operations -----------------------------------------------------------------------------

# Steps for each element, forward and back. A step is one addition, multiplication, comparison, or function such as
# exp; a norm, for one, adds up, subtracts the mean, adds up squares (2), and scales and shifts (4).
MOVES = ("copy", "overwrite")  # elementwise, without arithmetic
STEPS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("layer_norm", "group_norm", "batch_norm"), (8, 13)),
    "batch_norm_given": (4, 6),
    "rms_norm": (4, 10),
    **dict.fromkeys(("softmax", "log_softmax"), (5, 4)),
    "cross_entropy_mean": (4, 4),
    "cross_entropy_weighted": (7, 6),
    "mse_loss": (3, 2),
    "total_norm": (2, 0),
    "dropout": (1, 1),
    **dict.fromkeys(("max_pool", "adaptive_max_pool", "max_pool_pairs", "avg_pool"), (1, 1)),
    **dict.fromkeys(("argmax", "argmin", "max_along", "min_along"), (1, 0)),
    **dict.fromkeys(("cummax", "cummin"), (1, 1)),
    **dict.fromkeys(("multi_margin", "multilabel_margin"), (4, 1)),
    "pad": (0, 1),
    "unpad": (1, 0),
    **dict.fromkeys(("prod_along", "cumprod"), (1, 4)),
    "cumsum": (1, 1),
    "logcumsumexp": (4, 4),
    "embedding": (0, 1),
    "embedding_bag": (2, 2),
    "fold": (1, 0),
    "unfold": (0, 1),
}


def multiply_adds(name: str, inputs: Shapes, outputs: Shapes) -> int:
    """Multiply-adds of one forward pass of the operation called `name`; 0 for what has no products."""
    count = WORK.get(name)
    return count(inputs, outputs) if count is not None else 0


def operations(
    name: str, inputs: Shapes, outputs: Shapes, wanted: Collection[int] | None = None
) -> tuple[int, bool] | None:
    """Floating-point operations of an array operation, and whether they are those of products.

    Parameters
    ----------
    name : str
        The operation.
    inputs, outputs : sequence of tuple or None
        Shapes of its operands and outputs, None for what is not there.
    wanted : collection of int, optional
        On the way back: the operands whose gradients are computed, by their numbers.

    Returns
    -------
    tuple or None
        None for operations that only move elements or choose among them.
    """
    if name in WORK:
        count = (
            multiply_adds(name, inputs, outputs) if wanted is None else BACK[name](inputs, outputs, wanted)
        )
        if count:
            return 2 * count, True
        steps = 1  # the gradient of a bias
    else:
        steps = STEPS.get(name, (0, 0))[wanted is not None]
    largest = max((math.prod(s) for s in (*inputs, *outputs) if s is not None), default=0)
    return (steps * largest, False) if steps else None
