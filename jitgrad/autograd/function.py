"""Custom functions: an operation whose forward and backward are Python."""

from __future__ import annotations

import itertools
from array import array
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, demand
from ..engine.entry import entries
from ..store import store
from .graph import Node, drop_freed_nodes, python_nodes
from .modes import is_grad_enabled, no_grad, set_grad_enabled

_numbers = itertools.count()


class FunctionCtx:
    """What `Function.forward` leaves for `Function.backward`.

    Attributes
    ----------
    saved_tensors : tuple of Tensor
        What was given to `save_for_backward`, checked for writes in place since.
    needs_input_grad : tuple of bool
        For each argument of forward, whether it asks for a gradient.
    """

    def __init__(self, function: type[Function], needs: tuple[bool, ...]) -> None:
        self._function = function
        self.needs_input_grad = needs
        self._saved: tuple[Tensor | None, ...] = ()
        self._versions: tuple[int, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True
        self._recorded: list[bool] = []  # for each output, whether it has a place on the tape
        self._shapes: list[tuple | None] = []  # for each output that is a tensor, shape and dtype
        self._positions: list[int] = []
        self._arguments = 0

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward."""
        self._saved = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Declare outputs that have no gradient."""
        self._constant = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Declare arguments that forward has changed in place and returns."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing cotangents reach backward as zeros (the default) or as None."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors kept for backward."""
        for t, version in zip(self._saved, self._versions, strict=False):
            if t is not None and t._version != version:
                raise RuntimeError(
                    "backward: one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: a saved tensor of {self.name()} of shape {list(t.shape)} is at "
                    f"version {t._version}; expected version {version} instead"
                )
        return self._saved

    def name(self) -> str:
        """Name of the node."""
        return f"{self._function.__name__}Backward"

    def as_node(self, output: Tensor) -> Node:
        """The node for ``output.grad_fn``."""
        return Node(output)

    def run_backward(self, cotangents: list[Tensor | None], record: bool = False) -> list[Tensor | None]:
        """Call the user's backward and check what it returns; one gradient for each recorded operand.

        With `record` what it runs is recorded, so that it can itself be differentiated.
        """
        cotangents = self._for_every_output(cotangents)
        with set_grad_enabled(record):
            result = self._function.backward(self, *cotangents)
        results = list(result) if isinstance(result, tuple) else [result]
        while len(results) > self._arguments and results[-1] is None:
            results.pop()
        if len(results) != self._arguments:
            raise RuntimeError(
                f"{self.name()}: function {self.name()} returned an incorrect number of gradients (expected "
                f"{self._arguments}, got {len(results)}); return one for each argument of forward, None where "
                "there is none"
            )
        return [self._checked(results[k], k) for k in self._positions]

    def _for_every_output(self, recorded: list[Tensor | None]) -> list[Tensor | None]:
        """Cotangents of the recorded outputs among those of all that forward returned."""
        waiting = iter(recorded)
        cotangents = [next(waiting) if is_recorded else None for is_recorded in self._recorded]
        if self._materialize:
            from ..functions.creation import zeros

            for k, (g, form) in enumerate(zip(cotangents, self._shapes, strict=True)):
                if g is None and form is not None:
                    shape, kind = form
                    cotangents[k] = zeros(shape, dtype=kind)
        return cotangents

    def _checked(self, gradient: Any, k: int) -> Tensor | None:
        if gradient is None:
            return None
        if not isinstance(gradient, Tensor):
            raise TypeError(f"{self.name()}: expected Variable or None (got {type(gradient).__name__})")
        shape, kind = self._inputs[k]
        if tuple(gradient.shape) != shape:
            raise RuntimeError(
                f"{self.name()}: Function {self.name()} returned an invalid gradient at index {k} - got "
                f"{list(gradient.shape)} but expected shape compatible with {list(shape)}"
            )
        return gradient if gradient.dtype is kind else gradient.to(kind)  # type: ignore[attr-defined]

    _inputs: dict[int, tuple[tuple, Any]]


class Function:
    """Base of custom differentiable functions; subclass it with static `forward` and `backward`.

    Examples
    --------
    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * g
    >>> y = Square.apply(x)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; gradients are not recorded inside."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Turn the cotangents of the outputs into those of the arguments."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it "
            "with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the function and record it."""
        drop_freed_nodes()
        tensors = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        context = FunctionCtx(cls, needs)
        record = is_grad_enabled() and any(needs)
        with no_grad():
            if "setup_context" in cls.__dict__ or hasattr(cls, "setup_context"):
                output = cls.forward(*args)
                cls.setup_context(context, args, output)  # type: ignore[attr-defined]
            else:
                output = cls.forward(context, *args)
        if not record:
            return output
        return _record(context, args, tensors, output)


def _record(context: FunctionCtx, args: tuple, tensors: list[int], output: Any) -> Any:
    outputs = output if isinstance(output, tuple) else (output,)
    constant = {id(t) for t in context._constant}
    dirty = {id(t) for t in context._dirty}
    operands = [args[k] for k in tensors]
    _check_dirty(context, operands)
    ids = array("q", [t._slot for t in operands])
    # an argument that was changed in place gets a new slot below: hold the old one until the row does
    held = [wrap(entries.retain(CONTEXT, slot)) for slot in ids]
    fresh: list[Any] = []
    for t in outputs:
        if isinstance(t, Tensor) and id(t) not in constant and t.dtype.is_floating_point:
            # an argument that comes back is a new value in the graph, unless it was changed in place
            if id(t) in dirty:
                t._become(demand("detach", t._slot))
                fresh.append(t)
            else:
                known = any(t is a for a in operands) or not t.is_leaf or t.requires_grad
                fresh.append(t.detach() if known else t)
        else:
            fresh.append(t)
    recorded = [
        t for t in fresh if isinstance(t, Tensor) and id(t) not in constant and t.dtype.is_floating_point
    ]
    if recorded:
        number = next(_numbers)
        python_nodes[number] = context
        store.keep_room_for_nodes(len(python_nodes))
        outs = array("q", [t._slot for t in recorded])
        demand("link", number, len(ids), ids.buffer_info()[0], len(outs), outs.buffer_info()[0], 0)
    del held
    context._positions = tensors
    context._arguments = len(args)
    context._inputs = {k: (tuple(args[k].shape), args[k].dtype) for k in tensors}
    context._recorded = [any(t is r for r in recorded) for t in fresh]
    context._shapes = [(tuple(t.shape), t.dtype) if isinstance(t, Tensor) else None for t in fresh]
    context._versions = tuple(0 if t is None else t._version for t in context._saved)
    return tuple(fresh) if isinstance(output, tuple) else fresh[0]


def _check_dirty(context: FunctionCtx, operands: list[Tensor]) -> None:
    for t in context._dirty:
        if t.is_leaf and t.requires_grad and any(t is a for a in operands):
            raise RuntimeError(
                f"{context.name()}: a leaf Variable that requires grad has been used in an in-place operation; "
                "give the function a clone()"
            )


def once_differentiable(backward: Any) -> Any:
    """Mark a backward that cannot itself be differentiated."""
    return backward
