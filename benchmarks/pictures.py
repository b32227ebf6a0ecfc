"""The suite's results as pictures. Each function draws one file from the cells of its section, if there are any."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window: must come before pyplot
import matplotlib.pyplot as plt
import numpy as np
from cells import OTHER_WORK, Cell
from measure import PEERS
from workloads import TITLES, WORKLOADS

OURS = "jitgrad-loop"
COLOURS = {
    "jitgrad": "#0b6e4f",
    "torch": "#d1495b",
    "torch-compile": "#e8998d",
    "jax": "#30638e",
    "jax-scan": "#8fb8de",
    "numba": "#edae49",
    "tuned": "#444444",
    "numpy": "#9a8c98",
    "autograd": "#bc8034",
    "mygrad": "#7b5ea7",
    "tinygrad": "#66a182",
    "micrograd": "#c5a3ff",
    "sklearn": "#f79256",
}
LABELS = {p.kind: p.label.split(",")[0] for p in PEERS if p.threads == 1}
LABELS |= {"jitgrad-loop": "jitgrad, compiled loop", "jitgrad-call": "jitgrad, a call a step"}
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


def _of(cells: Sequence[Cell], section: str) -> list[Cell]:
    return [c for c in cells if c.section == section]


def _kind(peer: str) -> str:
    return peer.rsplit("-", 1)[0]


def _colour(kind: str) -> str:
    return COLOURS.get(kind, COLOURS.get(kind.split("-")[0], "#888888"))


def _best_of_kinds(cells: Sequence[Cell]) -> dict[str, dict[str, float]]:
    """For each case the best figure of every way to run steps, whatever the number of threads."""
    best: dict[str, dict[str, float]] = {}
    for c in cells:
        line = best.setdefault(c.case, {})
        line[_kind(c.peer)] = min(line.get(_kind(c.peer), np.inf), c.best)
    return best


def speedups(cells: Sequence[Cell]) -> Any:
    """How many times as long others take: a panel for each workload, the same row for the same library in all."""
    best = {n: line for n, line in _best_of_kinds(_of(cells, "steps")).items() if OURS in line}
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
        axes.barh(at, ratio - 1, left=1, height=0.85, color=_colour(kind))
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


def roofline(cells: Sequence[Cell]) -> Any:
    """Rows of the compiled steps under the machine's peaks."""
    rows = [(c, json.loads(c.note)) for c in _of(cells, "rows")]
    machine = next((note for c, note in rows if c.peer == "machine"), None)
    points = [(c, note) for c, note in rows if c.peer != "machine" and note["flops"]]
    if machine is None or not points:
        return None
    figure, axes = plt.subplots(figsize=(9, 5.5))
    peak, copies = machine["multiply_adds"], {int(k): v for k, v in machine["copies"].items()}
    x = np.geomspace(0.02, 200, 200)
    caches = {"first cache": copies[1 << 14], "second cache": copies[1 << 18], "memory": copies[1 << 27]}
    for rate in caches.values():
        axes.plot(x, np.minimum(peak, rate * x), color="#999999", linewidth=1.2)
    axes.text(
        190,
        peak * 1.08,
        f"multiply-adds in registers, {peak:.0f} GF/s",
        fontsize=8,
        color="#666666",
        ha="right",
    )
    names = list(dict.fromkeys(c.case.split()[0] for c, _ in points))
    palette = plt.get_cmap("tab10")
    for k, name in enumerate(names):
        mine = [(c, note) for c, note in points if c.case.split()[0] == name]
        for products, marker in ((True, "o"), (False, "^")):
            chosen = [(c, n) for c, n in mine if n["product"] is products]
            axes.scatter(
                [n["flops"] / n["bytes"] for _, n in chosen],
                [n["flops"] / c.best for c, n in chosen],
                s=[12 + 300 * n["share"] for _, n in chosen],
                color=palette(k % 10),
                marker=marker,
                alpha=0.7,
                linewidths=0,
                label=name if products else None,
            )
    lowest = min(*(n["flops"] / c.best for c, n in points), 0.02 * caches["memory"])
    axes.set(xscale="log", yscale="log", xlim=(0.02, 200), ylim=(lowest / 3, 2 * peak))
    box, (left, right), (low, high) = axes.get_window_extent(), axes.get_xlim(), axes.get_ylim()
    angle = np.degrees(np.arctan2(box.height / np.log10(high / low), box.width / np.log10(right / left)))
    slope = {
        "rotation": angle,
        "rotation_mode": "anchor",
        "va": "bottom",
        "fontsize": 7.5,
        "color": "#666666",
    }
    for word, rate in caches.items():
        axes.text(0.16, rate * 0.17, f"{word}, {rate:.0f} GB/s", **slope)
    axes.set_xlabel("operations a byte read or written")
    axes.set_ylabel("GF/s")
    axes.set_title("Rows of the compiled steps (round: products; size: share of the step)", fontsize=10)
    legend = axes.legend(frameon=False, ncols=2, loc="lower right", fontsize=8)
    for handle in legend.legend_handles:
        handle.set_sizes([30])
    return figure


def scaling(cells: Sequence[Cell]) -> Any:
    """Time of a step over width, depth and batch, one line for each peer."""
    found = _of(cells, "scaling")
    if not found:
        return None
    changed = [w for w in ("width", "depth", "batch") if any(w in c.case for c in found)]
    figure, panels = plt.subplots(1, len(changed), figsize=(4 * len(changed), 4), sharey=True, squeeze=False)
    peers = list(dict.fromkeys(c.peer for c in found))
    for axes, what in zip(panels[0], changed, strict=True):
        for peer in peers:
            line = sorted(
                (int(c.case.split("-")[1]), 1e6 * c.best) for c in found if c.peer == peer and what in c.case
            )
            kind, threads = peer.rsplit("-", 1)
            ours = kind.startswith("jitgrad")
            label = f"{LABELS[kind]}{', 2 threads' if threads == '2' else ''}"
            axes.plot(
                *zip(*line, strict=True) if line else ([], []),
                marker="o" if kind != "jitgrad" else "s",
                markersize=4,
                color=_colour(kind),
                linewidth=2.2 if ours else 1.3,
                alpha=0.6 if kind == "jitgrad" else 1,
                linestyle="-" if threads == "1" else "--",
                label=label,
            )
        axes.set(xscale="log", yscale="log", xlabel=what)
        ticks = sorted({int(c.case.split("-")[1]) for c in found if what in c.case})
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.minorticks_off()
    panels[0, 0].set_ylabel("us a step")
    figure.suptitle("The digits' network (64-64-32-10, batch 32), one number changed at a time", fontsize=10)
    panels[0, -1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    return figure


def ops(cells: Sequence[Cell]) -> Any:
    """Rates of all operations by size, in the middle and from the slowest to the fastest tenth."""
    found = [c for c in _of(cells, "ops") if " forward " in c.case and c.note.endswith("GB/s")]
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
        axes.fill_between(sizes, low, high, color=_colour(library), alpha=0.12, linewidth=0)
        axes.plot(
            sizes, middle, marker="o", color=_colour(library), label=f"{library}, {len(by_size[sizes[0]])}"
        )
    peaks = sorted((int(c.case.split()[-1]), c.best) for c in _of(cells, "ops") if c.unit == "GB/s")
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
    found = _of(cells, "products")
    if not found:
        return None
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for library in dict.fromkeys(c.peer for c in found):
        mine = [c for c in found if c.peer == library and c.case.count("x") == 1]
        line = sorted((int(c.case.split("x")[0]), c.best) for c in mine)
        if line:
            axes.plot(
                *zip(*line, strict=True), marker="o", markersize=4, color=_colour(library), label=library
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
