"""The loops of connectionist temporal classification, for Numba; see `kernels.ctc`.

Between the labels of a target stand blanks, so a target of n labels is a row of 2 n + 1 *places*, and a path goes
from step to step to the same place, the next one, or past a blank to the next but one if the labels differ. Sums
over paths are kept as logarithms, in float64.
"""

from __future__ import annotations

import math
from typing import Any

from .abi import ARRAY_ADDRESS, ARRAY_STRIDES, FLOAT64, INT64
from .plain import accessors, address_of, attributes, described, helper, set_word, share_of, size_of, word

BAD_TARGET = 2  # as in `kernels.reports`
NOTHING = -math.inf
LOG_PROBS, TARGETS, LENGTHS = range(3)
BLANK, ZERO_INFINITY, REPORT = range(3)  # attributes


@helper
def share(x, top):
    """``exp(x - top)``, without a call where it is 0 or 1."""
    gap = x - top
    if gap == 0.0:
        return 1.0
    return 0.0 if gap == NOTHING else math.exp(gap)


@helper
def log_sum(a, b, c):
    """The logarithm of a sum of three exponentials."""
    top = a if a > b else b
    top = c if c > top else top
    if top == NOTHING:
        return top
    return top + math.log(share(a, top) + share(b, top) + share(c, top))


def _helpers(dtype: int) -> tuple[Any, Any, Any]:
    """``probability(at, t, label)``, ``label(at, place)`` and ``may_skip(at, place)`` of the sequence `at`.

    `at` is the address of log_probs, its strides from step to step and from class to class, the offset of the
    sequence, the address of its target, and the blank.
    """
    load, _ = accessors(dtype)
    load_index, _ = accessors(INT64)

    @helper
    def probability(at, t, label):
        return float(load(at[0], at[3] + t * at[1] + label * at[2]))

    @helper
    def label(at, place):
        return at[5] if place % 2 == 0 else load_index(at[4], place // 2)

    @helper
    def may_skip(at, place):
        return (
            place >= 2
            and place % 2 == 1
            and load_index(at[4], place // 2) != load_index(at[4], place // 2 - 1)
        )

    return probability, label, may_skip


@helper
def described_sequence(record, n, offset):
    """What `_helpers` need to know of sequence `n`, whose target begins at `offset`."""
    x, targets = described(record, LOG_PROBS), described(record, TARGETS)
    return (
        word(x, ARRAY_ADDRESS),
        word(x, ARRAY_STRIDES),
        word(x, ARRAY_STRIDES + 2),
        n * word(x, ARRAY_STRIDES + 1),
        word(targets, ARRAY_ADDRESS) + 8 * offset,
        word(attributes(record), BLANK),
    )


def ctc(dtype: int) -> Any:
    """The negative logarithm of the sum over all paths; arrays log_probs, targets, lengths, y, store."""
    probability, label, may_skip = _helpers(dtype)
    load_index, _ = accessors(INT64)
    _, store = accessors(dtype)
    load_wide, store_wide = accessors(FLOAT64)

    def kernel(record, part, parts):
        words = attributes(record)
        batch, classes = size_of(record, 0, 1), size_of(record, 0, 2)
        lengths, y, sums = address_of(record, 2), address_of(record, 3), address_of(record, 4)
        rows, width = size_of(record, 4, 1), size_of(record, 4, 2)
        begin, end = share_of(batch, part, parts)
        for n in range(begin, end):
            steps, places = load_index(lengths, n), 2 * load_index(lengths, batch + n) + 1
            at = described_sequence(record, n, load_index(lengths, 2 * batch + n))
            base = n * rows * width
            bad = False
            for place in range(1, places, 2):
                if label(at, place) < 0 or label(at, place) >= classes:
                    report = word(words, REPORT)
                    set_word(report, 1, label(at, place))
                    set_word(report, 0, BAD_TARGET)
                    bad = True
            for place in range(places):
                store_wide(sums, base + place, 0.0 if place == 0 else NOTHING)
            if not bad:
                for t in range(steps):
                    now, before = base + t * width, base + (t - 1) * width
                    for place in range(places):
                        if t == 0:
                            total = 0.0 if place < 2 else NOTHING
                        else:
                            total = log_sum(
                                load_wide(sums, before + place),
                                load_wide(sums, before + place - 1) if place > 0 else NOTHING,
                                load_wide(sums, before + place - 2) if may_skip(at, place) else NOTHING,
                            )
                        store_wide(sums, now + place, total + probability(at, t, label(at, place)))
            last = base + (steps - 1 if steps > 0 else 0) * width + places - 1
            loss = -log_sum(
                load_wide(sums, last), load_wide(sums, last - 1) if places > 1 else NOTHING, NOTHING
            )
            if bad:
                loss = math.nan
            store_wide(sums, base + (rows - 1) * width, loss)
            store(y, n, 0.0 if loss == math.inf and word(words, ZERO_INFINITY) else loss)

    return kernel


def ctc_backward(dtype: int) -> Any:
    """The gradient, as if the probabilities were softmaxes of something: ``(p - share of the paths) g``.

    Arrays log_probs, targets, lengths, y, store, g, -, gradient, -, -. Sums of what comes after a step are kept
    in two rows of the store in turn.
    """
    probability, label, may_skip = _helpers(dtype)
    load_index, _ = accessors(INT64)
    load, store = accessors(dtype)
    load_wide, store_wide = accessors(FLOAT64)

    def kernel(record, part, parts):
        words = attributes(record)
        steps_all, batch, classes = size_of(record, 0, 0), size_of(record, 0, 1), size_of(record, 0, 2)
        lengths, sums = address_of(record, 2), address_of(record, 4)
        rows, width = size_of(record, 4, 1), size_of(record, 4, 2)
        g, g_step = address_of(record, 5), word(described(record, 5), ARRAY_STRIDES)
        gradient = address_of(record, 7)
        begin, end = share_of(batch, part, parts)
        for n in range(begin, end):
            steps, places = load_index(lengths, n), 2 * load_index(lengths, batch + n) + 1
            at = described_sequence(record, n, load_index(lengths, 2 * batch + n))
            base = n * rows * width
            loss = load_wide(sums, base + (rows - 1) * width)
            scale = load(g, n * g_step)
            lost = loss == math.inf and word(words, ZERO_INFINITY)
            for t in range(steps_all):
                row = (t * batch + n) * classes
                for c in range(classes):
                    value = 0.0
                    if t < steps and not lost:
                        value = math.exp(probability(at, t, c)) if loss < math.inf else math.nan
                    store(gradient, row + c, value * scale)
            if not loss < math.inf:
                continue
            for back in range(steps):
                t = steps - 1 - back
                row = (t * batch + n) * classes
                ahead = base + t * width
                here = base + (rows - 3 + back % 2) * width
                after = base + (rows - 3 + (back + 1) % 2) * width
                for place in range(places):
                    if back == 0:
                        total = 0.0 if place >= places - 2 else NOTHING
                    else:
                        total = log_sum(
                            load_wide(sums, after + place),
                            load_wide(sums, after + place + 1) if place + 1 < places else NOTHING,
                            load_wide(sums, after + place + 2)
                            if place + 2 < places and may_skip(at, place + 2)
                            else NOTHING,
                        )
                    c = label(at, place)
                    # the paths that lead here include this step, so those that lead on from here do not
                    part_of = math.exp(load_wide(sums, ahead + place) + total + loss)
                    store(gradient, row + c, load(gradient, row + c) - part_of * scale)
                    store_wide(sums, here + place, total + probability(at, t, c))

    return kernel
