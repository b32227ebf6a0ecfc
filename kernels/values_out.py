"""Elements as Python's own objects: numbers, and nested lists of them."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from .abi import BOOL, MAX_DIMS, N_DTYPES
from .arguments import POINTER, cell, outside
from .stage import ELEMENT, F32, F64, I32, I64, Scope


class Values:
    """Annotation of an entry's result: the elements that it describes, as nested lists, or one of them as a number.

    The entry returns the address of words: V_DTYPE, V_ADDRESS, V_DIMS, and from V_SIZES on for every dimension its size
    and the bytes from one index to the next; or 0 for None.
    """


class Sizes:
    """Annotation of an entry's result: a tuple of ints.

    The entry returns the address of a word with their number, and of the ints behind it.
    """


V_DTYPE, V_ADDRESS, V_DIMS, V_SIZES = range(4)
PAIR = 2  # words of a dimension
NULL = ir.Constant(POINTER, None)


def return_values(b: ir.IRBuilder, description: ir.Value) -> None:
    """Let a wrapper return what an entry has described."""
    module = b.module
    with b.if_then(b.icmp_signed("==", description, I64(0)), likely=False):
        nothing = b.load(cell(module, "jg_none", POINTER))
        b.call(outside(module, "Py_IncRef", ir.VoidType(), [POINTER]), [nothing])
        b.ret(nothing)
    words = b.inttoptr(description, I64.as_pointer())
    dtype, address, dims = (b.load(b.gep(words, [I64(k)])) for k in (V_DTYPE, V_ADDRESS, V_DIMS))
    # lists bring the garbage collector, and with it finalizers that use the engine's memory: the sizes leave it first
    with b.goto_entry_block():
        sizes = b.alloca(I64, PAIR * MAX_DIMS)
    with Scope(b, 1).loop(I64(0), b.mul(dims, I64(PAIR))) as k:
        b.store(b.load(b.gep(words, [b.add(k, I64(V_SIZES))])), b.gep(sizes, [k]))
    b.ret(b.call(_nested(module), [dtype, address, dims, sizes]))


def return_sizes(b: ir.IRBuilder, description: ir.Value) -> None:
    """Let a wrapper return a tuple of at most MAX_DIMS ints; they are copied for the reason `return_values` has."""
    module = b.module
    words = b.inttoptr(description, I64.as_pointer())
    count = b.load(words)
    with b.goto_entry_block():
        sizes = b.alloca(I64, MAX_DIMS)
    with Scope(b, 1).loop(I64(0), count) as k:
        b.store(b.load(b.gep(words, [b.add(k, I64(1))])), b.gep(sizes, [k]))
    made = b.call(outside(module, "PyTuple_New", POINTER, [I64]), [count])
    with b.if_then(b.icmp_unsigned("==", made, NULL), likely=False):
        b.ret(NULL)
    number = outside(module, "PyLong_FromLongLong", POINTER, [I64])
    put = outside(module, "PyTuple_SetItem", I32, [POINTER, I64, POINTER])
    with Scope(b, 1).loop(I64(0), count) as k:
        b.call(put, [made, k, b.call(number, [b.load(b.gep(sizes, [k]))])])
    b.ret(made)


def return_handles(b: ir.IRBuilder, result: ir.Value, make: Callable[[ir.Value], ir.Value]) -> None:
    """Let a wrapper return a tuple of handles, each made by `make` from its slot, or a negative result as an int."""
    module = b.module
    with b.if_then(b.icmp_signed("<", result, I64(0)), likely=False):
        b.ret(b.call(outside(module, "PyLong_FromLongLong", POINTER, [I64]), [result]))
    words = b.inttoptr(result, I64.as_pointer())
    count = b.load(words)
    made = b.call(outside(module, "PyTuple_New", POINTER, [I64]), [count])
    with b.if_then(b.icmp_unsigned("==", made, NULL), likely=False):
        b.ret(NULL)
    put = outside(module, "PyTuple_SetItem", I32, [POINTER, I64, POINTER])
    nothing = b.load(cell(module, "jg_none", POINTER))
    with Scope(b, 1).loop(I64(0), count) as k:
        slot = b.load(b.gep(words, [b.add(k, I64(1))]))
        with b.if_else(b.icmp_signed("==", slot, I64(0))) as (absent, there):
            with absent:
                b.call(outside(module, "Py_IncRef", ir.VoidType(), [POINTER]), [nothing])
                b.call(put, [made, k, nothing])
            with there:
                b.call(put, [made, k, make(slot)])
    b.ret(made)


def _nested(module: ir.Module) -> ir.Function:
    """The function that makes lists of the elements at an address, or a number when there are no dimensions.

    Its result is NULL, with an exception pending, when Python has no memory.
    """
    kind = ir.FunctionType(POINTER, [I64, I64, I64, I64.as_pointer()])
    function = ir.Function(module, kind, "jg_nested")
    function.linkage = "internal"
    dtype, address, dims, sizes = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    with b.if_then(b.icmp_signed("==", dims, I64(0))):
        _return_element(b, dtype, address)
    count, step = b.load(sizes), b.load(b.gep(sizes, [I64(1)]))
    made = b.call(outside(module, "PyList_New", POINTER, [I64]), [count])
    with b.if_then(b.icmp_unsigned("==", made, NULL), likely=False):
        b.ret(NULL)
    put = outside(module, "PyList_SetItem", I32, [POINTER, I64, POINTER])
    with Scope(b, 1).loop(I64(0), count) as k:
        place, inner = b.add(address, b.mul(k, step)), b.gep(sizes, [I64(PAIR)])
        item = b.call(function, [dtype, place, b.sub(dims, I64(1)), inner])
        with b.if_then(b.icmp_unsigned("==", item, NULL), likely=False):
            b.call(outside(module, "Py_DecRef", ir.VoidType(), [POINTER]), [made])
            b.ret(NULL)
        b.call(put, [made, k, item])  # which takes the item over
    b.ret(made)
    return function


def _return_element(b: ir.IRBuilder, dtype: ir.Value, address: ir.Value) -> None:
    unknown = b.append_basic_block("unknown")
    choice = b.switch(dtype, unknown)
    for code in range(N_DTYPES):
        block = b.append_basic_block(f"dtype_{code}")
        choice.add_case(I64(code), block)
        b.position_at_end(block)
        b.ret(_number(b, code, b.load(b.inttoptr(address, ELEMENT[code].as_pointer()))))
    b.position_at_end(unknown)
    b.unreachable()


def _number(b: ir.IRBuilder, code: int, element: ir.Value) -> ir.Value:
    """An element of a dtype as a Python number."""
    kind = element.type
    if kind in (F32, F64):
        wide = b.fpext(element, F64) if kind == F32 else element
        return b.call(outside(b.module, "PyFloat_FromDouble", POINTER, [F64]), [wide])
    whole = element if kind == I64 else (b.sext if kind == I32 else b.zext)(element, I64)
    name = "PyBool_FromLong" if code == BOOL else "PyLong_FromLongLong"
    return b.call(outside(b.module, name, POINTER, [I64]), [whole])
