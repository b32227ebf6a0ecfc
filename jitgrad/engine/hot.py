"""The calls that eager code makes all the time: tensors go in and come out as Python objects.

Their wrappers read the slot out of each handle and make the new handle themselves, so that Python runs no
bytecode for either; a handle's end runs none at all.
"""

from ..kernels.arguments import Handle, Handles
from .arrays import join
from .create import apply_number
from .jit import entry
from .pointers import load_word
from .record import apply
from .slots import let_go
from .tables import slot_at


@entry
def unary(c, op, x: Handle) -> Handle:
    """A new tensor from one operand."""
    return apply(c, op, 0, x, 0, 0, 0, 0, 0)


@entry
def binary(c, op, a: Handle, b: Handle) -> Handle:
    """A new tensor from two operands."""
    return apply(c, op, 0, a, b, 0, 0, 0, 0)


@entry
def ternary(c, op, a: Handle, b: Handle, d: Handle) -> Handle:
    """A new tensor from three operands."""
    return apply(c, op, 0, a, b, d, 0, 0, 0)


@entry
def with_number(c, op, x: Handle, value: float, whole, kind, reflected) -> Handle:
    """A new tensor from one operand and a Python number."""
    return apply_number(c, op, 0, x, value, whole, kind, reflected)


@entry
def along(c, op, given: Handles, dim) -> Handle:
    """A new tensor from several, which lie one after the other along a dimension."""
    return join(c, op, load_word(given, 0), given + 8, dim)


@entry
def finalize(c, x: Handle) -> None:
    """A handle is about to go: release its slot."""
    if x > 0:
        slot_at(c, x).handles -= 1
        let_go(c, x)
    return 0
