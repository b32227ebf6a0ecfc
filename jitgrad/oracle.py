"""The interpreter's twin in plain Python and NumPy: slow, short, and what tests compare the engine with.

It reads the engine's own tables (the tape, the slots, the values that rows have kept) and walks them back
with the gradient formulas of the op table, called on NumPy arrays. It shares no code with the compiled walk
and writes to nothing, so both can be run on one graph, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ._tensor import Tensor
from .engine import layout
from .engine.layout import (
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_PREV,
    T_WORDS,
)
from .kernels import OPS
from .kernels.abi import NUMPY_DTYPES, bits_float
from .kernels.table import Op, parameters
from .store import store

Array = np.ndarray
Vjp = Callable[[list[Any], list[Any], list[Any], list[int], list[tuple]], Sequence[Any]]


def leaf_gradients(
    roots: Tensor | Sequence[Tensor],
    cotangents: Array | Sequence[Array] | None = None,
    *,
    vjps: Mapping[str, Vjp] | None = None,
    wide: bool = True,
) -> dict[int, Array]:
    """Walk the tape back from one or several tensors without changing anything.

    Parameters
    ----------
    roots : Tensor or sequence of Tensor
        Where to start.
    cotangents : array or sequence of arrays, optional
        One for each root, of its shape; ones if not given.
    vjps : mapping, optional
        For operations on whole arrays, by name: ``vjp(operands, outputs, cotangents, words, shapes)`` gives
        one gradient an operand, or None. What a row has not kept is None among the operands and outputs;
        `shapes` are the operands'.
    wide : bool
        Compute in float64 whatever the tensors' dtypes, so that the result is the better of the two.

    Returns
    -------
    dict
        Gradient arrays by the slot of the leaf (``tensor._slot``).

    Raises
    ------
    RuntimeError
        When a kept value has been overwritten in place, or a row's operation has no vjp here.
    """
    tensors = (roots,) if isinstance(roots, Tensor) else tuple(roots)
    seeds = (cotangents,) if isinstance(cotangents, np.ndarray) else cotangents
    twin = _Walk(vjps or {}, wide)
    for k, tensor in enumerate(tensors):
        shape = tuple(tensor.shape)
        seed = np.ones(shape) if seeds is None else np.asarray(seeds[k]).reshape(shape)
        twin.give(tensor._slot, seed)
    return twin.run()


class _Row:
    """One row of the tape, its words read into plain Python."""

    def __init__(self, offset: int) -> None:
        tape = store.tape
        self.code, self.kind = int(tape[offset + T_OP]), int(tape[offset + T_KIND])
        self.inputs, outputs = int(tape[offset + T_INPUTS]), int(tape[offset + T_OUTPUTS])
        end = offset + T_OPERANDS + 2 * (self.inputs + outputs)
        pairs = tape[offset + T_OPERANDS : end].reshape(-1, 2).tolist()
        self.slots = [slot for slot, _ in pairs]
        self.versions = [version for _, version in pairs]
        self.operands, self.outputs = self.slots[: self.inputs], self.slots[self.inputs :]
        self.words = tape[
            offset + int(tape[offset + T_ATTRS]) : offset + int(tape[offset + T_WORDS])
        ].tolist()
        self.previous = int(tape[offset + T_PREV])


class _Walk:
    """Cotangents by slot, and the walk that turns those of a row's outputs into those of its operands."""

    def __init__(self, vjps: Mapping[str, Vjp], wide: bool) -> None:
        self.vjps = vjps
        self.wide = wide
        self.cotangents: dict[int, Array] = {}

    def give(self, slot: int, cotangent: Array) -> None:
        """Add a cotangent to a slot that asks for one."""
        record = store.slot_table[slot]
        if not record["flags"] & layout.REQUIRES_GRAD:
            return
        kind = np.dtype(float) if self.wide else NUMPY_DTYPES[record["dtype"]]
        cotangent = np.asarray(cotangent, kind)
        known = self.cotangents.get(slot)
        self.cotangents[slot] = cotangent if known is None else known + cotangent

    def run(self) -> dict[int, Array]:
        """Walk to the beginning; what is left are the gradients of the leaves."""
        offset = max((int(store.slot_table[slot]["row"]) for slot in self.cotangents), default=-1)
        while offset >= 0:
            row = _Row(offset)
            if row.code != layout.DEAD_OP and any(slot in self.cotangents for slot in row.outputs):
                self.walk(row)
                for slot in row.outputs:
                    self.cotangents.pop(slot, None)
            offset = row.previous
        return self.cotangents

    def walk(self, row: _Row) -> None:
        """Hand on the cotangents of one row."""
        if row.kind == layout.RESHAPE:
            self.give(row.operands[0], self.cotangents[row.outputs[0]].reshape(shape_of(row.operands[0])))
        elif row.kind == layout.STRIDED_VIEW:
            g = self.cotangents[row.outputs[0]]
            self.give(row.operands[0], unview(g, shape_of(row.operands[0]), row.words))
        elif row.kind == layout.MAP:
            self.walk_map(OPS[row.code], row)
        elif row.kind == layout.REDUCE:
            self.walk_reduce(OPS[row.code], row)
        else:
            self.walk_arrays(row)

    def value(self, row: _Row, k: int) -> Array:
        """What the row kept as entry `k`, checked to be what it was."""
        slot, version = row.slots[k], row.versions[k]
        if version == layout.NOT_SAVED:
            raise RuntimeError(f"oracle: {OPS[row.code].name} reads entry {k}, which its row has not kept")
        record = store.slot_table[slot]
        found = int(store.storage_table[record["storage"]]["version"])
        if found != version:
            raise RuntimeError(
                f"oracle: entry {k} of {OPS[row.code].name} is at version {found}, not {version}"
            )
        values = memory_of(slot)
        return values.astype(float) if self.wide and values.dtype.kind == "f" else values.copy()

    def walk_map(self, op: Op, row: _Row) -> None:
        """An elementwise operation: every operand's formula, summed to the operand's shape."""
        g = self.cotangents[row.outputs[0]]
        attributes = dict(zip(op.attributes, map(bits_float, row.words), strict=True))
        for slot, name in zip(row.operands, op.operands, strict=True):
            if name in op.gradients and slot and asks(slot):
                gradient = self.formula(op, op.gradients[name], row, attributes | {"g": g})
                gradient = np.broadcast_to(gradient, g.shape)
                self.give(slot, sum_to(gradient, shape_of(slot)))

    def formula(self, op: Op, gradient: Callable, row: _Row, known: dict[str, Any]) -> Array:
        """Call a gradient formula with the values it names."""
        for name in parameters(gradient):
            if name not in known:
                known[name] = self.value(row, row.inputs if name == "y" else op.operands.index(name))
        with np.errstate(all="ignore"):
            return gradient(*(known[name] for name in parameters(gradient)))

    def walk_reduce(self, op: Op, row: _Row) -> None:
        """A reduction: ``y`` and ``g`` get their folded dimensions back and broadcast."""
        x = row.operands[0]
        mask, _, *words = row.words
        shape = shape_of(x)
        folded = [d for d in range(len(shape)) if (mask >> d) & 1]
        kept = tuple(1 if d in folded else n for d, n in enumerate(shape))
        known: dict[str, Any] = dict(zip(op.attributes, map(bits_float, words), strict=True))
        known["n"] = float(np.prod([shape[d] for d in folded], dtype=float))
        known["g"] = self.cotangents[row.outputs[0]].reshape(kept)
        gradient = op.gradients["x"]
        if "y" in parameters(gradient):
            known["y"] = self.value(row, 1).reshape(kept)
        self.give(x, np.broadcast_to(self.formula(op, gradient, row, known), shape))

    def walk_arrays(self, row: _Row) -> None:
        """An operation on whole arrays, by the vjp that the caller brought."""
        name = OPS[row.code].name if row.kind == layout.ARRAYS else ""
        if name not in self.vjps:
            raise RuntimeError(f"oracle: no vjp for {name or 'a custom function'}; pass one in vjps=")
        values = [
            None if row.versions[k] == layout.NOT_SAVED else self.value(row, k) for k in range(len(row.slots))
        ]
        cotangents = [self.cotangents.get(slot) for slot in row.outputs]
        shapes = [shape_of(slot) for slot in row.operands]
        gradients = self.vjps[name](values[: row.inputs], values[row.inputs :], cotangents, row.words, shapes)
        for slot, gradient in zip(row.operands, gradients, strict=True):
            if gradient is not None and slot and asks(slot):
                self.give(slot, np.reshape(gradient, shape_of(slot)))


def asks(slot: int) -> bool:
    """Whether a slot asks for a gradient."""
    return bool(store.slot_table[slot]["flags"] & layout.REQUIRES_GRAD)


def shape_of(slot: int) -> tuple[int, ...]:
    """The shape of a slot."""
    record = store.slot_table[slot]
    return tuple(int(n) for n in record["shape"][: record["dims"]])


def memory_of(slot: int) -> Array:
    """The values of a slot, as an array on the engine's memory."""
    record = store.slot_table[slot]
    kind = NUMPY_DTYPES[record["dtype"]]

    class Memory:
        __array_interface__ = {
            "shape": shape_of(slot),
            "strides": tuple(int(s) * kind.itemsize for s in record["strides"][: record["dims"]]),
            "typestr": kind.str,
            "data": (int(record["address"]), False),
            "version": 3,
        }

    return np.asarray(Memory())


def sum_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a broadcast gradient down to the shape that was broadcast."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    wide = tuple(d for d, n in enumerate(shape) if n == 1 and gradient.shape[d] != 1)
    return gradient.sum(axis=wide, keepdims=True)


def unview(cotangent: Array, shape: tuple[int, ...], words: Sequence[int]) -> Array:
    """Add a view's cotangent to zeros at the elements that the view shows; `words` as in `engine.views`."""
    dims = words[0]
    places = [np.full(cotangent.shape, first) for first in words[1 + 4 * dims : 1 + 4 * dims + len(shape)]]
    for j in range(dims):
        size, first, step, second = words[1 + 4 * j : 5 + 4 * j]
        index = np.arange(size).reshape([-1 if d == j else 1 for d in range(dims)])
        if first >= 0:
            places[first] = places[first] + index * step
        if second >= 0:
            places[second] = places[second] + index
    gradient = np.zeros(shape, cotangent.dtype)
    np.add.at(gradient, tuple(places), cotangent)
    return gradient
