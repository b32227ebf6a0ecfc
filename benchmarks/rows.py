"""Section: every row of the compiled steps alone, against what this machine can do at best.

The peaks are measured in the same process: multiply-adds in registers, and copies of as many bytes as a row touches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from cells import Cell, value_text
from children import run, tell
from report import table

SECTION = "rows"
SHORT = ("W3", "W4")
STEPS = 200
LISTED = 4  # rows of a workload that are printed: those that take longest
PEAKS = "peaks"


def cells(plan: Any) -> Iterator[Cell | str]:
    """The rows of every workload that is asked for."""
    names = [n for n in plan.workloads if n not in ("W11", "adds") and (not plan.short or n in SHORT)]
    found, reason = run("rows.py", *names)
    yield from found
    if reason:
        yield reason


def measured(names: Sequence[str]) -> Iterator[Cell]:
    """What the child tells: each row's time, and in the note what it does, as JSON."""
    from workloads import WORKLOADS

    import jitgrad
    from jitgrad.program.show.peaks import copy_rates, multiply_add_peak

    jitgrad.set_num_threads(1)
    about = {"multiply_adds": multiply_add_peak("float32"), "copies": copy_rates()}
    yield Cell(SECTION, PEAKS, "machine", "GF/s", [about["multiply_adds"]], json.dumps(about))
    for name in names:
        built = WORKLOADS[name](jitgrad)
        step = jitgrad.compile(built.step, fullgraph=True)
        step(*built.data)
        profile = step.program(*built.data).profile(STEPS)
        for row in profile.rows:
            line = row.line
            note = {
                "kernel": line.kernel,
                "flops": line.flops,
                "bytes": line.bytes,
                "share": round(profile.share(row), 4),
                "of_peak": round(row.of_peak, 3),
                "product": line.product,
            }
            yield Cell(SECTION, f"{name} {line.number}", "jitgrad", "ns", [row.ns], json.dumps(note))


def markdown(found: list[Cell]) -> str:
    """The rows that take longest, and how near the whole step is to the peaks."""
    by_name: dict[str, list[tuple[Cell, dict[str, Any]]]] = {}
    for c in found:
        if c.case != PEAKS:
            by_name.setdefault(c.case.split()[0], []).append((c, json.loads(c.note)))
    lines = []
    for name, rows in by_name.items():
        # what limits a step: each row's time weighted by the part of its peak that it reaches
        whole = sum(note["share"] * min(note["of_peak"], 1) for _, note in rows)
        total = sum(c.best for c, _ in rows)
        lines.append([name, "all rows", value_text(total, "ns"), "100 %", "", f"{100 * whole:.0f} %"])
        for c, note in sorted(rows, key=lambda r: -r[0].best)[:LISTED]:
            rate = f"{note['flops'] / c.best:.1f}" if note["flops"] else "-"
            share, reached = f"{100 * note['share']:.0f} %", f"{100 * note['of_peak']:.0f} %"
            lines.append(["", note["kernel"], value_text(c.best, "ns"), share, rate, reached])
    return table(["workload", "row", "time", "share", "GF/s", "of peak"], lines)


if __name__ == "__main__":
    tell(measured)
