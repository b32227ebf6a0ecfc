"""The roofline: every kernel of the compiled steps under the machine's peaks, and how near each one comes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from cells import Cell
from looks import of_section

LEFT, RIGHT = 0.02, 200  # operations a byte
LISTED = 24  # kernels that have a bar: those that take the largest shares


class Point(NamedTuple):
    """All rows of one kernel in one workload."""

    workload: str
    kernel: str
    ns: float
    flops: float
    bytes: float
    share: float
    of_peak: float  # of each row its own, weighted by time
    product: bool

    @property
    def rate(self) -> float:
        """GF/s."""
        return self.flops / self.ns

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes


def kernel_of(words: str) -> str:
    """The kernel's name, without which gradients a row computes; chains by what they are."""
    name, back, _ = words.removesuffix(", added").partition(" back to ")
    if "rows in" in name:
        return "chains of rows"
    return f"{name}, back" if back else name


def points(cells: Sequence[Cell]) -> list[Point]:
    """One point for each kernel and workload."""
    groups: dict[tuple[str, str], list[tuple[float, dict[str, Any]]]] = {}
    for c in of_section(cells, "rows"):
        if c.peer != "machine":
            note = json.loads(c.note)
            groups.setdefault((c.case.split()[0], kernel_of(note["kernel"])), []).append((c.best, note))
    found = []
    for (workload, kernel), rows in groups.items():
        ns = sum(t for t, _ in rows)
        flops, moved, share = (sum(n[k] or 0 for _, n in rows) for k in ("flops", "bytes", "share"))
        of_peak = sum(t * min(n["of_peak"], 1) for t, n in rows) / ns
        product = any(n["product"] for _, n in rows)
        found.append(Point(workload, kernel, ns, flops, moved, share, of_peak, product))
    return found


def roofline(cells: Sequence[Cell]) -> Any:
    """Kernels under the roofs, and beside them bars: how much of its roof each one reaches."""
    machine = next((json.loads(c.note) for c in of_section(cells, "rows") if c.peer == "machine"), None)
    found = points(cells)
    if machine is None or not any(p.flops for p in found):
        return None
    figure, (axes, bars) = plt.subplots(1, 2, figsize=(13, 6), width_ratios=(1.7, 1))
    _bars(bars, found)
    _roofs(axes, machine, [p for p in found if p.flops and p.bytes])
    figure.tight_layout()
    _words_on_roofs(axes, machine)
    return figure


def _roofs(axes: Any, machine: dict[str, Any], found: list[Point]) -> None:
    peak, rates = machine["multiply_adds"], _rates(machine)
    x = np.geomspace(LEFT, RIGHT, 200)
    for rate in rates.values():
        axes.plot(x, np.minimum(peak, rate * x), color="#999999", linewidth=1.2)
    palette = plt.get_cmap("tab10")
    names = list(dict.fromkeys(p.workload for p in found))
    for k, name in enumerate(names):
        for product, marker in ((True, "o"), (False, "^")):
            mine = [p for p in found if p.workload == name and p.product is product]
            axes.scatter(
                [p.intensity for p in mine],
                [p.rate for p in mine],
                s=[14 + 320 * p.share for p in mine],
                color=palette(k % 10),
                marker=marker,
                alpha=0.75,
                linewidths=0,
                label=name if product or not any(p.product for p in found if p.workload == name) else None,
            )
    lowest = min(*(p.rate for p in found), LEFT * rates["memory"], peak)
    axes.set(xscale="log", yscale="log", xlim=(LEFT, RIGHT), ylim=(lowest / 3, 2 * peak))
    axes.set_xlabel("operations a byte read or written")
    axes.set_ylabel("GF/s")
    axes.set_title("Kernels of the compiled steps (round: products; size: share of the step)", fontsize=10)
    legend = axes.legend(frameon=False, ncols=2, loc="lower right", fontsize=8)
    for handle in legend.legend_handles:
        handle.set_sizes([30])


def _rates(machine: dict[str, Any]) -> dict[str, float]:
    copies = {int(k): v for k, v in machine["copies"].items()}
    return {"first cache": copies[1 << 14], "second cache": copies[1 << 18], "memory": copies[1 << 27]}


def _words_on_roofs(axes: Any, machine: dict[str, Any]) -> None:
    """Along the lines, which needs the final size of the axes."""
    peak = machine["multiply_adds"]
    box, (left, right), (low, high) = axes.get_window_extent(), axes.get_xlim(), axes.get_ylim()
    angle = np.degrees(np.arctan2(box.height / np.log10(high / low), box.width / np.log10(right / left)))
    style = {"va": "bottom", "fontsize": 7.5, "color": "#666666"}
    for word, rate in _rates(machine).items():
        axes.text(
            0.022, rate * 0.0235, f"{word}, {rate:.0f} GB/s", rotation=angle, rotation_mode="anchor", **style
        )
    axes.text(190, peak * 1.04, f"multiply-adds in registers, {peak:.0f} GF/s", ha="right", **style)


def _bars(axes: Any, found: list[Point]) -> None:
    """The part of its roof that each kernel reaches, over all workloads; those that take most time first."""
    by_kernel: dict[str, list[Point]] = {}
    for p in found:
        by_kernel.setdefault(p.kernel, []).append(p)
    listed = sorted(by_kernel, key=lambda k: -sum(p.share for p in by_kernel[k]))[:LISTED]
    for at, kernel in enumerate(listed):
        mine = by_kernel[kernel]
        share = sum(p.share for p in mine)
        reached = sum(p.share * p.of_peak for p in mine) / share if share else 0.0
        axes.barh(at, 100 * reached, height=0.8, color=plt.get_cmap("RdYlGn")(0.1 + 0.8 * reached))
        axes.annotate(
            f"{100 * reached:.0f} %",
            (100 * reached, at),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    workloads = len({p.workload for p in found})
    labels = [f"{k}  ({100 * sum(p.share for p in by_kernel[k]) / workloads:.0f} %)" for k in listed]
    axes.set_yticks(range(len(listed)), labels, fontsize=7.5)
    axes.set(xlim=(0, 108), ylim=(len(listed) - 0.4, -0.6), xlabel="% of the roof (of what limits each row)")
    axes.set_title("How near each kernel comes; in brackets its share of the time", fontsize=10, x=0.3)
    axes.grid(axis="y", visible=False)
