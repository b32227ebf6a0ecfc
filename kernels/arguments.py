"""What compiled code takes from Python: the kinds of an entry's parameters, and the instructions that convert them.

Every conversion looks at CPython's objects directly, or calls its C interface once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llvmlite import ir

from .stage import F64, I32, I64, Scope

POINTER = ir.IntType(8).as_pointer()


class Handle:
    """Annotation of an entry's parameter or result: a Python object that carries a slot in one field.

    An entry with such a parameter takes no context from Python. A negative result comes back as an int.
    """


class ExactHandle:
    """Annotation of an entry's parameter: such an object, of a class that is not made from the handles' class."""


class Handles:
    """Annotation of an entry's parameter: a list or tuple of at most MOST objects with slots.

    The entry gets the address of a word with their number, and of their slots behind it. As a result, a tuple of such
    objects, and of None for a slot of 0: the entry returns such an address, outside the engine's memory, which may be
    the one that it got. A negative result comes back as an int.
    """


class Whole:
    """Annotation of an entry's parameter: an int, and nothing else that counts as one.

    An entry with such a parameter, or one of the next three kinds, raises nothing for arguments of other kinds: it
    returns UNFIT, and it is up to Python what to do about them.
    """


class Wholes:
    """Annotation of an entry's last parameter: all further arguments, which are ints, or one list or tuple of ints.

    The entry gets the address of a word with their number, of at most MOST, and of the numbers behind it.
    """


class Ints:
    """Annotation of an entry's parameter: a list or tuple of at most MOST ints, which it gets like `Wholes`."""


class Items:
    """Annotation of an entry's last parameter: what may stand in square brackets, without lists and arrays.

    An int, slice, None, Ellipsis, an object with a slot, or a tuple of those. The entry gets the address of a word with
    their number, and behind it ITEM_WORDS words for each: which of ITEM_INT and the others it is, and the int, the
    slot, or the slice's start, stop and step, which are 0, LAST and 1 where it has none.
    """


class Buffer:
    """Annotation of an entry's last parameter: a NumPy array, or another object whose memory Python can show.

    The entry gets the address of CPython's ``Py_buffer``, which holds what it says until the entry returns. An entry
    with such a parameter takes no context from Python, and returns UNFIT for objects of other kinds.
    """


class BufferView(ctypes.Structure):
    """CPython's ``Py_buffer``: where the bytes are, and the shape."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("owner", ctypes.c_void_p),
        ("bytes", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("dims", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


MOST = 32
UNFIT = -100
WITH_STRIDES = 0x18  # what is asked of a buffer: PyBUF_STRIDES
ITEM_WORDS = 4
ITEM_INT, ITEM_SLICE, ITEM_NEW, ITEM_ELLIPSIS, ITEM_HANDLE = range(5)
LAST = (1 << 63) - 1
LENIENT = (Whole, Wholes, Ints, Items, Buffer)
SEQUENCES = {"PyList": 1 << 25, "PyTuple": 1 << 26}  # with CPython's flag of classes that are of that kind


class Kinds(NamedTuple):
    """What a wrapper converts: for each parameter after the context, and the result, one of these or int or float."""

    parameters: tuple[type, ...]
    result: type | None

    @property
    def implicit_context(self) -> bool:
        """Whether the wrapper supplies the context itself."""
        return not {Handle, ExactHandle, Handles, Buffer}.isdisjoint(self.parameters)

    @property
    def is_lenient(self) -> bool:
        """Whether arguments that do not convert make the wrapper return UNFIT, and not raise TypeError."""
        return not set(LENIENT).isdisjoint(self.parameters)

    @property
    def takes_rest(self) -> bool:
        """Whether the last parameter takes any number of arguments."""
        return Wholes in self.parameters


# what a wrapper reads at run time, set by `connect`: where handles keep their slot is part of the code
CONTEXT_CELL, TYPE_CELL, NOTHING_CELL = "jg_context", "jg_handle_type", "jg_nothing"
OBJECT_CELLS = {"jg_int": int, "jg_slice": slice, "jg_none": None, "jg_ellipsis": Ellipsis}


def cell(module: ir.Module, name: str, kind: ir.Type) -> ir.GlobalVariable:
    """The variable of that name."""
    if name in module.globals:
        return module.globals[name]
    made = ir.GlobalVariable(module, kind, name)
    made.linkage = "common"  # one cell however many wrappers name it
    made.initializer = ir.Constant(kind, None if isinstance(kind, ir.PointerType) else 0)
    return made


def outside(module: ir.Module, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
    """A function of CPython's C interface."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def handle_offset() -> int:
    """Where an object whose class has one slot attribute keeps it, in bytes from the object's address."""

    class Probe:
        __slots__ = ("__dict__", "__weakref__", "field")

    probe, marker = Probe(), object()
    probe.field = marker
    return _offset_of(marker, probe, Probe.__basicsize__)


def _slice_offsets() -> tuple[int, ...]:
    """Where a slice keeps its start, stop and step."""
    markers = object(), object(), object()
    return tuple(_offset_of(x, slice(*markers), slice.__basicsize__) for x in markers)


def _offset_of(marker: object, holder: object, size: int) -> int:
    return 8 * list((ctypes.c_void_p * (size // 8)).from_address(id(holder))).index(id(marker))


def handle_field(b: ir.IRBuilder, handle: ir.Value) -> ir.Value:
    """The place in a handle where the number of its slot is."""
    return _field(b, handle, handle_offset())


def _field(b: ir.IRBuilder, thing: ir.Value, offset: int) -> ir.Value:
    return b.bitcast(b.gep(thing, [I64(offset)]), POINTER.as_pointer())


class Reader:
    """Writes the conversion of a wrapper's arguments; what does not convert ends the wrapper.

    Parameters
    ----------
    b : IRBuilder
        Where the instructions go.
    is_lenient : bool
        Whether the wrapper then returns UNFIT, and does not raise TypeError.
    """

    def __init__(self, b: ir.IRBuilder, is_lenient: bool) -> None:
        self._b, self._module, self._is_lenient = b, b.module, is_lenient
        self._shown: ir.Value | None = None

    def refuse(self) -> None:
        """End the wrapper."""
        b = self._b
        if self._is_lenient:
            b.ret(b.call(self._call("PyLong_FromLongLong", POINTER, I64), [I64(UNFIT)]))
        else:
            b.call(self._call("PyErr_BadArgument", I32), [])
            b.ret(ir.Constant(POINTER, None))

    def convert(self, argument: ir.Value, kind: type) -> ir.Value:
        """The value of one argument."""
        if kind in (Handle, ExactHandle):
            return self._slot(argument, exact=kind is ExactHandle)
        if kind is Handles:
            return self._sequence(argument, self._slot)
        if kind is Whole:
            return self._whole(argument)
        if kind is Ints:
            return self._sequence(argument, self._whole)
        if kind is Items:
            return self._items(argument)
        if kind is Buffer:
            return self._buffer(argument)
        return self._number(argument, kind)

    def release(self) -> None:
        """Give back the buffer that was converted, if any."""
        if self._shown is not None:
            self._b.call(self._call("PyBuffer_Release", ir.VoidType(), POINTER), [self._shown])

    def rest(self, arguments: ir.Value, first: int, count: ir.Value) -> ir.Value:
        """The address of the number of ints from argument `first` on, and of them: one sequence, or all the rest."""
        b = self._b
        left = b.sub(count, I64(first))
        single, several, done = (b.append_basic_block(name) for name in ("single", "several", "done"))
        b.cbranch(b.icmp_signed("==", left, I64(1)), single, several)
        b.position_at_start(single)
        only = b.load(b.gep(arguments, [I64(first)]))
        flags = b.call(self._call("PyType_GetFlags", I64, POINTER), [_type_of(b, only)])
        both = I64(sum(SEQUENCES.values()))
        listed = b.append_basic_block("listed")
        b.cbranch(b.icmp_unsigned("!=", b.and_(flags, both), I64(0)), listed, several)
        b.position_at_start(listed)
        from_list = self._sequence(only, self._whole)
        list_end = b.block
        b.branch(done)
        b.position_at_start(several)
        self._refuse_unless(b.icmp_signed("<=", left, I64(MOST)))
        block = self._block(1 + MOST)
        b.store(left, block)
        with Scope(b, 1).loop(I64(0), left) as k:
            value = self._whole(b.load(b.gep(arguments, [b.add(k, I64(first))])))
            b.store(value, b.gep(block, [b.add(k, I64(1))]))
        from_rest = b.ptrtoint(block, I64)
        rest_end = b.block
        b.branch(done)
        b.position_at_start(done)
        phi = b.phi(I64)
        phi.add_incoming(from_list, list_end)
        phi.add_incoming(from_rest, rest_end)
        return phi

    def _number(self, argument: ir.Value, kind: type) -> ir.Value:
        b = self._b
        name, llvm = ("PyFloat_AsDouble", F64) if kind is float else ("PyLong_AsLongLong", I64)
        value = b.call(self._call(name, llvm, POINTER), [argument])
        failed = ir.Constant(llvm, -1)
        is_failed = (
            b.fcmp_ordered("==", value, failed) if kind is float else b.icmp_signed("==", value, failed)
        )
        with b.if_then(is_failed, likely=False):
            # -1 is also an honest value: only a pending exception tells
            pending = b.call(self._call("PyErr_Occurred", POINTER), [])
            with b.if_then(b.icmp_unsigned("!=", pending, ir.Constant(POINTER, None))):
                b.ret(ir.Constant(POINTER, None))
        return value

    def _whole(self, argument: ir.Value) -> ir.Value:
        b = self._b
        self._refuse_unless(b.icmp_unsigned("==", _type_of(b, argument), self._object("jg_int")))
        too_large = self._block(1, I32)
        convert = self._call("PyLong_AsLongLongAndOverflow", I64, POINTER, I32.as_pointer())
        value = b.call(convert, [argument, too_large])
        self._refuse_unless(b.icmp_signed("==", b.load(too_large), I32(0)))
        return value

    def _slot(self, handle: ir.Value, exact: bool = False) -> ir.Value:
        """The slot in a handle; 0 in one that never got any."""
        b = self._b
        expected = b.load(cell(self._module, TYPE_CELL, POINTER))
        own = _type_of(b, handle)
        with b.if_then(b.icmp_unsigned("!=", own, expected), likely=False):
            inherits: ir.Value = I32(0)
            if not exact:
                inherits = b.call(self._call("PyType_IsSubtype", I32, POINTER, POINTER), [own, expected])
            self._refuse_unless(b.icmp_signed("!=", inherits, I32(0)))
        number = b.load(handle_field(b, handle))
        before = b.block
        with b.if_then(b.icmp_unsigned("!=", number, ir.Constant(POINTER, None)), likely=True):
            slot = b.call(self._call("PyLong_AsLongLong", I64, POINTER), [number])
            inside = b.block
        phi = b.phi(I64)
        phi.add_incoming(slot, inside)
        phi.add_incoming(I64(0), before)
        return phi

    def _sequence(self, argument: ir.Value, element: Callable[[ir.Value], ir.Value]) -> ir.Value:
        """The address of the number of elements of a list or tuple, and of what they are converted to."""
        b = self._b
        block = self._block(1 + MOST)
        converted = b.append_basic_block("converted")
        flags = b.call(self._call("PyType_GetFlags", I64, POINTER), [_type_of(b, argument)])
        for kind, flag in SEQUENCES.items():
            with b.if_then(b.icmp_unsigned("!=", b.and_(flags, I64(flag)), I64(0))):
                count = b.call(self._call(f"{kind}_Size", I64, POINTER), [argument])
                self._refuse_unless(b.icmp_signed("<=", count, I64(MOST)))
                b.store(count, block)
                item = self._call(f"{kind}_GetItem", POINTER, POINTER, I64)
                with Scope(b, 1).loop(I64(0), count) as k:
                    b.store(element(b.call(item, [argument, k])), b.gep(block, [b.add(k, I64(1))]))
                b.branch(converted)
        self.refuse()
        b.position_at_start(converted)
        return b.ptrtoint(block, I64)

    def _items(self, argument: ir.Value) -> ir.Value:
        b = self._b
        block = self._block(1 + MOST * ITEM_WORDS)
        done = b.append_basic_block("done")
        flags = b.call(self._call("PyType_GetFlags", I64, POINTER), [_type_of(b, argument)])
        with b.if_then(b.icmp_unsigned("!=", b.and_(flags, I64(SEQUENCES["PyTuple"])), I64(0))):
            count = b.call(self._call("PyTuple_Size", I64, POINTER), [argument])
            self._refuse_unless(b.icmp_signed("<=", count, I64(MOST)))
            b.store(count, block)
            with Scope(b, 1).loop(I64(0), count) as k:
                item = b.call(self._call("PyTuple_GetItem", POINTER, POINTER, I64), [argument, k])
                self._item(item, b.gep(block, [b.add(b.mul(k, I64(ITEM_WORDS)), I64(1))]))
            b.branch(done)
        b.store(I64(1), block)
        self._item(argument, b.gep(block, [I64(1)]))
        b.branch(done)
        b.position_at_start(done)
        return b.ptrtoint(block, I64)

    def _item(self, item: ir.Value, place: ir.Value) -> None:
        """Write the words of what stands in square brackets."""
        b = self._b
        done = b.append_basic_block("item")
        for name, kind in (("jg_none", ITEM_NEW), ("jg_ellipsis", ITEM_ELLIPSIS)):
            with b.if_then(b.icmp_unsigned("==", item, self._object(name))):
                b.store(I64(kind), place)
                b.branch(done)
        with b.if_then(b.icmp_unsigned("==", _type_of(b, item), self._object("jg_slice"))):
            b.store(I64(ITEM_SLICE), place)
            defaults = (0, LAST, 1)
            for k, (offset, default) in enumerate(zip(_slice_offsets(), defaults, strict=True)):
                bound = self._bound(b.load(_field(b, item, offset)), default)
                b.store(bound, b.gep(place, [I64(1 + k)]))
            b.branch(done)
        with b.if_then(
            b.icmp_unsigned("==", _type_of(b, item), b.load(cell(self._module, TYPE_CELL, POINTER)))
        ):
            b.store(I64(ITEM_HANDLE), place)
            b.store(self._slot(item, exact=True), b.gep(place, [I64(1)]))
            b.branch(done)
        b.store(I64(ITEM_INT), place)
        b.store(self._whole(item), b.gep(place, [I64(1)]))
        b.branch(done)
        b.position_at_start(done)

    def _bound(self, value: ir.Value, default: int) -> ir.Value:
        b = self._b
        before = b.block
        with b.if_then(b.icmp_unsigned("!=", value, self._object("jg_none"))):
            given = self._whole(value)
            inside = b.block
        phi = b.phi(I64)
        phi.add_incoming(given, inside)
        phi.add_incoming(I64(default), before)
        return phi

    def _buffer(self, argument: ir.Value) -> ir.Value:
        b = self._b
        shown = b.bitcast(self._block(ctypes.sizeof(BufferView) // 8), POINTER)
        ask = self._call("PyObject_GetBuffer", I32, POINTER, POINTER, I32)
        with b.if_then(b.icmp_signed("!=", b.call(ask, [argument, shown, I32(WITH_STRIDES)]), I32(0))):
            b.call(self._call("PyErr_Clear", ir.VoidType()), [])
            self.refuse()
        self._shown = shown
        return b.ptrtoint(shown, I64)

    def _refuse_unless(self, condition: ir.Value) -> None:
        with self._b.if_then(self._b.not_(condition), likely=False):
            self.refuse()

    def _block(self, count: int, kind: ir.Type = I64) -> ir.Value:
        """Memory of the wrapper's frame: once, wherever the instructions go that use it."""
        with self._b.goto_entry_block():
            return self._b.alloca(kind, count)

    def _object(self, name: str) -> ir.Value:
        return self._b.load(cell(self._module, name, POINTER))

    def _call(self, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
        return outside(self._module, name, result, arguments)


def _type_of(b: ir.IRBuilder, thing: ir.Value) -> ir.Value:
    return b.load(b.bitcast(b.gep(thing, [I64(object.__basicsize__ - 8)]), POINTER.as_pointer()))
