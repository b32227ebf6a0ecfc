"""From Python into compiled code with as little as possible in between.

A wrapper has CPython's fast calling convention: it reads the arguments from the caller's stack, converts each
with one call, and returns an int or a float. Numba's own wrappers take a tuple, unpack it, and convert each
argument through three calls; for a function of nine integers that is the difference of 0.1 microseconds.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from .stage import F64, I32, I64, new_module

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


_definitions: list[_MethodDefinition] = []  # CPython keeps pointers into them


def builtin(name: str, address: int) -> Callable[..., Any]:
    """The Python function whose implementation is the wrapper at `address`."""
    definition = _MethodDefinition(name.encode(), address, METH_FASTCALL, None)
    _definitions.append(definition)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    return make(ctypes.addressof(definition), None, None)


def write_wrapper(symbol: str, native: str, signature: Any) -> ir.Module:
    """The wrapper of the function that Numba calls `native`: 64-bit words and float64 in, one of them out.

    A wrong number of arguments, or one that does not convert, raises TypeError.
    """
    module = new_module(symbol)
    kinds = [F64 if str(t) == "float64" else I64 for t in signature.args]
    result = F64 if str(signature.return_type) == "float64" else I64
    # Numba's convention: where the result goes, where an exception would, the arguments; returns a status
    body_type = ir.FunctionType(I32, [result.as_pointer(), POINTER, *kinds])
    body = ir.Function(module, body_type, native)
    wrapper_type = ir.FunctionType(POINTER, [POINTER, POINTER.as_pointer(), I64])
    wrapper = ir.Function(module, wrapper_type, symbol)
    b = ir.IRBuilder(wrapper.append_basic_block("entry"))
    _self, arguments, count = wrapper.args
    with b.if_then(b.icmp_unsigned("!=", count, I64(len(kinds))), likely=False):
        bad = _outside(module, "PyErr_BadArgument", ir.IntType(32), [])
        b.call(bad, [])
        b.ret(ir.Constant(POINTER, None))
    values = [_convert(b, b.load(b.gep(arguments, [I64(k)])), kind) for k, kind in enumerate(kinds)]
    place, error = b.alloca(result), b.alloca(POINTER)
    b.call(body, [place, b.bitcast(error, POINTER), *values])
    name = "PyFloat_FromDouble" if result is F64 else "PyLong_FromLongLong"
    b.ret(b.call(_outside(module, name, POINTER, [result]), [b.load(place)]))
    return module


def _convert(b: ir.IRBuilder, argument: ir.Value, kind: ir.Type) -> ir.Value:
    name = "PyFloat_AsDouble" if kind is F64 else "PyLong_AsLongLong"
    value = b.call(_outside(b.module, name, kind, [POINTER]), [argument])
    failed = ir.Constant(kind, -1)
    is_failed = b.fcmp_ordered("==", value, failed) if kind is F64 else b.icmp_signed("==", value, failed)
    with b.if_then(is_failed, likely=False):
        # -1 is also an honest value: only a pending exception tells
        pending = b.call(_outside(b.module, "PyErr_Occurred", POINTER, []), [])
        with b.if_then(b.icmp_unsigned("!=", pending, ir.Constant(POINTER, None))):
            b.ret(ir.Constant(POINTER, None))
    return value


def _outside(module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)
