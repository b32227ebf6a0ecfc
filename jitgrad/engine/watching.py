"""Words of memory that must be as they were: how compiled code sees that a Python object is another one now."""

from .jit import entry, jit
from .layout import WATCH_ADDRESS, WATCH_VALUE, WATCH_WORDS
from .pointers import load_word, store_word

WORD = 8


@jit
def same_words(table, count):
    """Whether each of `count` addresses still has the value that stands beside it."""
    for k in range(count):
        line = table + k * WATCH_WORDS * WORD
        if load_word(load_word(line, WATCH_ADDRESS), 0) != load_word(line, WATCH_VALUE):
            return False
    return True


@entry
def words_hold(c, table, count):
    """`same_words`, for Python: 1 or 0."""
    return 1 if same_words(table, count) else 0


@entry
def read_words(c, table, target, count):
    """Read what stands at `count` addresses now, one value after the other."""
    for k in range(count):
        store_word(target, k, load_word(load_word(table, k * WATCH_WORDS + WATCH_ADDRESS), 0))
    return 0
