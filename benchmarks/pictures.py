"""The suite's results as pictures. Each function draws one file from the cells of its section, if there are any."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window: must come before pyplot
import matplotlib.pyplot as plt
import numpy as np
from cells import OTHER_WORK, Cell
from curves import scaling
from looks import COLOURS, LABELS, colour, of_section
from roofline import roofline
from workloads import TITLES, WORKLOADS

OURS = "jitgrad-loop"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.dpi": 120,
    "axes.axisbelow": True,
}


def draw(
    cells: Sequence[Cell], about: dict[str, Any], folder: Path, names: Sequence[str] | None = None
) -> list[str]:
    """Write all pictures that the cells allow, or those of some names; the names of the files."""
    written = []
    caption = f"{about['date']}; {about['machine']}; load {about['load'][0]}"
    with plt.rc_context(STYLE):
        for name in PICTURES if names is None else names:
            figure = PICTURES[name]([c for c in cells if c.values and c.note != OTHER_WORK])
            if figure is None:
                continue
            figure.text(0.01, -0.02, caption, fontsize=7, color="gray")
            figure.savefig(folder / f"{name}.png", bbox_inches="tight")
            plt.close(figure)
            written.append(f"{name}.png")
    return written


def _kind(peer: str) -> str:
    return peer.rsplit("-", 1)[0]


def _best_of_kinds(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """For each case the best figure of every way to run steps, whatever the number of threads."""
    best: dict[str, dict[str, float]] = {}
    for c in cells:
        line = best.setdefault(c.case, {})
        line[_kind(c.peer)] = min(line.get(_kind(c.peer), np.inf), c.best)
    return best


def speedups(cells: Sequence[Cell]) -> Any:
    """How many times as long others take: a panel for each workload, the same row for the same library in all."""
    best = {n: line for n, line in _best_of_kinds(of_section(cells, "steps")).items() if OURS in line}
    kinds = [
        k for k in LABELS if k not in (OURS, "jitgrad-call") and any(k in line for line in best.values())
    ]
    if not kinds:
        return None
    names = [n for n in WORKLOADS if n in best]
    across = min(3, -(-len(names) // 2))
    down = -(-len(names) // across)
    size = (1.6 + 3.3 * across, 0.8 + down * (0.5 + 0.17 * len(kinds)))
    figure, grid = plt.subplots(down, across, figsize=size, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(grid.flat, names, strict=False):
        _panel(axes, best[name], kinds)
        axes.set_title(textwrap.fill(f"{name}  {_short(TITLES[name])}", 46), fontsize=9, loc="left")
    first = grid[0, 0]
    first.set_yticks(range(len(kinds)), [LABELS[k] for k in kinds], fontsize=8)
    first.set_ylim(len(kinds) - 0.4, -0.6)
    first.set_xscale("log")
    ratios = [line[k] / line[OURS] for line in best.values() for k in line if k in kinds]
    first.set_xlim(min(1, *ratios) / 4, max(1, *ratios) * 5)  # with room for the numbers
    first.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    for k, axes in enumerate(grid.flat[: len(names)]):
        axes.tick_params(labelbottom=k + across >= len(names), labelsize=8)
    figure.supxlabel("time of a training step, in steps of jitgrad's compiled loop (the line)", fontsize=10)
    figure.tight_layout(h_pad=1.2)
    return figure


def _panel(axes: Any, line: dict[str, float], kinds: Sequence[str]) -> None:
    """Bars from 1 to what each library takes; nothing where it has no such workload."""
    for at, kind in enumerate(kinds):
        if kind not in line:
            continue
        ratio = line[kind] / line[OURS]
        axes.barh(at, ratio - 1, left=1, height=0.85, color=colour(kind))
        beyond = ratio >= 1
        axes.annotate(
            f"{ratio:.2g}" if ratio < 10 else f"{ratio:,.0f}",
            (ratio, at),
            (3 if beyond else -3, 0),
            textcoords="offset points",
            va="center",
            ha="left" if beyond else "right",
            fontsize=7,
        )
    axes.axvline(1, color=COLOURS["jitgrad"], linewidth=2)
    axes.grid(axis="y", visible=False)


def _short(title: str) -> str:
    parts = title.split(", ")
    kept = [p for p in parts if p not in ("Adam", "SGD", "SGD with momentum", "forward and backward")]
    return textwrap.shorten(", ".join(kept), 40, placeholder="")


def ops(cells: Sequence[Cell]) -> Any:
    """Rates of all operations by size, in the middle and from the slowest to the fastest tenth."""
    found = [c for c in of_section(cells, "ops") if " forward " in c.case and c.note.endswith("GB/s")]
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for library in dict.fromkeys(c.peer for c in found):
        by_size: dict[int, list[float]] = {}
        for c in found:
            if c.peer == library:
                by_size.setdefault(int(c.case.split()[-1]), []).append(float(c.note.split()[0]))
        sizes = sorted(by_size)
        low, middle, high = (np.array([np.percentile(by_size[n], q) for n in sizes]) for q in (10, 50, 90))
        axes.fill_between(sizes, low, high, color=colour(library), alpha=0.12, linewidth=0)
        axes.plot(
            sizes,
            middle,
            marker="o",
            color=colour(library),
            label=f"{library} ({len(by_size[sizes[0]])} operations)",
        )
    peaks = sorted((int(c.case.split()[-1]), c.best) for c in of_section(cells, "ops") if c.unit == "GB/s")
    if peaks:
        axes.plot(*zip(*peaks, strict=True), color="black", linestyle=":", label="copy without a call")
    axes.set(xscale="log", yscale="log", xlabel="elements", ylabel="GB/s read and written")
    axes.set_title(
        "Operations called from Python, forward: the middle of all; eight tenths are in the shade",
        fontsize=10,
    )
    axes.legend(frameon=False)
    return figure


def products(cells: Sequence[Cell]) -> Any:
    """Rates of square matrix products."""
    found = of_section(cells, "products")
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for library in dict.fromkeys(c.peer for c in found):
        mine = [c for c in found if c.peer == library and c.case.count("x") == 1]
        line = sorted((int(c.case.split("x")[0]), c.best) for c in mine)
        if line:
            axes.plot(
                *zip(*line, strict=True), marker="o", markersize=4, color=colour(library), label=library
            )
    for c in found:
        if c.case.startswith("peak"):
            axes.axhline(c.best, color="black", linestyle=":", label="multiply-adds in registers")
    axes.set(xscale="log", yscale="log", xlabel="rows and columns", ylabel="GF/s")
    axes.set_xticks([4, 8, 16, 32, 64, 128, 256, 512], ["4", "8", "16", "32", "64", "128", "256", "512"])
    axes.minorticks_off()
    axes.set_title("Square matrix products called from Python, one thread", fontsize=10)
    axes.legend(frameon=False)
    return figure


PICTURES: dict[str, Callable[[Sequence[Cell]], Any]] = {
    "speedups": speedups,
    "roofline": roofline,
    "scaling": scaling,
    "ops": ops,
    "products": products,
}
