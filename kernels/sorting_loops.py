"""The loops of sorting kernels, for Numba.

Elements become int64 keys in the order of their values, so that one radix sort (least significant byte first,
stable) serves every dtype; bytes in which all keys agree are skipped. Short lines are sorted by insertion.
"""

from __future__ import annotations

from typing import Any

from . import abi
from .abi import ARRAY_ADDRESS, ARRAY_DIMS, ARRAY_NUMEL, ARRAY_SHAPE, ARRAY_STRIDES
from .plain import accessors, attributes, bits, described, helper, place, quotient, set_word, word

SHORT = 40  # up to this length insertion is quicker
FEW_LEFT = 12  # below so many, a selection ends with insertion
MOST_TURNS = 64  # of a selection; lines of which each takes little away are sorted
BUCKETS = 256
KTH, MEDIAN, NANMEDIAN, MODE = range(4)
_LARGEST = (1 << 63) - 1
# per floating dtype: all bits but the sign, the bits of infinity, and the key of nan
_FORMATS = {
    abi.FLOAT32: (0x7FFFFFFF, 0x7F800000),
    abi.FLOAT64: (0x7FFFFFFFFFFFFFFF, 0x7FF0000000000000),
}
_keys: dict[int, Any] = {}


def key_of(dtype: int) -> Any:
    """``key(address, index)``: an element as an integer of the same order; nan is the greatest."""
    if dtype in _keys:
        return _keys[dtype]
    if dtype not in _FORMATS:
        _keys[dtype] = accessors(dtype)[0]
        return _keys[dtype]
    load = bits(dtype)[0]
    magnitude, infinity = _FORMATS[dtype]

    @helper
    def key(address, index):
        pattern = load(address, index)
        size = pattern & magnitude
        if size > infinity:
            return magnitude
        return -size if pattern < 0 else size

    _keys[dtype] = key
    return key


@helper
def insert(keys, indices, n, key, index):
    """Put a key in its place among the `n` sorted ones before place `n`, and its index with it."""
    j = n - 1
    while j >= 0 and word(keys, j) > key:
        set_word(keys, j + 1, word(keys, j))
        set_word(indices, j + 1, word(indices, j))
        j -= 1
    set_word(keys, j + 1, key)
    set_word(indices, j + 1, index)


@helper
def insertion(keys, indices, n):
    """Sort a short line of keys, and indices with them."""
    for k in range(1, n):
        insert(keys, indices, k, word(keys, k), word(indices, k))


@helper
def radix_pass(keys, indices, to_keys, to_indices, counts, n, shift, flip):
    """One stable pass by the byte at `shift`; False when all keys agree in it and nothing was moved."""
    for b in range(BUCKETS):
        set_word(counts, b, 0)
    for k in range(n):
        b = ((word(keys, k) >> shift) & 255) ^ flip
        set_word(counts, b, word(counts, b) + 1)
    if word(counts, ((word(keys, 0) >> shift) & 255) ^ flip) == n:
        return False
    total = 0
    for b in range(BUCKETS):
        count = word(counts, b)
        set_word(counts, b, total)
        total += count
    for k in range(n):
        key = word(keys, k)
        b = ((key >> shift) & 255) ^ flip
        at = word(counts, b)
        set_word(counts, b, at + 1)
        set_word(to_keys, at, key)
        set_word(to_indices, at, word(indices, k))
    return True


@helper
def sort_line(work, n, key_bytes):
    """Sort the `n` keys at `work` with the indices behind them; returns where the indices are."""
    keys, indices = work, work + n * 8
    if n <= SHORT:
        insertion(keys, indices, n)
        return indices
    other_keys, other_indices, counts = work + n * 16, work + n * 24, work + n * 32
    for b in range(key_bytes):
        flip = 128 if b == key_bytes - 1 else 0
        if radix_pass(keys, indices, other_keys, other_indices, counts, n, 8 * b, flip):
            keys, other_keys = other_keys, keys
            indices, other_indices = other_indices, indices
    return indices


@helper
def middle_of(a, b, c):
    """The second of three keys in order."""
    return max(min(a, b), min(max(a, b), c))


@helper
def select(keys, n, rank):
    """Move the key of a rank in order there, by Hoare's selection; False where that would take longer than to sort."""
    low, high = 0, n - 1
    turns = 0
    while high - low >= FEW_LEFT:
        turns += 1
        if turns > MOST_TURNS:
            return False
        pivot = middle_of(word(keys, low), word(keys, (low + high) >> 1), word(keys, high))
        i, j = low, high
        while i <= j:
            while word(keys, i) < pivot:
                i += 1
            while word(keys, j) > pivot:
                j -= 1
            if i <= j:
                exchanged = word(keys, i)
                set_word(keys, i, word(keys, j))
                set_word(keys, j, exchanged)
                i += 1
                j -= 1
        # up to j none is greater than the pivot, from i on none is less, and between them all are equal to it
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            return True
    for k in range(low + 1, high + 1):
        key = word(keys, k)
        j = k - 1
        while j >= low and word(keys, j) > key:
            set_word(keys, j + 1, word(keys, j))
            j -= 1
        set_word(keys, j + 1, key)
    return True


# bytes in which keys differ; keys of unsigned dtypes need one more than the elements have, for the sign
_KEY_BYTES = {abi.BOOL: 2, abi.UINT8: 2, abi.INT32: 4, abi.INT64: 8, abi.FLOAT32: 4, abi.FLOAT64: 8}


def argsort(dtype: int) -> Any:
    """Indices that sort each line; attribute 3: descending."""
    key = key_of(dtype)
    key_bytes = _KEY_BYTES[dtype]

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner, descending = word(words, 0), word(words, 1), word(words, 2), word(words, 3)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        work = word(described(record, 2), ARRAY_ADDRESS)
        if part != 0:
            return
        for o in range(outer):
            for i in range(inner):
                start = o * n * inner + i
                for k in range(n):
                    value = key(x, start + k * inner)
                    set_word(work, k, ~value if descending else value)
                    set_word(work, n + k, k)
                sorted_ = sort_line(work, n, key_bytes)
                for k in range(n):
                    set_word(y, start + k * inner, word(sorted_, k))

    return kernel


def topk_index(dtype: int) -> Any:
    """Indices of the first `k` in order of each line; attributes 3, 4: greatest first or least, `k`."""
    key = key_of(dtype)

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        largest, count = word(words, 3), word(words, 4)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        keys = word(described(record, 2), ARRAY_ADDRESS)
        indices = keys + count * 8
        if part != 0 or count == 0:
            return
        for o in range(outer):
            for i in range(inner):
                found = 0
                for k in range(n):
                    value = key(x, (o * n + k) * inner + i)
                    if largest:
                        value = ~value
                    if found == count and value >= word(keys, count - 1):
                        continue
                    insert(keys, indices, min(found, count - 1), value, k)
                    found += found < count
                for k in range(count):
                    set_word(y, (o * count + k) * inner + i, word(indices, k))

    return kernel


def rank_index(dtype: int) -> Any:
    """Index of one element in order of each line; attributes 3, 4: KTH, MEDIAN, NANMEDIAN or MODE, its rank."""
    key = key_of(dtype)
    key_bytes = _KEY_BYTES[dtype]
    nan = _FORMATS[dtype][0] if dtype in _FORMATS else _LARGEST
    floating = dtype in _FORMATS

    @helper
    def end_of_longest_run(x, start, step, n, indices):
        """The place in order of the last of the most frequent elements, the least of several; no nan equals another."""
        best, most, count = 0, 0, 0
        before = nan
        for k in range(n):
            value = key(x, start + word(indices, k) * step)
            same = k > 0 and value == before and not (floating and value == nan)
            count = count + 1 if same else 1
            if count > most:
                best, most = k, count
            before = value
        return best

    @helper
    def load_keys(x, start, step, n, keys):
        """Read a line's keys; returns how many are numbers."""
        numbers = 0
        for k in range(n):
            value = key(x, start + k * step)
            set_word(keys, k, value)
            numbers += not floating or value != nan
        return numbers

    @helper
    def index_of_rank(keys, copies, n, rank):
        """The index of a rank as a stable sort would give it, or -1 where that sort is as quick; see `select`."""
        for k in range(n):
            set_word(copies, k, word(keys, k))
        if n <= SHORT or not select(copies, n, rank):
            return -1
        found = word(copies, rank)
        before = 0
        for k in range(n):
            before += word(keys, k) < found
        k = -1
        for _ in range(rank - before + 1):  # the first of equal ones, and so on
            k += 1
            while word(keys, k) != found:
                k += 1
        return k

    def kernel(record, part, parts):
        words = attributes(record)
        outer, n, inner = word(words, 0), word(words, 1), word(words, 2)
        kind, rank = word(words, 3), word(words, 4)
        x, y = word(described(record, 0), ARRAY_ADDRESS), word(described(record, 1), ARRAY_ADDRESS)
        work = word(described(record, 2), ARRAY_ADDRESS)
        if part != 0:
            return
        for o in range(outer):
            for i in range(inner):
                start = o * n * inner + i
                numbers = load_keys(x, start, inner, n, work)
                at = rank
                if kind == MEDIAN and numbers < n:
                    at = numbers  # the first nan
                elif kind == MEDIAN or kind == NANMEDIAN:
                    at = (numbers - 1) >> 1 if numbers > 0 else 0
                index = -1 if kind == MODE else index_of_rank(work, work + n * 8, n, at)
                if index < 0:
                    for k in range(n):
                        set_word(work, n + k, k)
                    sorted_ = sort_line(work, n, key_bytes)
                    if kind == MODE:
                        at = end_of_longest_run(x, start, inner, n, sorted_)
                    index = word(sorted_, at)
                set_word(y, o * inner + i, index)

    return kernel


@helper
def last_size(array):
    """Size of an array's last dimension; 1 when it has none."""
    dims = word(array, ARRAY_DIMS)
    return word(array, ARRAY_SHAPE + dims - 1) if dims > 0 else 1


@helper
def last_stride(array):
    """Stride of an array's last dimension; 0 when it has none."""
    dims = word(array, ARRAY_DIMS)
    return word(array, ARRAY_STRIDES + dims - 1) if dims > 0 else 0


def _search(dtype: int, finish: Any) -> Any:
    """A kernel that looks for each element of x in a line in order.

    It calls ``finish(y, k, at, there)``: where element `k` belongs, and whether an equal one is there. One line serves
    all elements, or, when there are several, each those with the same leading indices.
    """
    key = key_of(dtype)
    nan = _FORMATS[dtype][0] if dtype in _FORMATS else _LARGEST
    floating = dtype in _FORMATS

    @helper
    def first_not_below(line, first, step, n, value, after):
        """The first place whose element is not less than `value`, or, with `after`, is greater."""
        low, high = 0, n
        while low < high:
            middle = (low + high) >> 1
            there = key(line, first + middle * step)
            if there < value or (after and there == value):
                low = middle + 1
            else:
                high = middle
        return low

    def kernel(record, part, parts):
        words = attributes(record)
        x, lines, y = described(record, 0), described(record, 1), described(record, 2)
        numel = word(x, ARRAY_NUMEL)
        if part != 0 or numel == 0:
            return
        after = word(words, 0) != 0
        n, step, line = last_size(lines), last_stride(lines), word(lines, ARRAY_ADDRESS)
        width, x_step, values = last_size(x), last_stride(x), word(x, ARRAY_ADDRESS)
        several = word(lines, ARRAY_DIMS) > 1
        for row in range(quotient(numel, width)):
            start = place(x, word(x, ARRAY_DIMS) - 1, row)
            first = place(lines, word(lines, ARRAY_DIMS) - 1, row) if several else 0
            for j in range(width):
                value = key(values, start + j * x_step)
                # nan belongs behind everything and equals nothing
                at = first_not_below(line, first, step, n, value, after or (floating and value == nan))
                there = at < n and key(line, first + at * step) == value
                finish(word(y, ARRAY_ADDRESS), row * width + j, at, there)

    return kernel


def place_in_order(dtype: int) -> Any:
    """Where elements belong in lines in order."""

    @helper
    def finish(y, k, at, there):
        set_word(y, k, at)

    return _search(dtype, finish)


def is_among(dtype: int) -> Any:
    """Whether elements are among those of a line in order; nan equals nothing."""
    store = accessors(abi.BOOL)[1]

    @helper
    def finish(y, k, at, there):
        store(y, k, 1 if there else 0)

    return _search(dtype, finish)
