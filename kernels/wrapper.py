"""From Python into compiled code with as little as possible in between.

A wrapper has CPython's fast calling convention: it reads the arguments from the caller's stack, converts each
with one call (`arguments.py`), and returns an int, a float, a handle, or elements as Python's objects
(`values_out.py`). Numba's own wrappers take a tuple, unpack it, and convert each argument through three calls; for a
function of nine integers that is the difference of 0.1 microseconds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .arguments import (
    CONTEXT_CELL,
    NOTHING_CELL,
    OBJECT_CELLS,
    POINTER,
    TYPE_CELL,
    Handle,
    Handles,
    Kinds,
    Reader,
    Wholes,
    cell,
    handle_field,
    outside,
)
from .stage import F64, I32, I64, new_module
from .values_out import Sizes, Values, return_handles, return_sizes, return_values

METH_FASTCALL = 0x80


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
    start = b.append_basic_block("start")
    b.position_at_start(start)
    _self, arguments, count = wrapper.args
    first = 0 if kinds.implicit_context else 1
    expected = len(types) + first - kinds.takes_rest
    with b.if_then(b.icmp_signed("<" if kinds.takes_rest else "!=", count, I64(expected)), likely=False):
        Reader(b, is_lenient=False).refuse()
    reader = Reader(b, kinds.is_lenient)
    if kinds.implicit_context:
        context = b.load(cell(module, CONTEXT_CELL, I64))
    else:
        context = reader.convert(b.load(arguments), int)
    values = [
        reader.rest(arguments, first + k, count)
        if kind is Wholes
        else reader.convert(b.load(b.gep(arguments, [I64(first + k)])), kind)
        for k, kind in enumerate(kinds.parameters)
    ]
    with b.goto_entry_block():
        place, error = b.alloca(result), b.alloca(POINTER)
    b.call(body, [place, b.bitcast(error, POINTER), context, *values])
    reader.release()
    _return(b, b.load(place), kinds.result)
    b.position_at_end(wrapper.entry_basic_block)
    b.branch(start)
    return module


def _return(b: ir.IRBuilder, value: ir.Value, kind: type | None) -> None:
    if kind is None:
        nothing = b.load(cell(b.module, NOTHING_CELL, POINTER))
        b.call(outside(b.module, "Py_IncRef", ir.VoidType(), [POINTER]), [nothing])
        b.ret(nothing)
        return
    if kind is Values:
        return_values(b, value)
        return
    if kind is Sizes:
        return_sizes(b, value)
        return
    if kind is Handles:
        number = outside(b.module, "PyLong_FromLongLong", POINTER, [I64])
        return_handles(b, value, lambda slot: _handle(b, b.call(number, [slot])))
        return
    name = "PyFloat_FromDouble" if kind is float else "PyLong_FromLongLong"
    number = b.call(outside(b.module, name, POINTER, [value.type]), [value])
    if kind is Handle:
        with b.if_then(b.icmp_signed(">=", value, I64(0)), likely=True):
            b.ret(_handle(b, number))
    b.ret(number)


def _handle(b: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """A new handle with a slot's number, a Python int."""
    allocate = outside(b.module, "PyType_GenericAlloc", POINTER, [POINTER, I64])
    handle = b.call(allocate, [b.load(cell(b.module, TYPE_CELL, POINTER)), I64(0)])
    b.store(number, handle_field(b, handle))
    return handle


def connect(address_of: Callable[[str], int], context: int, handle_type: type) -> None:
    """Fill the cells of freshly loaded wrappers."""
    # what a finalizer that has done its work gives Python to call: no function of Python's, in which Ctrl-C might
    # be raised and, as finalizers raise nothing, get lost
    nothing = bool
    values = {CONTEXT_CELL: context, TYPE_CELL: id(handle_type), NOTHING_CELL: id(nothing)}
    values |= {name: id(value) for name, value in OBJECT_CELLS.items()}
    for name, value in values.items():
        place = address_of(name)
        if place:
            ctypes.c_int64.from_address(place).value = value
