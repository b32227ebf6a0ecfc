"""Custom functions: an operation whose forward and backward are Python."""

from __future__ import annotations

import functools
import inspect
import itertools
from array import array
from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor, handle_of
from ..dispatch import demand
from ..engine.layout import USE_OUTPUT, USES
from ..store import store
from ..user_frames import warn
from .context import FunctionCtx, no_gradients_twice
from .graph import drop_freed_nodes, python_nodes
from .modes import enable_grad, no_grad, records
from .observe import recorded

__all__ = ["Function", "FunctionCtx", "once_differentiable"]

MOST_SAVED = 62 - USES  # outputs whose saving a word of bits has room for
_numbers = itertools.count()
_LEGACY = (
    "Legacy autograd function with non-static forward method is deprecated. Please use new-style autograd "
    "function with static forward method: @staticmethod forward and backward, called as F.apply(...)"
)
_NO_FORWARD = "You must implement the forward function for custom autograd.Function."
_NO_BACKWARD = (
    "You must implement either the backward or vjp method for your custom autograd.Function to use it with "
    "backward mode AD."
)


class Function:
    """Base of custom differentiable functions; subclass it with static `forward` and `backward`.

    Instead of ``forward(ctx, *args)`` a class may have ``forward(*args)`` and
    ``setup_context(ctx, inputs, output)``. What the context can do: `save_for_backward`, `saved_tensors`,
    `needs_input_grad`, `mark_dirty`, `mark_non_differentiable`, `set_materialize_grads`; it takes any attribute.

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

    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warn(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you "
            "should invoke them on the class itself. Instantiating an autograd function will raise an error in a "
            "future version of PyTorch.",
            DeprecationWarning,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse the form of functions that PyTorch had at first."""
        raise RuntimeError(_LEGACY)

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; gradients are not recorded inside."""
        raise NotImplementedError(_NO_FORWARD)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Keep what backward needs, for a `forward` without a context."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Turn the cotangents of the outputs into those of the arguments."""
        raise NotImplementedError(_NO_BACKWARD)

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Forward mode is not something that jitgrad has."""
        raise NotImplementedError("jvp: forward mode is not available; implement backward")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the function and record it.

        Raises
        ------
        RuntimeError
            If `forward` marks tensors as changed that it does not return, or a leaf that requires gradients.
        """
        drop_freed_nodes()
        apart = cls.setup_context is not Function.setup_context
        if apart:
            args, kwargs = _bound(cls.forward, args, kwargs), {}
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        context = FunctionCtx(cls, needs)
        record = records() and any(needs)
        with no_grad():
            if apart:
                output = cls.forward(*args)
                cls.setup_context(context, args, output)
            else:
                output = cls.forward(context, *args, **kwargs)
        return _outcome(context, args, output, record)


def _bound(forward: Any, args: tuple, kwargs: dict[str, Any]) -> tuple:
    """Arguments of a call, by position, with those that have defaults."""
    try:
        given = inspect.signature(forward).bind(*args, **kwargs)
    except ValueError:  # a builtin has no signature
        return args
    given.apply_defaults()
    return given.args


def backward_of(cls: type[Function]) -> Any:
    """The method of a custom function that walks back."""
    own, other = cls.backward is not Function.backward, cls.vjp is not Function.vjp
    if own and other:
        raise RuntimeError(
            "Implementing both 'backward' and 'vjp' for a custom Function is not allowed. You should only "
            "implement one of them."
        )
    if not (own or other):
        raise NotImplementedError(_NO_BACKWARD)
    return cls.backward if own else cls.vjp


def _outcome(context: FunctionCtx, args: tuple, output: Any, record: bool) -> Any:
    """What `apply` returns, recorded or not."""
    outputs = output if isinstance(output, tuple) else (output,)
    positions = [k for k, a in enumerate(args) if isinstance(a, Tensor)]
    operands = [args[k] for k in positions]
    _check_dirty(context, operands, outputs)
    if record:
        outputs = _record(context, args, positions, outputs)
    else:  # an argument that comes back is another tensor even so
        dirty = {id(t) for t in context._dirty}
        seen = {id(t) for t in operands} - dirty
        outputs = tuple(t.detach() if id(t) in seen else t for t in outputs)
    return outputs if isinstance(output, tuple) else outputs[0]


def _record(context: FunctionCtx, args: tuple, positions: list[int], outputs: tuple) -> tuple:
    constant = {id(t) for t in context._constant}
    dirty = {id(t) for t in context._dirty}
    operands = [args[k] for k in positions]
    ids = array("q", [t._slot for t in operands])
    # an argument that was changed in place gets a new slot below: hold the old one until the row does
    held = [handle_of(slot) for slot in ids]
    fresh: dict[int, Any] = {}  # by the id of what forward returned
    for t in outputs:
        if isinstance(t, Tensor) and id(t) not in fresh:
            fresh[id(t)] = _fresh(t, operands, id(t) in constant, id(t) in dirty)
    results = tuple(fresh.get(id(t), t) for t in outputs)
    last = {id(t): k for k, t in enumerate(outputs)}  # one returned twice gets its gradient at the last place
    places = [
        k
        for k, t in enumerate(outputs)
        if last[id(t)] == k and isinstance(t, Tensor) and id(t) not in constant and t.is_floating_point()
    ]
    context.describe(args, positions, outputs, results, places)
    if places:
        number = next(_numbers)
        python_nodes[number] = context
        store.keep_room_for_nodes(len(python_nodes))
        outs = array("q", [results[k]._slot for k in places])
        saves = sum(USE_OUTPUT << k for k in context.saved_outputs() if k < MOST_SAVED)
        demand("link", number, len(ids), ids.buffer_info()[0], len(outs), outs.buffer_info()[0], saves)
        recorded(outs[0])
    del held
    return results


def _fresh(t: Tensor, operands: Sequence[Tensor], constant: bool, dirty: bool) -> Tensor:
    """The tensor that stands for an output of forward: with a place of its own in the graph."""
    known = any(t is a for a in operands)
    if constant or not t.is_floating_point():
        return t.detach() if known or t.requires_grad else t
    if dirty and known:
        t._become(demand("without_history", t._slot))
        return t
    return t.detach() if known or not t.is_leaf or t.requires_grad else t


def _check_dirty(context: FunctionCtx, operands: Sequence[Tensor], outputs: Sequence[Any]) -> None:
    for t in context._dirty:
        if not any(t is a for a in operands):
            warn(
                "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been "
                "mutated should be passed to ctx.mark_dirty()."
            )
        elif t.is_leaf and t.requires_grad and records():
            raise RuntimeError(
                f"{context.name()}: a leaf Variable that requires grad has been used in an in-place operation; "
                "give the function a clone()"
            )
        if not any(t is x for x in outputs):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output. The inputs "
                "that are modified inplace must all be outputs of the Function."
            )


class _History(Function):
    """A value with the place in the graph of another tensor, whose own value may be gone."""

    @staticmethod
    def forward(ctx: Any, place: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        return grad_outputs[0], None


def with_history(value: Tensor, place: Tensor) -> Tensor:
    """The value, so that gradients with respect to it go where those of `place` go."""
    return _History.apply(place, value) if records() and place.requires_grad else value


class _Once(Function):
    """Passes gradients on, and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, *gradients: Tensor) -> Any:
        return tuple(g.detach() for g in gradients)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        raise no_gradients_twice()


def once_differentiable(backward: Any) -> Any:
    """Mark a backward that cannot itself be differentiated.

    What it computes is then not recorded, and a second walk that comes to its results raises RuntimeError.
    """

    @functools.wraps(backward)
    def wrapper(ctx: Any, *cotangents: Any) -> Any:
        with no_grad():
            found = backward(ctx, *cotangents)
        asks = any(isinstance(g, Tensor) and g.requires_grad for g in cotangents)
        if not (records() and asks):
            return found
        gradients = found if isinstance(found, tuple) else (found,)
        source = next(g for g in cotangents if isinstance(g, Tensor) and g.requires_grad)
        there = [g for g in gradients if isinstance(g, Tensor)]
        with enable_grad():
            # the cotangent comes along so that the results have a history
            marked = iter(_Once.apply(*there, source)[:-1])
        result = tuple(next(marked) if isinstance(g, Tensor) else g for g in gradients)
        return result if isinstance(found, tuple) else result[0]

    return wrapper
