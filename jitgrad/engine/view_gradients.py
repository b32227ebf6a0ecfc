"""Gradients of views: what a cotangent with a view's geometry is on the memory that was viewed.

As in `gradients.py`, every function that makes one returns a slot with one handle, or 0 when the system has no memory.
"""

from .gradients import add_into, copy_of, operand, sum_to, zeros_or_empty_like
from .handles import release
from .jit import jit
from .layout import CONTIGUOUS, RESHAPE
from .pointers import load_word
from .shapes import all_apart, apart
from .slots import alias, classify, set_contiguous
from .tables import slot_at
from .tape_rows import item_size
from .turning import take_order
from .views import D_FIRST, DIM_WORDS, has_expansion, is_permutation, map_strides


@jit
def view_operand(c, kind, row, out, attrs, attr_count):
    """Gradient of a view's row for its operand; its slot with one handle, or 0 without memory."""
    x_slot = operand(row, 0)
    cotangent = slot_at(c, out).cotangent
    if kind == RESHAPE:
        return reshaped(c, cotangent, x_slot)
    part = sum_repeated(c, cotangent, attrs)
    if part == 0:
        return 0
    if is_permutation(slot_at(c, x_slot), attrs):
        gradient = unpermuted(c, part, x_slot, attrs)
    else:
        gradient = zeros_or_empty_like(c, x_slot, slot_at(c, x_slot).dtype, True)
        if gradient != 0:
            take_order(slot_at(c, gradient), slot_at(c, x_slot))
            add_into_view(c, gradient, part, attrs)
    release(c, part)
    return gradient


@jit
def add_into_view(c, target, other, attrs):
    """``target[view] += other`` for the view that `attrs` describe."""
    window = alias(c, target)
    w = slot_at(c, window)
    w.handles = 1
    offset = map_strides(slot_at(c, target), w, attrs)
    w.address += offset * item_size(w.dtype)
    w.numel = slot_at(c, other).numel
    for d in range(w.dims):
        w.shape[d] = slot_at(c, other).shape[d]  # 1 where repetitions have been summed
    w.flags = 0
    if all_apart(w):
        add_into(c, window, other)
    else:
        add_one_by_one(c, window, other)
    release(c, window)


@jit
def add_one_by_one(c, window, other):
    """`add_into` where elements of the window share places: a call for each index along what brings them together."""
    w, g = slot_at(c, window), slot_at(c, other)
    together = ~widest_apart(w)
    part = alias(c, other)
    p = slot_at(c, part)
    p.handles = 1
    p.flags = 0
    turns = 1
    for d in range(w.dims):
        if (together >> d) & 1:
            turns *= w.shape[d]
            p.numel //= max(w.shape[d], 1)
            w.shape[d] = 1
            p.shape[d] = 1
    w.numel = p.numel
    start = w.address
    for turn in range(turns):
        w.address, p.address = start, g.address
        left = turn
        for d in range(w.dims):
            if (together >> d) & 1:
                index = left % g.shape[d]
                left //= g.shape[d]
                w.address += index * w.strides[d] * item_size(w.dtype)
                p.address += index * p.strides[d] * item_size(p.dtype)
        add_into(c, window, part)
    release(c, part)


@jit
def widest_apart(x):
    """Dimensions, as bits, along which no two elements of `x` share a place: the longest first."""
    chosen = 0
    tried = 0
    for _ in range(x.dims):
        longest = -1
        for d in range(x.dims):
            if (tried >> d) & 1 == 0 and (longest < 0 or x.shape[d] > x.shape[longest]):
                longest = d
        tried |= 1 << longest
        if apart(x, chosen | (1 << longest)):
            chosen |= 1 << longest
    return chosen


@jit
def reshaped(c, cotangent, x_slot):
    """The cotangent in the shape of slot `x_slot`, as a view where strides allow; 0 without memory."""
    source = cotangent
    made = 0
    if slot_at(c, cotangent).flags & CONTIGUOUS == 0:
        made = copy_of(c, cotangent)
        if made == 0:
            return 0
        source = made
    s = alias(c, source)
    y, x = slot_at(c, s), slot_at(c, x_slot)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
    set_contiguous(y)
    y.handles = 1
    if made != 0:
        release(c, made)
    return s


@jit
def unpermuted(c, cotangent, x_slot, attrs):
    """The cotangent with the dimensions of `x_slot` put back in order, as a view."""
    s = alias(c, cotangent)
    y, x, g = slot_at(c, s), slot_at(c, x_slot), slot_at(c, cotangent)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
        y.strides[d] = 1
    for j in range(load_word(attrs, 0)):
        first = load_word(attrs, 1 + j * DIM_WORDS + D_FIRST)
        if first >= 0 and g.shape[j] != 1:
            y.strides[first] = g.strides[j]
    y.handles = 1
    numel = 1
    contiguous = True
    for k in range(y.dims):
        d = y.dims - 1 - k
        if y.shape[d] != 1 and y.strides[d] != numel:
            contiguous = False
        numel *= y.shape[d]
    y.flags = CONTIGUOUS if contiguous else 0
    return s


@jit
def sum_repeated(c, source, attrs):
    """Slot `source`, with one handle more, or its sum over the dimensions along which the view repeats.

    These have size 1 then. 0 without memory.
    """
    slot_at(c, source).handles += 1
    if not has_expansion(attrs):
        return source
    shape = alias(c, source)  # that of the sum
    for j in range(load_word(attrs, 0)):
        if load_word(attrs, 1 + j * DIM_WORDS + D_FIRST) < 0:
            slot_at(c, shape).shape[j] = 1
    classify(slot_at(c, shape))
    slot_at(c, shape).handles = 1
    out = sum_to(c, source, shape)
    release(c, shape)
    return out
