"""From Python into compiled code with as little as possible in between.

A wrapper has CPython's fast calling convention: it reads the arguments from the caller's stack, converts each
with one call, and returns an int or a float. Numba's own wrappers take a tuple, unpack it, and convert each
argument through three calls; for a function of nine integers that is the difference of 0.1 microseconds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir

from .stage import F64, I32, I64, Scope, new_module

METH_FASTCALL = 0x80
POINTER = ir.IntType(8).as_pointer()


class _MethodDefinition(ctypes.Structure):
    """CPython's ``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def builtin(name: str, address: int) -> Callable[..., Any]:
    """The Python function whose implementation is the wrapper at `address`."""
    definition = _MethodDefinition(name.encode(), address, METH_FASTCALL, None)
    # CPython keeps a pointer into it, also when the interpreter ends and modules have been emptied: it never goes
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(definition))
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return make(ctypes.addressof(definition), None, None)


class Handle:
    """Annotation of an entry's parameter or result: a Python object that carries a slot in one field.

    An entry with such a parameter takes no context from Python. A negative result comes back as an int.
    """


class ExactHandle:
    """Annotation of an entry's parameter: such an object, of a class that is not made from the handles' class."""


class Handles:
    """Annotation of an entry's parameter: a list or tuple of at most MOST_HANDLES such objects.

    The entry gets the address of a word with their number, and of their slots behind it.
    """


MOST_HANDLES = 32
SEQUENCES = {"PyList": 1 << 25, "PyTuple": 1 << 26}  # with CPython's flag of classes that are of that kind


class Kinds(NamedTuple):
    """What a wrapper converts: for each parameter after the context, and the result, one of these or int or float."""

    parameters: tuple[type, ...]
    result: type | None

    @property
    def implicit_context(self) -> bool:
        """Whether the wrapper supplies the context itself."""
        return not {Handle, ExactHandle, Handles}.isdisjoint(self.parameters)


# what a wrapper reads at run time, set by `connect`: where handles keep their slot is part of the code
CONTEXT_CELL, TYPE_CELL, NOTHING_CELL = "jg_context", "jg_handle_type", "jg_nothing"


def handle_offset() -> int:
    """Where an object whose class has one slot attribute keeps it, in bytes from the object's address."""

    class Probe:
        __slots__ = ("__dict__", "__weakref__", "field")

    probe, marker = Probe(), object()
    probe.field = marker
    words = (ctypes.c_void_p * (Probe.__basicsize__ // 8)).from_address(id(probe))
    return 8 * list(words).index(id(marker))


def write_wrapper(symbol: str, native: str, kinds: Kinds) -> ir.Module:
    """The wrapper of the function that Numba calls `native`.

    A wrong number of arguments, or one that does not convert, raises TypeError.
    """
    module = new_module(symbol)
    types = [F64 if k is float else I64 for k in kinds.parameters]
    result = F64 if kinds.result is float else I64
    # Numba's convention: where the result goes, where an exception would, the arguments; returns a status
    body_type = ir.FunctionType(I32, [result.as_pointer(), POINTER, I64, *types])
    body = ir.Function(module, body_type, native)
    wrapper_type = ir.FunctionType(POINTER, [POINTER, POINTER.as_pointer(), I64])
    wrapper = ir.Function(module, wrapper_type, symbol)
    b = ir.IRBuilder(wrapper.append_basic_block("entry"))
    _self, arguments, count = wrapper.args
    first = 0 if kinds.implicit_context else 1
    with b.if_then(b.icmp_unsigned("!=", count, I64(len(types) + first)), likely=False):
        b.call(_outside(module, "PyErr_BadArgument", I32, []), [])
        b.ret(ir.Constant(POINTER, None))
    if kinds.implicit_context:
        context = b.load(_cell(module, CONTEXT_CELL, I64))
    else:
        context = _convert(b, b.load(arguments), int)
    values = [
        _convert(b, b.load(b.gep(arguments, [I64(first + k)])), kind)
        for k, kind in enumerate(kinds.parameters)
    ]
    place, error = b.alloca(result), b.alloca(POINTER)
    b.call(body, [place, b.bitcast(error, POINTER), context, *values])
    _return(b, b.load(place), kinds.result)
    return module


def _cell(module: ir.Module, name: str, kind: ir.Type) -> ir.GlobalVariable:
    if name in module.globals:
        return module.globals[name]
    cell = ir.GlobalVariable(module, kind, name)
    cell.linkage = "common"  # one cell however many wrappers name it
    cell.initializer = ir.Constant(kind, None if isinstance(kind, ir.PointerType) else 0)
    return cell


def _field(b: ir.IRBuilder, handle: ir.Value) -> ir.Value:
    return b.bitcast(b.gep(handle, [I64(handle_offset())]), POINTER.as_pointer())


def _return(b: ir.IRBuilder, value: ir.Value, kind: type | None) -> None:
    if kind is None:
        nothing = b.load(_cell(b.module, NOTHING_CELL, POINTER))
        b.call(_outside(b.module, "Py_IncRef", ir.VoidType(), [POINTER]), [nothing])
        b.ret(nothing)
        return
    name = "PyFloat_FromDouble" if kind is float else "PyLong_FromLongLong"
    number = b.call(_outside(b.module, name, POINTER, [value.type]), [value])
    if kind is Handle:
        with b.if_then(b.icmp_signed(">=", value, I64(0)), likely=True):
            allocate = _outside(b.module, "PyType_GenericAlloc", POINTER, [POINTER, I64])
            handle = b.call(allocate, [b.load(_cell(b.module, TYPE_CELL, POINTER)), I64(0)])
            b.store(number, _field(b, handle))
            b.ret(handle)
    b.ret(number)


def _convert(b: ir.IRBuilder, argument: ir.Value, kind: type) -> ir.Value:
    if kind in (Handle, ExactHandle):
        return _slot_of(b, argument, exact=kind is ExactHandle)
    if kind is Handles:
        return _slots_of(b, argument)
    name, llvm = ("PyFloat_AsDouble", F64) if kind is float else ("PyLong_AsLongLong", I64)
    value = b.call(_outside(b.module, name, llvm, [POINTER]), [argument])
    failed = ir.Constant(llvm, -1)
    is_failed = b.fcmp_ordered("==", value, failed) if kind is float else b.icmp_signed("==", value, failed)
    with b.if_then(is_failed, likely=False):
        # -1 is also an honest value: only a pending exception tells
        pending = b.call(_outside(b.module, "PyErr_Occurred", POINTER, []), [])
        with b.if_then(b.icmp_unsigned("!=", pending, ir.Constant(POINTER, None))):
            b.ret(ir.Constant(POINTER, None))
    return value


def _slot_of(b: ir.IRBuilder, handle: ir.Value, exact: bool = False) -> ir.Value:
    """The slot in a handle; 0 in one that never got any. An object of another class raises TypeError."""
    expected = b.load(_cell(b.module, TYPE_CELL, POINTER))
    own = _type_of(b, handle)
    with b.if_then(b.icmp_unsigned("!=", own, expected), likely=False):
        inherits: ir.Value = I32(0)
        if not exact:
            check = _outside(b.module, "PyType_IsSubtype", I32, [POINTER, POINTER])
            inherits = b.call(check, [own, expected])
        with b.if_then(b.icmp_signed("==", inherits, I32(0)), likely=False):
            b.call(_outside(b.module, "PyErr_BadArgument", I32, []), [])
            b.ret(ir.Constant(POINTER, None))
    number = b.load(_field(b, handle))
    before = b.block
    with b.if_then(b.icmp_unsigned("!=", number, ir.Constant(POINTER, None)), likely=True):
        slot = b.call(_outside(b.module, "PyLong_AsLongLong", I64, [POINTER]), [number])
        inside = b.block
    phi = b.phi(I64)
    phi.add_incoming(slot, inside)
    phi.add_incoming(I64(0), before)
    return phi


def _slots_of(b: ir.IRBuilder, argument: ir.Value) -> ir.Value:
    """The address of the number of handles in a list or tuple, and of their slots; else raises TypeError."""
    block = b.alloca(I64, 1 + MOST_HANDLES)
    converted = b.append_basic_block("converted")
    flags = b.call(_outside(b.module, "PyType_GetFlags", I64, [POINTER]), [_type_of(b, argument)])
    for kind, flag in SEQUENCES.items():
        with b.if_then(b.icmp_unsigned("!=", b.and_(flags, I64(flag)), I64(0))):
            count = b.call(_outside(b.module, f"{kind}_Size", I64, [POINTER]), [argument])
            with b.if_then(b.icmp_signed("<=", count, I64(MOST_HANDLES))):
                b.store(count, block)
                item = _outside(b.module, f"{kind}_GetItem", POINTER, [POINTER, I64])
                with Scope(b, 1).loop(I64(0), count) as k:
                    slot = _slot_of(b, b.call(item, [argument, k]))
                    b.store(slot, b.gep(block, [b.add(k, I64(1))]))
                b.branch(converted)
    b.call(_outside(b.module, "PyErr_BadArgument", I32, []), [])
    b.ret(ir.Constant(POINTER, None))
    b.position_at_start(converted)
    return b.ptrtoint(block, I64)


def _type_of(b: ir.IRBuilder, thing: ir.Value) -> ir.Value:
    return b.load(b.bitcast(b.gep(thing, [I64(object.__basicsize__ - 8)]), POINTER.as_pointer()))


def _outside(module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def connect(address_of: Callable[[str], int], context: int, handle_type: type) -> None:
    """Fill the cells of freshly loaded wrappers."""
    # what a finalizer that has done its work gives Python to call: no function of Python's, in which Ctrl-C might
    # be raised and, as finalizers raise nothing, get lost
    nothing = bool
    values = {CONTEXT_CELL: context, TYPE_CELL: id(handle_type), NOTHING_CELL: id(nothing)}
    for name, value in values.items():
        cell = address_of(name)
        if cell:
            ctypes.c_int64.from_address(cell).value = value
