"""What a picture shows: rows of the tape and the values around them, read once, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .._tensor import Tensor, handle_of
from ..autograd.graph import row_name
from ..engine import layout
from ..engine.layout import (
    S_FLAGS,
    S_GRAD,
    S_OUTPUT,
    S_ROW,
    S_STORAGE,
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_WORDS,
)
from ..kernels import OPS
from ..kernels.abi import bits_float
from ..kernels.table import LINEAR, MATMUL
from ..nn.parameter import Parameter
from ..show import letters, operation, value_text
from ..slots import slot_dtype, slot_shape, slot_word
from ..store import store
from ..tape import rows_behind, slots_of

FEW = 6  # values written out
LEAF, FROZEN, CONSTANT, OPERATION, FREED = "leaf", "frozen", "constant", "operation", "freed"


@dataclass(frozen=True)
class Numbers:
    """What is told of an array: its extent, and the first values."""

    low: float
    high: float
    mean: float
    first: tuple[float, ...]
    size: int
    strange: int  # how many are nan or infinite

    def brief(self) -> str:
        """In a few words."""
        if self.size == 0:
            return "empty"
        if self.size == 1:
            return _number(self.first[0])
        ending = f", {self.strange} not finite" if self.strange else ""
        return f"{_number(self.low)} .. {_number(self.high)}{ending}"

    def full(self) -> str:
        """In a line."""
        if self.size <= 1:
            return self.brief()
        values = ", ".join(map(_number, self.first)) + (", ..." if self.size > len(self.first) else "")
        return f"[{values}], mean {_number(self.mean)}, {self.brief()}"


@dataclass
class Value:
    """A tensor: an operand or a result of rows.

    Attributes
    ----------
    name : str
        ``%3``, ``%3.1`` or a leaf's name.
    numbers, gradient : Numbers or None
        Its values, when something still holds them or they can be worked out again, and the derivative of the root
        by them.
    uses : int
        By how many rows of the picture it is read.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    numbers: Numbers | None
    gradient: Numbers | None
    accumulated: Numbers | None  # .grad
    uses: int = 0

    @property
    def type(self) -> str:
        """Dtype and shape."""
        return f"{self.dtype}{list(self.shape)}"


@dataclass
class Node:
    """A row, or a value that no row made."""

    key: str
    kind: str
    title: str
    number: int  # of the row; 0 for a value from outside
    outputs: list[Value]
    operands: list[Value | None] = field(default_factory=list)
    saved: list[bool] = field(default_factory=list)  # of each operand and output: whether the row keeps it
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Edge:
    """A value on its way from the node that has it to one that reads it."""

    source: str
    target: str
    label: str


@dataclass
class Model:
    """Nodes in the order of the forward pass, each value from outside before its first reader."""

    nodes: list[Node]
    edges: list[Edge]
    root: Value
    title: str

    @property
    def rows(self) -> list[Node]:
        """The rows among the nodes."""
        return [n for n in self.nodes if n.number]


def _number(value: float) -> str:
    return f"{value + 0.0:.4g}"  # never -0


def numbers_of(array: np.ndarray) -> Numbers:
    """A summary of an array."""
    flat = array.reshape(-1)
    first = tuple(float(v) for v in flat[:FEW])
    with np.errstate(invalid="ignore"):  # a nan of another form than NumPy's own
        values = flat.astype(float)
    finite = values[np.isfinite(values)]
    strange = values.size - finite.size
    if finite.size == 0:
        return Numbers(np.nan, np.nan, np.nan, first, values.size, strange)
    return Numbers(
        float(finite.min()), float(finite.max()), float(finite.mean()), first, values.size, strange
    )


def read(root: Tensor, params: Mapping[str, Tensor] | None, values: bool, gradients: bool) -> Model:
    """The picture's content for what is behind a tensor."""
    return _Reader(root, params or {}, values, gradients).model()


def _workspaces(offset: int, outputs: list[int]) -> set[int]:
    """The outputs of a row in which its kernels keep what only they can read."""
    kind, code = int(store.tape[offset + T_KIND]), int(store.tape[offset + T_OP])
    batch = OPS[code].batch if kind == layout.ARRAYS else None
    return {slot for k, slot in enumerate(outputs) if batch is not None and batch.workspace == f"y{k}"}


class _Reader:
    def __init__(self, root: Tensor, params: Mapping[str, Tensor], values: bool, gradients: bool) -> None:
        self.root = root
        self.values = values
        self.names = {t._slot: name for name, t in params.items()}
        self.parameters = {t._slot for t in params.values() if isinstance(t, Parameter)}
        self.offsets = rows_behind(root._slot)
        self.numbered = {offset: k + 1 for k, offset in enumerate(self.offsets)}
        self.known: dict[int, Value] = {}
        self.arrays: dict[int, np.ndarray] = {}  # values, of those that are known
        self.outside: dict[int, str] = {}
        self.workspaces: set[int] = set()  # whose words are no values
        self.cotangents = self._cotangents() if gradients and self.offsets else {}

    def _cotangents(self) -> dict[int, np.ndarray]:
        """The derivative of the root's sum by every value that asks for one; nothing in ``.grad`` changes."""
        from ..autograd.chosen import grad

        slots = {self.root._slot}
        for offset in self.offsets:
            slots.update(s for s in slots_of(offset) if s and slot_word(s, S_FLAGS) & layout.REQUIRES_GRAD)
        inputs = [handle_of(s) for s in sorted(slots) if slot_word(s, S_ROW) > layout.FREED_ROW]
        seed = self.root.detach().clone().fill_(1)
        try:
            found = grad(self.root, inputs, seed, retain_graph=True, allow_unused=True)
        except RuntimeError:  # a custom function, or a value that was overwritten: the picture does without
            return {}
        return {t._slot: g.numpy() for t, g in zip(inputs, found, strict=True) if g is not None}

    def model(self) -> Model:
        nodes: list[Node] = []
        edges: list[Edge] = []
        for offset in self.offsets:
            node = self._row(offset)
            slots = slots_of(offset)[: len(node.operands)]
            for slot in filter(None, slots):
                source = self._source(slot, nodes)
                label = f".{slot_word(slot, S_OUTPUT)}" if self._several(slot) else ""
                edges.append(Edge(source, node.key, label))
            nodes.append(node)
        if not nodes:
            nodes.append(self._alone())
        for node in nodes:
            for value in node.operands:
                if value is not None:
                    value.uses += 1
        return Model(nodes, edges, self._value(self.root._slot), self._title(nodes))

    def _title(self, nodes: list[Node]) -> str:
        count = sum(1 for n in nodes if n.number)
        return f"{count} row{'s' if count != 1 else ''} behind {self._value(self.root._slot).type}"

    def _several(self, slot: int) -> bool:
        row = slot_word(slot, S_ROW)
        return row >= 0 and int(store.tape[row + T_OUTPUTS]) > 1

    def _source(self, slot: int, nodes: list[Node]) -> str:
        """The key of the node that has a value; made when no row did."""
        row = slot_word(slot, S_ROW)
        if row >= 0:
            return f"r{self.numbered[row]}"
        if slot not in self.outside:
            self.outside[slot] = f"v{len(self.outside) + 1}"
            value = self._value(slot)
            kind = self._kind(slot)
            title = row_name(row) if kind == FREED else value.name
            nodes.append(Node(self.outside[slot], kind, title, 0, [value]))
        return self.outside[slot]

    def _kind(self, slot: int) -> str:
        if slot_word(slot, S_ROW) <= layout.FREED_ROW:
            return FREED
        if slot_word(slot, S_FLAGS) & layout.REQUIRES_GRAD:
            return LEAF
        return FROZEN if slot in self.parameters else CONSTANT

    def _alone(self) -> Node:
        slot = self.root._slot
        return Node("v1", self._kind(slot), self._value(slot).name, 0, [self._value(slot)])

    def _row(self, offset: int) -> Node:
        tape = store.tape
        inputs = int(tape[offset + T_INPUTS])
        slots = slots_of(offset)
        op, attributes = operation(offset)
        present = [k for k, s in enumerate(slots) if s or k < inputs]
        kept = [int(tape[offset + T_OPERANDS + 2 * k + 1]) != layout.NOT_SAVED for k in present]
        number = self.numbered[offset]
        operands = [self._value(s) if s else None for s in slots[:inputs]]
        self.workspaces.update(_workspaces(offset, slots[inputs:]))
        outputs = [self._value(s) for s in slots[inputs:] if s]
        if self.values and len(outputs) == 1 and outputs[0].numbers is None:
            self._recompute(offset, slots[:inputs], slots[inputs], outputs[0])
        return Node(
            f"r{number}",
            OPERATION,
            op,
            number,
            outputs,
            operands,
            kept,
            {k: value_text(v) for k, v in attributes.items() if k != "words" and v is not False},
        )

    def _recompute(self, offset: int, operands: list[int], output: int, value: Value) -> None:
        """Work out values that were dropped, where NumPy can do it from what is known: for the picture only."""
        arrays = [self.arrays.get(s) for s in operands]
        if any(a is None and s for a, s in zip(arrays, operands, strict=True)):
            return
        tape = store.tape
        code, kind = int(tape[offset + T_OP]), int(tape[offset + T_KIND])
        words = tape[offset + int(tape[offset + T_ATTRS]) : offset + int(tape[offset + T_WORDS])].tolist()
        with np.errstate(all="ignore"):
            if kind == layout.RESHAPE:
                found = arrays[0].reshape(value.shape)  # type: ignore[union-attr]
            elif kind == layout.MAP:
                found = OPS[code].forward(*arrays, *map(bits_float, words))
            elif kind == layout.ARRAYS and OPS[code].rule == LINEAR:
                x, weight, bias = arrays
                found = x @ weight.T if bias is None else x @ weight.T + bias  # type: ignore[operator,union-attr]
            elif kind == layout.ARRAYS and OPS[code].rule == MATMUL:
                found = arrays[0] @ arrays[1]  # type: ignore[operator]
            else:
                return
        self.arrays[output] = np.broadcast_to(np.asarray(found), value.shape)
        value.numbers = numbers_of(self.arrays[output])

    def _value(self, slot: int) -> Value:
        if slot not in self.known:
            self.known[slot] = self._read_value(slot)
        return self.known[slot]

    def _read_value(self, slot: int) -> Value:
        row = slot_word(slot, S_ROW)
        if row >= 0:
            name = f"%{self.numbered[row]}" + (f".{slot_word(slot, S_OUTPUT)}" if self._several(slot) else "")
        else:
            if slot not in self.names:
                self.names[slot] = f"%{letters(len(self.names))}"
            name = self.names[slot]
        numbers = None
        if self.values and slot_word(slot, S_STORAGE) and slot not in self.workspaces:
            self.arrays[slot] = handle_of(slot).numpy(force=True)
            numbers = numbers_of(self.arrays[slot])
        cotangent = self.cotangents.get(slot)
        grad_slot = slot_word(slot, S_GRAD)
        accumulated = numbers_of(handle_of(grad_slot).numpy(force=True)) if grad_slot else None
        return Value(
            name,
            slot_shape(slot),
            slot_dtype(slot).name,
            numbers,
            numbers_of(cotangent) if cotangent is not None else None,
            accumulated,
        )


__all__ = ["Edge", "Model", "Node", "Numbers", "Value", "read"]
