"""Curves over width, depth and batch, and what a second thread brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from cells import Cell
from looks import LABELS, colour, of_section


def scaling(cells: Sequence[Cell]) -> Any:
    """Time of a step over width, depth and batch, one line for each peer; and one thread against two."""
    found = of_section(cells, "scaling")
    if not found:
        return None
    changed = [w for w in ("width", "depth", "batch") if any(w in c.case for c in found)]
    pairs = _pairs(found)
    count = len(changed) + bool(pairs)
    figure, panels = plt.subplots(1, count, figsize=(1.5 + 3.4 * count, 4.2), squeeze=False)
    for axes, what in zip(panels[0], changed, strict=False):
        _curves(axes, what, found)
        axes.set_ylim(min(c.best for c in found) * 0.7e6, max(c.best for c in found) * 1.4e6)
        axes.tick_params(labelleft=axes is panels[0, 0])
    panels[0, 0].set_ylabel("us a step")
    if pairs:
        _threads(panels[0, -1], pairs)
    figure.suptitle("The digits' network (64-64-32-10, batch 32), one number changed at a time", fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, ncols=4, loc="lower center")
    figure.tight_layout(rect=(0, 0.045 * -(-len(labels) // 4), 1, 1))
    return figure


def _curves(axes: Any, what: str, found: Sequence[Cell]) -> None:
    for peer in dict.fromkeys(c.peer for c in found):
        line = sorted(
            (int(c.case.split("-")[1]), 1e6 * c.best) for c in found if c.peer == peer and what in c.case
        )
        kind, threads = peer.rsplit("-", 1)
        axes.plot(
            *zip(*line, strict=True) if line else ([], []),
            marker="o" if kind != "jitgrad" else "s",
            markersize=4,
            color=colour(kind),
            linewidth=2.2 if kind.startswith("jitgrad") else 1.3,
            alpha=0.6 if kind == "jitgrad" else 1,
            linestyle="-" if threads == "1" else "--",
            label=f"{LABELS[kind]}{', 2 threads' if threads == '2' else ''}",
        )
    axes.set(xscale="log", yscale="log", xlabel=what)
    ticks = sorted({int(c.case.split("-")[1]) for c in found if what in c.case})
    axes.set_xticks(ticks, list(map(str, ticks)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.minorticks_off()


def _pairs(found: Sequence[Cell]) -> dict[str, list[tuple[float, float]]]:
    """For each way to run steps: microseconds on one thread, and how many times as fast two are."""
    best = {(c.case, c.peer): c.best for c in found}
    pairs: dict[str, list[tuple[float, float]]] = {}
    for (case, peer), one in best.items():
        kind, threads = peer.rsplit("-", 1)
        two = best.get((case, f"{kind}-2"))
        if threads == "1" and two:
            pairs.setdefault(kind, []).append((1e6 * one, one / two))
    return pairs


def _threads(axes: Any, pairs: dict[str, list[tuple[float, float]]]) -> None:
    for kind, points in pairs.items():
        axes.plot(*zip(*sorted(points), strict=True), "o", color=colour(kind), markersize=5, alpha=0.8)
    for gain, word in ((1, "no gain"), (2, "twice as fast")):
        axes.axhline(gain, color="#999999", linewidth=1)
        axes.annotate(
            word,
            (1, gain),
            (-3, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color="#666666",
        )
    axes.set(
        xscale="log", ylim=(0, 2.4), xlabel="us a step on one thread", title="a second thread: times as fast"
    )
    axes.title.set_fontsize(9)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
