"""Room: longer tables, and entries that go back to their free lists.

Python makes the arrays; these calls put them to use. Each is one compiled call, during which no other thread
of Python can record, so that no write of another thread is lost between a table and its longer copy.
"""

from .jit import entry, jit
from .pointers import load_word, store_word
from .tables import slot_at, storage_at

NOTHING = -1


@entry
def add_slots(c, count):
    """Put the slots up to `count` on the free list, lowest first; their memory is there already."""
    first = max(c.slot_count, 1)
    if first < count:
        for s in range(first, count - 1):
            slot_at(c, s).next = s + 1
        slot_at(c, count - 1).next = c.free_slot
        c.free_slot = first
        c.free_slots += count - first
        c.slot_count = count
    return 0


@entry
def add_storages(c, count):
    """Put the storages up to `count` on the free list, lowest first; their memory is there already."""
    first = max(c.storage_count, 1)
    if first < count:
        for s in range(first, count - 1):
            storage_at(c, s).next = s + 1
        storage_at(c, count - 1).next = c.free_storage
        c.free_storage = first
        c.storage_count = count
    return 0


@jit
def copy_words(source, target, count):
    """Copy words from one address to another."""
    for k in range(count):
        store_word(target, k, load_word(source, k))


@entry
def move_slots(c, address, words):
    """Go on with the slot table at `address`, a copy of the `words` words of the one before."""
    copy_words(c.slots, address, words)
    c.slots = address
    return 0


@entry
def move_storages(c, address, words):
    """Go on with the storage table at `address`, a copy of the `words` words of the one before."""
    copy_words(c.storages, address, words)
    c.storages = address
    return 0


@entry
def move_tape(c, address, words):
    """Go on with the tape at `address`, which has room for `words` words."""
    if words > c.tape_words:
        copy_words(c.tape, address, c.tape_top)
        c.tape = address
        c.tape_words = words
    return 0


@entry
def move_nodes(c, address):
    """Go on with the list of freed rows of custom functions at `address`."""
    copy_words(c.freed_nodes, address, c.freed_node_count)
    c.freed_nodes = address
    return 0


@entry
def take_freed_node(c):
    """Take a number off the list of freed rows of custom functions; NOTHING when it is empty."""
    if c.freed_node_count == 0:
        return NOTHING
    c.freed_node_count -= 1
    return load_word(c.freed_nodes, c.freed_node_count)


@entry
def take_released(c):
    """Take a storage whose memory Python owns off the list of those let go; 0 when it is empty."""
    storage = c.released
    if storage != 0:
        c.released = storage_at(c, storage).next
    return storage


@entry
def recycle(c, storage):
    """Put a storage that `take_released` gave on the free list."""
    storage_at(c, storage).next = c.free_storage
    c.free_storage = storage
    return 0
