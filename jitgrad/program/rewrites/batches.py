"""How a row is cut along a batch: which of its arrays have samples, and the row for some of the samples."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from ...kernels import BY_NAME
from ...kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_NUMEL,
    ARRAY_SHAPE,
    ARRAY_WORDS,
    ARRAYS,
    N_SIZES,
    R_COUNT,
    R_DIMS,
    R_FLAGS,
    R_LAYOUT,
    R_NUMEL,
)
from ...kernels.batch import ABSENT, SHARED, SUMMED, WORKSPACE, Batch, Strip
from ...kernels.table import ARRAYS as ARRAY_OP
from ...kernels.table import BACKWARD, BOTH, FORWARD, MAP, OPS
from ..log.rows import Row, attributes, decode
from ..log.views import View

LINE_BYTES = 64


class Part(NamedTuple):
    """A view of a row, and what of it belongs to each sample.

    Sample i has bytes ``begin + i * step`` up to ``size`` bytes further, and those again at multiples of `around`,
    which is what all samples together take at that step.
    """

    view: View
    step: int  # bytes from a sample to the next; 0 when all samples share the view
    size: int
    around: int

    def apart_from(self, other: Part) -> bool:
        """Whether no sample's part of one view touches another sample's part of the other."""
        if not self.view.touches(other.view):
            return True
        if not self.step or (self.step, self.around) != (other.step, other.around):
            return False
        ahead = (other.view.begin - self.view.begin) % self.around
        if 2 * ahead > self.around:
            ahead -= self.around
        return max(self.size, ahead + other.size) - min(ahead, 0) <= self.step


class Cut(NamedTuple):
    """A row that may be cut along a batch."""

    reads: tuple[Part, ...]
    writes: tuple[Part, ...]  # without those that are sums
    sums: tuple[View, ...]  # written whole for any number of samples: to be added up
    rows: int  # of a matrix product, for each sample; 0 for other rows
    grain: int  # samples of which a strip should be a multiple
    space: View | None  # its workspace, of which a strip must have the same part in all rows


@functools.cache
def roles(code: int, variant: int) -> tuple[int, ...]:
    """For every array of an operation's records a dimension, or what `kernels.batch` has instead.

    A kernel that goes both ways makes results that have no samples, too: sums over them.
    """
    op = OPS[code]
    batch = op.batch
    assert batch is not None
    operands = [batch.role(name) for name in op.operands]
    outputs = [batch.role(f"y{k or ''}") for k in range(op.outputs)]
    if variant == FORWARD:
        return (*operands, *outputs)
    cotangents = [r if r >= 0 else batch.role(f"g{k or ''}") for k, r in enumerate(outputs)]
    gradients = [SUMMED if r == SHARED else r for r in operands]
    if variant == BOTH:
        outputs = [SUMMED if r == ABSENT else r for r in outputs]
    return (*operands, *outputs, *cotangents, *gradients)


def batch_of(row: Row) -> int:
    """The number of samples that an array operation takes one by one, or 0."""
    described = _described(row)
    if described is None:
        return 0
    _, kinds = described
    for view in (*row.reads, *row.writes):
        k = number_of(view)
        if kinds[k] >= 0 and len(view.shape) > kinds[k]:
            samples = view.shape[kinds[k]]
            return samples if samples and cut_of(row, samples) is not None else 0
    return 0


def number_of(view: View) -> int:
    """The number of an array within its record."""
    return (view.place - A_ARRAYS) // ARRAY_WORDS


def is_map(row: Row) -> bool:
    """Whether a row is elementwise."""
    op = BY_NAME.get(row.op)
    return op is not None and op.kind == MAP and int(row.words[R_LAYOUT]) != ARRAYS


def _described(row: Row) -> tuple[Batch, tuple[int, ...]] | None:
    """What the op table says of a row's batch, and the roles of its arrays."""
    op = BY_NAME.get(row.op) if row.variant in (FORWARD, BACKWARD, BOTH) else None
    if op is None or op.kind != ARRAY_OP or op.batch is None:
        return None
    return op.batch, roles(op.code, row.variant)


def cut_of(row: Row, batch: int) -> Cut | None:
    """How a row may be cut, or None when it may not."""
    if row.cuts is None:
        row.cuts = {}
    elif batch in row.cuts:
        return row.cuts[batch]
    cut = row.cuts[batch] = _new_cut(row, batch)
    return cut


def _new_cut(row: Row, batch: int) -> Cut | None:
    if is_map(row):
        return _cut_of_map(row, batch)
    described = _described(row)
    if described is None or int(row.words[R_FLAGS]):
        return None
    told, kinds = described
    words, dtype = attributes(row.words).tolist(), row.dtype
    if told.attributes(words, Strip(0, 1, batch, dtype)) is None:
        return None
    reads = [_part(view, kinds[number_of(view)], batch) for view in row.reads]
    writes = [_part(v, kinds[number_of(v)], batch) for v in row.writes if kinds[number_of(v)] != SUMMED]
    sums = tuple(v for v in row.writes if kinds[number_of(v)] == SUMMED)
    if None in reads or None in writes or any(not p.step for p in writes if p):
        return None
    rows = 0
    if told.products:
        sampled = [p.view for p in reads if p and p.step]
        # the matrix multiply may choose another order of its sums for another number of such samples
        if not sampled or any(v.strides[-1] != 1 for v in sampled):
            return None  # none: all samples are one that is repeated
        rows = math.prod(sampled[-1].shape[:-1]) // batch
    grain = told.grain(words, dtype)
    cut = Cut(tuple(reads), tuple(writes), sums, rows, grain, space_of(row))  # type: ignore[arg-type]
    return cut if cut.space is None or _fits(told, cut, cut.space, words, dtype, batch) else None


def space_of(row: Row) -> View | None:
    """The workspace of a row."""
    described = _described(row)
    if described is None or not described[0].workspace:
        return None
    _, kinds = described
    return next((v for v in (*row.reads, *row.writes) if kinds[number_of(v)] == WORKSPACE), None)


def _part(view: View, role: int, batch: int) -> Part | None:
    """How a view takes part, or None when it cannot."""
    if role == ABSENT:
        return None
    if role == SHARED:
        return Part(view, 0, 0, 0)
    if role == WORKSPACE:
        step = (view.end - view.begin) // batch
        return Part(view, step, step, batch * step)
    return _along(view, role, batch)


def _along(view: View, dim: int, batch: int) -> Part | None:
    """How a view takes part that has the samples along a dimension."""
    if len(view.shape) <= dim or not view.numel or view.shape[dim] % batch or min(view.strides) < 0:
        return None
    own = view.shape[dim] // batch
    step = own * view.strides[dim] * view.itemsize
    around = batch * step
    size = view.itemsize
    for d, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        bytes_ = stride * view.itemsize
        if d == dim:
            size += (own - 1) * bytes_
        elif not around or bytes_ % around:
            size += (n - 1) * bytes_
    return Part(view, step, size, around)


def _fits(batch: Batch, cut: Cut, space: View, words: list[int], dtype: int, samples: int) -> bool:
    """Whether the workspace of every strip fits into the strip's part of the whole."""
    step = (space.end - space.begin) // samples
    if batch.needs is None or min(cut.grain, samples) * step % LINE_BYTES:
        return False
    for strip in {min(cut.grain, samples), samples % cut.grain} - {0}:
        narrow = batch.attributes(words, Strip(0, strip, samples, dtype))
        if narrow is None or batch.needs(narrow, dtype) * space.itemsize > strip * step:
            return False
    return True


def _cut_of_map(row: Row, batch: int) -> Cut | None:
    size = int(row.words[R_NUMEL] if int(row.words[R_DIMS]) == 1 else row.words[N_SIZES])
    if not size or size % batch:
        return None
    reads = [_along(view, 0, batch) for view in row.reads]
    writes = [_along(view, 0, batch) for view in row.writes]
    if None in reads or any(p is None or not p.step for p in writes):
        return None
    return Cut(tuple(reads), tuple(writes), (), 0, 1, None)  # type: ignore[arg-type]


# rows for some of the samples ---------------------------------------------------------------------


def narrowed(row: Row, cut: Cut, batch: int, first: int, last: int, places: dict[int, int]) -> Row:
    """The part of a row that belongs to samples ``first .. last``.

    `places` has addresses of other memory for sums, by the words of the record that name them.
    """
    words = row.words.copy()
    words[R_NUMEL] = words[R_NUMEL] // batch * (last - first)
    for place, step in {p.view.place: p.step for p in (*cut.reads, *cut.writes)}.items():
        words[place] += first * step
    for place, address in places.items():
        words[place] = address
    if is_map(row):
        words[N_SIZES] = words[N_SIZES] // batch * (last - first)
    else:
        _narrow_arrays(words, row, Strip(first, last - first, batch, row.dtype))
    return decode(words)


def _narrow_arrays(words: np.ndarray, row: Row, strip: Strip) -> None:
    batch, samples, rows = strip.batch, strip.samples, 0
    described = _described(row)
    assert described is not None
    told, kinds = described
    for k, role in enumerate(kinds[: int(words[R_COUNT])]):
        at = A_ARRAYS + k * ARRAY_WORDS
        # an operand that is not read is not there, but its shape may be asked for
        if 0 <= role < words[at + ARRAY_DIMS] and words[at + ARRAY_SHAPE + role] % batch == 0:
            own = int(words[at + ARRAY_SHAPE + role]) // batch
            rows = rows or own
            words[at + ARRAY_SHAPE + role] = own * samples
            words[at + ARRAY_NUMEL] = words[at + ARRAY_NUMEL] // batch * samples
        elif role == WORKSPACE:
            words[at + ARRAY_SHAPE] = words[at + ARRAY_NUMEL] = words[at + ARRAY_NUMEL] // batch * samples
    narrow = told.attributes(attributes(words).tolist(), strip._replace(rows=rows))
    assert narrow is not None
    attributes(words)[:] = narrow


def without(row: Row, views: tuple[View, ...]) -> Row:
    """The row without some of what it writes."""
    words = row.words.copy()
    for view in views:
        words[A_ARRAYS + number_of(view) * ARRAY_WORDS + ARRAY_ADDRESS] = 0
    return decode(words)
