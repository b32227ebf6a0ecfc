"""A staged vector language: Python functions that, when called, write LLVM IR.

A `Vec` stands for a vector of lanes that will exist when the kernel runs. Its operators append instructions
to the function being written, so a formula such as ``g * (1 - y * y)``, called with `Vec` arguments, becomes
vector code; called with NumPy arrays or Tensors it computes. Loops, loads and stores are written through
`Scope`. Nothing here knows of operations or dtypes beyond the machine's own.

Vectors have one lane count for a whole scope. `Scope.scalar` is the same scope with one lane.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

from . import abi
from .lanes import ELEMENT, F32, F64, FLOAT_BYTES, FLOATS, I1, I8, I32, I64, MASK, SUFFIX, VOID, WORDS
from .vec import Vec

__all__ = ["ELEMENT", "F32", "F64", "I1", "I8", "I32", "I64", "MASK", "SUFFIX", "VOID", "WORDS", "Carry", "Scope",
           "Vec", "new_kernel", "new_module"]  # fmt: skip

LINE = 64  # bytes of a cache line


class Scope:
    """Where instructions go: an LLVM builder and the number of lanes of its vectors.

    A scope with ``outer=True`` is that of values computed once, before the loops, such as attributes. Where
    they meet an element they take the element's dtype, whatever the lanes.
    """

    def __init__(self, builder: ir.IRBuilder, lanes: int, outer: bool = False) -> None:
        self.b = builder
        self.lanes = lanes
        self.outer = outer

    @property
    def scalar(self) -> Scope:
        """The same place in the code with one lane."""
        return Scope(self.b, 1)

    def with_lanes(self, lanes: int) -> Scope:
        """The same place in the code with so many lanes."""
        return Scope(self.b, lanes)

    def type(self, dtype: int) -> ir.Type:
        """The LLVM type of a value of `dtype` with this scope's lanes."""
        element = ELEMENT[dtype]
        return element if self.lanes == 1 else ir.VectorType(element, self.lanes)

    def constant(self, dtype: int, value: float) -> Vec:
        """The number `value` in every lane, rounded to `dtype`."""
        element = ELEMENT[dtype]
        if dtype in FLOATS:
            value = float(abi.NUMPY_DTYPES[dtype].type(value))
        else:
            value = int(value)
        one = ir.Constant(element, value)
        if self.lanes == 1:
            return Vec(self, one, dtype)
        return Vec(self, ir.Constant(self.type(dtype), [one] * self.lanes), dtype)

    def splat(self, value: ir.Value, dtype: int) -> Vec:
        """A scalar LLVM value in every lane."""
        if self.lanes == 1:
            return Vec(self, value, dtype)
        vector = ir.Constant(self.type(dtype), ir.Undefined)
        vector = self.b.insert_element(vector, value, I32(0))
        zero = ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes)
        return Vec(self, self.b.shuffle_vector(vector, vector, zero), dtype)

    def iota(self, dtype: int = abi.INT64) -> Vec:
        """The lane numbers 0, 1, 2, ..."""
        if self.lanes == 1:
            return self.constant(dtype, 0)
        return Vec(self, ir.Constant(self.type(dtype), list(range(self.lanes))), dtype)

    def tail_mask(self, left: ir.Value) -> ir.Value:
        """The mask of the lanes below `left` (an i64)."""
        if self.lanes == 1:
            return self.b.icmp_signed(">", left, I64(0))
        # compared in 32 bits: one instruction on 16 lanes
        few = self.b.select(self.b.icmp_signed("<", left, I64(self.lanes)), left, I64(self.lanes))
        count = self.splat(self.b.trunc(few, I32), abi.INT32)
        return self.b.icmp_signed("<", self.iota(abi.INT32).value, count.value)

    def call(self, name: str, result: ir.Type, args: list[ir.Value]) -> ir.Value:
        """Call an LLVM intrinsic or an outside function by name, declaring it once."""
        module = self.b.module
        if name in module.globals:
            callee = module.globals[name]
        else:
            callee = ir.Function(module, ir.FunctionType(result, [a.type for a in args]), name)
        return self.b.call(callee, args)

    def intrinsic(self, name: str, *args: Vec) -> Vec:
        """Call the overloaded LLVM intrinsic ``llvm.name`` on vectors of one type."""
        kind = SUFFIX[ELEMENT[args[0].dtype]]
        suffix = kind if self.lanes == 1 else f"v{self.lanes}{kind}"
        values = [a.value for a in args]
        return Vec(self, self.call(f"llvm.{name}.{suffix}", values[0].type, values), args[0].dtype)

    # memory ---------------------------------------------------------------------------------------

    def word(self, base: ir.Value, index: int | ir.Value) -> ir.Value:
        """The 64-bit word at ``base[index]``."""
        return self.b.load(self.b.gep(base, [_i64(index)]))

    def pointer(self, address: ir.Value, dtype: int) -> ir.Value:
        """An integer address as a pointer to elements of `dtype`."""
        return self.b.inttoptr(address, ELEMENT[dtype].as_pointer())

    def at(self, pointer: ir.Value, offset: int | ir.Value) -> ir.Value:
        """``&pointer[offset]``, the offset counted in elements."""
        return self.b.gep(pointer, [_i64(offset)])

    def load(self, pointer: ir.Value, dtype: int, mask: ir.Value | None = None) -> Vec:
        """Load consecutive lanes; those outside `mask` are not touched and read as zero."""
        if self.lanes == 1 and mask is None:
            return _from_memory(self, self.b.load(pointer), dtype)
        vector = self.type(dtype)
        if self.lanes == 1:
            value = self._guarded(mask, lambda: self.b.load(pointer), ELEMENT[dtype])
        elif mask is None:
            value = self.b.load(self._vector_at(pointer, vector))
            value.align = abi.ITEM_SIZES[dtype]
        else:
            name = f"llvm.masked.load.v{self.lanes}{SUFFIX[ELEMENT[dtype]]}.p0"
            return self._masked_read(name, self._vector_at(pointer, vector), dtype, mask)
        return _from_memory(self, value, dtype)

    def store(self, vec: Vec, pointer: ir.Value, mask: ir.Value | None = None) -> None:
        """Store consecutive lanes; those outside `mask` are left alone."""
        value, dtype = _to_memory(vec)
        if mask is None:
            place = pointer if self.lanes == 1 else self._vector_at(pointer, value.type)
            self.b.store(value, place).align = abi.ITEM_SIZES[dtype]
        elif self.lanes == 1:
            with self.b.if_then(mask):
                self.b.store(value, pointer)
        else:
            name = f"llvm.masked.store.v{self.lanes}{SUFFIX[ELEMENT[dtype]]}.p0"
            self._masked_write(name, vec, self._vector_at(pointer, value.type), mask)

    def gather(self, pointer: ir.Value, stride: ir.Value, dtype: int, mask: ir.Value) -> Vec:
        """Load lanes that lie `stride` elements apart."""
        if self.lanes == 1:
            return self.load(pointer, dtype, mask)
        places = self._places(pointer, stride)
        name = f"llvm.masked.gather.v{self.lanes}{SUFFIX[ELEMENT[dtype]]}.v{self.lanes}p0"
        return self._masked_read(name, places, dtype, mask)

    def gather_at(self, pointer: ir.Value, offsets: Vec, dtype: int, mask: ir.Value) -> Vec:
        """Load lanes from `offsets`, int64 counts of elements; those outside `mask` read as zero."""
        if self.lanes == 1:
            return self.load(self.at(pointer, offsets.value), dtype, mask)
        size = abi.ITEM_SIZES[dtype]
        addresses = self.splat(self.b.ptrtoint(pointer, I64), abi.INT64) + offsets * size
        places = self.b.inttoptr(addresses.value, ir.VectorType(pointer.type, self.lanes))
        name = f"llvm.masked.gather.v{self.lanes}{SUFFIX[ELEMENT[dtype]]}.v{self.lanes}p0"
        return self._masked_read(name, places, dtype, mask)

    def scatter(self, vec: Vec, pointer: ir.Value, stride: ir.Value, mask: ir.Value) -> None:
        """Store lanes that lie `stride` elements apart, in the order of the lanes."""
        if self.lanes == 1:
            return self.store(vec, pointer, mask)
        name = f"llvm.masked.scatter.v{self.lanes}{SUFFIX[ELEMENT[_to_memory(vec)[1]]]}.v{self.lanes}p0"
        self._masked_write(name, vec, self._places(pointer, stride), mask)

    def _vector_at(self, pointer: ir.Value, vector: ir.Type) -> ir.Value:
        return self.b.bitcast(pointer, vector.as_pointer())

    def _places(self, pointer: ir.Value, stride: ir.Value) -> ir.Value:
        # LLVM has vectors of pointers, llvmlite's gep does not: the addresses are computed as integers
        element = pointer.type.pointee
        size = I64(element.width // 8 if isinstance(element, ir.IntType) else FLOAT_BYTES[element])
        step = self.splat(self.b.mul(stride, size), abi.INT64)
        start = self.splat(self.b.ptrtoint(pointer, I64), abi.INT64)
        places = (start + self.iota() * step).value
        return self.b.inttoptr(places, ir.VectorType(pointer.type, self.lanes))

    def _masked_read(self, name: str, place: ir.Value, dtype: int, mask: ir.Value) -> Vec:
        vector = self.type(dtype)
        align = I32(abi.ITEM_SIZES[dtype])
        value = self.call(name, vector, [place, align, mask, ir.Constant(vector, None)])
        return _from_memory(self, value, dtype)

    def _masked_write(self, name: str, vec: Vec, place: ir.Value, mask: ir.Value) -> None:
        value, dtype = _to_memory(vec)
        self.call(name, VOID, [value, place, I32(abi.ITEM_SIZES[dtype]), mask])

    def _guarded(self, mask: ir.Value, read: Any, kind: ir.Type) -> ir.Value:
        before = self.b.block
        with self.b.if_then(mask):
            value = read()
            inside = self.b.block
        phi = self.b.phi(kind)
        phi.add_incoming(value, inside)
        phi.add_incoming(ir.Constant(kind, None), before)
        return phi

    def variable(self, kind: ir.Type) -> ir.Value:
        """A stack cell, made once at the function's entry however often the code around it runs."""
        with self.b.goto_entry_block():
            return self.b.alloca(kind)

    def cells(self, kind: ir.Type, count: int) -> ir.Value:
        """Stack memory for `count` values, at a cache line, as a pointer to the first; made as a `variable` is."""
        with self.b.goto_entry_block():
            place = self.b.alloca(ir.ArrayType(kind, count))
            place.align = LINE
            return self.b.bitcast(place, kind.as_pointer())

    # control --------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, start: ir.Value, stop: ir.Value, step: int = 1) -> Iterator[ir.Value]:
        """A counted loop over i64 values ``start, start + step, ... < stop``; yields the counter."""
        with self.carried(start, stop, step, []) as (i, _values, _update):
            yield i

    @contextmanager
    def carried(
        self, start: ir.Value, stop: ir.Value, step: int, initial: list[Vec]
    ) -> Iterator[tuple[ir.Value, list[Vec], Carry]]:
        """A counted loop that carries values from one turn to the next.

        Yields the counter, the values at the start of the turn, and a `Carry`: give it the new values
        with ``carry.next(...)`` inside, and read the last ones from ``carry.final`` after the loop.
        """
        b = self.b
        before = b.block
        head, body, after = (b.append_basic_block(n) for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        counter = b.phi(I64)
        counter.add_incoming(start, before)
        phis = [b.phi(v.value.type) for v in initial]
        for phi, v in zip(phis, initial, strict=True):
            phi.add_incoming(v.value, before)
        b.cbranch(b.icmp_signed("<", counter, stop), body, after)
        b.position_at_end(body)
        current = [Vec(v.scope, p, v.dtype) for v, p in zip(initial, phis, strict=True)]
        carry = Carry(current)
        yield counter, current, carry
        counter.add_incoming(b.add(counter, I64(step)), b.block)
        for phi, v in zip(phis, carry.values, strict=True):
            phi.add_incoming(v.value, b.block)
        b.branch(head)
        b.position_at_end(after)


class Carry:
    """The values that a `Scope.carried` loop hands on."""

    def __init__(self, current: list[Vec]) -> None:
        self.final = current  # the phi nodes: after the loop they hold the last values
        self.values = current

    def next(self, *values: Vec) -> None:
        """Set the values with which the next turn begins."""
        self.values = list(values)


def _i64(index: int | ir.Value) -> ir.Value:
    return I64(index) if isinstance(index, int | np.integer) else index


def _from_memory(scope: Scope, value: ir.Value, dtype: int) -> Vec:
    vec = Vec(scope, value, dtype)
    return vec != 0 if dtype == abi.BOOL else vec


def _to_memory(vec: Vec) -> tuple[ir.Value, int]:
    if vec.dtype == MASK:
        return vec.scope.b.zext(vec.value, vec.scope.type(abi.BOOL)), abi.BOOL
    return vec.value, vec.dtype


def new_module(name: str) -> ir.Module:
    """An empty module for the host."""
    from llvmlite import binding

    module = ir.Module(name)
    module.triple = binding.get_process_triple()
    return module


def new_kernel(module: ir.Module, name: str) -> tuple[ir.IRBuilder, ir.Value, ir.Value, ir.Value]:
    """Begin ``void name(int64 *record, int64 part, int64 parts)``; returns the builder and arguments."""
    function = ir.Function(module, ir.FunctionType(VOID, [WORDS, I64, I64]), name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    return builder, *function.args
