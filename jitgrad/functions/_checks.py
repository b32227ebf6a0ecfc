"""Refusals that depend on values: a kernel looks and reports, eagerly and in every replay of a program."""

from __future__ import annotations

from array import array
from collections.abc import Callable

from .._tensor import Tensor
from ..dispatch import CONTEXT, complete
from ..engine.entry import entries
from ..kernels import BY_NAME
from ..kernels.abi import float_bits
from .losses import REPORT, REPORT_ADDRESS

WITHIN = BY_NAME["within"]
REFUSALS: list[tuple[type[Exception], str]] = []  # by the number that the kernel reports


def within(
    low: float, high: float, error: type[Exception], message: str, nan_as: float
) -> Callable[[Tensor], None]:
    """A check that raises `error` when an element is not from `low` to `high`, where nan counts as `nan_as`."""
    number = len(REFUSALS)
    REFUSALS.append((error, message))
    words = array("q", (REPORT_ADDRESS, number, *map(float_bits, (low, high, nan_as))))
    place = words.buffer_info()[0]

    def check(x: Tensor) -> None:
        slot = entries.apply(CONTEXT, WITHIN.code, 0, x._slot, 0, 0, 0, place, len(words))
        entries.release(CONTEXT, slot if slot >= 0 else complete(WITHIN, (x,), words, 0, slot))
        if REPORT[0]:
            REPORT[0] = 0
            raise error(message)

    return check
