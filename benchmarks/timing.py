"""The time of something that is over in microseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import repeat

SHORTEST = 5e-4  # seconds of a run
ROUNDS = 7


def rounds_of(
    function: Callable[[], object], rounds: int = ROUNDS, shortest: float = SHORTEST
) -> list[float]:
    """Seconds of one call in each of several rounds of many calls; the first calls are not among them."""
    function()
    count = 1
    while (took := _seconds(function, count)) < shortest:
        count = max(2 * count, min(int(count * shortest / max(took, 1e-9)), 100 * count))
    return [_seconds(function, count) / count for _ in range(rounds)]


def _seconds(function: Callable[[], object], count: int) -> float:
    begun = time.perf_counter()
    for _ in repeat(None, count):
        function()
    return time.perf_counter() - begun
