"""Chains of rows over a batch, run strip by strip.

A layer, its activation, the next layer: each sample goes its own way through such rows. Instead of taking the
whole batch through one row after the other, a strip of it is taken through all of them while it lies in the cache;
and several threads can each take strips without waiting for one another in between.
"""

from __future__ import annotations

import itertools

import numpy as np

from ...kernels import BY_NAME, program_rows
from ...kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_NUMEL,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    ARRAY_WORDS,
    ARRAYS,
    N_SIZES,
    N_STREAMS,
    R_COUNT,
    R_DIMS,
    R_LAYOUT,
    R_NUMEL,
    STREAM_WORDS,
)
from ...kernels.table import LINEAR, MAP
from ..rows import Row, View, decode
from .facts import Facts
from .moving import move_result

MIN_ROWS = 16  # of a strip: fewer would waste the matrix multiply's tiles
LARGE = 1 << 16  # elements of an elementwise row that is worth cutting without a layer near
WEIGHTS = 1024  # elements of a layer's weights above which
WEIGHTED_ROWS = 128  # a strip has at least so many rows: each strip puts the weights in order anew
STRIP_BYTES = 96 << 10  # what a strip's rows touch should stay in the near caches
MIN_BYTES = 16 << 10  # a chain that touches less is not worth it
MOST_STRIPS = 256
LINE = 64  # elements that no two strips of a large row have a part of
MOST_ROWS = 64  # of a chain


def cut_strips(rows: list[Row], facts: Facts) -> list[Row]:
    """Replace chains of at least two rows over one batch by rows that run them strip by strip."""
    # the rows that were split, with their parts, by the identity of the first part, which lives as long
    whole: dict[int, tuple[list[Row], Row]] = {}
    parts: list[Row] = []
    for row in rows:
        split = _split_gradients(row)
        if len(split) > 1:
            whole[id(split[0])] = split, row
        parts += split
    rows = parts
    done: list[Row] = []
    batches = _batches(rows)
    at = 0
    while at < len(rows):
        chain, deferred, end = _chain(rows, at, batches[at], facts)
        joined = _joined(chain, batches[at]) if len(chain) > 1 else None
        if joined is None:
            split, original = whole.get(id(rows[at]), ([], rows[at]))
            if split and rows[at + 1] is split[1]:
                done.append(original)
                at += 2
            else:  # never split, or its parts have moved since
                done.append(rows[at])
                at += 1
        else:
            done += [joined, *deferred]
            at = end
    return done


def _split_gradients(row: Row) -> list[Row]:
    """A layer's backward row as two: to its input, a sample at a time, and to its parameters, over all samples."""
    op = BY_NAME.get(row.op)
    if op is None or op.rule != LINEAR or row.variant != 1 or _samples(row, 4) < 2 * MIN_ROWS:
        return [row]
    first = int(row.words[R_COUNT]) - len(op.operands)
    wanted = [k for k in range(len(op.operands)) if _address(row, first + k)]
    if 0 not in wanted or wanted == [0]:
        return [row]
    return [_without(row, [first + k for k in wanted if k]), _without(row, [first])]


def _address(row: Row, k: int) -> int:
    return int(row.words[A_ARRAYS + k * ARRAY_WORDS + ARRAY_ADDRESS])


def _without(row: Row, arrays: list[int]) -> Row:
    words = row.words.copy()
    for k in arrays:
        words[A_ARRAYS + k * ARRAY_WORDS + ARRAY_ADDRESS] = 0
    return decode(words)


def _samples(row: Row, k: int) -> int:
    """Rows of array `k` when it is a matrix, else 0."""
    at = A_ARRAYS + k * ARRAY_WORDS
    return int(row.words[at + ARRAY_SHAPE]) if row.words[at + ARRAY_DIMS] == 2 else 0


def _batch_of(row: Row) -> int:
    """The number of samples over which a layer's row goes one by one, or 0."""
    op = BY_NAME.get(row.op)
    if op is None or op.rule != LINEAR or int(row.words[R_LAYOUT]) != ARRAYS:
        return 0
    if row.variant == 0:
        return _samples(row, 0) if _along_rows(row, 0) else 0
    first = int(row.words[R_COUNT]) - len(op.operands)
    if any(_address(row, first + k) for k in range(1, len(op.operands))):
        return 0
    return _samples(row, 4) if _along_rows(row, 4) else 0


def _along_rows(row: Row, k: int) -> bool:
    """Whether the samples of a matrix lie along its rows.

    Otherwise the matrix multiply may choose another order of its sums for another number of samples.
    """
    return int(row.words[A_ARRAYS + k * ARRAY_WORDS + ARRAY_STRIDES + 1]) == 1


def _batches(rows: list[Row]) -> list[int]:
    """For every row, the batch of the first layer that follows but for elementwise rows.

    Without such a layer, large elementwise rows over contiguous blocks are a batch of single elements; else 0.
    """
    batches = [0] * (len(rows) + 1)
    for k in range(len(rows) - 1, -1, -1):
        is_map = _is_map(rows[k])
        batches[k] = _batch_of(rows[k]) or (batches[k + 1] if is_map else 0)
    for k, row in enumerate(rows):
        if not batches[k] and _is_map(row) and int(row.words[R_DIMS]) == 1:
            numel = row.writes[0].numel
            batches[k] = numel if numel >= LARGE else 0
    return batches


def _chain(rows: list[Row], at: int, batch: int, facts: Facts) -> tuple[list[Row], list[Row], int]:
    """The chain that begins at row `at`, the rows put off until after it, and where it ends.

    A row of the chain that would overwrite what a row put off still needs gets other memory for its result.
    """
    chain: list[Row] = []
    deferred: list[Row] = []
    end = at
    if batch < 2 * MIN_ROWS:
        return chain, deferred, at
    for k in range(at, min(at + MOST_ROWS, len(rows))):
        row = rows[k]
        if _narrowable(row, batch) and _conflicts(row, deferred):
            move_result(rows, k, facts)
            row = rows[k]
        if _narrowable(row, batch) and _follows(row, chain) and not _conflicts(row, deferred):
            chain.append(row)
        elif chain and row.variant == 1 and BY_NAME[row.op].rule == LINEAR and not _conflicts(row, deferred):
            deferred.append(row)
        else:
            break
        end = k + 1
    return chain, deferred, end


def _is_map(row: Row) -> bool:
    op = BY_NAME.get(row.op)
    return op is not None and op.kind == MAP and int(row.words[R_LAYOUT]) != ARRAYS


def _narrowable(row: Row, batch: int) -> bool:
    """Whether a row treats the samples of a batch one by one, each with memory of its own."""
    if _batch_of(row) == batch:
        return True
    if not _is_map(row):
        return False
    if int(row.words[R_DIMS]) == 1:
        return row.writes[0].numel % batch == 0 and row.writes[0].numel >= batch
    return int(row.words[N_SIZES]) == batch


def _follows(row: Row, chain: list[Row]) -> bool:
    """Whether what a row shares with the rows before it in the chain is cut into the same strips."""
    for before in chain:
        for w in before.writes:
            for v in (*row.reads, *row.writes):
                if v.touches(w) and not _aligned(v, w):
                    return False
        for r in before.reads:
            for w in row.writes:
                if w.touches(r) and not _aligned(w, r):
                    return False
    return True


def _aligned(a: View, b: View) -> bool:
    return a.begin == b.begin and a.end == b.end and _dense(a) and _dense(b)


def _dense(v: View) -> bool:
    return v.end - v.begin == v.numel * v.itemsize


def _conflicts(row: Row, others: list[Row]) -> bool:
    """Whether a row must not be moved ahead of rows that come before it."""
    for other in others:
        if any(w.touches(v) for w in row.writes for v in (*other.reads, *other.writes)):
            return True
        if any(w.touches(v) for w in other.writes for v in row.reads):
            return True
    return False


def _joined(chain: list[Row], batch: int) -> Row | None:
    """One row for a chain, or None when it is too short to be worth it."""
    if not any(_batch_of(row) for row in chain) and any(row.writes[0].numel != batch for row in chain):
        return None
    spans = {
        (v.begin, v.end) for row in chain for v in (*row.reads, *row.writes) if v.end - v.begin >= 4 * batch
    }
    size = sum(end - begin for begin, end in spans)
    if size < MIN_BYTES:
        return None
    fewest = WEIGHTED_ROWS if any(_weights(row) > WEIGHTS for row in chain) else MIN_ROWS
    strips = min(max(2, 2 * round(size / STRIP_BYTES / 2)), batch // fewest, MOST_STRIPS)
    if strips < 2:
        return None
    grain = LINE if batch >= LARGE else 4
    edges = [batch * k // strips // grain * grain for k in range(strips)] + [batch]
    cut = [[narrowed(row, batch, first, last) for row in chain] for first, last in itertools.pairwise(edges)]
    return program_strips(chain, cut)


def _weights(row: Row) -> int:
    """Elements of a layer's weights."""
    if not _batch_of(row):
        return 0
    return next((v.numel for v in row.reads if v.place == A_ARRAYS + ARRAY_WORDS + ARRAY_ADDRESS), 0)


def narrowed(row: Row, batch: int, first: int, last: int) -> Row:
    """The part of a row that belongs to samples ``first .. last``."""
    words = row.words.copy()
    if int(words[R_LAYOUT]) == ARRAYS:
        for k in range(int(words[R_COUNT])):
            at = A_ARRAYS + k * ARRAY_WORDS
            if k in _over_batch(row) and words[at + ARRAY_SHAPE] == batch:
                if words[at + ARRAY_ADDRESS]:
                    view = next(v for v in (*row.reads, *row.writes) if v.place == at + ARRAY_ADDRESS)
                    words[at + ARRAY_ADDRESS] += first * view.strides[0] * view.itemsize
                words[at + ARRAY_NUMEL] = words[at + ARRAY_NUMEL] // batch * (last - first)
                words[at + ARRAY_SHAPE] = last - first
        words[R_NUMEL] = words[R_NUMEL] // batch * (last - first)
        return decode(words)
    size = int(words[N_SIZES]) // batch  # elements a sample along the outermost dimension
    words[N_SIZES] = size * (last - first)
    words[R_NUMEL] = words[R_NUMEL] // batch * (last - first)
    for k, view in enumerate((*row.writes, *row.reads)[: int(words[R_COUNT])]):
        at = N_STREAMS + k * STREAM_WORDS
        words[at] += first * size * view.strides[0] * view.itemsize
    return decode(words)


def _over_batch(row: Row) -> range | tuple[int, ...]:
    """The arrays of a layer's row that have the samples along their first dimension."""
    return (0, 3) if row.variant == 0 else (0, 3, 4, 5)


def program_strips(chain: list[Row], cut: list[list[Row]]) -> Row:
    """The row that runs strips of a chain."""
    blocks = [np.concatenate([row.words for row in strip]) for strip in cut]
    spans = [word for block in blocks for word in (block.ctypes.data, block.ctypes.data + 8 * len(block))]
    words = np.array(program_rows.record("strips", [len(cut), *spans]), np.int64)
    reads = tuple({(v.begin, v.end): v for row in chain for v in row.reads}.values())
    writes = tuple({(v.begin, v.end): v for row in chain for v in row.writes}.values())
    inner = tuple(
        (row, block.ctypes.data + 8 * sum(len(r.words) for r in strip[:k]))
        for strip, block in zip(cut, blocks, strict=True)
        for k, row in enumerate(strip)
    )
    return Row(words, "program.strips", reads, writes, tuple(chain), inner, tuple(blocks))
