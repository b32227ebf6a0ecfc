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


def refusal(error: type[Exception], message: str) -> int:
    """The number by which a kernel that finds values without a result says what is to be raised."""
    REFUSALS.append((error, message))
    return len(REFUSALS) - 1


def is_reported() -> bool:
    """Whether a kernel has reported something in the cell at `REPORT_ADDRESS`, which is cleared."""
    found = REPORT[0] != 0
    REPORT[0] = 0
    return found


def raise_reported() -> None:
    """Raise what a kernel has reported in the cell at `REPORT_ADDRESS`, if anything."""
    if is_reported():
        error, message = REFUSALS[REPORT[1]]
        raise error(message)


def within(
    low: float, high: float, error: type[Exception], message: str, nan_as: float
) -> Callable[[Tensor], None]:
    """A check that raises `error` when an element is not from `low` to `high`, where nan counts as `nan_as`."""
    words = array("q", (REPORT_ADDRESS, refusal(error, message), *map(float_bits, (low, high, nan_as))))
    place = words.buffer_info()[0]

    def check(x: Tensor) -> None:
        slot = entries.apply(CONTEXT, WITHIN.code, 0, x._slot, 0, 0, 0, place, len(words))
        entries.release(CONTEXT, slot if slot >= 0 else complete(WITHIN, (x,), words, 0, slot))
        raise_reported()

    return check
