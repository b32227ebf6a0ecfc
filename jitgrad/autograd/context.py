"""What a custom function's forward leaves for its backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._tensor import Tensor
from ..refusals import INFERENCE_SAVED
from ..store import store
from .graph import SECOND_TIME, FunctionNode, Node
from .modes import enable_grad, no_grad
from .saved import Packed, pack

if TYPE_CHECKING:
    from .function import Function


def no_gradients_twice() -> RuntimeError:
    """The error of a function that was marked with `once_differentiable`."""
    return RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


class FunctionCtx:
    """What `Function.forward` leaves for `Function.backward`; it takes any attribute.

    Attributes
    ----------
    saved_tensors : tuple of Tensor
        What was given to `save_for_backward`, checked for writes in place since.
    needs_input_grad : tuple of bool
        For each argument of forward, whether it asks for a gradient.
    """

    _node_types: dict[type, type] = {}

    def __init__(self, function: type[Function], needs: tuple[bool, ...]) -> None:
        self._function = function
        self.needs_input_grad = needs
        self._saved: tuple[Any, ...] = ()  # tensors, None, or what hooks have made of tensors
        self._versions: tuple[int, ...] = ()
        # saved tensors that are kept without their history are entries of the row, which a recorded walk lends
        self._place: dict[int, int] = {}
        self._entries: Sequence[Tensor | None] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()
        self._materialize = True
        self._freed = False
        self._places: list[int] = []  # of the recorded outputs among those that forward returned
        self._shapes: list[tuple | None] = []  # for each output that is a tensor, shape and dtype
        self._positions: list[int] = []  # of the arguments that are tensors
        self._inputs: dict[int, tuple[tuple, Any]] = {}  # their shapes and dtypes
        self._arguments = 0

    # for forward ------------------------------------------------------------------------------------

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward; anything else can be an attribute of the context."""
        for k, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument {k} is of type {type(t).__name__}; "
                    "keep it as an attribute of ctx"
                )
        self._saved = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """For forward mode, which jitgrad does not have."""

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Declare outputs that have no gradient."""
        self._constant = _tensors("mark_non_differentiable only accepts variable arguments", tensors)

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Declare arguments that forward has changed in place; forward must return them."""
        self._dirty = _tensors("mark_dirty can only accept variables", tensors)

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing cotangents reach backward as zeros (the default) or as None."""
        self._materialize = value

    # for backward -----------------------------------------------------------------------------------

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """The tensors kept for backward."""
        from .function import with_history

        if self._freed:
            raise RuntimeError(SECOND_TIME)
        found = []
        for k, t in enumerate(self._saved):
            if isinstance(t, Packed):
                t = t.unpack()
            elif t is not None and k < len(self._versions) and store.version(t._slot) != self._versions[k]:
                raise RuntimeError(
                    "backward: one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: a saved tensor of {self.name()} of shape {list(t.shape)} is at "
                    f"version {store.version(t._slot)}; expected version {self._versions[k]} instead"
                )
            place = self._entries[self._place[k]] if k in self._place and self._entries else None
            found.append(t if place is None else with_history(t, place))
        return tuple(found)

    def name(self) -> str:
        """Name of the node."""
        return f"{self._function.__name__}Backward"

    # for the tape -----------------------------------------------------------------------------------

    def describe(
        self, args: tuple, positions: list[int], outputs: tuple, results: tuple, places: list[int]
    ) -> None:
        """Note what the function was called with and what it returned, and settle what is saved."""
        self._arguments, self._positions, self._places = len(args), positions, places
        self._inputs = {k: (tuple(args[k].shape), args[k].dtype) for k in positions}
        self._shapes = [(tuple(t.shape), t.dtype) if isinstance(t, Tensor) else None for t in results]
        recorded = {id(outputs[k]): j for j, k in enumerate(places, len(positions))}
        recorded |= {id(results[k]): j for j, k in enumerate(places, len(positions))}
        dirty = {id(t) for t in self._dirty}
        arguments = {id(args[k]): j for j, k in enumerate(positions) if id(args[k]) not in dirty}
        if any(t is not None and t.is_inference() for t in self._saved):
            raise RuntimeError(f"{self.name()}: {INFERENCE_SAVED}")
        kept: list[Any] = []
        for k, t in enumerate(self._saved):
            if t is not None and id(t) in recorded and id(t) not in arguments:
                self._place[k] = recorded[id(t)]
                t = t.detach()  # the tensor itself would keep its own history alive
            kept.append(t)
        self._versions = tuple(0 if t is None else store.version(t._slot) for t in kept)
        packed = [None if t is None else pack(t.detach()) for t in kept]
        for k, p in enumerate(packed):
            if p is not None and id(kept[k]) in arguments:
                self._place[k] = arguments[id(kept[k])]
        self._saved = tuple(t if p is None else p for t, p in zip(kept, packed, strict=True))
        self._constant = self._dirty = ()

    def saved_outputs(self) -> set[int]:
        """Which recorded outputs are saved: their row keeps their places in the graph, whoever lets go of them."""
        first = len(self._positions)
        return {j - first for j in self._place.values() if j >= first}

    def free(self) -> None:
        """The row is gone: let go of what was saved for it."""
        self._freed, self._saved, self._entries = True, (), ()

    def as_node(self, output: Tensor) -> Node:
        """The node for ``output.grad_fn``."""
        kind = self._node_types.get(self._function)
        if kind is None:
            kind = self._node_types[self._function] = type(self.name(), (FunctionNode,), {})
        return kind(output, self)

    def run_backward(
        self, cotangents: list[Tensor | None], record: bool = False, entries: Sequence[Tensor | None] = ()
    ) -> list[Tensor | None]:
        """Call the user's backward and check what it returns; one gradient for each recorded operand.

        With `record` what it runs is recorded, so that it can itself be differentiated; `entries`, the row's
        operands and outputs, then give their history to saved tensors that have none.
        """
        from .function import backward_of

        cotangents = self._for_every_output(cotangents)
        self._entries = entries
        try:
            with enable_grad() if record else no_grad():
                result = backward_of(self._function)(self, *cotangents)
        finally:
            self._entries = ()
        results = list(result) if isinstance(result, tuple) else [result]
        while len(results) > self._arguments and results[-1] is None:
            results.pop()
        if len(results) != self._arguments:
            raise RuntimeError(
                f"{self.name()}: function {self.name()} returned an incorrect number of gradients (expected "
                f"{self._arguments}, got {len(results)}); return one for each argument of forward, None where "
                "there is none"
            )
        for k, g in enumerate(results):
            if g is not None and k not in self._inputs:
                raise RuntimeError(
                    f"function {self.name()} returned a gradient different than None at position {k + 1}, but the "
                    "corresponding forward input was not a Variable"
                )
        return [self._checked(results[k], k) for k in self._positions]

    def _for_every_output(self, recorded: list[Tensor | None]) -> list[Tensor | None]:
        """Cotangents of the recorded outputs among those of all that forward returned."""
        cotangents: list[Tensor | None] = [None] * len(self._shapes)
        for k, g in zip(self._places, recorded, strict=True):
            cotangents[k] = g
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
            raise RuntimeError(f"{self.name()}: expected Variable or None (got {type(gradient).__name__})")
        if not self.needs_input_grad[k]:
            return None
        shape, kind = self._inputs[k]
        if tuple(gradient.shape) != shape:
            if not _expands(shape, tuple(gradient.shape)):
                raise RuntimeError(
                    f"{self.name()}: Function {self.name()} returned an invalid gradient at index {k} - got "
                    f"{list(gradient.shape)} but expected shape compatible with {list(shape)}"
                )
            gradient = _summed(gradient, shape)
        return gradient if gradient.dtype is kind else gradient.to(kind)  # type: ignore[attr-defined]


def _tensors(message: str, values: tuple) -> tuple[Tensor, ...]:
    for k, value in enumerate(values):
        if not isinstance(value, Tensor):
            raise RuntimeError(f"{message}, but argument {k} is of type {type(value).__name__}")
    return values


def _expands(shape: tuple, to: tuple) -> bool:
    """Whether a tensor of one shape can be broadcast to another."""
    back = zip(reversed(shape), reversed(to), strict=False)
    return len(shape) <= len(to) and all(a in (1, b) for a, b in back)


def _summed(gradient: Any, shape: tuple) -> Tensor:
    """A gradient summed to a shape from which it could have been broadcast."""
    extra = gradient.dim() - len(shape)
    dims = [d for d in range(gradient.dim()) if d < extra or shape[d - extra] != gradient.shape[d]]
    return gradient.sum(dims, keepdim=True).reshape(shape)
