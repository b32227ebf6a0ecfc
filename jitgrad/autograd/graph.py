"""The tape as a graph of nodes: names, edges, and what they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple, NoReturn

from .._tensor import Tensor, handle_of
from ..dispatch import CONTEXT, VIEW_CODE, VIEW_NAMES
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import (
    S_FLAGS,
    S_OUTPUT,
    S_ROW,
    S_STORAGE,
    SLOT_WORDS,
    T_INPUTS,
    T_KIND,
    T_OP,
)
from ..kernels import OPS
from ..slots import slot_dtype, slot_shape
from ..store import store
from ..tape import operands_of, slots_of
from ..utils.hooks import RemovableHandle
from .endings import register_multi_grad_hook
from .notes import add_hook, row_note
from .saved import (
    allow_mutation_on_saved_tensors,
    disable_saved_tensors_hooks,
    save_on_cpu,
    saved_tensors_hooks,
)

__all__ = ["AccumulateGrad", "GradientEdge", "Node", "allow_mutation_on_saved_tensors",
           "disable_saved_tensors_hooks", "get_gradient_edge", "increment_version", "register_multi_grad_hook",
           "save_on_cpu", "saved_tensors_hooks"]  # fmt: skip

python_nodes: dict[int, Any] = {}  # rows of custom functions: number on the tape -> the function's context


SECOND_TIME = (
    "backward: Trying to backward through the graph a second time (or directly access saved tensors after they "
    "have already been freed). Saved intermediate values of the graph are freed when you call .backward() or "
    "autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time"
)


# the number of the operand that a node's attribute shows; None: the result
_SAVED = {"_saved_self": 0, "_saved_other": 1, "_saved_result": None}


class Node:
    """A recorded operation, as ``tensor.grad_fn`` shows it.

    Attributes
    ----------
    next_functions : tuple
        For each operand that asks for a gradient, its node and which output of that node it is.
    """

    def __init__(self, output: Tensor) -> None:
        self._output = output

    def name(self) -> str:
        """Name of the operation, for example ``AddBackward0``."""
        return row_name(self._output._word(S_ROW))

    def __repr__(self) -> str:
        return f"<{self.name()} object at {hex(id(self))}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        a, b = self._output, other._output
        return a._slot == b._slot or (a._word(S_ROW) == b._word(S_ROW) >= 0)

    def __hash__(self) -> int:
        row = self._output._word(S_ROW)
        return hash(row if row >= 0 else self._output._slot)

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """Nodes of the operands, each with the number of its output."""
        row = self._output._word(S_ROW)
        if row < 0:
            return ()
        edges = []
        for slot in operands_of(row):
            words = store.slots
            if not slot or not words[slot * SLOT_WORDS + S_FLAGS] & layout.REQUIRES_GRAD:
                edges.append((None, 0))
                continue
            operand = handle_of(slot)
            edges.append((node_of(operand) or AccumulateGrad(operand), words[slot * SLOT_WORDS + S_OUTPUT]))
        return tuple(edges)

    def register_prehook(self, hook: Callable[[tuple], Any]) -> RemovableHandle:
        """Call ``hook(grad_outputs)`` before the node runs in a walk; it may return others in their place."""
        self._check_alive("register_prehook")
        slot = self._output._slot
        return add_hook(slot, row_note(slot).before, hook, "register_prehook")

    def register_hook(self, hook: Callable[[tuple, tuple], Any]) -> RemovableHandle:
        """Call ``hook(grad_inputs, grad_outputs)`` after the node has run; it may return other grad_inputs."""
        self._check_alive("register_hook")
        slot = self._output._slot
        return add_hook(slot, row_note(slot).after, hook, "register_hook")

    def __getattr__(self, name: str) -> Any:
        """What the operation has kept: ``_saved_self``, ``_saved_other`` and ``_saved_result``, as PyTorch calls it.

        Raises
        ------
        AttributeError
            For other names, and where the operation has no such operand or did not need its value.
        RuntimeError
            If the value has been freed by a walk, or overwritten.
        """
        value = self._kept(_SAVED[name]) if name in _SAVED else None
        if value is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return value

    def _kept(self, k: int | None) -> Tensor | None:
        """What the row keeps of its operand `k`, or of its result for None."""
        from .higher import Row

        offset = self._output._word(S_ROW)
        if offset <= layout.FREED_ROW:
            raise RuntimeError(SECOND_TIME)
        row = Row(offset) if offset >= 0 else None
        if row is None or (k is not None and k >= row.inputs):
            return None
        return row.value(row.inputs if k is None else k)

    def _check_alive(self, name: str) -> None:
        if self._output._word(S_ROW) <= layout.FREED_ROW:
            raise RuntimeError(
                f"{name}: the graph of {self.name()} has been freed; register before backward()"
            )


class FunctionNode(Node):
    """The node of a custom function: what its context has, it has, too."""

    def __init__(self, output: Tensor, context: Any) -> None:
        super().__init__(output)
        self._context = context

    def name(self) -> str:
        """Name of the function with ``Backward`` behind it."""
        return self._context.name()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_context":
            raise AttributeError(name)
        return getattr(self._context, name)


class _Freed:
    """What is left of a custom function's context when its row is gone."""

    def name(self) -> str:
        return "FunctionBackward"

    @property
    def saved_tensors(self) -> Any:
        raise RuntimeError(SECOND_TIME)


class AccumulateGrad(Node):
    """Where a gradient ends: it is added to ``variable.grad``."""

    @property
    def variable(self) -> Tensor:
        """The leaf."""
        return self._output

    def name(self) -> str:
        """The name PyTorch gives to these nodes."""
        return "AccumulateGrad"

    @property
    def next_functions(self) -> tuple:
        """Nothing comes before a leaf."""
        return ()


class GradientEdge(NamedTuple):
    """A place in the graph where a gradient passes; `autograd.grad` and `backward` take it like its tensor."""

    node: Node
    output_nr: int
    ownership_token: Any = None

    @property
    def tensor(self) -> Tensor:
        """The tensor whose gradient it is."""
        row = self.node._output._word(S_ROW)
        if row < 0 or self.node._output._word(S_OUTPUT) == self.output_nr:
            return self.node._output
        slot = slots_of(row)[int(store.tape[row + T_INPUTS]) + self.output_nr]
        if not slot:
            raise RuntimeError(f"GradientEdge: output {self.output_nr} of {self.node.name()} is gone")
        return handle_of(slot)


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge along which the gradient of a tensor comes.

    Raises
    ------
    RuntimeError
        If the tensor does not require gradients.
    """
    if not tensor.requires_grad:
        raise RuntimeError(
            "get_gradient_edge: It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients"
        )
    return GradientEdge(node_of(tensor) or AccumulateGrad(tensor), tensor._word(S_OUTPUT))


def increment_version(tensor: Any) -> None:
    """Count a write that was done behind the library's back, so that stale saved values are seen.

    Parameters
    ----------
    tensor : Tensor or iterable of Tensor
        What has been written to.
    """
    for x in (tensor,) if isinstance(tensor, Tensor) else tensor:
        store.storage_table["version"][x._word(S_STORAGE)] += 1


def node_of(tensor: Tensor) -> Node | None:
    """The node that made a tensor, or None for a leaf."""
    row = tensor._word(S_ROW)
    if row == layout.NO_ROW or not tensor.requires_grad:
        return None
    if row >= 0 and int(store.tape[row + T_KIND]) == layout.PYTHON:
        return python_nodes[int(store.tape[row + T_OP])].as_node(tensor)
    if row == layout.FREED_ROW - layout.FREED_PYTHON:
        return FunctionNode(tensor, _Freed())
    return _kind(row_name(row))(tensor)


@cache
def _kind(name: str) -> type[Node]:
    """The class of the nodes of one name: PyTorch's have one for each operation, which programs ask for its name."""
    return type(name, (Node,), {})


def _output_nr(self: Tensor) -> int:
    """Which of its node's outputs this tensor is; 0 for a leaf."""
    return self._word(S_OUTPUT)


Tensor.output_nr = property(_output_nr)  # type: ignore[attr-defined]


def slots_behind(tensors: Iterable[Tensor]) -> set[int]:
    """Slots of tensors, and of what they were made from, as far as these ask for a gradient."""
    words = store.slots
    waiting, seen = [t._slot for t in tensors], set()
    while waiting:
        slot = waiting.pop()
        if slot == 0 or slot in seen or not words[slot * SLOT_WORDS + S_FLAGS] & layout.REQUIRES_GRAD:
            continue
        seen.add(slot)
        row = words[slot * SLOT_WORDS + S_ROW]
        if row >= 0:
            waiting += operands_of(row)
    return seen


def runs_python(slot: int) -> bool:
    """Whether a walk that comes to a tensor may run Python code: a custom function's, a hook's or a checkpoint's."""
    return bool(store.slots[slot * SLOT_WORDS + S_FLAGS] & layout.NOTED) or function_of(slot) is not None


def function_of(slot: int) -> Any:
    """The custom function that made a tensor, or None."""
    row = int(store.slots[slot * SLOT_WORDS + S_ROW])
    if row < 0 or int(store.tape[row + T_KIND]) != layout.PYTHON:
        return None
    return python_nodes[int(store.tape[row + T_OP])]._function


def leaves_behind(tensors: Iterable[Tensor]) -> set[int]:
    """Slots of the leaves that ask for a gradient and that tensors were made from."""
    words = store.slots
    return {s for s in slots_behind(tensors) if words[s * SLOT_WORDS + S_ROW] == layout.NO_ROW}


def row_name(row: int) -> str:
    """PyTorch's name of the node of a row, or of a row that is gone (``FREED_ROW - op``)."""
    if row <= layout.FREED_ROW:
        code = layout.FREED_ROW - row
    elif int(store.tape[row + T_KIND]) == layout.PYTHON:
        return python_nodes[int(store.tape[row + T_OP])].name()
    else:
        code = int(store.tape[row + T_OP])
    if code == layout.FREED_PYTHON:
        return "FunctionBackward"
    if code >= VIEW_CODE:
        name = VIEW_NAMES[code - VIEW_CODE]
        return "".join(part.capitalize() for part in name.split("_")) + "Backward0"
    return f"{OPS[code].grad_name}Backward0"


def describe_stale(detail: list[int]) -> str:
    """The message for a saved value that was overwritten before the walk came back to it."""
    offset, k, expected, found = detail
    slot, inputs = slots_of(offset)[k], int(store.tape[offset + T_INPUTS])
    role = f"operand {k}" if k < inputs else f"output {k - inputs}"
    kind = slot_dtype(slot).name
    return (
        "backward: one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: {role} of {row_name(offset)}, a {kind} tensor of shape {list(slot_shape(slot))}, is at "
        f"version {found}; expected version {expected} instead. Use the out-of-place operation, or clone() "
        "the tensor before changing it; under autograd.detect_anomaly() the message tells the line that recorded it"
    )


def refuse_derivative(code: int) -> NoReturn:
    """Raise what a walk that reaches an operation without a derivative means."""
    raise RuntimeError(
        f"backward: derivative for {OPS[code].name} is not implemented; detach() its operands, so that no gradient "
        "is asked for through it"
    )


def drop_freed_nodes() -> None:
    """Forget the contexts of custom functions whose rows are gone."""
    while (number := entries.take_freed_node(CONTEXT)) >= 0:
        context = python_nodes.pop(number, None)
        if context is not None:
            context.free()
