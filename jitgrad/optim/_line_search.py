"""A line search for the strong Wolfe conditions, with cubic interpolation.

Nocedal, Wright: Numerical optimization, 2nd edition, section 3.5; the safeguards are those of minFunc and
PyTorch, so that both find the same points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from jitgrad._tensor import Tensor

DECREASE, CURVATURE = 1e-4, 0.9  # the constants c1 and c2 of the Wolfe conditions
LEAST_MOVE = 1e-9  # the search ends where the interval moves no parameter by more


@dataclass(slots=True)
class Point:
    """A point on the line: its distance, and there the loss, the gradient and the slope along the line."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    at: Callable[[float], Point],
    t: float,
    start: Point,
    direction_size: float,
    max_evaluations: int,
) -> Point:
    """Find a point with enough decrease and a flat enough slope.

    Parameters
    ----------
    at : callable
        Evaluates the loss at a distance.
    t : float
        First distance to try.
    start : Point
        The point at distance 0; its slope is negative.
    direction_size : float
        Largest entry of the direction.
    max_evaluations : int
        Turns of the search (the first evaluation is free).

    Returns
    -------
    Point
        The point found, or the best one when the evaluations ran out.
    """

    def too_high(point: Point) -> bool:
        return point.loss > start.loss + DECREASE * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -CURVATURE * start.slope

    # find an interval that holds such a point
    previous, new = start, at(t)
    turns = 0
    while turns < max_evaluations:
        if too_high(new) or (turns > 1 and new.loss >= previous.loss):
            break
        if flat(new):
            return new
        if new.slope >= 0:
            break
        bounds = (new.t + 0.01 * (new.t - previous.t), 10 * new.t)
        previous, new = new, at(_cubic_minimum(previous, new, bounds))
        turns += 1
    else:
        previous = start
    ends = [previous, new]
    low = _lower(ends)

    # shrink it
    was_close = False
    while turns < max_evaluations:
        high = 1 - low
        if abs(ends[1].t - ends[0].t) * direction_size < LEAST_MOVE:
            break
        t = _cubic_minimum(ends[0], ends[1])
        t, was_close = _away_from_ends(t, ends[0].t, ends[1].t, was_close)
        new = at(t)
        turns += 1
        if too_high(new) or new.loss >= ends[low].loss:
            ends[high] = new
            low = _lower(ends)
            continue
        if flat(new):
            return new
        if new.slope * (ends[high].t - ends[low].t) >= 0:
            ends[high] = ends[low]
        ends[low] = new
    return ends[low]


def _lower(ends: list[Point]) -> int:
    return 0 if ends[0].loss <= ends[1].loss else 1


def _cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """The minimum of the cubic through two points with their slopes, within bounds (by default a and b)."""
    if a.t > b.t:
        a, b = b, a
    lowest, highest = bounds if bounds is not None else (a.t, b.t)
    middle = (lowest + highest) / 2.0
    if a.t == b.t:
        return middle
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:  # also when something is nan
        return middle
    d2 = sqrt(square)
    divisor = b.slope - a.slope + 2 * d2
    if divisor == 0:
        return middle
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / divisor)
    return min(max(t, lowest), highest)


def _away_from_ends(t: float, a: float, b: float, was_close: bool) -> tuple[float, bool]:
    """Keep a trial point from creeping along an end of the interval; returns it and if it is close to one."""
    lowest, highest = min(a, b), max(a, b)
    margin = 0.1 * (highest - lowest)
    if min(highest - t, t - lowest) >= margin:
        return t, False
    if not (was_close or t >= highest or t <= lowest):
        return t, True
    return (highest - margin if abs(t - highest) < abs(t - lowest) else lowest + margin), False
