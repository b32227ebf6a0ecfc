"""The engine's tables as compiled code sees them: ``slot_at(c, s).shape[d]`` reads and writes memory.

A `Row` is a Numba type whose value is the address of one entry of a table. Its fields are those of the table's
NumPy dtype: a 64-bit integer, or a pointer to several. NumPy record arrays could say the same, but every access
through them makes an array structure, and compiling the engine took three times as long.
"""

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.datamodel.registry import register_default
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import intrinsic

from .layout import context_dtype, op_dtype, program_dtype, slot_dtype, storage_dtype

WORD = ir.IntType(64)
SEVERAL = types.CPointer(types.int64)


class Row(types.Type):
    """The address of one entry of a table whose entries have the NumPy dtype `layout`."""

    def __init__(self, name, layout):
        super().__init__(name=name)
        self.layout = layout


@register_default(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, WORD)


@infer_getattr
class _RowFields(AttributeTemplate):
    key = Row

    def generic_resolve(self, row, field):
        if field not in row.layout.fields:
            return None
        return SEVERAL if row.layout.fields[field][0].subdtype else types.int64


def _place(builder, row, value, field):
    offset = row.layout.fields[field][1]
    return builder.inttoptr(builder.add(value, WORD(offset)), WORD.as_pointer())


@lower_getattr_generic(Row)
def _get_field(context, builder, row, value, field):
    place = _place(builder, row, value, field)
    return place if row.layout.fields[field][0].subdtype else builder.load(place)


@lower_setattr_generic(Row)
def _set_field(context, builder, signature, args, field):
    builder.store(args[1], _place(builder, signature.args[0], args[0], field))


CONTEXT = Row("Context", context_dtype)
PROGRAM = Row("Program", program_dtype)


@intrinsic
def program_at(typing_context, address):
    """The program whose header is at an address."""
    return PROGRAM(types.int64), lambda context, builder, signature, args: args[0]


def _entries(name, table, layout):
    """An intrinsic ``entry(c, k)``: entry `k` of the table whose address is the context's field `table`."""
    row = Row(name, layout)

    @intrinsic
    def entry(typing_context, c, index):
        def generate(context, builder, signature, args):
            start = builder.load(_place(builder, CONTEXT, args[0], table))
            return builder.add(start, builder.mul(args[1], WORD(layout.itemsize)))

        return row(CONTEXT, types.int64), generate

    return entry


slot_at = _entries("Slot", "slots", slot_dtype)
storage_at = _entries("Storage", "storages", storage_dtype)
op_at = _entries("Operation", "ops", op_dtype)
