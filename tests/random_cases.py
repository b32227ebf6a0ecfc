"""What the tests of random numbers have in common."""

from __future__ import annotations

import math

MANY = 200_003


def close(value: float, expected: float, deviation: float, count: int = MANY) -> bool:
    """Within five standard errors."""
    return abs(value - expected) < 5 * deviation / math.sqrt(count)
