"""Gradients of operations on arrays where the walk back is recorded (``create_graph=True``).

The function that goes back is a kernel, of which nobody knows the derivative. So what it gives is right, and asking
for a derivative of it is an error, not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .. import dispatch
from .._tensor import Tensor, wrap
from ..autograd.function import Function
from ..dispatch import publish
from ..kernels import table
from ..kernels.array_functions import Layout
from ..kernels.table import FLOATS, SAME, Op, camel_case

MAX_OUTPUTS, MAX_OPERANDS = 4, 12


def once_formulas(
    name: str,
    layout: Layout,
    back: Callable,
    reads: Mapping[str, tuple[str, ...]],
    ident: str,
    known: bool,
) -> dict[str, Callable]:
    """For each operand a formula that runs the function that goes back as an operation of its own."""
    inputs, outputs = len(layout.operands), len(layout.results)
    if inputs > MAX_OUTPUTS or inputs + 2 * outputs > MAX_OPERANDS:
        return {}
    # its operands and outputs lie where the function that goes back finds operands, results, cotangents and gradients
    results = [f"y{k}" for k in range(outputs)]
    cotangents = [f"g{k}" for k in range(outputs)]
    fixed = {o: layout.fixed.get(o, SAME) for o in layout.operands}
    fixed |= {y: layout.fixed.get(r, SAME) for y, r in zip(results, layout.results, strict=True)}
    made = table.array_op(
        f"{name}_backward",
        (*layout.operands, *results, *cotangents),
        back,
        dtypes=FLOATS,
        operand_dtypes={o: c for o, c in fixed.items() if c != SAME},
        outputs=inputs,
        grad_name=camel_case(f"{name}_backward"),
        identity=ident,
        cached=known,
    )
    publish(made)
    ys = [f"y{k or ''}" for k in range(outputs)]
    gs = [f"g{k or ''}" for k in range(outputs)]
    text = (
        f"lambda F, words, shapes, operands, {', '.join(ys)}, {', '.join(gs)}: "
        f"run(k, words, shapes, operands, [{', '.join(ys)}], [{', '.join(gs)}])"
    )

    def run(k: int, words: list[int], shapes: list, operands: list, values: list, cotangents: list) -> Tensor:
        floats = next(t.dtype for t in cotangents if t is not None)
        tensors = [
            t if t is not None else _nothing(shape, floats) for t, shape in zip(operands, shapes, strict=True)
        ]
        for given, other in ((values, cotangents), (cotangents, values)):
            tensors += [
                t if t is not None else _nothing(tuple(o.shape), floats)
                for t, o in zip(given, other, strict=True)
            ]
        return _Once.apply(made, k, words, shapes, *tensors)

    return {o: eval(text, {"run": run, "k": layout.operands.index(o)}) for o in reads}


def _nothing(shape: Sequence[int], kind: Any) -> Tensor:
    """Zeros that take the place of what the row has not kept, because it is not read."""
    from ..functions import zeros

    return zeros((), dtype=kind).expand(tuple(shape))


class _Once(Function):
    """A gradient from a kernel: a derivative of it does not exist."""

    @staticmethod
    def forward(ctx: Any, made: Op, k: int, words: list[int], shapes: list, *tensors: Tensor) -> Tensor:
        """Run the kernel; gives the gradient of operand `k`."""
        ctx.name_of_op = made.name.removesuffix("_backward")
        count = len(shapes)
        kind = next(t.dtype for t, c in zip(tensors, made.operand_dtypes, strict=True) if c == SAME)
        slots = dispatch.arrays(made, tensors, [(kind, tuple(s)) for s in shapes[:count]], words)
        return [wrap(slot) for slot in slots][k]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Refuse."""
        raise NotImplementedError(
            f"{ctx.name_of_op}: its gradient is a function on arrays, which cannot itself be differentiated; "
            "an operation declared by a formula can, to any order"
        )
