"""Measured steps as Markdown: a table of times, one of ratios with their targets, and notes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from cells import Cell, rows_of
from measure import Peer
from workloads import TITLES


class Ratio(NamedTuple):
    """One column of the second table: the better of some peers over the better of others, and its targets."""

    label: str
    above: tuple[str, ...]
    below: tuple[str, ...]
    targets: dict[str, float]
    at_most: bool = False

    def cell(self, name: str, best: dict[str, float]) -> str:
        """The ratio for a workload, bold where the target is met."""
        above, below = ([best[k] for k in keys if k in best] for keys in (self.above, self.below))
        if not above or not below:
            return "-"
        ratio, target = min(above) / min(below), self.targets.get(name)
        text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
        if target is None:
            return text
        met = ratio <= target if self.at_most else ratio >= target
        return f"{f'**{text}**' if met else text} ({target:g})"


_OURS = ("jitgrad-loop-1", "jitgrad-loop-2")
_PYTORCH = {
    **{"W1": 300, "W2": 200, "W3": 38, "W4": 4.5, "W5": 9, "W8": 8},
    **{"W6": 8, "W7": 8, "W9": 14, "W10": 1},
}
RATIOS = (
    Ratio("PyTorch / ours", ("torch-1", "torch-2"), _OURS, _PYTORCH),
    Ratio("torch.compile / ours", ("torch-compile-1", "torch-compile-2"), _OURS, _PYTORCH),
    Ratio(
        "JAX jit / ours",
        ("jax-1", "jax-2"),
        _OURS,
        {"W1": 20, "W2": 20, "W3": 5, "W4": 2.2, "W5": 2.2, "W8": 2.8, "W6": 8},
    ),
    Ratio(
        "JAX scan / ours",
        ("jax-scan-1", "jax-scan-2"),
        _OURS,
        {"W2": 3, "W3": 2, "W4": 1.4, "W5": 1.9, "W8": 2.3, "W7": 3, "W9": 4},
    ),
    Ratio("Numba loops / ours", ("numba-1",), _OURS, {"W2": 1, "W3": 1}),
    Ratio(
        "ours, 1 thread / tuned", ("jitgrad-loop-1",), ("tuned-1",), {"W2": 1.25, "W3": 1.25}, at_most=True
    ),
    Ratio(
        "PyTorch / our eager",
        ("torch-1", "torch-2"),
        ("jitgrad-1", "jitgrad-2"),
        {"W6": 1.5, "W7": 1.5, "W9": 4},
    ),
)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def best_and_middle(cells: Sequence[Cell]) -> str:
    """A table of the best rounds, and one of the middle ones of cells that have several."""
    parts = [table(*rows_of(cells))]
    several = [c for c in cells if len(c.values) > 1]
    if several:
        parts = ["The best round:", *parts, "And the middle round:", table(*rows_of(several, middle=True))]
    return "\n\n".join(parts)


def microseconds(seconds: float) -> str:
    """Three digits, or all before the point."""
    return f"{1e6 * seconds:,.0f}" if seconds >= 1e-4 else f"{1e6 * seconds:.3g}"


def report(
    best: dict[str, dict[str, float]],
    middle: dict[str, dict[str, float]],
    peers: list[Peer],
    other: Collection[tuple[str, str]] = (),
) -> str:
    """The tables of times and of ratios.

    Parameters
    ----------
    best, middle : dict
        For each workload the seconds of a step by peer: the best round's, the middle one's.
    peers : list of Peer
        The columns.
    other : collection of tuple
        Workloads and peers whose losses differ, so that their times are not compared.
    """
    header = ["workload", *[p.label for p in peers]]

    def lines(times: dict[str, dict[str, float]]) -> list[list[str]]:
        rows = []
        for name, line in times.items():
            marks = {
                k: f"{microseconds(t)}{' (other work)' if (name, k) in other else ''}"
                for k, t in line.items()
            }
            rows.append([f"{name}: {TITLES[name]}", *[marks.get(p.key, "-") for p in peers]])
        return rows

    same = {n: {k: t for k, t in line.items() if (n, k) not in other} for n, line in best.items()}
    used = [r for r in RATIOS if any(r.cell(name, line) != "-" for name, line in same.items())]
    ratios = [[name, *[r.cell(name, line) for r in used]] for name, line in same.items()]
    parts = ["Microseconds a step, the best round:", table(header, lines(best))]
    parts += ["And the middle round:", table(header, lines(middle))]
    if used:
        parts += [
            "Ratios; each side is the better of its thread counts, in brackets the target, bold where it is met:",
            table(["workload", *[r.label for r in used]], ratios),
        ]
    return "\n\n".join(parts)
