"""Operands that enter an operation in another dtype than they have, as PyTorch's rules of promotion say.

Only integers and bools are cast here, beside floats or into an operation that has no kernel for them: they have no
history, so that the casts leave no rows. Two floats or two integers of different sizes are Python's task.
"""

from ..kernels.abi import BOOL, INT64
from .create import apply_number, category
from .handles import release
from .jit import jit
from .layout import BAD_DTYPE, ENTERS_DEFAULT, NEED_KERNEL
from .record import apply
from .tables import op_at, slot_at


@jit
def entered(c, op, dtype):
    """The dtype in which operands that combine in `dtype` enter an operation; negative where only Python knows."""
    kind = op_at(c, op).entered[dtype]
    return c.default_dtype if kind == ENTERS_DEFAULT else kind


@jit
def is_refused(status):
    """Whether a call may have failed because of its operands' dtypes; if it did not, `status` is what to return."""
    return status == BAD_DTYPE or status == NEED_KERNEL


@jit
def cast(c, x, dtype):
    """A slot in a dtype, itself if it has that one; one handle."""
    if slot_at(c, x).dtype != dtype:
        return apply(c, c.cast_op + dtype, 0, x, 0, 0, 0, 0, 0)
    slot_at(c, x).handles += 1
    return x


@jit
def promoted_one(c, op, x, attrs, attr_count):
    """A refused operation of one operand, tried again in the dtype in which that enters it."""
    target = entered(c, op, slot_at(c, x).dtype)
    if target < 0 or target == slot_at(c, x).dtype:
        return NEED_KERNEL
    x = cast(c, x, target)
    if x < 0:
        return x
    out = apply(c, op, 0, x, 0, 0, 0, attrs, attr_count)
    release(c, x)
    return out


@jit
def promoted_two(c, op, a, b, status):
    """A refused operation of two tensors, tried again in the dtype in which they enter it."""
    first, second = slot_at(c, a).dtype, slot_at(c, b).dtype
    if first != second and category(first) == category(second):
        return status
    if (
        entered(c, op, first) < 0 or entered(c, op, second) < 0
    ):  # a bool that the operation refuses beside anything
        return status
    common = max(first, second)  # of two categories the higher one decides
    target = entered(c, op, common)
    if common == BOOL or target < 0 or (target == first and target == second):
        return status
    a = cast(c, a, target)
    if a < 0:
        return a
    b = cast(c, b, target)
    if b < 0:
        release(c, a)
        return b
    out = apply(c, op, 0, a, b, 0, 0, 0, 0)
    release(c, a)
    release(c, b)
    return out


@jit
def promoted_number(c, op, x, value, whole, kind, reflected, status):
    """A refused operation of a tensor and a number of category `kind`, tried again likewise."""
    own = slot_at(c, x).dtype
    common = own
    if kind > category(own):
        common = INT64 if kind == 1 else c.default_dtype
    target = entered(c, op, common)
    if common == BOOL or target < 0 or target == own or entered(c, op, own) < 0:
        return status
    x = cast(c, x, target)
    if x < 0:
        return x
    out = apply_number(c, op, 0, x, value, whole, kind, reflected)
    release(c, x)
    return out
