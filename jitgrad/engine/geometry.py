"""The views that scripts make most, from Python's arguments in one compiled call.

`views.py` tells what the words of a view mean; here they are worked out, which takes Python longer than all the rest.
What does not fit, such as a dimension that is not there or sizes that do not multiply up, is UNFIT: Python finds out
what it is, and says so.
"""

from ..kernels.arguments import (
    ITEM_ELLIPSIS,
    ITEM_HANDLE,
    ITEM_INT,
    ITEM_NEW,
    ITEM_SLICE,
    ITEM_WORDS,
    LAST,
    UNFIT,
    Handle,
    Items,
    Whole,
    Wholes,
)
from .jit import jit, recorder
from .layout import BEHIND_RECORD, MAX_DIMS, RESHAPE, STRIDED_VIEW
from .pointers import load_word, store_word
from .tables import slot_at
from .views import D_FIRST, D_SECOND, D_SIZE, D_STEP, DIM_WORDS, NONE, make_view

WORD = 8
# words from the scratch record to a view's words, to the first index along each dimension (until its place among them
# is known), to whether a view is all of a tensor, and to the number of index tensors, behind which stand the dimension
# of the view, and the slot, of each
WORDS = BEHIND_RECORD
STARTS = WORDS + 1024
IS_WHOLE = STARTS + 512
POINTS = IS_WHOLE + 1


@jit
def from_front(dim, dims):
    """A dimension counted from the front; negative when there is none."""
    at = dim + dims if dim < 0 else dim
    return at if at < dims else NONE


@jit
def put_dim(c, j, size, first, step):
    """Describe the view's dimension `j`."""
    at = c.scratch + (WORDS + 1 + j * DIM_WORDS) * WORD
    store_word(at, D_SIZE, size)
    store_word(at, D_FIRST, first)
    store_word(at, D_STEP, step)
    store_word(at, D_SECOND, NONE)


@jit
def start_at(c, d, index):
    """Let the view begin at an index of the dimension `d` of what is viewed."""
    store_word(c.scratch, STARTS + d, index)


@jit
def start_at_front(c, x):
    """Let the view begin at the first element of what is viewed."""
    for d in range(x.dims):
        start_at(c, d, 0)


@jit
def strided(c, name, x_slot, dims):
    """The view of `dims` dimensions that has been described."""
    if dims > MAX_DIMS:
        return UNFIT
    words = c.scratch + WORDS * WORD
    own = slot_at(c, x_slot).dims
    behind = 1 + dims * DIM_WORDS
    store_word(words, 0, dims)
    for d in range(own):
        store_word(words, behind + d, load_word(c.scratch, STARTS + d))
    return make_view(c, STRIDED_VIEW, name, x_slot, words, behind + own)


@recorder
def reshaped(c, name, x: Handle, sizes: Wholes) -> Handle:
    """The elements in another shape, of which one size may be -1."""
    numel = slot_at(c, x).numel
    dims = load_word(sizes, 0)
    if numel == 0 or dims > MAX_DIMS:
        return UNFIT
    known = 1
    inferred = NONE
    for d in range(dims):
        size = load_word(sizes, 1 + d)
        if size == -1 and inferred == NONE:
            inferred = d
        elif size < 1 or size > numel // known:
            return UNFIT
        else:
            known *= size
    if inferred != NONE:
        if numel % known != 0:
            return UNFIT
        store_word(sizes, 1 + inferred, numel // known)
    elif known != numel:
        return UNFIT
    return make_view(c, RESHAPE, name, x, sizes + WORD, dims)


@recorder
def flattened(c, name, x: Handle, first: Whole, last: Whole) -> Handle:
    """Several dimensions as one."""
    source = slot_at(c, x)
    first, last = from_front(first, source.dims), from_front(last, source.dims)
    if first < 0 or first >= last:
        return UNFIT
    words = c.scratch + WORDS * WORD
    numel = 1
    for d in range(source.dims):
        size = source.shape[d]
        if d < first:
            store_word(words, d, size)
        elif d > last:
            store_word(words, d - last + first, size)
        else:
            numel *= size
    store_word(words, first, numel)
    return make_view(c, RESHAPE, name, x, words, source.dims - last + first)


@recorder
def permuted(c, name, x: Handle, order: Wholes) -> Handle:
    """The dimensions in another order."""
    source = slot_at(c, x)
    if load_word(order, 0) != source.dims:
        return UNFIT
    taken = 0
    for j in range(source.dims):
        d = from_front(load_word(order, 1 + j), source.dims)
        if d < 0 or (taken >> d) & 1:
            return UNFIT
        taken |= 1 << d
        put_dim(c, j, source.shape[d], d, 1)
    start_at_front(c, source)
    return strided(c, name, x, source.dims)


@recorder
def transposed(c, name, x: Handle, first: Whole, second: Whole) -> Handle:
    """Two dimensions exchanged."""
    source = slot_at(c, x)
    first, second = from_front(first, source.dims), from_front(second, source.dims)
    if first < 0 or second < 0:
        return UNFIT
    for j in range(source.dims):
        d = j
        if j == first:
            d = second
        elif j == second:
            d = first
        put_dim(c, j, source.shape[d], d, 1)
    start_at_front(c, source)
    return strided(c, name, x, source.dims)


@recorder
def unsqueezed(c, name, x: Handle, dim: Whole) -> Handle:
    """A new dimension of size 1."""
    source = slot_at(c, x)
    new = from_front(dim, source.dims + 1)
    if new < 0:
        return UNFIT
    for d in range(source.dims):
        put_dim(c, d if d < new else d + 1, source.shape[d], d, 1)
    put_dim(c, new, 1, NONE, 0)
    start_at_front(c, source)
    return strided(c, name, x, source.dims + 1)


@recorder
def squeezed(c, name, x: Handle, dim: Whole, every) -> Handle:
    """Without one dimension if its size is 1, or without every such dimension."""
    source = slot_at(c, x)
    dropped = from_front(dim, source.dims)
    if dropped < 0 and not every:
        return UNFIT
    j = 0
    for d in range(source.dims):
        if source.shape[d] != 1 or not (every or d == dropped):
            put_dim(c, j, source.shape[d], d, 1)
            j += 1
    start_at_front(c, source)
    return strided(c, name, x, j)


@recorder
def expanded(c, name, x: Handle, sizes: Wholes) -> Handle:
    """Dimensions of size 1, and new ones in front, repeated; -1 keeps a size."""
    source = slot_at(c, x)
    dims = load_word(sizes, 0)
    ahead = dims - source.dims
    if ahead < 0:
        return UNFIT
    for j in range(dims):
        size = load_word(sizes, 1 + j)
        own = 1
        if j >= ahead:
            own = source.shape[j - ahead]
            if size == -1:
                size = own
        if size < 0 or (size != own and own != 1):
            return UNFIT
        if j >= ahead and size == own:
            put_dim(c, j, size, j - ahead, 1)
        else:
            put_dim(c, j, size, NONE, 0)
    start_at_front(c, source)
    return strided(c, name, x, dims)


@recorder
def selected(c, name, x: Handle, dim: Whole, index: Whole) -> Handle:
    """One index of a dimension, without that dimension."""
    source = slot_at(c, x)
    dim = from_front(dim, source.dims)
    if dim < 0:
        return UNFIT
    index = from_front(index, source.shape[dim])
    if index < 0:
        return UNFIT
    start_at_front(c, source)
    start_at(c, dim, index)
    for d in range(source.dims):
        if d != dim:
            put_dim(c, d if d < dim else d - 1, source.shape[d], d, 1)
    return strided(c, name, x, source.dims - 1)


@recorder
def narrowed(c, name, x: Handle, dim: Whole, start: Whole, length: Whole) -> Handle:
    """A number of indices of one dimension."""
    source = slot_at(c, x)
    dim = from_front(dim, source.dims)
    if dim < 0:
        return UNFIT
    size = source.shape[dim]
    if start < 0 or length < 0 or start > size or length > size - start:
        return UNFIT
    start_at_front(c, source)
    start_at(c, dim, start if length else 0)
    for d in range(source.dims):
        put_dim(c, d, length if d == dim else source.shape[d], d, 1)
    return strided(c, name, x, source.dims)


@recorder
def diagonal(c, name, x: Handle, offset: Whole, first: Whole, second: Whole) -> Handle:
    """The diagonal of two dimensions as the last one."""
    source = slot_at(c, x)
    first, second = from_front(first, source.dims), from_front(second, source.dims)
    if first < 0 or second < 0 or first == second or offset < -LAST:
        return UNFIT
    below, right = max(-offset, 0), max(offset, 0)
    length = max(min(source.shape[first] - below, source.shape[second] - right), 0)
    start_at_front(c, source)
    j = 0
    for d in range(source.dims):
        if d != first and d != second:
            put_dim(c, j, source.shape[d], d, 1)
            j += 1
    put_dim(c, j, length, first, 1)
    store_word(c.scratch + (WORDS + 1 + j * DIM_WORDS) * WORD, D_SECOND, second)
    if length:
        start_at(c, first, below)
        start_at(c, second, right)
    return strided(c, name, x, source.dims - 1)


@jit
def clamped(index, size):
    """A slice's bound as an index from 0 to `size`."""
    if index < 0:
        return max(index + size, 0)
    return min(index, size)


@jit
def put_slice(c, item, d, j, size):
    """Describe the dimension that a slice leaves; returns whether it leaves all of it."""
    start = clamped(load_word(item, 1), size)
    stop = clamped(load_word(item, 2), size)
    step = load_word(item, 3)
    count = (stop - start - 1) // step + 1 if stop > start else 0
    put_dim(c, j, count, d, step)
    start_at(c, d, start if count else 0)
    return step == 1 and count == size


@jit
def unnamed_dims(source, items, count):
    """How many dimensions neither an int, a slice nor a tensor is given for."""
    unnamed = source.dims
    for k in range(count):
        kind = load_word(items, 1 + k * ITEM_WORDS)
        if kind == ITEM_INT or kind == ITEM_SLICE or kind == ITEM_HANDLE:
            unnamed -= 1
    return unnamed


@jit
def put_items(c, x, items):
    """Describe the view that square brackets take, with every index of the dimensions that tensors stand for.

    Returns how many dimensions it has, or UNFIT. Those of tensors are listed behind POINTS: see `list_point`; IS_WHOLE
    says whether the view is all of `x`, as it is.
    """
    source = slot_at(c, x)
    count = load_word(items, 0)
    unnamed = unnamed_dims(source, items, count)
    if unnamed < 0:
        return UNFIT
    start_at_front(c, source)
    is_whole = True
    d = j = points = 0
    for k in range(count + 1):  # the dimensions behind the last item are as behind an ellipsis
        item = items + (1 + k * ITEM_WORDS) * WORD
        kind = load_word(item, 0) if k < count else ITEM_ELLIPSIS
        if kind == ITEM_ELLIPSIS:
            for _ in range(unnamed):
                put_dim(c, j, source.shape[d], d, 1)
                d += 1
                j += 1
            unnamed = 0
        elif kind == ITEM_NEW:
            put_dim(c, j, 1, NONE, 0)
            j += 1
            is_whole = False
        elif kind == ITEM_INT:
            index = from_front(load_word(item, 1), source.shape[d])
            if index < 0:
                return UNFIT
            start_at(c, d, index)
            d += 1
            is_whole = False
        elif kind == ITEM_SLICE:
            if load_word(item, 3) < 1:
                return UNFIT
            is_whole = put_slice(c, item, d, j, source.shape[d]) and is_whole
            d += 1
            j += 1
        else:
            list_point(c, points, j, load_word(item, 1))
            points += 1
            put_dim(c, j, source.shape[d], d, 1)
            d += 1
            j += 1
    store_word(c.scratch, POINTS, points)
    store_word(c.scratch, IS_WHOLE, 1 if is_whole else 0)
    return j


@jit
def list_point(c, k, dim, slot):
    """Note that index tensor `k`, with this slot, stands for a dimension of the view."""
    store_word(c.scratch, POINTS + 1 + 2 * k, dim)
    store_word(c.scratch, POINTS + 2 + 2 * k, slot)


@recorder
def indexed(c, name, whole, x: Handle, items: Items) -> Handle:
    """What square brackets with ints, slices, None and Ellipsis take; called `whole` when that is all there is."""
    dims = put_items(c, x, items)
    if dims < 0 or load_word(c.scratch, POINTS) > 0:
        return UNFIT
    return strided(c, whole if load_word(c.scratch, IS_WHOLE) else name, x, dims)
