"""What losses have in common: a cell for reports, and sums in float64.

A kernel cannot raise. What only the data can tell (a target that is no class) it reports in a cell of memory
whose address is an attribute, and makes the result NaN, so that it shows also where nobody looks at the cell.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from . import abi
from .operands import Arrays
from .stage import I64, Scope, Vec

# what a kernel may report in its cell
FINE, BAD_SHAPES, BAD_TARGET, BAD_VALUE = range(4)  # the next word: the target, or what the caller said


class Report(NamedTuple):
    """The cell in which a kernel reports what is wrong with its operands."""

    scope: Scope
    pointer: ir.Value

    @classmethod
    def at(cls, arrays: Arrays, index: int) -> Report:
        """The cell whose address is attribute `index`."""
        return cls(arrays.scope, arrays.scope.pointer(arrays.word(index), abi.INT64))

    def write(self, what: int, value: ir.Value) -> None:
        """Report `what`, with a number."""
        b = self.scope.b
        b.store(I64(what), self.pointer)
        b.store(value, self.scope.at(self.pointer, 1))


def accumulate(b: ir.IRBuilder, cell: ir.Value, value: Vec) -> None:
    """Add to a float64 cell."""
    b.store(b.fadd(b.load(cell), value.to(abi.FLOAT64).value), cell)


def leave_to_one(b: ir.IRBuilder, part: ir.Value) -> None:
    """Let the first part do everything: a sum must not depend on the number of threads."""
    with b.if_then(b.icmp_signed("!=", part, I64(0))):
        b.ret_void()
