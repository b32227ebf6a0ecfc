"""Blocks of memory by size class, and storages that hold them.

Sizes are rounded up to four classes a doubling (64, 80, 96, 112, 128, 160, ... bytes), so at most a quarter is
wasted and a freed block fits the next tensor of its size. Small blocks are cut from slabs and never go back to
the system; large ones do when more than the pool's limit lies free.
"""

from .jit import jit
from .layout import EXTERNAL, SPOILED_MEMORY
from .pointers import (
    aligned_alloc,
    free,
    load_word,
    realloc,
    store_word,
    thread_ident,
)
from .tables import (
    slot_at,
    storage_at,
)

ALIGNMENT = 64
SMALL = 32 * 1024
SLAB = 1 << 20


@jit
def size_class(size):
    """The class of blocks that hold `size` bytes."""
    units = (max(size, 1) + ALIGNMENT - 1) // ALIGNMENT
    if units <= 4:
        return units - 1
    # four steps a doubling: the top three bits of units - 1 number the class
    shift = 0
    top = units - 1
    while top >= 8:
        top >>= 1
        shift += 1
    return 4 * shift + top


@jit
def class_size(k):
    """Bytes of a block of class `k`."""
    if k < 8:
        return (k + 1) * ALIGNMENT
    shift = (k - 4) // 4
    return ((k - 4 * shift) + 1 << shift) * ALIGNMENT


@jit
def take_block(c, k):
    """A block of class `k`, or 0 when the system has no memory."""
    block = c.free_blocks[k]
    size = class_size(k)
    if block != 0:
        c.free_blocks[k] = load_word(block, 0)
        if size > SMALL:
            c.pooled -= size
    elif size > SMALL:
        block = aligned_alloc(ALIGNMENT, size)
        c.system_allocations += 1
    else:
        if c.slab + size > c.slab_end:
            slab = aligned_alloc(ALIGNMENT, SLAB)
            c.system_allocations += 1
            if slab == 0:
                return 0
            c.slab = slab
            c.slab_end = slab + SLAB
        block = c.slab
        c.slab += size
    if block != 0:
        c.bytes += size
        c.allocations += 1
    return block


@jit
def give_block(c, block, k):
    """Take a block back."""
    size = class_size(k)
    c.bytes -= size
    if size > SMALL:
        if c.pooled + size > c.pool_limit:
            free(block)
            return
        c.pooled += size
    store_word(block, 0, c.free_blocks[k])
    c.free_blocks[k] = block


@jit
def recording_here(c):
    """Whether this thread is recording a program."""
    return c.recording != 0 and thread_ident() == c.recorder


@jit
def longer(c, buffer, words):
    """A buffer with room for `words` words in place of `buffer`, or 0: then the recording is spoiled."""
    moved = realloc(buffer, words * 8)
    if moved == 0:
        c.spoiled = SPOILED_MEMORY
    return moved


@jit
def take_fresh(c, k):
    """A block of class `k` for the program being recorded that none of its rows has used; 0 without memory."""
    if c.block_count == c.block_room:
        moved = longer(c, c.blocks, 4 * c.block_room)
        if moved == 0:
            return 0
        c.blocks = moved
        c.block_room *= 2
    block = take_block(c, k)
    if block != 0:
        store_word(c.blocks, 2 * c.block_count, block)
        store_word(c.blocks, 2 * c.block_count + 1, k)
        c.block_count += 1
    return block


@jit
def take_recorded(c, k):
    """A block of class `k` that stays with the program being recorded; 0 without memory.

    Blocks that the recorded step frees are used again within it: its own reuse is the program's memory plan.
    """
    block = c.recorded_blocks[k]
    if block != 0:
        c.recorded_blocks[k] = load_word(block, 0)
        return block
    return take_fresh(c, k)


@jit
def new_storage(c, size):
    """A storage of at least `size` bytes with no holder yet, or 0 when out of memory.

    The caller has made sure that a free storage record exists.
    """
    k = size_class(size)
    owner = 0
    if recording_here(c):
        owner = c.recording
        block = take_recorded(c, k)
    else:
        block = take_block(c, k)
    if block == 0:
        return 0
    return storage_of(c, block, size, k, owner)


@jit
def storage_of(c, address, size, kind, owner):
    """A storage of memory at an address, with no holder yet.

    `kind` is a size class, or EXTERNAL for what Python owns. The caller has made sure that a free record exists.
    """
    s = c.free_storage
    record = storage_at(c, s)
    c.free_storage = record.next
    c.storage_top = max(c.storage_top, s + 1)
    record.address = address
    record.bytes = size
    record.size_class = kind
    record.refs = 0
    record.version = 0
    record.history = 0
    record.next = 0
    record.owner = owner
    record.pinned = 0
    return s


@jit
def hold_storage(c, s):
    """Count one more slot that holds the storage."""
    storage_at(c, s).refs += 1


@jit
def drop_storage(c, s):
    """Count one holder less; the last one frees the block."""
    record = storage_at(c, s)
    record.refs -= 1
    if record.refs > 0:
        return
    if record.owner != 0:
        drop_recorded(c, record, s)
        return
    if record.size_class == EXTERNAL:
        # Python owns the memory: list it, and Python lets go of it at its next call
        record.next = c.released
        c.released = s
        return
    give_block(c, record.address, record.size_class)
    record.next = c.free_storage
    c.free_storage = s


@jit
def drop_recorded(c, record, s):
    """The last holder of a program's storage is gone: its memory stays with the program."""
    if record.size_class == EXTERNAL:
        return  # the program lets go of it
    if record.owner == c.recording and record.pinned == 0:
        store_word(record.address, 0, c.recorded_blocks[record.size_class])
        c.recorded_blocks[record.size_class] = record.address
    record.next = c.free_storage
    c.free_storage = s


@jit
def drop_value(c, slot):
    """Let go of a slot's value: only its place in the graph remains."""
    record = slot_at(c, slot)
    if record.storage != 0:
        drop_storage(c, record.storage)
        record.storage = 0
