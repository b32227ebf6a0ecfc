"""What the suite measures: cells, each one number of one peer in one case, with all its rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

OTHER_WORK = "not the same work"  # the note of a cell whose loss differs from the others'
LARGER_IS_BETTER = ("GF/s", "GB/s", "steps/s", "%")


class Cell(NamedTuple):
    """One number."""

    section: str
    case: str
    peer: str
    unit: str  # "s", "ns", "MB", "GF/s", "GB/s", "ulp", "%"
    values: list[float]  # of all rounds
    note: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Which cell it is."""
        return self.section, self.case, self.peer

    @property
    def less_is_better(self) -> bool:
        """Whether a smaller number is the better one."""
        return self.unit not in LARGER_IS_BETTER

    @property
    def best(self) -> float:
        """The best round."""
        return (min if self.less_is_better else max)(self.values)

    @property
    def median(self) -> float:
        """The middle round."""
        return median(self.values)

    @property
    def spread(self) -> float:
        """How far the middle round is from the best one, of the best one."""
        return abs(self.median - self.best) / abs(self.best) if self.best else 0.0


def merged(cells: Iterable[Cell]) -> list[Cell]:
    """Cells of the same place as one, with the values of all rounds in their order and the first one's note."""
    by_place: dict[tuple[str, str, str], Cell] = {}
    for c in cells:
        known = by_place.get(c.place)
        by_place[c.place] = known._replace(values=known.values + c.values) if known else c
    return list(by_place.values())


def value_text(value: float, unit: str) -> str:
    """A number for people: three digits, seconds in the unit that suits them."""
    if unit in ("s", "ns"):
        seconds = value if unit == "s" else 1e-9 * value
        for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
            if seconds >= size:
                return f"{_digits(seconds / size)} {name}"
        return f"{_digits(1e9 * seconds)} ns"
    return f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rows_of(cells: Iterable[Cell], middle: bool = False) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of the best rounds, or of the middle ones: cases down, peers across."""
    cells = list(cells)
    peers = list(dict.fromkeys(c.peer for c in cells))
    by_case: dict[str, dict[str, str]] = {}
    for c in cells:
        shown = value_text(c.median if middle else c.best, c.unit) if c.values else "-"
        by_case.setdefault(c.case, {})[c.peer] = f"{shown} ({c.note})" if c.note else shown
    rows = [[case, *[line.get(p, "-") for p in peers]] for case, line in by_case.items()]
    return ["", *peers], rows


def write_cells(cells: Sequence[Cell], about: dict[str, Any]) -> dict[str, Any]:
    """What goes into the JSON file."""
    known = [c._asdict() | ({"best": c.best, "median": c.median} if c.values else {}) for c in cells]
    return about | {"cells": known}


def read_cells(whole: dict[str, Any]) -> tuple[list[Cell], dict[str, Any]]:
    """The cells of a JSON file, and what it says about itself."""
    cells = [Cell(**{k: c[k] for k in Cell._fields}) for c in whole["cells"]]
    return cells, {k: v for k, v in whole.items() if k != "cells"}
