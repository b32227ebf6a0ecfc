"""Shapes of results: broadcasting, reductions, and the rules of array operations."""

from .jit import (
    jit,
)
from .layout import (
    BAD_SHAPE,
    CONTIGUOUS,
    MAP,
    REDUCE,
    RULE_LINEAR,
    RULE_PICKED,
    RULE_SAME,
    RULE_SCALAR,
)
from .nests import (
    get_id,
)
from .pointers import (
    load_word,
)
from .tables import (
    op_at,
    slot_at,
)


@jit
def all_apart(x):
    """Whether no two elements of slot record `x` lie in one place."""
    return x.flags & CONTIGUOUS != 0 or apart(x, (1 << x.dims) - 1)


@jit
def apart(x, chosen):
    """Whether no two elements of `x` lie in one place that differ along the dimensions `chosen`, as bits, only.

    Strides decide: each must lead beyond all that smaller ones reach. What merely interleaves is not told apart.
    """
    reach = 0
    while chosen != 0:
        least = -1
        for d in range(x.dims):
            if (chosen >> d) & 1 and (least < 0 or x.strides[d] < x.strides[least]):
                least = d
        chosen &= ~(1 << least)
        if x.shape[least] > 1:
            if x.strides[least] <= reach:
                return False
            reach += (x.shape[least] - 1) * x.strides[least]
    return True


@jit
def broadcast_shape(c, inputs, target):
    """Write the operands' common shape into slot `target`; 0 or BAD_SHAPE."""
    out = slot_at(c, target)
    dims = 0
    for k in range(inputs):
        dims = max(dims, slot_at(c, get_id(c, 1 + k)).dims)
    out.dims = dims
    for d in range(dims):
        size = 1
        for k in range(inputs):
            x = slot_at(c, get_id(c, 1 + k))
            own = d - (dims - x.dims)
            if own >= 0 and x.shape[own] != 1:
                if size != 1 and size != x.shape[own]:
                    return BAD_SHAPE
                size = x.shape[own]
        out.shape[d] = size
    return 0


@jit
def reduced_shape(c, x_slot, mask, keep, target):
    """Write the shape of a reduction into slot `target`."""
    x, out = slot_at(c, x_slot), slot_at(c, target)
    dims = 0
    for d in range(x.dims):
        if (mask >> d) & 1:
            if keep:
                out.shape[dims] = 1
                dims += 1
        else:
            out.shape[dims] = x.shape[d]
            dims += 1
    out.dims = dims


@jit
def same_shape(x, y):
    """Whether two slots have one shape."""
    if x.dims != y.dims:
        return False
    for d in range(x.dims):
        if x.shape[d] != y.shape[d]:
            return False
    return True


@jit
def ruled_shape(c, rule, target):
    """Write the shape of an ARRAYS operation's only output by its rule; 0 or BAD_SHAPE."""
    x, out = slot_at(c, get_id(c, 1)), slot_at(c, target)
    if rule == RULE_SCALAR:
        out.dims = 0
        t = slot_at(c, get_id(c, 2))
        # two operands of one dtype are compared element by element
        if get_id(c, 2) != 0 and t.dtype == x.dtype and not same_shape(t, x):
            return BAD_SHAPE
        return 0
    out.dims = x.dims
    for d in range(x.dims):
        out.shape[d] = x.shape[d]
    if rule == RULE_SAME:
        return 0
    if rule == RULE_PICKED:
        out.dims = x.dims - 1
        for d in range(1, out.dims):
            out.shape[d] = x.shape[d + 1]
        return 0 if x.dims > 1 else BAD_SHAPE
    w = slot_at(c, get_id(c, 2))
    if rule == RULE_LINEAR:
        if x.dims < 1 or w.dims != 2 or w.shape[1] != x.shape[x.dims - 1]:
            return BAD_SHAPE
        out.shape[x.dims - 1] = w.shape[0]
        bias = get_id(c, 3)
        if bias != 0 and (slot_at(c, bias).dims != 1 or slot_at(c, bias).shape[0] != w.shape[0]):
            return BAD_SHAPE
        return 0
    if x.dims < 2 or w.dims < 2 or w.shape[w.dims - 2] != x.shape[x.dims - 1]:
        return BAD_SHAPE
    out.dims = max(x.dims, w.dims)
    for d in range(out.dims - 2):
        i, j = d - (out.dims - x.dims), d - (out.dims - w.dims)
        a = x.shape[i] if i >= 0 else 1
        b = w.shape[j] if j >= 0 else 1
        if i >= 0 and j >= 0 and a != b:
            return BAD_SHAPE  # sizes 1 are expanded by the caller
        out.shape[d] = a if i >= 0 else b
    out.shape[out.dims - 2] = x.shape[x.dims - 2]
    out.shape[out.dims - 1] = w.shape[w.dims - 1]
    return 0


@jit
def output_shape(c, op, attrs, target):
    """Write the output's shape into slot `target`; 0 or BAD_SHAPE."""
    info = op_at(c, op)
    if info.kind == MAP:
        return broadcast_shape(c, info.inputs, target)
    if info.kind == REDUCE:
        reduced_shape(c, get_id(c, 1), load_word(attrs, 0), load_word(attrs, 1), target)
        return 0
    return ruled_shape(c, info.rule, target)
